//! `kadeploy3`.

use super::{
    programs::{Place, Ran},
    stub::{Answer, Operation, Stub, ended},
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const NODES: [&str; 4] =
    ["beta-1.testbed.lan", "node-1.testbed.lan", "node-2.testbed.lan", "node-3.testbed.lan"];

const WID: &str = "D-c940d13d-9570-44ae-a51b-7371ffad3f34";

/// Two environments of that name: anna's is the second one.
fn environments() -> Answer {
    let image = json!({"file": "server:///srv/img.tgz", "kind": "tar", "compression": "gzip"});
    let one = |user: &str, version: u8| json!({"name": "deb", "version": version, "description": "", "image": image, "user": user});
    Answer::json(&json!([one("root", 7), one("anna", 1)])).packed()
}

fn begun() -> (Stub, Place) {
    let stub = Stub::new(&NODES);
    let place = Place::new(&[("main", stub.port)]);
    (stub, place)
}

fn deployment(stub: &Stub, end: &Operation) {
    stub.operation("POST /deployment/", WID, end);
}

/// A deployment that says something twice, of which a node fails.
fn story() -> Operation {
    let running = |logs: bool| {
        json!({"done": false, "error": false, "logs": logs, "debugs": logs,
               "nodes": {"ok": [], "ko": [], "processing": NODES}})
    };
    let failed = json!({"macro": "M", "micro": "m", "state": "ko", "error": "M-m: no"});
    Operation {
        polls: vec![
            running(false),
            running(true),
            ended(&["beta-1.testbed.lan"], &["node-1.testbed.lan"]),
        ],
        logs: vec![
            "1795205614.54612|---\n1795205614.53543|Grab the tarball file server:///srv/img.tgz\n\n",
            "1795205620.55515|[bt]    * a | b\n\n",
        ],
        debugs: "1795205614.54|NODE: node-1.testbed.lan\n\n".into(),
        state: json!({"node-1.testbed.lan": failed}),
        status: json!({}),
    }
}

/// What is seen of it. The second reading of the debugs has the time of the first.
fn told() -> String {
    format!(
        "Deployment #{WID} started
Grab the tarball file server:///srv/img.tgz
[dbg] NODE: node-1.testbed.lan
---
[dbg] NODE: node-1.testbed.lan
[bt]    * a | b
Deployment #{WID} done

The deployment is successful on nodes
beta-1.testbed.lan
The deployment failed on nodes
node-1.testbed.lan (M-m: no)
"
    )
}

#[test]
fn a_recorded_environment_is_deployed_as_it_always_was() {
    let (stub, place) = begun();
    stub.gives("GET /environments?last=true&name=deb", environments());
    deployment(&stub, &story());
    let key = place.write("key", "ssh-ed25519 AAAA\n");
    let ran = place.run("kadeploy3 -e deb -m node-1 -m beta-1 -k key -d -V 5").ended(0);
    assert_eq!((ran.out, ran.err), (told(), String::new()));

    let base = format!("/deployment/{WID}");
    let begin = [
        "GET /version",
        "GET /auth_headers_prefix",
        "GET /nodes?user=anna&list=true",
        "GET /environments?last=true&name=deb",
        "POST /deployment/",
    ];
    let rest = ["/", "/", "/logs", "/debugs", "/", "/logs", "/debugs", "/state"];
    let rest = rest.map(|rest| format!("GET {base}{rest}"));
    let end = format!("DELETE {base}/");
    let expected: Vec<_> = begin.map(str::to_owned).into_iter().chain(rest).chain([end]).collect();
    assert_eq!(stub.lines(), expected);

    let create = stub.request("POST /deployment/");
    let client = create.json()["client"].as_str().unwrap().to_owned();
    let environment = r#"{"kind":"database","user":"anna","name":"deb","version":1}"#;
    assert_eq!(
        create.body,
        format!(
            r#"{{"debug":true,"verbose_level":5,"environment":{environment},"ssh_authorized_keys":"{key}","client":"{client}","nodes":["node-1","beta-1"]}}"#
        )
    );
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    assert!(client.starts_with(&format!("http://{host}:")), "{client}");
    assert_eq!(create.header("Content-Type"), Some("application/json"));
    let delete = stub.request(&format!("DELETE {base}/"));
    assert_eq!((delete.body.as_str(), delete.header("Content-Length")), ("{}", Some("2")));
}

#[test]
fn requests_have_the_old_headers() {
    let (stub, place) = begun();
    stub.gives("GET /environments?version=3&username=root&name=deb", environments());
    deployment(
        &stub,
        &Operation { polls: vec![ended(&[], &[])], logs: vec![""], ..Operation::default() },
    );
    place.run("kadeploy3 -e deb -u root --env-version 3 -m node-1").ended(0);
    for asked in stub.asked() {
        assert_eq!(asked.header("Connection"), Some("close"), "{asked:?}");
        let encodings = "gzip;q=1.0,deflate;q=0.6,identity;q=0.3";
        assert_eq!(asked.header("Accept-Encoding"), Some(encodings), "{asked:?}");
        assert_eq!(asked.header("Accept"), Some("application/json"), "{asked:?}");
        assert_eq!(asked.header("User-Agent"), Some("Ruby"), "{asked:?}");
        let host = format!("127.0.0.1:{}", stub.port);
        assert_eq!(asked.header("Host"), Some(host.as_str()), "{asked:?}");
        let open = ["GET /version", "GET /auth_headers_prefix"].contains(&asked.what.as_str());
        let user = (!open).then_some("anna");
        assert_eq!(asked.header("X-Kadeploy-User"), user, "{asked:?}");
        assert_eq!(asked.header("Authorization"), None, "{asked:?}");
    }
}

#[test]
fn every_option_is_a_field() {
    let (stub, place) = begun();
    stub.gives("POST /deployment/", Answer::text("\n"));
    place.write("env", "name: deb\nos: other\nimage: {file: 'server:///i', kind: dd, compression: gzip}\npartition_type: 0x83\n");
    place.write("profile", "KERNEL x NODE_SINGULARITY\n");
    place.write("pattern", "node-1.testbed.lan,42\n");
    place.write("kernel", "a kernel");
    place.write(
        "custom",
        "SetDeploymentEnv: {reboot: {pre-ops: [{name: a, action: run, file: kernel}]}}\n",
    );
    let words = "kadeploy3 -a env -m node-[1-2] -b /dev/sdb -c 2 -r ext4 --vlan 5 -w profile --set-pxe-pattern pattern -x kernel,http://x/y \
        --no-kexec --disable-bootloader-install --disable-disk-partitioning --reboot-classical-timeout n*2 --reboot-kexec-timeout 60 \
        --force-steps SetDeploymentEnv|A:1:2&BroadcastEnv|B:3:4&BootNewEnv|C:5:6 --dry-run --force --breakpoint BroadcastEnv:send_environment \
        --custom-steps custom --hook -p 3 -k http://x/keys -V 1";
    let ran = place.run(words).ended(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    let asked = stub.request("POST /deployment/");
    let body = asked.json();
    let expected = json!({
        "dry_run": true, "verbose_level": 1, "force": true, "breakpoint": "BroadcastEnv:send_environment",
        "custom_operations": {"SetDeploymentEnv": {"reboot": {"pre-ops": [{"name": "a", "action": "run", "file": "kernel"}]}}},
        "hook": true,
        "environment": {
            "kind": "anonymous", "name": "deb", "os": "other",
            "image": {"file": "server:///i", "kind": "dd", "compression": "gzip"}, "partition_type": 131,
        },
        "deploy_partition": "3", "block_device": "/dev/sdb", "boot_partition": 2,
        "reformat_tmp_partition": "ext4", "timeout_reboot_classical": "n*2", "timeout_reboot_kexec": "60",
        "disable_kexec": true, "disable_bootloader_install": true, "disable_disk_partitioning": true,
        "pxe": {
            "profile": "KERNEL x NODE_SINGULARITY\n", "singularities": {"node-1.testbed.lan": "42"},
            "files": [place.name("kernel"), "http://x/y"],
        },
        "vlan": "5",
        "automata": {
            "SetDeploymentEnv": [{"name": "A", "retries": 1, "timeout": 2}],
            "BroadcastEnv": [{"name": "B", "retries": 3, "timeout": 4}],
            "BootNewEnv": [{"name": "C", "retries": 5, "timeout": 6}],
        },
        "ssh_authorized_keys": "http://x/keys",
        "client": body["client"],
        "nodes": ["node-1", "node-2"],
    });
    assert_eq!(body, expected);
    // In the order of the old programs, too.
    assert_eq!(asked.body, expected.to_string());
}

#[test]
fn a_disk_without_a_partition_is_meant_as_a_whole() {
    let (stub, place) = begun();
    stub.gives("GET /environments?last=true&name=deb", environments());
    stub.gives("POST /deployment/", Answer::text("\n"));
    place.run("kadeploy3 -e deb -m node-1 --block-device /dev/sdb --dry-run").ended(0);
    let body = stub.request("POST /deployment/").json();
    assert_eq!(
        (&body["deploy_partition"], &body["block_device"]),
        (&"".into(), &"/dev/sdb".into())
    );
}

#[test]
fn local_files_are_there_for_the_service() {
    for secure in ["", "--secure"] {
        let (stub, place) = begun();
        place.write("image.tgz", "an image");
        place.write(
            "env",
            "name: deb\nos: other\nimage: {file: image.tgz, kind: dd, compression: gzip}\n",
        );
        let got = Arc::new(Mutex::new(Vec::new()));
        let (kept, absolute) = (Arc::clone(&got), place.name("image.tgz"));
        stub.does("POST /deployment/", move |asked| {
            let body: Value = asked.json();
            let base = body["client"].as_str().unwrap();
            assert_eq!(body["environment"]["image"]["file"], "image.tgz");
            for path in ["image.tgz", &absolute] {
                kept.lock().unwrap().push(fetch(base, path));
            }
            Answer::text("\n")
        });
        place.run(&format!("kadeploy3 -a env -m node-1 --dry-run {secure}")).ended(0);
        let client =
            stub.request("POST /deployment/").json()["client"].as_str().unwrap().to_owned();
        assert!(
            client.starts_with(if secure.is_empty() { "http://" } else { "https://" }),
            "{client}"
        );
        assert_eq!(*got.lock().unwrap(), ["an image", "an image"]);
    }
}

/// As a service fetches a file of a client.
fn fetch(base: &str, path: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE};
    let url = format!("{base}/{}", URL_SAFE.encode(path));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        kadence::platform::crypto();
        let client = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
        let answer = client.build().unwrap().get(url).header("accept", "*/*").send().await.unwrap();
        answer.error_for_status().unwrap().text().await.unwrap()
    })
}

