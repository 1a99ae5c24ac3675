//! `kill -9` at random moments: every operation goes on to its right end.

use super::nodes::Nodes;
use crate::common::{Service, Site, User, wid};
use kadence::store::{EmbeddedStore, StatFilter, Store};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::sleep;

/// How often the service is killed during one order.
const KILLS: u32 = 3;

/// It lasts about as long, so that kills hit all of it.
const LASTS: u64 = 900;

/// Numbers from a seed (splitmix64).
struct Chance(u64);

impl Chance {
    #[expect(clippy::print_stderr, reason = "who looks at a failure wants to know the seed")]
    fn new() -> Self {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        let seed = u64::try_from(seed).unwrap();
        eprintln!("moments from seed {seed}");
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// A client that reads the messages of an operation by cursor, across restarts.
#[derive(Default)]
struct Reader {
    cursor: usize,
    text: String,
}

impl Reader {
    async fn read(&mut self, anna: User<'_>, path: &str) {
        let answer = anna.get(&format!("{path}/logs?since={}", self.cursor)).await.ok();
        let next: usize = answer.header("x-kadence-cursor").unwrap().parse().unwrap();
        assert!(next >= self.cursor, "messages were lost: {} after {next}", self.cursor);
        self.cursor = next;
        if !answer.text.trim().is_empty() {
            self.text += &format!("{}\n", answer.text.trim_end());
        }
    }

    /// Reads for so long, as often as it can.
    async fn follow(&mut self, anna: User<'_>, path: &str, during: Duration) {
        let end = tokio::time::Instant::now() + during;
        while tokio::time::Instant::now() < end {
            self.read(anna, path).await;
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sees an operation on node-1 to node-3 through to its right end; all its messages.
    async fn ends_well(mut self, anna: User<'_>, path: &str) -> String {
        let poll = anna.done(path).await;
        let all = json!(["node-1.lab.test", "node-2.lab.test", "node-3.lab.test"]);
        assert_eq!(poll["nodes"], json!({"ok": all, "ko": []}), "{}", self.text);
        assert_eq!(poll["error"], json!(false));
        self.read(anna, path).await;
        // What was read piece by piece is what there is.
        let text = anna.get(&format!("{path}/logs?since=0")).await.ok().text;
        assert_eq!(self.text.trim_end(), text.trim_end());
        assert!(text.matches("Launching a ").count() <= 1, "{text}");
        text
    }
}

/// Starts an operation, kills the service again and again, sees it through to its end.
async fn through_kills(
    mut service: Service,
    chance: &mut Chance,
    (resource, body): (&str, Value),
) -> (Service, String) {
    let created = match resource {
        "power" => service.user("anna").put("/power", &body).await,
        _ => service.user("anna").post(&format!("/{resource}"), &body).await,
    };
    let path = format!("/{resource}/{}", wid(&created));
    let mut reader = Reader::default();
    for _ in 0..KILLS {
        let moment = Duration::from_millis(chance.below(LASTS));
        reader.follow(service.user("anna"), &path, moment).await;
        service = Service::on(service.cut());
        reader.read(service.user("anna"), &path).await;
    }
    let text = reader.ends_well(service.user("anna"), &path).await;
    (service, text)
}

/// A site whose machines take a moment to obey, and whose nodes answer by ssh.
async fn site() -> (Site, Nodes) {
    let site = Site::new();
    site.edit("machine", "case $1 in\n", "[ \"$1\" = status ] || sleep 0.2\ncase $1 in\n");
    let nodes = Nodes::of(&site).await;
    (site, nodes)
}

#[tokio::test]
async fn a_reboot_goes_on_after_every_kill_and_no_order_is_given_twice() {
    let (site, _nodes) = site().await;
    let (mut service, mut chance) = (Service::on(site), Chance::new());
    for _ in 0..4 {
        for node in ["node-1", "node-2", "node-3"] {
            service.forget_orders(node);
        }
        let body = json!({"nodes": ["node-[1-3]"], "kind": "simple", "verbose_level": 5});
        let (after, text) = through_kills(service, &mut chance, ("reboot", body)).await;
        service = after;
        for node in ["node-1", "node-2", "node-3"] {
            let orders = service.orders(node);
            let reboots = orders.iter().filter(|order| *order == "reboot").count();
            assert_eq!(reboots, 1, "{node}: {orders:?}\n{text}");
        }
    }
}

#[tokio::test]
async fn an_order_that_is_under_way_is_watched_and_not_given_again() {
    let (site, _nodes) = site().await;
    let service = Service::on(site);
    service.hold("node-1");
    let body = json!({"nodes": ["node-1"], "kind": "simple", "verbose_level": 5});
    let path = format!("/reboot/{}", wid(&service.user("anna").post("/reboot", &body).await));
    while service.orders("node-1").is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    // The order is on its way: it takes effect while the service is away, or later.
    let service = Service::on(service.cut());
    let anna = service.user("anna");
    anna.shows(&format!("{path}/logs?since=0"), "reboot goes on after a look at the nodes").await;
    service.release("node-1");
    let poll = anna.done(&path).await;
    assert_eq!(poll["nodes"]["ok"], json!(["node-1.lab.test"]));
    let text = anna.get(&format!("{path}/logs?since=0")).await.ok().text;
    let told = "The order to node-1.lab.test from before the restart was obeyed";
    assert!(text.contains(told), "{text}");
    assert_eq!(service.orders("node-1"), ["reboot"]);
}

#[tokio::test]
async fn a_switch_goes_on_after_every_kill_and_no_order_is_given_twice() {
    let (site, _nodes) = site().await;
    let (mut service, mut chance) = (Service::on(site), Chance::new());
    for state in ["on", "off"] {
        let body = json!({"nodes": ["node-[1-3]"], "status": state, "verbose_level": 5});
        let (after, text) = through_kills(service, &mut chance, ("power", body)).await;
        service = after;
        for node in ["node-1", "node-2", "node-3"] {
            let orders = service.orders(node);
            let given = orders.iter().filter(|order| *order == state).count();
            assert_eq!(given, 1, "{node}: {orders:?}\n{text}");
        }
    }
}

/// How often the service is killed while it deploys.
const HITS: usize = 20;

/// Most milliseconds between two of those kills: a deployment takes them all, or most.
const APART: u64 = 1200;

/// What is said of an operation that goes on.
const RESTARTED: &str = "The service was restarted: the deployment goes on";

/// Retries: a machine that is to boot while there is no service may boot something else.
const STEPS: &str = "    SetDeploymentEnv: [{type: Untrusted, timeout: 300, retries: 3}]
    BroadcastEnv: [{type: Chain, timeout: 300, retries: 3}]
    BootNewEnv: [{type: Kexec, timeout: 300}, {type: HardReboot, timeout: 300, retries: 3}]
";

/// Deploys simulated machines, and kills the service at most `most` times meanwhile; how often it
/// hit the deployment.
async fn deployed(
    mut service: Service,
    chance: &mut Chance,
    (path, most): (&str, usize),
) -> (Service, usize) {
    let mut reader = Reader::default();
    let (mut kills, mut late) = (0, 0);
    while kills < most {
        let moment = Duration::from_millis(chance.below(APART));
        reader.follow(service.user("anna"), path, moment).await;
        if service.user("anna").get(path).await.ok().json()["done"] == true {
            break;
        }
        service = Service::on(service.cut());
        kills += 1;
        reader.read(service.user("anna"), path).await;
        if service.user("anna").get(path).await.ok().json()["done"] == true {
            // It may have ended in the moment before.
            late = 1;
            break;
        }
    }
    let text = reader.ends_well(service.user("anna"), path).await;
    assert_eq!(text.matches("Launching a deployment on ").count(), 1, "{text}");
    let told = text.matches(RESTARTED).count();
    assert!((kills - late..=kills).contains(&told), "{kills} kills, the last {late} late: {text}");
    (service, told)
}

#[tokio::test]
async fn a_deployment_of_machines_goes_on_after_every_kill_to_its_right_end() {
    let site = Site::new();
    site.simulate(3, 10, STEPS);
    // Nobody has to wait that long for a machine that has booted something else.
    site.edit("sim.conf", "timeouts: {reboot: 60, kexec: 60}", "timeouts: {reboot: 25, kexec: 25}");
    let (mut service, mut chance) = (Service::on(site), Chance::new());
    let (mut hits, mut deployments) = (0, BTreeSet::new());
    while hits < HITS {
        let body = json!({
            "nodes": ["node-[1-3]"], "environment": service.anonymous(json!({})), "verbose_level": 5,
        });
        let wid = wid(&service.user("anna").post("/deployment", &body).await);
        let path = format!("/deployment/{wid}");
        let (after, told) = deployed(service, &mut chance, (&path, HITS - hits)).await;
        service = after;
        eprintln!("{told} kills hit {wid}");
        hits += told;
        deployments.insert(wid);
    }
    let nodes = service.user("anna").get("/nodes").await.ok().json();
    for node in ["node-1.lab.test", "node-2.lab.test", "node-3.lab.test"] {
        assert_eq!(nodes[node]["state"], "deployed", "{nodes}");
    }
    let site = service.stop();
    // Each node came to its end once.
    let store = EmbeddedStore::open(site.path("state")).unwrap();
    let rows = store.statistics(&StatFilter::default()).await.unwrap();
    assert!(rows.iter().all(|row| row.success == Some(true)), "{rows:?}");
    let ends: BTreeSet<_> = rows.iter().map(|row| (&row.wid, &row.hostname)).collect();
    assert_eq!((rows.len(), ends.len()), (3 * deployments.len(), rows.len()), "{rows:?}");
    // Nothing of it is left: the image was used by nobody else.
    let files = std::fs::read_dir(site.path("cache")).unwrap().map(|file| file.unwrap().path());
    let left: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "data")).collect();
    assert!(left.is_empty(), "{left:?}");
}
