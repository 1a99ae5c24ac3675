//! Requests that nobody would send: valid ones with something changed, and the nastiest by hand.
//! None is an internal fault, none leaves the service slower or larger.

use crate::common::{Answer, Service, User};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How much the process may have grown, in MiB, when it is at rest again.
const GROWTH: u64 = 96;

/// How large it may be while the worst is done to it, in MiB.
const LARGEST: u64 = 512;

/// Memory of the process in MiB: now (`VmRSS`) or at most (`VmHWM`).
fn memory(service: &Service, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Requests that are in order, each with its body.
fn valid(service: &Service) -> Vec<(&'static str, &'static str, Value)> {
    let environment = service.anonymous(json!({}));
    let operations = json!({"SetDeploymentEnvDummy": {"dummy": {"override": true, "pre-ops": [
        {"name": "a", "action": "exec", "command": "true", "timeout": 1, "retries": 1}]}}});
    let steps = |name: &str| json!([{"name": name, "retries": 1, "timeout": 20}]);
    let automata = json!({"SetDeploymentEnv": steps("Dummy"), "BroadcastEnv": steps("Dummy"), "BootNewEnv": steps("Dummy")});
    let pxe = json!({"profile": "DEFAULT x", "singularities": {"node-1": "1"}, "files": []});
    let deploy = json!({"nodes": ["node-1", "beta-1"], "environment": environment, "force": true,
        "debug": true, "verbose_level": 5, "hook": false, "breakpoint": "BroadcastEnv", "client": "http://127.0.0.1:1",
        "custom_operations": operations, "deploy_partition": "3", "block_device": "/dev/sda", "boot_partition": 3,
        "disable_kexec": true, "reformat_tmp_partition": "ext4", "timeout_reboot_classical": "60 + n",
        "timeout_reboot_kexec": "60", "automata": automata, "pxe": pxe, "dry_run": true});
    let recorded = json!({"user": "anna", "name": "debian", "version": 1});
    let reboot = json!({"nodes": ["node-2"], "kind": "recorded_env", "level": "hard", "environment": recorded,
        "deploy_partition": "3", "check_destructive": true, "timeout_reboot_classical": "60", "dry_run": true});
    let power = json!({"nodes": ["node-[1-3]"], "status": "on", "level": "soft", "dry_run": true});
    let record = json!({"environment": service.description(), "dry_run": true});
    let rights = json!({"username": "ben", "nodes": ["node-1"], "partitions": ["/dev/sda3"], "overwrite": true, "dry_run": true});
    let change = json!({"visibility": "shared", "toggle_destructive": true, "update_image_checksum": true, "last": true, "dry_run": true});
    let moves = json!({"update_files": {"server:///a": "server:///b"}, "dry_run": true});
    vec![
        ("POST", "/deployment/", deploy),
        ("POST", "/reboot/", reboot),
        ("PUT", "/power/", power),
        ("POST", "/environments/", record),
        ("PUT", "/environments/anna/debian/1", change),
        ("PUT", "/environments/", moves),
        ("DELETE", "/environments/anna/nothing", json!({"last": true, "dry_run": true})),
        ("POST", "/rights/", rights),
        ("DELETE", "/rights/ben", json!({"nodes": ["node-1"], "dry_run": true})),
        ("POST", "/console/", json!({"node": "node-1", "dry_run": true})),
        (
            "GET",
            "/stats/deploy",
            json!({"kind": "all", "fields": ["wid"], "limit": 3, "sort": ["wid"]}),
        ),
        ("GET", "/nodes", json!({"nodes": ["node-1"], "list": true})),
        ("GET", "/environments", json!({"username": "anna", "name": "%", "version": 1})),
        ("POST", "/tokens", json!({"scope": "read", "expires_in": "1h", "dry_run": true})),
    ]
}

/// Values that fit nowhere.
fn nasty() -> impl Strategy<Value = Value> {
    let fixed = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(0.5),
        json!(""),
        json!(" "),
        json!("\0"),
        json!("../../../etc/passwd"),
        json!("'; reboot; '"),
        json!("$(reboot)"),
        json!("%s%n"),
        json!("\u{202e}\u{feff}\u{1f4a3}"),
        json!("a".repeat(100_000)),
        json!("node-[1-99999999]"),
        json!("node-[1-3"),
        json!("9".repeat(400)),
        json!("2**2**2**2**2**9"),
        json!("http://[::1"),
        json!([]),
        json!({}),
        json!([[[[[[[[[[]]]]]]]]]]),
        json!({"": {"": {"": []}}}),
        json!(vec![json!("node-1"); 5000]),
        json!([null, 1, "a", [], {}]),
    ];
    prop_oneof![
        prop::sample::select(fixed.to_vec()),
        any::<String>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
    ]
}

