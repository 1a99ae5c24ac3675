//! The real process on a state that is damaged: what can be read is served, nothing changes.

use crate::common::{Service, Site, wid};
use serde_json::json;
use std::{collections::BTreeMap, fs};

/// The files of a state, without the one that says who holds it.
type Files = BTreeMap<String, Vec<u8>>;

/// A state with an environment, an operation that ended and one that is under way.
struct Used {
    site: Site,
    files: Files,
    under_way: String,
}

impl Used {
    async fn new() -> Self {
        let service = Service::new();
        let anna = service.user("anna");
        anna.post("/environments", &json!({"environment": service.description()})).await.ok();
        let body = json!({"nodes": ["node-[1-3]"], "environment": {"name": "debian"}});
        anna.done(&format!("/deployment/{}", wid(&anna.post("/deployment", &body).await))).await;
        service.hold("node-1");
        let on = json!({"nodes": ["node-1"], "status": "on"});
        let under_way = format!("/power/{}", wid(&anna.put("/power", &on).await));
        anna.shows(&format!("{under_way}/status"), "node-1.lab.test").await;
        anna.shows(&format!("{under_way}/logs?since=0"), "Launching").await;
        assert_eq!(sample(&anna.get("/metrics").await.text), "kadence_state_damaged 0");
        let site = service.cut();
        let files = files(&site);
        Self { site, files, under_way }
    }

    /// As it was before any damage.
    fn again(self) -> Self {
        let state = self.site.path("state");
        fs::remove_dir_all(&state).unwrap();
        fs::create_dir(state).unwrap();
        self.files.iter().for_each(|(name, bytes)| self.write(name, bytes));
        self
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.site.path("state").join(name), bytes).unwrap();
    }
}

fn files(site: &Site) -> Files {
    let entries = fs::read_dir(site.path("state")).unwrap().map(Result::unwrap);
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let kept = named.filter(|(name, _)| name != "lock");
    kept.map(|(name, path)| (name, fs::read(path).unwrap())).collect()
}

fn sample(metrics: &str) -> &str {
    metrics.lines().find(|line| line.starts_with("kadence_state_damaged ")).unwrap()
}

/// What can be asked of any service.
const LOOKS: [&str; 9] = [
    "/version",
    "/info",
    "/clusters",
    "/nodes",
    "/environments",
    "/deployment",
    "/reboot",
    "/power",
    "/metrics",
];

/// The service on what was damaged; whether it says so. Then all is answered, nothing is
/// changed, and the exit code tells it.
async fn served(used: Used) -> (Used, bool) {
    let before = files(&used.site);
    let Used { site, files: pristine, under_way } = used;
    site.end_commands();
    site.forget_orders("node-1");
    let service = Service::on(site);
    let anna = service.user("anna");
    for path in LOOKS {
        anna.get(path).await.ok();
    }
    let damage = anna.get("/info").await.json()["damage"].clone();
    let metrics = anna.get("/metrics").await.text;
    if damage.is_null() {
        assert_eq!(sample(&metrics), "kadence_state_damaged 0");
        let used = Used { site: service.cut(), files: pristine, under_way };
        return (used, false);
    }
    assert_eq!(sample(&metrics), "kadence_state_damaged 1");
    let log = service.log().join("\n");
    let state = service.path("state").display().to_string();
    for words in ["the state is damaged and can only be read", &state, "every change is refused"] {
        assert!(log.contains(words), "{words:?} is not in {log}");
    }
    refuses(&service, &under_way).await;
    let (site, code) = service.stop_with();
    assert_eq!(code, Some(2), "the exit code tells that the state is damaged");
    assert!(files(&site) == before, "the files were changed");
    (Used { site, files: pristine, under_way }, true)
}

