//! Files that are not what was written: a named error, never a panic, never silent loss.

use super::*;

const WIDS: [&str; 2] = ["D-1", "D-2"];

/// A state of some pages, and what it holds. Half of it is left as a killed service leaves it.
async fn state(killed: bool) -> (MemoryDisk, String) {
    let disk = MemoryDisk::new();
    let store = EmbeddedStore::on_disk(disk.clone()).unwrap();
    for n in 0..60 {
        let change = Change::new()
            .append(WIDS[usize::try_from(n % 2).unwrap()], n, body(n))
            .append("D-1", n, to_raw_value(&"x".repeat(300)).unwrap())
            .put_operation(operation(&format!("D-{}", n % 9), n))
            .put_node(node(&format!("n-{n}.site"), NodeState::Deployed));
        store.commit(change).await.unwrap();
    }
    let whole = content(&store, &WIDS).await.unwrap();
    let left = disk.power_on(Loss::Nothing);
    drop(store);
    (if killed { left } else { disk }, whole)
}

/// Opens a damaged state; says whether it was refused. If it was not, all is there; if it
/// was, the file is as it was.
async fn judge(disk: &MemoryDisk, whole: &str, what: &str) -> bool {
    let before = disk.bytes(engine::FILE);
    match EmbeddedStore::on_disk(disk.clone()) {
        Ok(store) => {
            let now = content(&store, &WIDS).await;
            assert_eq!(now.unwrap(), whole, "{what}: silent loss");
            false
        }
        Err(error) => {
            assert!(error.is_damage(), "{what}: {error}");
            assert!(disk.bytes(engine::FILE) == before, "{what}: the damaged file was changed");
            true
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_noticed_or_harmless() {
    for killed in [false, true] {
        let (sound, whole) = state(killed).await;
        let bytes = sound.bytes(engine::FILE).unwrap();
        let header = (0..320 * 8).step_by(if killed { 5 } else { 1 });
        let rest = (320 * 8..bytes.len() * 8).step_by(8191);
        let (mut refused, mut harmless) = (0, 0);
        for bit in header.chain(rest) {
            let disk = sound.power_on(Loss::Nothing);
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            disk.overwrite(engine::FILE, &bytes);
            if judge(&disk, &whole, &format!("bit {bit}, killed: {killed}")).await {
                refused += 1;
                if refused % 16 == 0 {
                    salvage::salvage(&*disk.open(engine::FILE).unwrap()).unwrap();
                }
            } else {
                harmless += 1;
            }
        }
        println!("killed: {killed}: {refused} refused, {harmless} harmless");
        assert!(refused > 100 && harmless > 100, "{refused} refused, {harmless} harmless");
    }
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    for killed in [false, true] {
        let (sound, whole) = state(killed).await;
        let bytes = sound.bytes(engine::FILE).unwrap();
        for len in (0..bytes.len()).step_by(2048).chain([1, 9, 319, 4095, bytes.len() - 1]) {
            let disk = sound.power_on(Loss::Nothing);
            disk.overwrite(engine::FILE, &bytes[..len]);
            let refused = judge(&disk, &whole, &format!("{len} bytes left")).await;
            assert!(refused || len > bytes.len() / 2, "{len} of {} bytes suffice", bytes.len());
        }
    }
}

#[tokio::test]
async fn other_bytes_an_empty_file_and_an_older_copy_are_refused() {
    let (sound, whole) = state(false).await;
    let bytes = sound.bytes(engine::FILE).unwrap();
    for wrong in [vec![0xA5; bytes.len()], vec![0; bytes.len()], Vec::new(), b"redb".to_vec()] {
        let disk = sound.power_on(Loss::Nothing);
        disk.overwrite(engine::FILE, &wrong);
        assert!(judge(&disk, &whole, "other bytes").await);
    }
    let disk = sound.power_on(Loss::Nothing);
    let store = EmbeddedStore::on_disk(disk.clone()).unwrap();
    store.commit(Change::new().forget_node("n-1.site")).await.unwrap();
    store.commit(Change::new().forget_node("n-2.site")).await.unwrap();
    drop(store);
    disk.overwrite(engine::FILE, &bytes);
    let error = EmbeddedStore::on_disk(disk).err().unwrap();
    assert!(matches!(error, StoreError::Lost { lost: 2, .. }), "{error}");
}

#[tokio::test]
async fn a_gap_in_a_journal_is_named() {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    for n in 1..=5 {
        store.commit(Change::new().append("D-1", n, body(n))).await.unwrap();
    }
    drop(store);
    let session =
        engine::Session::open(&Directory::new(directory.path()), engine::FILE, false).unwrap();
    session.admit().unwrap();
    let key = change::journal("D-1").number(3);
    session
        .write(|records| {
            records.remove(key.0.as_slice()).map(|_| ()).map_err(|_| StoreError::Closed)
        })
        .unwrap();
    drop(session);
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let error = store.journal("D-1", 0, 10).await.unwrap_err().to_string();
    assert!(
        error.starts_with("damaged record in the journal, 'D-1 / 3': it is missing"),
        "{error}"
    );
    assert!(store.journal("D-1", 2, 10).await.is_err());
    assert_eq!(store.journal("D-1", 3, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_database_that_is_gone_is_damage_and_not_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    store.commit(Change::new().put_node(node("n-1.site", NodeState::Deployed))).await.unwrap();
    drop(store);
    let file = directory.path().join("state.redb");
    std::fs::remove_file(&file).unwrap();
    for _ in 0..2 {
        let error = EmbeddedStore::open(directory.path()).err().unwrap();
        assert!(error.is_damage() && error.to_string().contains("it is missing"), "{error}");
        let (rest, found) = EmbeddedStore::salvaged(directory.path()).unwrap();
        assert_eq!(rest.nodes().await.unwrap(), []);
        assert!(found.is_lossy() && found.unreadable == ["everything"], "{found:?}");
        assert!(!file.exists());
    }
}
