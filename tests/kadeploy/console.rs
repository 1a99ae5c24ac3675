//! `kaconsole3`.

use super::{
    programs::Place,
    stub::{Answer, Stub},
    terminal::{at_a_terminal, end_of},
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpListener,
    process::Child,
};

const NODE: &str = "node-1.testbed.lan";

/// A console that answers what it is told in capitals.
fn begun(state: &Value) -> (Stub, Place) {
    let stub = Stub::new(&[NODE]);
    let place = Place::new(&[("main", stub.port)]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("tcp://127.0.0.1:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"login: ").unwrap();
        let mut letter = [0];
        while stream.read_exact(&mut letter).is_ok() && letter != [b'q'] {
            stream.write_all(&letter.map(|l| l.to_ascii_uppercase())).unwrap();
        }
    });
    let resources =
        json!({"resource": "/console/C-1/", "error": "/console/C-1/error", "console": uri});
    stub.gives("POST /console/", Answer::json(&json!({"wid": "C-1", "resources": resources})));
    stub.gives("GET /console/C-1?node=node-1", Answer::json(state));
    stub.gives("GET /console?node=node-1", Answer::json(&json!([{"id": "C-1", "node": NODE}])));
    stub.gives("DELETE /console/C-1/", Answer::json(&json!({"wid": "C-1"})));
    (stub, place)
}

fn sees(child: &mut Child, text: &str) {
    let mut seen = Vec::new();
    while !seen.ends_with(text.as_bytes()) {
        let mut letter = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut letter).unwrap();
        seen.push(letter[0]);
    }
}

#[test]
fn a_person_talks_to_a_node_until_four_escapes() {
    let (stub, place) = begun(&json!({"id": "C-1", "error": false}));
    let mut child = at_a_terminal(&place, "kaconsole3 -m node-1");
    sees(&mut child, "[Kaconsole] kill sequence: ^[^[^[^[");
    sees(&mut child, "login: ");
    let keys = child.stdin.as_mut().unwrap();
    // Ctrl-C is for the node.
    keys.write_all(b"ab\x1b\x1b\x1bc\x03d").unwrap();
    sees(&mut child, "AB\u{1b}\u{1b}\u{1b}C\u{3}D");
    child.stdin.as_mut().unwrap().write_all(b"\x1b\x1b\x1b\x1b").unwrap();
    let (text, code) = end_of(child);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(stub.request("POST /console/").body, r#"{"node":"node-1"}"#);
    let lines = stub.lines();
    let end = ["GET /console?node=node-1", "GET /console/C-1?node=node-1", "DELETE /console/C-1/"];
    assert!(lines.ends_with(&end.map(str::to_owned)), "{lines:#?}");
}

#[test]
fn the_node_may_end_it() {
    let (stub, place) = begun(&json!({"id": "C-1", "error": false}));
    let mut child = at_a_terminal(&place, "kaconsole3 -m node-1");
    sees(&mut child, "login: ");
    child.stdin.as_mut().unwrap().write_all(b"q").unwrap();
    let (text, code) = end_of(child);
    assert_eq!(code, Some(0), "{text}");
    stub.request("DELETE /console/C-1/");
}

#[test]
fn the_service_may_end_it() {
    let (stub, place) = begun(&json!({"id": "C-1", "error": true}));
    stub.gives("GET /console/C-1/error", Answer::error(6, "no rights any more\n"));
    let (text, code) = end_of(at_a_terminal(&place, "kaconsole3 -m node-1"));
    assert_eq!(code, Some(6), "{text}");
    assert!(text.ends_with("no rights any more\n[Kadeploy Error #6]\n"), "{text}");
    // It is not in the list any more: its rights went, and it with them.
    let (stub, place) = begun(&json!({"id": "C-1", "error": true}));
    stub.gives_only("GET /console?node=node-1", Answer::json(&json!([])));
    let (text, code) = end_of(at_a_terminal(&place, "kaconsole3 -m node-1"));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("the console was closed by the server"), "{text}");
    assert!(!stub.lines().contains(&"DELETE /console/C-1/".to_owned()));
}

#[test]
fn it_needs_a_terminal_and_one_node() {
    let (stub, place) = begun(&json!({}));
    place.run("kaconsole3 -m node-1").told(1, "Kaconsole output must be a TTY.");
    let (text, code) = end_of(at_a_terminal(&place, "kaconsole3"));
    assert_eq!((text.as_str(), code), ("You must choose exactly one node\n", Some(1)));
    assert!(stub.lines().is_empty());
    let denied = "Forbidden -- no console command\n";
    stub.gives_only("POST /console/", Answer::text(denied).status(403));
    let (text, code) = end_of(at_a_terminal(&place, "kaconsole3 -m node-1"));
    assert_eq!(code, Some(2), "{text}");
}