async fn refuses(service: &Service, under_way: &str) {
    let anna = service.user("anna");
    let state = service.path("state").display().to_string();
    let words = ["damaged", &state, "`kadence store check`", "`kadence store repair`"];
    let on = json!({"nodes": ["node-2"], "status": "on"});
    let deploy = json!({"nodes": ["node-2"], "environment": service.anonymous(json!({}))});
    let reboot = json!({"nodes": ["node-2"], "kind": "simple"});
    let environment = json!({"environment": service.description()});
    for answer in [
        anna.put("/power", &on).await,
        anna.post("/deployment", &deploy).await,
        anna.post("/reboot", &reboot).await,
        anna.post("/environments", &environment).await,
        anna.get("/power?nodes=node-2").await,
        anna.delete("/environments/anna/debian").await,
        anna.delete(under_way).await,
        anna.post(&format!("{under_way}/retry"), &json!({})).await,
        anna.post(&format!("{under_way}/abort"), &json!({})).await,
    ] {
        answer.refused(503, &words);
    }
    assert!(service.orders("node-2").is_empty(), "a machine was given an order");
    assert!(service.orders("node-1").is_empty(), "what was under way goes on");
}

#[tokio::test]
async fn what_is_left_of_a_state_with_a_damaged_page_is_served() {
    let used = Used::new().await;
    let mut bytes = used.files["state.redb"].clone();
    // Each page that holds a node, the header left out: whatever is in use is hit.
    let text = b"node-2.lab.test";
    for at in 4096..bytes.len() - text.len() {
        if bytes[at..].starts_with(text) {
            bytes[at] = b'N';
        }
    }
    used.write("state.redb", &bytes);
    let (used, damaged) = served(used).await;
    assert!(damaged);
    // A second one does not take what the first has, damaged or not.
    let service = Service::on(used.site);
    let anna = service.user("anna");
    let free = crate::common::free_port();
    service.edit("server.conf", &service.port.to_string(), &free.to_string());
    let refused = crate::common::start_refused(&service);
    assert!(refused.contains("is in use by process"), "{refused}");
    // What the damage did not reach is there, and is shown as it was left.
    let environments = anna.get("/environments").await.ok().json();
    assert_eq!(environments[0]["name"], "debian", "{environments}");
    let poll = anna.get(&used.under_way).await.ok().json();
    assert_eq!((&poll["done"], &poll["error"]), (&json!(false), &json!(true)), "{poll}");
    anna.get(&format!("{}/error", used.under_way)).await.refused(503, &["damaged"]);
    let logs = anna.get(&format!("{}/logs?since=0", used.under_way)).await.ok().text;
    assert!(logs.contains("Launching a power operation"), "{logs}");
}

#[tokio::test]
async fn a_state_that_was_cut_short_is_served_as_far_as_it_goes() {
    let mut used = Used::new().await;
    let whole = used.files["state.redb"].clone();
    let last = whole.len() - 4096;
    for keep in [0, 100, 4096, whole.len() / 2, last] {
        used.write("state.redb", &whole[..keep]);
        let (after, damaged) = served(used).await;
        // The last page may be one that is not in use.
        assert!(damaged || keep == last, "{keep} of {} bytes", whole.len());
        used = after.again();
    }
}

#[tokio::test]
async fn flipped_bits_are_told_or_harmless() {
    let mut used = Used::new().await;
    let mut told = 0;
    // Spread over the file; the same places each time.
    let (name, count) = ("state.redb", 12);
    for n in 0..count {
        let mut bytes = used.files[name].clone();
        let at = bytes.len() * n / count + 17 * n;
        bytes[at] ^= 1 << (n % 8);
        used.write(name, &bytes);
        let (after, damaged) = served(used).await;
        told += usize::from(damaged);
        used = after.again();
    }
    let mut bytes = used.files["transactions"].clone();
    bytes[5] ^= 1;
    used.write("transactions", &bytes);
    let (used, damaged) = served(used).await;
    assert!(damaged, "the file of the last transaction");
    drop(used);
    println!("{told} of {count} flipped bits were told");
    assert!(told >= 1, "the first byte says what the file is");
}

#[tokio::test]
async fn a_state_whose_database_is_gone_is_told_and_not_made_anew() {
    let used = Used::new().await;
    fs::remove_file(used.site.path("state/state.redb")).unwrap();
    let (used, damaged) = served(used).await;
    assert!(damaged);
    assert!(!used.site.path("state/state.redb").exists());
}
