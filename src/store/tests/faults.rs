//! Disks that fail: the same store over a disk in memory.

use std::collections::BTreeMap;

use super::*;

const WIDS: [&str; 3] = ["D-1", "D-2", "P-3"];

/// The `n`-th change of a workload that touches every tree, and deletes as well as adds.
fn change(n: u64) -> Change {
    let wid = WIDS[usize::try_from(n).unwrap() % WIDS.len()];
    let mut change = Change::new()
        .append(wid, n, body(n))
        .append(wid, n, to_raw_value(&"x".repeat(200)).unwrap())
        .put_operation(operation(wid, n))
        .put_node(node(&format!("n-{}.site", n % 4), NodeState::Deploying))
        .put_environment(environment(n, "ann", &format!("env-{}", n % 5), 1))
        .put_statistic(row(wid, "n-1.site", n, true));
    if n % 5 == 4 {
        change = change.forget_journal(wid).put_right(right("ann", "*", &format!("/dev/sda{n}")));
    }
    if n % 7 == 6 {
        change = change.append(wid, n, to_raw_value(&"y".repeat(20_000)).unwrap());
    }
    change
}

/// Runs the workload until `changes` or the first failure: what the store holds after each
/// acknowledged change and, last, what it would hold after the one that failed.
async fn run(disk: &MemoryDisk, expected: &[String]) -> usize {
    let Ok(store) = EmbeddedStore::on_disk(disk.clone()) else { return 0 };
    let mut done = 0;
    while done + 1 < expected.len() {
        if store.commit(change(done as u64)).await.is_err() {
            break;
        }
        done += 1;
    }
    done
}

/// What the store holds after no, one, two … changes, on a disk without faults.
async fn expected(changes: u64) -> (Vec<String>, u64) {
    let disk = MemoryDisk::new();
    let store = EmbeddedStore::on_disk(disk.clone()).unwrap();
    let mut states = vec![content(&store, &WIDS).await.unwrap()];
    for n in 0..changes {
        store.commit(change(n)).await.unwrap();
        states.push(content(&store, &WIDS).await.unwrap());
    }
    drop(store);
    (states, disk.changes())
}

#[tokio::test]
async fn a_power_cut_at_any_write_loses_nothing_acknowledged_and_leaves_nothing_half_made() {
    let (states, writes) = expected(9).await;
    let mut found = BTreeMap::new();
    for at in 0..=writes {
        let losses = (0..3).map(|n| Loss::Some(at * 1000 + n));
        for loss in [Loss::All, Loss::Nothing].into_iter().chain(losses) {
            let disk = MemoryDisk::new();
            disk.set_fault(Fault::PowerCut(at));
            let acknowledged = run(&disk, &states).await;
            let disk = disk.power_on(loss);
            let store = EmbeddedStore::on_disk(disk.clone())
                .unwrap_or_else(|error| panic!("cut at {at}, {loss:?}: {error}"));
            let now = content(&store, &WIDS).await.unwrap();
            let one = |n: usize| states.get(n).is_some_and(|state| *state == now);
            assert!(
                one(acknowledged) || one(acknowledged + 1),
                "cut at {at}, {loss:?}: {acknowledged} changes were acknowledged, found\n{now}"
            );
            *found.entry(one(acknowledged)).or_insert(0) += 1;
            store.commit(change(99)).await.unwrap();
            drop(store);
            EmbeddedStore::on_disk(disk).unwrap();
        }
    }
    println!("{writes} writes, cut at each: {found:?}");
    assert!(writes > 50 && found.len() == 2, "{writes} writes, {found:?}");
}

#[tokio::test]
async fn a_cut_while_it_recovers_from_a_cut_loses_nothing_either() {
    let (states, _) = expected(6).await;
    let half = MemoryDisk::new();
    let store = EmbeddedStore::on_disk(half.clone()).unwrap();
    for n in 0..4 {
        store.commit(change(n)).await.unwrap();
    }
    half.set_fault(Fault::PowerCut(half.changes() + 3));
    store.commit(change(4)).await.unwrap_err();
    for seed in 0..20 {
        for at in 0..9 {
            let disk = half.power_on(Loss::Some(seed));
            disk.set_fault(Fault::PowerCut(at));
            drop(EmbeddedStore::on_disk(disk.clone()));
            let disk = disk.power_on(Loss::Some(seed + 100));
            let store = EmbeddedStore::on_disk(disk).unwrap();
            let now = content(&store, &WIDS).await.unwrap();
            assert!(states[4..6].contains(&now), "seed {seed}, at {at}: {now}");
        }
    }
}

