//! A deployment that is cancelled at any moment: every machine ends in the state that its
//! result tells of, and in no other.

use super::*;
use crate::{
    platform::{PowerState, Reach},
    types::{Common, EventBody, PowerRequest, RebootKind, RebootRequest},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};
use tokio::time::Instant;

/// The longest that anything may take after a cancel: a boot, and orders twice over.
const BOUND: Duration = Duration::from_secs(600 + 330 + 300);

/// What a node is in, as the machines know it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Is {
    Off,
    InDeploymentSystem,
    Runs(String),
    Elsewhere,
}

impl Bed<'_> {
    async fn is(&self, name: &str) -> Is {
        let node = self.stage.site.inventory.get(name).unwrap();
        if let Some(digest) = self.stage.world.runs(name) {
            return Is::Runs(digest);
        }
        // Whatever a BMC says of a machine that was broken: these are not.
        if self.ports.power.status(node, Duration::from_secs(60)).await == Ok(PowerState::Off) {
            return Is::Off;
        }
        let marker = SocketAddr::new(IpAddr::V4(node.address), 25300);
        match self.ports.presence.probe(marker, Duration::from_secs(1)).await {
            Reach::Open => Is::InDeploymentSystem,
            _ => Is::Elsewhere,
        }
    }

    async fn cancel(&self, wid: &str) {
        self.operations.delete(Kind::Deploy, wid, &anna()).await.unwrap();
    }

    /// Each node is as its result says. What the results said, shortly.
    async fn as_told(&self, wid: &str, before: &BTreeMap<String, Is>) -> BTreeSet<&'static str> {
        let told = self.operations.state(Kind::Deploy, wid, &anna()).unwrap();
        let mut seen = BTreeSet::new();
        for name in NODES {
            let reason = told[name].error.clone().unwrap_or_default();
            let is = self.is(name).await;
            let all = [
                ("it was left as it was", is == before[name]),
                ("it runs what it ran before", is == Is::Runs("an older image".into())),
                ("it is in the deployment system", is == Is::InDeploymentSystem),
                ("it is switched off", is == Is::Off),
            ];
            let said = all.iter().find(|(words, _)| reason.contains(words));
            match said {
                Some((words, true)) => drop(seen.insert(*words)),
                Some((words, false)) => panic!("{name} is {is:?}, not: {words}"),
                // It was well before the cancel came.
                None => assert!(
                    reason.contains("all had been done") && self.runs_the_image(name),
                    "{name} is {is:?}: {reason:?}"
                ),
            }
            let untouched = reason.contains("left as") || reason.contains("ran before");
            assert!(!untouched || reason.contains("was not written to"), "{reason}");
            if reason.contains("switched off") {
                println!("{reason}");
            }
            assert!(!self.stage.world.boots_deployment(name), "{name} keeps its profile");
        }
        seen
    }
}

/// Cancels a deployment `after` its start; what the results said.
async fn cancelled(after: Duration, off: bool, stop: bool) -> BTreeSet<&'static str> {
    let scenario = Scenario::new(after.as_secs(), 3);
    let mut bed = Bed::with(&scenario, |config| {
        if off {
            config.clusters[0].file.after_cancel = config::model::cluster::AfterCancel::Off;
        }
    })
    .await;
    let mut before = BTreeMap::new();
    for name in NODES {
        before.insert(name.to_owned(), bed.is(name).await);
    }
    let wid = bed.deploy(json!({})).await;
    sleep(after).await;
    let began = Instant::now();
    bed.cancel(&wid).await;
    if bed.operations.poll(Kind::Deploy, &wid, &anna()).is_err() {
        // Nothing was under way: it is forgotten.
        return BTreeSet::new();
    }
    if stop {
        sleep(Duration::from_secs(3)).await;
        bed = bed.restart().await;
    }
    let (ok, ko) = bed.ended(&wid).await;
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    assert_eq!((ok.len(), ko.len()), (0, 3), "{}", bed.log(&wid));
    // A machine may need a moment to go off, or to come up.
    bed.as_told(&wid, &before).await
}

