//! Several callers, one fetch.

use super::*;

/// Waits until as many callers refer to the one entry on its way.
async fn gathered(
    cache: &Cache,
    source: &Memory,
    callers: usize,
    tasks: &mut JoinSet<Result<Lease, CacheError>>,
) {
    for n in 0..callers {
        let (cache, source) = (cache.clone(), source.clone());
        tasks.spawn(async move {
            cache.get(&request("a", Priority::Kept, &format!("D-{n}")), &source).await
        });
    }
    let all = async {
        while cache.holders() < callers {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
}

impl Cache {
    /// References to all entries.
    fn holders(&self) -> usize {
        (0..64).filter(|n| self.held(&format!("D-{n}"))).count()
    }
}

#[tokio::test]
async fn many_callers_share_one_fetch() {
    let (_directory, cache) = cache(1000);
    let (source, gate) = Memory::new([5; 100]).gated();
    let mut tasks = JoinSet::new();
    gathered(&cache, &source, 20, &mut tasks).await;
    gate.add_permits(10);
    let leases: Vec<Lease> = tasks.join_all().await.into_iter().map(Result::unwrap).collect();
    assert_eq!((leases.len(), source.opened()), (20, 1));
    assert!(leases.iter().all(|lease| lease.path() == leases[0].path()));
}

#[tokio::test]
async fn many_callers_share_one_error() {
    let (directory, cache) = cache(1000);
    let (source, gate) = Memory { fails: true, ..Memory::new([5; 100]) }.gated();
    let mut tasks = JoinSet::new();
    gathered(&cache, &source, 20, &mut tasks).await;
    gate.add_permits(11);
    for result in tasks.join_all().await {
        let error = result.unwrap_err();
        assert_eq!(error.to_string(), "Unable to grab the file server:///srv/a: the wire was cut");
    }
    assert_eq!((source.opened(), names(directory.path()).len(), cache.used()), (1, 0, 0));
}

#[tokio::test]
async fn when_the_caller_that_fetches_is_cancelled_another_goes_on() {
    let (directory, cache) = cache(1000);
    let (source, gate) = Memory::new([5; 100]).gated();
    let mut tasks = JoinSet::new();
    gathered(&cache, &source, 1, &mut tasks).await;
    let mut others = JoinSet::new();
    for n in 1..4 {
        let (cache, source) = (cache.clone(), source.clone());
        others.spawn(async move {
            cache.get(&request("a", Priority::Kept, &format!("D-{n}")), &source).await
        });
    }
    gate.add_permits(3);
    let started = async {
        while source.opened() == 0 || cache.holders() < 4 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, started).await.unwrap();
    tasks.shutdown().await;
    gate.add_permits(20);
    let leases: Vec<Lease> = others.join_all().await.into_iter().map(Result::unwrap).collect();
    assert_eq!(source.opened(), 2);
    assert!(leases.iter().all(|lease| fs::read(lease.path()).unwrap() == [5; 100]));
    assert_eq!((names(directory.path()).len(), cache.used()), (2, 100));
}

#[tokio::test]
async fn a_cancelled_fetch_leaves_nothing_behind() {
    let (directory, cache) = cache(1000);
    let (source, gate) = Memory::new([5; 100]).gated();
    let mut tasks = JoinSet::new();
    gathered(&cache, &source, 1, &mut tasks).await;
    gate.add_permits(3);
    tasks.shutdown().await;
    let gone = async {
        while cache.used() > 0 || !names(directory.path()).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}
