//! What can be read of a damaged state, and what a repair makes of it.

use std::fs;
use std::path::PathBuf;

use super::*;

/// A directory with a state of many pages; its newest records stand at the end of the keys.
async fn full() -> TempDir {
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    for block in 0..20_u64 {
        let mut change = Change::new()
            .put_operation(operation(&format!("D-{block}"), block))
            .put_node(node(&format!("n-{block}.site"), NodeState::Deployed))
            .add_environment(environment(block + 1, "ann", &format!("env-{block}"), 1));
        for n in 0..100 {
            change = change.append(format!("D-{block}"), n, body(n));
        }
        store.commit(change).await.unwrap();
    }
    let large = to_raw_value(&"x".repeat(100_000)).unwrap();
    store.commit(Change::new().append("D-99", 1, large)).await.unwrap();
    directory
}

fn file(directory: &TempDir) -> PathBuf {
    directory.path().join(engine::FILE)
}

/// Spoils one page in the middle of those that hold journal records of `wid`.
fn spoil(directory: &TempDir, wid: &str) {
    let mut bytes = fs::read(file(directory)).unwrap();
    let at = spoiled_page(&bytes, wid);
    bytes[at..at + 4096].fill(0xFF);
    fs::write(file(directory), bytes).unwrap();
}

/// Finds a leaf that is in use, by what the salvage reads with and without it.
fn spoiled_page(bytes: &[u8], wid: &str) -> usize {
    let key = change::journal(wid).number(50);
    let rest = |bytes: Vec<u8>| {
        let disk = MemoryDisk::new();
        disk.overwrite(engine::FILE, &bytes);
        salvage::salvage(&*disk.open(engine::FILE).unwrap()).unwrap()
    };
    let holds = |at: &usize| {
        let mut without = bytes.to_vec();
        without[*at..*at + 4096].fill(0xFF);
        let rest = rest(without);
        !rest.records.contains_key(&key.0) && rest.holes.len() == 1
    };
    assert!(rest(bytes.to_vec()).holes.is_empty());
    let pages = (4096..bytes.len() - 4096).step_by(4096);
    let candidates =
        pages.filter(|at| bytes[*at..*at + 4096].windows(wid.len()).any(|w| w == wid.as_bytes()));
    candidates.filter(|at| bytes[*at] == 1).find(holds).unwrap()
}

#[tokio::test]
async fn the_salvage_of_a_sound_state_is_all_of_it() {
    let directory = full().await;
    let findings = check(directory.path()).unwrap();
    assert!(findings.is_sound(), "{findings:?}");
    assert_eq!(findings.records["the journal"], 2001);
    let bytes = fs::read(file(&directory)).unwrap();
    let (salvaged, found) = EmbeddedStore::salvaged(directory.path()).unwrap();
    assert!(found == findings && salvaged.nodes().await.unwrap().len() == 20);
    drop(salvaged);
    let disk = MemoryDisk::new();
    disk.overwrite(engine::FILE, &bytes);
    let rest = salvage::salvage(&*disk.open(engine::FILE).unwrap()).unwrap();
    assert!(rest.holes.is_empty() && rest.stale == 0, "{:?}", rest.holes);
    let session =
        engine::Session::open(&Directory::new(directory.path()), engine::FILE, false).unwrap();
    let all = session.read(|records| {
        Ok(records
            .iter()
            .unwrap()
            .map(Result::unwrap)
            .map(|(key, value)| (key.value().to_vec(), value.value().to_vec()))
            .collect::<std::collections::BTreeMap<_, _>>())
    });
    assert!(all.unwrap().unwrap() == rest.records);
    assert!(fs::read(file(&directory)).unwrap() == bytes, "a check changes nothing");
    let repaired = repair(directory.path(), &mut |_, _| {}).unwrap();
    assert_eq!(repaired.copy, None, "nothing was to be done");
}