#[tokio::test(start_paused = true)]
async fn a_cancel_at_any_moment_leaves_each_machine_as_its_result_says() {
    let mut seen = BTreeSet::new();
    let early = [1, 50, 200, 400].map(Duration::from_millis);
    for after in early.into_iter().chain((1..180).step_by(4).map(Duration::from_secs)) {
        seen.extend(cancelled(after, false, false).await);
    }
    // Each of them happened, or nothing is proved.
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_site_that_wants_it_has_them_switched_off() {
    let mut seen = BTreeSet::new();
    for seconds in (2..180).step_by(9) {
        seen.extend(cancelled(Duration::from_secs(seconds), true, false).await);
    }
    assert!(seen.contains("it is switched off"), "{seen:?}");
    assert!(!seen.contains("it is in the deployment system"), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_cancel_began_goes_on_after_a_restart() {
    let mut seen = BTreeSet::new();
    for seconds in (5..160).step_by(4) {
        seen.extend(cancelled(Duration::from_secs(seconds), false, true).await);
    }
    assert!(seen.contains("it runs what it ran before"), "{seen:?}");
    assert!(seen.contains("it is in the deployment system"), "{seen:?}");
}

/// What results say of orders, and whether there was one.
const ORDERS: [(&str, bool); 4] = [
    ("nothing was ordered", false),
    ("the order to it had no effect", true),
    ("the order to it had its effect", true),
    ("an order was given and is not taken back", true),
];

/// Cancels what `request` asks for `after` its start; what was said of the nodes' orders.
async fn ordered(request: Request, after: Duration) -> BTreeSet<&'static str> {
    let scenario = Scenario::new(7, 3);
    let bed = Bed::new(&scenario).await;
    let kind = request.kind();
    let mut events = bed.operations.means().stream.listen();
    let asked = Asked { request, user: "anna".into() };
    let wid = bed.operations.create(asked).await.unwrap().unwrap().wid;
    sleep(after).await;
    let began = Instant::now();
    bed.operations.delete(kind, &wid, &anna()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let orders = bed.orders();
    let mut said = BTreeSet::new();
    while let Ok(told) = events.try_recv() {
        let EventBody::NodeLeft { node, state } = told.event.body else { continue };
        let (words, given) = ORDERS.into_iter().find(|(words, _)| state.contains(words)).unwrap();
        let had = orders.get(&node).copied().unwrap_or_default() > 0;
        // One that is cut off while it is on its way may reach the machine or not.
        assert!(had == given || words.starts_with("an order"), "{node} {state}: {orders:?}");
        said.insert(words);
    }
    assert!(bed.operations.poll(kind, &wid, &anna()).is_err(), "it is not forgotten");
    // The nodes are free again, and nothing more is done to them.
    sleep(Duration::from_secs(300)).await;
    assert_eq!(bed.orders(), orders);
    let again = bed.deploy(json!({})).await;
    assert_eq!(bed.ended(&again).await.0, NODES, "{}", bed.log(&again));
    said
}

#[tokio::test(start_paused = true)]
async fn an_order_is_not_taken_back_and_the_result_says_whether_there_was_one() {
    let nodes = || Common { nodes: vec!["node-[1-3].sim".into()], ..Common::default() };
    let mut said = BTreeSet::new();
    for millis in [0, 1, 100, 1_000, 3_000, 6_000, 12_000, 25_000] {
        let after = Duration::from_millis(millis);
        let kind = Some(RebootKind::Simple);
        let reboot = RebootRequest { common: nodes(), kind, ..RebootRequest::default() };
        said.extend(ordered(Request::Reboot(Box::new(reboot)), after).await);
        let off = PowerRequest { common: nodes(), status: Some("off".into()), level: None };
        said.extend(ordered(Request::Power(Box::new(off)), after).await);
    }
    assert!(said.contains("nothing was ordered"), "{said:?}");
    assert!(said.contains("an order was given and is not taken back"), "{said:?}");
}
