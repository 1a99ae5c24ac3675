//! What a request costs does not depend on how long the service has been in use.

use super::view::View;
use super::*;

/// What is asked; how many records are found.
type Ask = fn(View<'_>) -> Result<usize, StoreError>;

/// Pages that are read from the disk for one request each, after so many operations.
async fn cost(operations: u64) -> Vec<(&'static str, u64)> {
    let disk = MemoryDisk::new();
    let store = EmbeddedStore::on_disk(disk.clone()).unwrap();
    for block in 0..operations / 100 {
        let mut change = Change::new();
        for n in block * 100..(block + 1) * 100 {
            let wid = format!("D-{n:06}");
            change = change
                .append(&wid, n, body(1))
                .append(&wid, n, body(2))
                .put_operation(operation(&wid, n))
                .put_statistic(row(&wid, "n-1.site", n, true));
        }
        store.commit(change.put_node(node("n-1.site", NodeState::Deployed))).await.unwrap();
    }
    drop(store);
    // Nothing is remembered, so each page counts.
    let session = engine::Session::with_cache(&disk, engine::FILE, false, 0).unwrap();
    let requests: [(&'static str, Ask); 5] = [
        ("a page of a journal", |view| Ok(view.journal("D-000010", 0, 100)?.len())),
        ("the end of a journal", |view| Ok(view.journal("D-000010", 1, 100)?.len())),
        ("an operation", |view| {
            let found = view.get::<OperationRecord>(&change::operation("D-000010"))?;
            Ok(found.iter().count())
        }),
        ("the nodes", |view| Ok(view.list::<NodeRecord>(&key::Key::new(Tree::Nodes))?.len())),
        ("the statistics of a time", |view| {
            let filter = StatFilter { from: Some(10), until: Some(20), ..StatFilter::default() };
            Ok(view.statistics(&filter)?.len())
        }),
    ];
    requests
        .into_iter()
        .map(|(what, ask)| {
            let before = disk.reads();
            let found = session
                .read(|records| ask(View { records, path: std::path::Path::new("test") }))
                .unwrap();
            assert!(found.is_some_and(|found| found > 0), "{what}: {found:?}");
            (what, disk.reads() - before)
        })
        .collect()
}

#[tokio::test]
async fn a_request_reads_as_many_pages_in_an_old_state_as_in_a_new_one() {
    let (young, old) = (cost(200).await, cost(20_000).await);
    for ((what, young), (_, old)) in young.iter().zip(&old) {
        println!("{what}: {young} pages among 200 operations, {old} among 20 000");
        // A tree of a hundred times the size is one or two levels higher.
        assert!(*old <= young + 4, "{what}: {young}, then {old} pages");
    }
}