#[tokio::test]
async fn a_damaged_state_is_served_read_only_and_repaired_to_what_can_be_read() {
    let directory = full().await;
    let sound = EmbeddedStore::open(directory.path()).unwrap();
    let (operations, nodes) = (sound.operations().await.unwrap(), sound.nodes().await.unwrap());
    drop(sound);
    spoil(&directory, "D-7");
    let damaged = fs::read(file(&directory)).unwrap();
    let error = EmbeddedStore::open(directory.path()).err().unwrap();
    assert!(error.is_damage() && error.to_string().contains("`kadence store repair`"), "{error}");

    let found = check(directory.path()).unwrap();
    assert!(!found.is_sound());
    assert_eq!(found.damage.as_deref(), Some(error.to_string().as_str()));
    assert_eq!(found.unreadable.len(), 1, "{found:?}");
    assert!(found.unreadable[0].contains("the journal, 'D-7 / "), "{found:?}");
    let cut = found.cut.iter().find(|cut| cut.wid == "D-7").unwrap();
    assert!(cut.kept < 50, "{cut:?}");

    let (store, same) = EmbeddedStore::salvaged(directory.path()).unwrap();
    assert_eq!(same, found);
    assert_eq!(store.operations().await.unwrap(), operations);
    assert_eq!(store.nodes().await.unwrap(), nodes);
    let kept = store.journal("D-7", 0, 1000).await.unwrap();
    assert_eq!(kept.len() as u64, cut.kept);
    assert_eq!(store.journal("D-3", 0, 1000).await.unwrap().len(), 100);
    let refused = store.commit(Change::new().forget_node("n-1.site")).await.unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly), "{refused}");
    let second = EmbeddedStore::salvaged(directory.path()).err().unwrap();
    assert!(matches!(second, StoreError::Locked { .. }), "{second}");
    drop(store);
    assert!(fs::read(file(&directory)).unwrap() == damaged, "reading changes nothing");

    let mut steps = Vec::new();
    let repaired = repair(directory.path(), &mut |done, of| steps.push((done, of))).unwrap();
    assert_eq!(repaired.found, found);
    assert!(steps.last().is_some_and(|(done, of)| done == of && *done > 100), "{steps:?}");
    let copy = repaired.copy.unwrap();
    assert!(fs::read(copy.join(engine::FILE)).unwrap() == damaged);
    assert!(check(directory.path()).unwrap().is_sound());
    let store = EmbeddedStore::open(directory.path()).unwrap();
    assert_eq!(store.operations().await.unwrap(), operations);
    assert_eq!(store.journal("D-7", 0, 1000).await.unwrap().len() as u64, cut.kept);
    assert_eq!(store.new_environment_id(), 21, "no id is given twice");
    store.commit(Change::new().append("D-7", 1, body(1))).await.unwrap();
    assert_eq!(store.journal("D-7", 0, 1000).await.unwrap().len() as u64, cut.kept + 1);
}

#[tokio::test]
async fn a_lost_root_costs_the_last_transaction_only() {
    let directory = full().await;
    let bytes = fs::read(file(&directory)).unwrap();
    // The roots of the newer slot.
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let slot = if word(64 + 104) > word(192 + 104) { 64 } else { 192 };
    let mut spoiled = bytes.clone();
    let at = 4096 + usize::try_from(word(slot + 8) & 0xF_FFFF).unwrap() * 4096;
    spoiled[at..at + 4096].fill(0);
    fs::write(file(&directory), spoiled).unwrap();
    let found = check(directory.path()).unwrap();
    assert!(!found.is_sound() && found.stale > 2000, "{found:?}");
    repair(directory.path(), &mut |_, _| {}).unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    assert_eq!(store.operations().await.unwrap().len(), 20);
}

#[tokio::test]
async fn a_state_of_which_nothing_is_left_is_told_so() {
    let directory = full().await;
    fs::write(file(&directory), "x".repeat(50_000)).unwrap();
    let found = check(directory.path()).unwrap();
    assert_eq!((found.unreadable.len(), found.records.len()), (1, 0), "{found:?}");
    assert_eq!(found.unreadable, ["everything"]);
    repair(directory.path(), &mut |_, _| {}).unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    assert!(store.operations().await.unwrap().is_empty());
    drop(store);
    let empty = TempDir::new().unwrap();
    let error = check(empty.path()).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0, "a check makes nothing");
    let error = check(&empty.path().join("not-there")).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
}

#[tokio::test]
async fn a_witness_that_makes_no_sense_is_damage_that_a_repair_mends() {
    let directory = full().await;
    fs::write(directory.path().join(witness::FILE), "12").unwrap();
    let error = EmbeddedStore::open(directory.path()).err().unwrap();
    assert!(error.is_damage() && error.to_string().contains("it holds no number"), "{error}");
    let found = check(directory.path()).unwrap();
    assert_eq!((found.records["operations"], found.unreadable.len()), (20, 0), "{found:?}");
    repair(directory.path(), &mut |_, _| {}).unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    assert_eq!(store.operations().await.unwrap().len(), 20);
}