/// Puts `value` at the place in `body` that `at` draws; a `None` takes what is there away.
fn mutate(body: &mut Value, at: &[prop::sample::Index], value: Option<Value>) {
    let Some((index, deeper)) = at.split_first() else { return };
    let keys: Vec<String> = match body {
        Value::Object(map) => map.keys().cloned().collect(),
        Value::Array(list) => (0..list.len()).map(|at| at.to_string()).collect(),
        _ => Vec::new(),
    };
    if keys.is_empty() {
        return;
    }
    let key = &keys[index.index(keys.len())];
    let inside = match body {
        Value::Object(map) => &mut map[key],
        Value::Array(list) => &mut list[key.parse::<usize>().unwrap()],
        _ => return,
    };
    if !deeper.is_empty() && (inside.is_object() || inside.is_array()) {
        return mutate(inside, deeper, value);
    }
    match value {
        Some(value) => *inside = value,
        None => *inside = Value::Null,
    }
}

/// Text of a body that is no more than nearly JSON.
fn spoil(text: &str, at: prop::sample::Index, how: u8) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    let place = at.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
    match how {
        0 => bytes.truncate(place),
        1 => bytes[place] = 0xff,
        2 => bytes.insert(place, b'{'),
        3 => drop(bytes.remove(place)),
        _ => {}
    }
    bytes
}

async fn sound(user: User<'_>, method: &str, path: &str, kind: &str, body: Vec<u8>) -> Answer {
    let shown = String::from_utf8_lossy(&body[..body.len().min(2000)]).into_owned();
    let request = user.request(method.parse().unwrap(), path).header("content-type", kind);
    let answer = Answer::to(request.body(body)).await;
    assert!(answer.status < 500, "{method} {path} {kind} {shown}: {answer:?}");
    answer
}

#[test]
fn valid_requests_with_something_changed_are_no_internal_fault() {
    let service = Service::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let root = service.user("root");
    let description = json!({"environment": service.description()});
    runtime.block_on(async { service.user("anna").post("/environments", &description).await.ok() });
    let requests = valid(&service);
    for (method, path, body) in &requests {
        let body = serde_json::to_vec(body).unwrap();
        runtime.block_on(sound(root, method, path, "application/json", body));
    }
    let (nodes, before) = runtime
        .block_on(async { (root.get("/nodes").await.ok().json(), memory(&service, "VmRSS")) });
    let strategy = (
        prop::sample::select(requests),
        prop::collection::vec(
            (prop::collection::vec(any::<prop::sample::Index>(), 1..5), prop::option::of(nasty())),
            1..4,
        ),
        (any::<prop::sample::Index>(), 0_u8..12),
        prop::sample::select(vec!["application/json", "application/x-yaml"]),
        prop_oneof![
            Just(String::new()),
            "[?][ -~]{0,40}",
            "[?](nodes|force|version|since|name|dry_run)=[ -~]{0,20}"
        ],
    );
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let ran =
        runner.run(&strategy, |((method, path, mut body), changes, (at, how), kind, query)| {
            for (at, value) in changes {
                mutate(&mut body, &at, value);
            }
            // What is wrong must never be done by mistake: the rest is not asked for at all.
            if let Value::Object(map) = &mut body {
                map.insert("dry_run".into(), true.into());
            }
            let query: String = query.chars().filter(|c| !" #\"<>\\^`{|}".contains(*c)).collect();
            let body = spoil(&body.to_string(), at, how);
            runtime.block_on(sound(root, method, &format!("{path}{query}"), kind, body));
            Ok(())
        });
    ran.unwrap();
    runtime.block_on(async { assert_eq!(root.get("/nodes").await.ok().json(), nodes) });
    let after = memory(&service, "VmRSS");
    assert!(after < before + GROWTH, "from {before} to {after} MiB");
}

