//! What another start finds, and what outsiders did in between.

use super::*;

fn reopen(directory: &TempDir, size: u64) -> Cache {
    Cache::open(directory.path(), limits(size)).unwrap()
}

async fn filled(directory: &TempDir, source: &Memory) -> PathBuf {
    let cache = reopen(directory, 1000);
    cache.get(&request("a", Priority::Recorded, "D-1"), source).await.unwrap().path().to_owned()
}

#[tokio::test]
async fn entries_survive_and_are_verified_when_first_used() {
    let directory = TempDir::new().unwrap();
    let source = Memory::new(*b"content");
    filled(&directory, &source).await;
    let cache = reopen(&directory, 1000);
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let (cache, source) = (cache.clone(), source.clone());
        tasks.spawn(async move {
            cache.get(&request("a", Priority::Kept, &format!("D-{n}")), &source).await
        });
    }
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
    assert_eq!(source.opened(), 1);
    assert!(cache.find(&Digest::of(b"content"), "D-9").await.unwrap().is_some());
}

#[tokio::test]
async fn data_that_was_altered_is_fetched_again() {
    let directory = TempDir::new().unwrap();
    let source = Memory::new(*b"content");
    let path = filled(&directory, &source).await;
    fs::write(&path, b"CONTENT").unwrap();
    let cache = reopen(&directory, 1000);
    let lease = cache.get(&request("a", Priority::Recorded, "D-1"), &source).await.unwrap();
    assert_eq!((fs::read(lease.path()).unwrap(), source.opened()), (b"content".to_vec(), 2));

    fs::write(&path, b"CONTENT").unwrap();
    let cache = reopen(&directory, 1000);
    assert!(cache.find(&Digest::of(b"content"), "D-1").await.unwrap().is_none());
    assert_eq!((names(directory.path()).len(), cache.used()), (0, 0));
}

#[tokio::test]
async fn data_that_vanished_or_was_cut_is_a_miss() {
    let directory = TempDir::new().unwrap();
    let source = Memory::new(*b"content");
    let wanted = request("a", Priority::Recorded, "D-1");
    let path = filled(&directory, &source).await;
    fs::write(&path, b"con").unwrap();
    let cache = reopen(&directory, 1000);
    assert_eq!(
        (names(directory.path()).len(), cache.used()),
        (0, 0),
        "cut while the service was down"
    );
    for harm in [|path: &Path| fs::remove_file(path), |path: &Path| fs::write(path, b"con")] {
        cache.get(&wanted, &source).await.unwrap();
        harm(&path).unwrap();
        let opened = source.opened();
        let lease = cache.get(&wanted, &source).await.unwrap();
        assert_eq!(
            (fs::read(lease.path()).unwrap(), source.opened()),
            (b"content".to_vec(), opened + 1)
        );
    }
    fs::remove_file(&path).unwrap();
    assert!(cache.find(&Digest::of(b"content"), "D-1").await.unwrap().is_none());
}

#[tokio::test]
async fn only_its_own_files_are_ever_deleted() {
    let directory = TempDir::new().unwrap();
    let source = Memory::new(*b"content");
    let path = filled(&directory, &source).await;
    let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let foreign = [
        "README".to_owned(),
        "x.data".to_owned(),
        "x.meta".to_owned(),
        ".x.data.part".to_owned(),
        "foreign-0123456789abcdef.data".to_owned(),
        "foreign-0123456789abcdef.meta".to_owned(),
    ];
    for name in &foreign {
        fs::write(directory.path().join(name), b"- not yours\n").unwrap();
    }
    fs::create_dir(directory.path().join("folder.data")).unwrap();
    fs::write(directory.path().join(format!(".{stem}.data.part")), b"half").unwrap();
    let cache = reopen(&directory, 1000);
    cache.free().unwrap();
    let mut left: BTreeSet<String> = foreign.iter().cloned().collect();
    left.insert("folder.data".into());
    assert_eq!(
        names(directory.path()),
        left,
        "the unfinished file and the entry went, nothing else"
    );

    fs::write(&path, b"someone else's").unwrap();
    let error = cache.get(&request("a", Priority::Kept, "D-1"), &source).await.unwrap_err();
    assert!(error.to_string().contains("not written by this cache"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"someone else's");
    assert_eq!(cache.used(), 0);
}

#[tokio::test]
async fn a_lowered_limit_is_obeyed_at_start() {
    let directory = TempDir::new().unwrap();
    let cache = reopen(&directory, 1000);
    for name in ["a", "b", "c"] {
        cache.get(&request(name, Priority::Kept, "D-1"), &Memory::new([1; 100])).await.unwrap();
    }
    let cache = reopen(&directory, 250);
    assert_eq!((cache.used(), data_bytes(directory.path())), (200, 200));
    assert!(cache.entries().iter().all(|meta| meta.key.origin != "server:///srv/a"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_index_rebuilt_from_disk_is_the_index_before(
        steps in proptest::collection::vec((0..8_u8, 0..80_usize, 1..3_u8, any::<bool>()), 1..25)
    ) {
        let directory = TempDir::new().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let cache = reopen(&directory, 200);
        runtime.block_on(async {
            let mut held = Vec::new();
            for (step, (name, size, priority, hold)) in steps.into_iter().enumerate() {
                let priority = Priority::try_from(priority).unwrap();
                let wanted = request(&name.to_string(), priority, &format!("D-{step}"));
                match cache.get(&wanted, &Memory::new(vec![name; size])).await {
                    Ok(lease) if hold => held.push(lease),
                    Ok(_) | Err(CacheError::Full { .. } | CacheError::InUse { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
                assert!(data_bytes(directory.path()) <= 200);
                assert_eq!(data_bytes(directory.path()), cache.used());
                let whole = |lease: &Lease| fs::read(lease.path()).is_ok_and(|data| Digest::of(&data) == lease.digest());
                assert!(held.iter().all(whole), "a referenced file is gone");
            }
        });
        let again = reopen(&directory, 200);
        prop_assert_eq!(again.entries(), cache.entries());
        prop_assert_eq!(again.used(), cache.used());
    }
}