#[test]
fn a_blank_in_a_name_is_encoded_twice() {
    let (stub, place) = begun();
    stub.gives("GET /environments?last=true&name=debian%2Btest", environments());
    stub.gives("POST /deployment/", Answer::text("\n"));
    let line = "kadeploy3 -e 'debian test' -m node-1 --dry-run";
    Ran::of(place.shell(line).output().unwrap()).ended(0);
    stub.request("GET /environments?last=true&name=debian%2Btest");
}

#[test]
fn one_may_leave_at_once() {
    let (stub, place) = begun();
    stub.gives("GET /environments?last=true&name=deb", environments());
    deployment(&stub, &Operation::default());
    let ran = place.run("kadeploy3 -e deb -m node-1 --no-wait --write-workflow-id wid").ended(0);
    assert_eq!(ran.out, format!("{WID} /deployment/{WID}/\n"));
    assert_eq!(place.read("wid"), WID);
    assert_eq!(stub.lines().last().unwrap(), "POST /deployment/");
    // A file of this machine is served while the program runs.
    place.write("key", "");
    let ran = place.run("kadeploy3 -e deb -m node-1 --no-wait -k key").ended(1);
    assert!(ran.err.contains("--no-wait cannot be used"), "{}", ran.err);
}

#[test]
fn nodes_are_written_to_files_and_a_program_is_run() {
    use std::os::unix::fs::PermissionsExt;
    let (stub, place) = begun();
    stub.gives("GET /environments?last=true&name=deb", environments());
    let polls = vec![ended(&NODES[..2], &NODES[2..3])];
    deployment(&stub, &Operation { polls, logs: vec![""], ..Operation::default() });
    place.write("ok", "what was there before\n");
    place.write("nodes", "# mine\nnode-[1-3]\n\n  # not that\nbeta-1\nnode-1\n");
    for (script, status, told) in [("good", 0, "Success !"), ("bad", 3, "Fail !")] {
        place.write(script, &format!("#!/bin/sh\necho it runs\nexit {status}\n"));
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(place.path(script), mode).unwrap();
        let words = format!("kadeploy3 -e deb -f nodes -o ok -n ko -s {script}");
        let ran = place.run(&words).ended(0);
        assert_eq!(place.read("ok"), "beta-1.testbed.lan\nnode-1.testbed.lan\n");
        assert_eq!(place.read("ko"), "node-2.testbed.lan\n");
        assert!(ran.out.ends_with(&format!("Running {script}\nit runs\n{told}\n")), "{}", ran.out);
    }
    let nodes = &stub.request("POST /deployment/").json()["nodes"];
    assert_eq!(*nodes, json!(["node-1", "node-2", "node-3", "beta-1"]));
}

