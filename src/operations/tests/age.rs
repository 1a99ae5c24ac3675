//! What a request costs does not depend on how much was asked before.

use super::*;
use crate::operations::nodes;
use allocation_counter::measure;

/// Operations between two measurements: more than a page of any table holds.
const MANY: usize = 40;

/// Pieces of memory that a request asks for: its work, whatever the speed of the machine.
fn work(request: impl FnOnce()) -> u64 {
    measure(request).count_total
}

/// What each request costs on a service at its present age.
fn costs(runtime: &tokio::runtime::Runtime, bed: &Bed<'_>) -> BTreeMap<&'static str, u64> {
    let wid = runtime.block_on(async {
        let wid = bed.deploy(json!({})).await;
        bed.ended(&wid).await;
        wid
    });
    let (operations, anna) = (&bed.operations, anna());
    let store = &*operations.means().store;
    let dry: DeployRequest = serde_json::from_value(bed.body(json!({"dry_run": true}))).unwrap();
    let mut costs = BTreeMap::new();
    costs.insert("poll", work(|| drop(operations.poll(Kind::Deploy, &wid, &anna).unwrap())));
    costs.insert("list", work(|| drop(operations.list(Kind::Deploy, &anna))));
    costs.insert("state", work(|| drop(operations.state(Kind::Deploy, &wid, &anna).unwrap())));
    costs.insert(
        "messages",
        work(|| drop(operations.logs_since(Kind::Deploy, &wid, &anna, None, 0).unwrap())),
    );
    costs.insert("nodes", work(|| drop(runtime.block_on(nodes::infos(store)).unwrap())));
    costs.insert(
        "one node",
        work(|| drop(runtime.block_on(nodes::info_of(store, NODES[0])).unwrap())),
    );
    costs.insert(
        "deployment",
        work(|| {
            let asked = Asked { request: Request::Deploy(Box::new(dry)), user: "anna".into() };
            assert!(runtime.block_on(operations.create(asked)).unwrap().is_none());
        }),
    );
    runtime.block_on(operations.delete(Kind::Deploy, &wid, &anna)).unwrap();
    costs
}

#[test]
fn a_request_costs_the_same_on_an_old_service() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let scenario = Scenario::new(1, 3);
    let bed = runtime.block_on(Bed::new(&scenario));
    // What the first one makes for all that follow is not counted.
    costs(&runtime, &bed);
    let young = costs(&runtime, &bed);
    for _ in 0..MANY {
        runtime.block_on(async {
            let wid = bed.deploy(json!({})).await;
            bed.ended(&wid).await;
            bed.operations.delete(Kind::Deploy, &wid, &anna()).await.unwrap();
        });
    }
    let old = costs(&runtime, &bed);
    println!("{young:?}\n{old:?}");
    for (request, before) in &young {
        let (now, before) = (old[request], *before);
        // Names have a digit more; a page more is read.
        assert!(
            now <= before + before / 10 + 16,
            "{request}: {now} pieces of memory, {before} then"
        );
        assert!(before > 0, "{request} did nothing");
    }
}
