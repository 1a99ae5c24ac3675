//! Room, priorities, references, and what a source may get wrong.

use super::*;

#[tokio::test]
async fn a_file_is_fetched_once_and_lies_beside_its_description() {
    let (directory, cache) = cache(1000);
    let source = Memory::new(*b"an image");
    let lease = cache.get(&request("a", Priority::Recorded, "D-1"), &source).await.unwrap();
    assert_eq!(fs::read(lease.path()).unwrap(), b"an image");
    assert_eq!((lease.size(), lease.digest(), lease.wid()), (8, Digest::of(b"an image"), "D-1"));
    let again = cache.get(&request("a", Priority::Kept, "D-2"), &source).await.unwrap();
    assert_eq!((again.path(), source.opened()), (lease.path(), 1));
    assert_eq!(cache.entries()[0].priority, Priority::Recorded, "a priority does not fall");

    let text = fs::read_to_string(lease.path().with_extension("meta")).unwrap();
    for line in [
        "origin_uri: server:///srv/a",
        "user: ann",
        "version: deb/1",
        "tag: tarball",
        "priority: 2",
        "size: 8",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(text.contains(&format!("sha256: {}", Digest::of(b"an image"))), "{text}");
    assert_eq!(names(directory.path()).len(), 2);
}

#[tokio::test]
async fn a_local_file_is_copied_and_its_change_noticed() {
    let (directory, cache) = cache(10_000_000);
    let place = TempDir::new().unwrap();
    let path = place.path().join("img.tgz");
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    fs::write(&path, &content).unwrap();
    let wanted = request("img.tgz", Priority::Recorded, "D-1");
    let lease = cache.get(&wanted, &LocalFile::new(&path).await.unwrap()).await.unwrap();
    assert_eq!(lease.digest(), Digest::of(&content));
    drop(lease);
    fs::write(&path, b"another").unwrap();
    let lease = cache.get(&wanted, &LocalFile::new(&path).await.unwrap()).await.unwrap();
    assert_eq!(fs::read(lease.path()).unwrap(), b"another");
    assert_eq!(data_bytes(directory.path()), 7);
    assert!(LocalFile::new(place.path()).await.is_err(), "a directory is no file");
}

#[tokio::test]
async fn the_lowest_priority_goes_first_then_the_least_recently_used() {
    let (directory, cache) = cache(100);
    let source = |name: &str| Memory::new(name.repeat(30));
    for (name, priority) in
        [("a", Priority::Recorded), ("b", Priority::Kept), ("c", Priority::Kept)]
    {
        cache.get(&request(name, priority, "D-1"), &source(name)).await.unwrap();
    }
    cache.get(&request("b", Priority::Kept, "D-1"), &source("b")).await.unwrap();
    let left = |cache: &Cache| -> Vec<String> {
        cache
            .entries()
            .iter()
            .map(|meta| meta.key.origin.rsplit('/').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(left(&cache), ["a", "c", "b"]);
    cache.get(&request("d", Priority::Recorded, "D-1"), &source("d")).await.unwrap();
    assert_eq!(left(&cache), ["a", "b", "d"]);
    cache.get(&request("e", Priority::Recorded, "D-1"), &source("e")).await.unwrap();
    assert_eq!(left(&cache), ["a", "d", "e"]);
    cache.get(&request("f", Priority::Kept, "D-1"), &source("f")).await.unwrap();
    assert_eq!(left(&cache), ["d", "e", "f"]);
    assert_eq!((data_bytes(directory.path()), cache.used()), (90, 90));
}

#[tokio::test]
async fn a_referenced_file_stays_and_the_cache_says_that_it_is_full() {
    let (_directory, cache) = cache(100);
    let held =
        cache.get(&request("a", Priority::Anonymous, "D-1"), &Memory::new([1; 60])).await.unwrap();
    let error = cache
        .get(&request("b", Priority::Recorded, "D-2"), &Memory::new([2; 50]))
        .await
        .unwrap_err();
    assert_eq!(error.number(), 22);
    assert_eq!(
        error.to_string(),
        "Cache is full: impossible to cache the file 'server:///srv/b'. \
         Too many deployments are probably running concurrently."
    );
    let error = cache
        .get(&request("b", Priority::Recorded, "D-2"), &Memory::new([2; 101]))
        .await
        .unwrap_err();
    assert!(matches!(error, CacheError::TooBig { size: 101, limit: 100, .. }), "{error}");
    assert!(matches!(cache.free(), Err(CacheError::InUse { .. })));
    assert!(held.path().exists());
    drop(held);
    cache.get(&request("b", Priority::Recorded, "D-2"), &Memory::new([2; 50])).await.unwrap();
    cache.free().unwrap();
    assert_eq!(cache.used(), 0);
}

#[tokio::test]
async fn an_anonymous_file_goes_with_its_last_reference() {
    let (directory, cache) = cache(100);
    let wanted = |wid| request("a", Priority::Anonymous, wid);
    let first = cache.get(&wanted("D-1"), &Memory::new([1; 60])).await.unwrap();
    let second = cache.get(&wanted("D-2"), &Memory::new([1; 60])).await.unwrap();
    drop(first);
    assert!(second.path().exists());
    cache.release("D-2");
    assert_eq!((names(directory.path()).len(), cache.used()), (0, 0));
    let third = cache.get(&wanted("D-2"), &Memory::new([1; 60])).await.unwrap();
    drop(second);
    assert!(third.path().exists(), "a reference that was released ends nothing else");
    let kept = cache.get(&request("k", Priority::Kept, "D-2"), &Memory::new([1; 9])).await.unwrap();
    drop(kept);
    assert_eq!(cache.clean(Priority::Anonymous).unwrap(), 0);
    assert_eq!(cache.clean(Priority::Kept).unwrap(), 9);
}

#[tokio::test]
async fn a_file_that_changed_is_not_replaced_under_another_workflow() {
    let (_directory, cache) = cache(100);
    let old =
        cache.get(&request("a", Priority::Recorded, "D-1"), &Memory::new(*b"old")).await.unwrap();
    let error = cache
        .get(&request("a", Priority::Recorded, "D-2"), &Memory::new(*b"newer"))
        .await
        .unwrap_err();
    assert_eq!((error.number(), fs::read(old.path()).unwrap()), (21, b"old".to_vec()));
    assert_eq!(
        error.to_string(),
        "File server:///srv/a is already in use, it can't be updated! Please try again later."
    );
    let new =
        cache.get(&request("a", Priority::Recorded, "D-1"), &Memory::new(*b"newer")).await.unwrap();
    assert_eq!(fs::read(new.path()).unwrap(), b"newer");
    drop(old);
    assert_eq!(cache.free().unwrap_err().number(), 21, "the new reference still holds");
}

#[tokio::test]
async fn a_source_without_a_stamp_is_trusted_within_one_workflow_only() {
    let (_directory, cache) = cache(100);
    let source = Memory { stamp: Stamp::default(), ..Memory::new(*b"same") };
    let wanted = |wid| request("a", Priority::Recorded, wid);
    let held = cache.get(&wanted("D-1"), &source).await.unwrap();
    cache.get(&wanted("D-1"), &source).await.unwrap();
    assert_eq!(source.opened(), 1);
    drop(held);
    cache.get(&wanted("D-2"), &source).await.unwrap();
    assert_eq!(source.opened(), 2);
    let known = Request { digest: Some(Digest::of(b"same")), ..wanted("D-3") };
    cache.get(&known, &source).await.unwrap();
    assert_eq!(source.opened(), 2, "its content is known");
}

#[tokio::test]
async fn content_is_found_by_its_digest() {
    let (_directory, cache) = cache(100);
    let source = Memory::new(*b"content");
    let digest = Some(Digest::of(b"content"));
    let lease = cache.get(&request("a", Priority::Kept, "D-1"), &source).await.unwrap();
    let other = Request { digest, ..request("b", Priority::Recorded, "D-2") };
    let shared = cache.get(&other, &source).await.unwrap();
    assert_eq!((shared.path(), source.opened()), (lease.path(), 1));
    assert_eq!(cache.find(&lease.digest(), "D-3").await.unwrap().unwrap().path(), lease.path());
    assert!(cache.find(&Digest::of(b"else"), "D-3").await.unwrap().is_none());
}

#[tokio::test]
async fn a_file_that_changed_is_held_to_the_content_it_must_have() {
    let (_cached, cache) = cache(1000);
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("image");
    let origin = format!("server://{}", path.display());
    let wanted = |wid: &str| Request {
        digest: Some(Digest::of(b"recorded")),
        key: Key { origin: origin.clone(), ..request("", Priority::Recorded, wid).key },
        ..request("", Priority::Recorded, wid)
    };
    let write = |content: &[u8], seconds: u64| {
        fs::write(&path, content).unwrap();
        let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    };
    write(b"recorded", 1);
    drop(cache.get(&wanted("D-1"), &LocalFile::new(&path).await.unwrap()).await.unwrap());

    write(b"recorded", 2);
    let touched = cache.get(&wanted("D-2"), &LocalFile::new(&path).await.unwrap()).await;
    assert_eq!(fs::read(touched.unwrap().path()).unwrap(), b"recorded");

    write(b"RECORDED", 3);
    let changed = cache.get(&wanted("D-3"), &LocalFile::new(&path).await.unwrap()).await;
    let Err(CacheError::DigestMismatch { found, .. }) = changed else { panic!("{changed:?}") };
    assert_eq!(found, Digest::of(b"RECORDED"));
    assert_eq!(cache.used(), 0, "what is not as it must be is not kept");
}

#[tokio::test]
async fn a_fetch_that_fails_leaves_nothing_behind() {
    let (directory, cache) = cache(1000);
    let whole = Memory::new([7; 95]);
    let wrong =
        Request { digest: Some(Digest::of(b"else")), ..request("a", Priority::Recorded, "D-1") };
    let plain = request("a", Priority::Recorded, "D-1");
    let stuck = whole.clone().gated().0;
    let quick =
        Cache::open(directory.path(), Limits { stall: Duration::from_millis(20), ..limits(1000) })
            .unwrap();
    let cases = [
        (&cache, &wrong, whole.clone(), "does not match (an update is necessary)"),
        (&cache, &plain, Memory { fails: true, ..whole.clone() }, "the wire was cut"),
        (
            &cache,
            &plain,
            Memory { announced: 50, ..whole.clone() },
            "more than the 50 bytes it announced",
        ),
        (
            &cache,
            &plain,
            Memory { announced: 100, ..whole.clone() },
            "ended 5 bytes before the 100",
        ),
        (&quick, &plain, stuck, "nothing came for 20ms"),
    ];
    for (cache, request, source, why) in cases {
        let error = cache.get(request, &source).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!((error.number(), cache.used()), (5, 0));
        assert_eq!(names(directory.path()), BTreeSet::new(), "after: {error}");
    }
    cache.get(&plain, &whole).await.unwrap();
}

#[tokio::test]
async fn the_limit_holds_at_every_moment_and_so_does_the_number_of_fetches() {
    let (directory, cache) = cache(400);
    let (worst, running, most) = <(Arc<AtomicU64>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let mut tasks = JoinSet::new();
    for n in 0..24_u8 {
        let (cache, worst, path) = (cache.clone(), Arc::clone(&worst), directory.path().to_owned());
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        let count = Arc::clone(&running);
        let probe: Probe = Arc::new(move || {
            worst.fetch_max(data_bytes(&path), Ordering::SeqCst);
            most.fetch_max(count.load(Ordering::SeqCst), Ordering::SeqCst);
        });
        let source = Counted {
            inner: Memory { probe, ..Memory::new(vec![n; 60 + usize::from(n)]) },
            running,
        };
        tasks.spawn(async move {
            let lease = cache.get(&request(&n.to_string(), Priority::Kept, "D-1"), &source).await?;
            assert_eq!(fs::read(lease.path()).unwrap(), vec![n; 60 + usize::from(n)]);
            Ok::<(), CacheError>(())
        });
    }
    for result in tasks.join_all().await {
        assert!(matches!(result, Ok(()) | Err(CacheError::Full { .. })), "{result:?}");
    }
    let (worst, most) = (worst.load(Ordering::SeqCst), most.load(Ordering::SeqCst));
    assert!((60..=400).contains(&worst), "{worst} bytes at the worst moment");
    assert!((1..=4).contains(&most), "{most} fetches at once");
    assert_eq!(data_bytes(directory.path()), cache.used());
}

/// Counts how many of its kind are sending.
struct Counted {
    inner: Memory,
    running: Arc<AtomicUsize>,
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Source for Counted {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn stamp(&self) -> Stamp {
        self.inner.stamp()
    }

    async fn open(&self) -> io::Result<ByteStream> {
        self.running.fetch_add(1, Ordering::SeqCst);
        let running = Running(Arc::clone(&self.running));
        let stream = self.inner.open().await?;
        Ok(Box::pin(stream.inspect(move |_| {
            let _alive = &running;
        })))
    }
}