#[tokio::test]
async fn a_write_that_fails_fails_its_change_and_the_next_goes_on() {
    let (states, writes) = expected(6).await;
    let mut failed = 0;
    for at in 0..writes {
        let disk = MemoryDisk::new();
        let Ok(store) = EmbeddedStore::on_disk(disk.clone()) else { unreachable!() };
        let begun = disk.changes();
        disk.set_fault(Fault::Error(begun + at));
        let (mut done, mut synced) = (0, true);
        for n in 0..6 {
            let answer = store.commit(change(n)).await;
            let now = content(&store, &WIDS).await.unwrap();
            match answer {
                Ok(()) => done = n + 1,
                Err(error) => {
                    failed += 1;
                    let text = error.to_string();
                    assert!(text.contains("state file memory/"), "{text}");
                    // It may have been made all the same; then it is not made twice.
                    let made = states.iter().position(|state| *state == now).unwrap() as u64;
                    assert!(made == n || made == n + 1, "at {at}: {made} of {n}");
                    if made == n {
                        match store.commit(change(n)).await {
                            Ok(()) => {}
                            Err(again) => {
                                // Only a failed sync is for good.
                                assert_eq!(again.to_string(), text);
                                synced = false;
                                break;
                            }
                        }
                    } else if store.commit(Change::new()).await.is_err() {
                        synced = false;
                        done = n + 1;
                        break;
                    }
                    done = n + 1;
                }
            }
        }
        assert!(synced || content(&store, &WIDS).await.is_ok(), "reads go on");
        drop(store);
        disk.set_fault(None);
        let store = EmbeddedStore::on_disk(disk).unwrap();
        let now = content(&store, &WIDS).await.unwrap();
        let made = states.iter().position(|state| *state == now).unwrap() as u64;
        assert!(made == done || made == done + 1, "at {at}: {made}, {done} acknowledged");
    }
    assert!(failed > 10, "{failed}");
}

#[tokio::test]
async fn a_full_disk_is_told_reads_go_on_and_writes_when_there_is_room() {
    let disk = MemoryDisk::new();
    let store = EmbeddedStore::on_disk(disk.clone()).unwrap();
    store.commit(change(0)).await.unwrap();
    let before = content(&store, &WIDS).await.unwrap();
    let size = disk.bytes(engine::FILE).unwrap().len() as u64;
    disk.set_fault(Fault::Full(size + 1000));
    let large = to_raw_value(&"z".repeat(2_000_000)).unwrap();
    for _ in 0..3 {
        let error = store.commit(Change::new().append("D-2", 1, large.clone())).await.unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
        let text = "the disk is full, memory/state.redb cannot grow: free some space";
        assert!(error.to_string().starts_with(text), "{error}");
        assert_eq!(content(&store, &WIDS).await.unwrap(), before, "reads go on");
    }
    // What needs no room is still taken.
    store.commit(Change::new().forget_node("n-0.site")).await.unwrap();
    disk.set_fault(None);
    store.commit(Change::new().append("D-2", 1, large.clone())).await.unwrap();
    drop(store);
    let store = EmbeddedStore::on_disk(disk).unwrap();
    assert!(store.nodes().await.unwrap().is_empty());
    assert_eq!(store.journal("D-2", 0, 9).await.unwrap()[0].body.get(), large.get());
}

#[tokio::test]
async fn a_disk_that_is_full_at_the_start_is_told_and_the_state_is_as_it_was() {
    let disk = MemoryDisk::new();
    disk.set_fault(Fault::Full(10_000));
    let error = EmbeddedStore::on_disk(disk.clone()).err().unwrap();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    disk.set_fault(None);
    EmbeddedStore::on_disk(disk).unwrap();
}

#[tokio::test]
async fn after_a_sync_that_failed_nothing_is_acknowledged_until_the_next_start() {
    let (states, writes) = expected(3).await;
    let mut refused = 0;
    for at in 0..writes {
        let disk = MemoryDisk::new();
        let store = EmbeddedStore::on_disk(disk.clone()).unwrap();
        disk.set_fault(Fault::Errors(disk.changes() + at));
        let mut done = 0;
        while done < 3 && store.commit(change(done)).await.is_ok() {
            done += 1;
        }
        disk.set_fault(None);
        let now = content(&store, &WIDS).await.unwrap();
        assert!(states.contains(&now), "reads go on");
        if done < 3 && store.commit(change(done)).await.is_err() {
            refused += 1;
            assert!(store.commit(change(done)).await.is_err(), "at {at}: refused, then taken");
        }
        drop(store);
        let store = EmbeddedStore::on_disk(disk).unwrap();
        store.commit(change(7)).await.unwrap();
    }
    assert!(refused > 0, "no fault met a sync");
}

#[tokio::test]
async fn the_same_calls_do_the_same() {
    let bytes = async || {
        let disk = MemoryDisk::new();
        let store = EmbeddedStore::on_disk(disk.clone()).unwrap();
        for n in 0..40 {
            store.commit(change(n)).await.unwrap();
        }
        drop(store);
        (disk.changes(), disk.bytes(engine::FILE).unwrap())
    };
    assert!(bytes().await == bytes().await);
}