#[test]
fn what_makes_no_sense_is_not_asked_for() {
    let (stub, place) = begun();
    place.write("env", "name: deb\nos: other\nimage: {file: /i, kind: dd}\n");
    let cases = [
        ("", "No node is chosen"),
        ("-m node-1", "You must choose an environment"),
        (
            "-m node-1 -e deb -o x -n x",
            "The files of the nodes that are well and of those that failed must differ",
        ),
        ("-m node-1 -e deb --no-wait -o x", "-o and -n cannot be used with --no-wait"),
        ("-m node-1 -e deb -V 0", "The verbose level must be in the range 1..5"),
        ("-m node-1 -e deb -V 6", "Option parsing error: invalid argument: --verbose-level 6"),
        ("-m node-1 -e deb -u a-b", "Option parsing error: invalid argument: --env-user a-b"),
        (
            "-m node-1 -e deb -b /dev/sd;a",
            "Option parsing error: invalid argument: --block-device /dev/sd;a",
        ),
        ("-m node-1 -e deb -p x", "Option parsing error: invalid argument: --partition-number x"),
        ("-m node-1 -e deb -x a", "The files of a boot profile need the profile: use -w"),
        ("--zz", "Option parsing error: invalid option: --zz"),
        ("-m", "Option parsing error: missing argument: -m"),
        ("--re x", "Option parsing error: ambiguous option: --re"),
    ];
    for (words, told) in cases {
        place.run(&format!("kadeploy3 {words}")).told(1, told);
    }
    assert_eq!(stub.lines(), Vec::<String>::new());
    let told = "Invalid environment specification -- Error[environment description] The field is mandatory [field: image/compression]\n[Kadeploy Error #7]";
    // Of whom and which one does not matter of a description.
    for more in ["", "-u bert --env-version 2"] {
        place.run(&format!("kadeploy3 -m node-1 -a env {more}")).told(7, told);
    }
    let told = "An environment is either recorded (-e) or described (-a)";
    place.run("kadeploy3 -m node-1 -a env -e deb").told(1, told);
    place.run("kadeploy3 -m node-9 -e deb").told(1, "The node 'node-9' does not exist");
}