#[tokio::test]
async fn strange_paths_queries_and_headers_are_no_internal_fault() {
    let service = Service::new();
    let root = service.user("root");
    let names = [
        "%00",
        "%ff%fe",
        "%2e%2e%2f",
        "a%2Fb",
        "%25",
        "%",
        "%zz",
        "+",
        "*",
        "'\"",
        "%0d%0aX:%20y",
        "%F0%9F%92%A3",
    ];
    for (method, path, _) in kadence::api::routes() {
        for name in names {
            let filled: Vec<&str> = path
                .split('/')
                .map(|part| if part.starts_with('{') { name } else { part })
                .collect();
            let filled = filled.join("/");
            for path in
                [filled.clone(), format!("{filled}/"), format!("/{filled}?{name}={name}&list")]
            {
                if path.starts_with("/events") || path.starts_with("//events") {
                    continue;
                }
                let request = root.request(method.clone(), &path).json(&json!({"dry_run": true}));
                let answer = Answer::to(request).await;
                assert!(answer.status < 500, "{method} {path}: {answer:?}");
            }
        }
    }
    for (name, value) in [
        ("accept", "\u{e9}"),
        ("accept", ",,,;;;q=x"),
        ("accept-encoding", "gzip;q=nan,*;q=-1"),
        ("content-type", "application/json; charset=\u{e9}"),
        ("authorization", "Basic !!!!"),
        ("authorization", "Bearer"),
        ("x-kadeploy-certificate", "AAAA"),
        ("x-kadeploy-user", "\u{1f4a3}"),
    ] {
        let request = root.request(reqwest::Method::PUT, "/power").header(name, value);
        let answer = Answer::to(request.body("{}")).await;
        assert!(answer.status < 500, "{name}: {value}: {answer:?}");
    }
}

/// Bodies that are as large as they may be and hold as much as they can.
fn large() -> Vec<(&'static str, String)> {
    let room = (1 << 20) - 200;
    let filled = |one: &str| {
        let list = vec![one; room / (one.len() + 1)].join(",");
        format!("{{\"nodes\":[{list}],\"environment\":{{}}}}")
    };
    let map = |many: usize| {
        let entries: Map<String, Value> =
            (0..many).map(|at| (format!("{at}"), json!({}))).collect();
        json!({"custom_operations": entries}).to_string()
    };
    vec![
        ("application/json", filled("[]")),
        ("application/json", filled("{}")),
        ("application/json", filled("{\"\":0}")),
        ("application/json", filled("\"node-1\"")),
        ("application/json", map(80_000)),
        ("application/x-yaml", filled("[]")),
        ("application/x-yaml", filled("{a: b}")),
        (
            "application/x-yaml",
            format!(
                "a: &a [{}]\nnodes: [{}]\n",
                vec!["x"; 5000].join(","),
                vec!["*a"; 100_000].join(",")
            ),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_at_once_keep_the_process_small() {
    let service = Service::new();
    let root = service.user("root");
    let (bodies, mut before) = (large(), 0);
    for round in 0..3 {
        let mut asked = Vec::new();
        for _ in 0..4 {
            for (kind, body) in &bodies {
                asked.push(sound(root, "POST", "/deployment", kind, body.clone().into_bytes()));
            }
        }
        let answers = futures_util::future::join_all(asked).await;
        assert!(answers.iter().all(|answer| answer.status >= 400));
        assert!(
            answers.iter().all(|answer| answer.headers["content-length"].len() < 6),
            "{:?}",
            answers[0].headers
        );
        if round == 0 {
            before = memory(&service, "VmRSS");
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (after, most) = (memory(&service, "VmRSS"), memory(&service, "VmHWM"));
    assert!(after < before + GROWTH, "from {before} to {after} MiB");
    assert!(most < LARGEST, "it had {most} MiB");
}
