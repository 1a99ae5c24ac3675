//! What comes of each kind of error.

use super::{
    programs::Place,
    stub::{Answer, Operation, Stub},
};
use serde_json::json;
use std::{io::Read, net::TcpListener};

fn begun() -> (Stub, Place) {
    let stub = Stub::new(&["node-1.testbed.lan"]);
    let place = Place::new(&[("main", stub.port)]);
    (stub, place)
}

const POWER: &str = "kapower3 --on -m node-1";

#[test]
fn each_family_of_errors_has_its_text_and_its_exit_code() {
    let denied = "Invalid node list -- Parameter 'nodes': The node 'zz' does not exist";
    let text = |status| Answer::text("Forbidden -- no\n").status(status);
    let cases = [
        (Answer::error(2, &format!("{denied}\n")), 2, format!("{denied}\n[Kadeploy Error #2]")),
        (Answer::error(6, "no\n"), 6, "no\n[Kadeploy Error #6]".into()),
        (Answer::error(30, "no\n"), 30, "no\n[Kadeploy Error #30]".into()),
        (Answer::error(0, "no\n"), 1, "no\n[Kadeploy Error #0]".into()),
        (text(400), 2, "Forbidden -- no\n[HTTP Error #400 on PUT /power/]".into()),
        (text(401), 2, "Forbidden -- no\n[HTTP Error #401 on PUT /power/]".into()),
        (text(503), 2, "Forbidden -- no\n[HTTP Error #503 on PUT /power/]".into()),
        // Success is 200 and nothing else.
        (text(201), 2, "Forbidden -- no\n[HTTP Error #201 on PUT /power/]".into()),
        (text(302), 2, "Forbidden -- no\n[HTTP Error #302 on PUT /power/]".into()),
        (text(404), 1, "Resource not found /power/".into()),
        (text(500), 3, "[Internal Server Error]\nForbidden -- no".into()),
        (Answer::of("text/html", "<p>"), 1, "Invalid server response".into()),
        (Answer::of("application/yaml", "a: 1"), 1, "Invalid server response".into()),
        (Answer::of("application/json", "{"), 1, "Invalid server response".into()),
        (Answer::json(&json!({"wid": "P-1"})), 1, "Invalid server response".into()),
        (
            Answer::json(&json!({})).set("Content-Encoding", "gzip"),
            1,
            "Invalid server response".into(),
        ),
    ];
    for (answer, code, told) in cases {
        let (stub, place) = begun();
        stub.gives("PUT /power/", answer);
        place.run(POWER).told(code, &told);
    }
}

#[test]
fn a_server_that_is_not_there_is_unreachable() {
    let place = Place::new(&[("main", 1)]);
    place.run(POWER).told(1, "The main server is unreachable");
    for answer in [Answer::text("x").status(500), Answer::of("text/html", "x")] {
        let stub = Stub::new(&[]);
        let place = Place::new(&[("main", stub.port)]);
        stub.gives_only("GET /version", answer);
        place.run(POWER).told(1, "The main server is unreachable");
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new(&[("main", listener.local_addr().unwrap().port())]);
    let began = std::time::Instant::now();
    place.run(POWER).told(1, "The main server is unreachable");
    assert!(began.elapsed() >= std::time::Duration::from_secs(5));
}

#[test]
fn a_connection_that_breaks_says_where() {
    let (stub, place) = begun();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 10]);
    });
    // An answer may name another server: it is believed.
    stub.gives(
        "PUT /power/",
        Answer::json(
            &json!({"wid": "P-1", "resources": {"resource": format!("http://127.0.0.1:{port}/x")}}),
        ),
    );
    let ran = place.run(POWER).ended(1);
    assert!(
        ran.err.starts_with(&format!("Invalid request on 127.0.0.1:{} (", stub.port)),
        "{ran:?}"
    );
    let place = Place::new(&[("main", stub.port)]);
    stub.gives(
        "PUT /power/",
        Answer::json(&json!({"wid": "P-1", "resources": {"resource": "http://127.0.0.1:1/x"}})),
    );
    place.run(POWER).ended(1);
    place.run(POWER).told(1, "Connection atempt refused by the server");
}

#[test]
fn an_operation_that_broke_off_ends_with_its_error() {
    let (stub, place) = begun();
    let polls = vec![json!({"wid": "P-1", "done": true, "error": true})];
    stub.operation("PUT /power/", "P-1", &Operation { polls, ..Operation::default() });
    stub.gives(
        "GET /power/P-1/error",
        Answer::error(15, "The execution of a command failed -- x\n"),
    );
    let ran = place.run(POWER);
    assert_eq!(ran.out, "Power operation #P-1 started\n");
    ran.told(15, "The execution of a command failed -- x\n[Kadeploy Error #15]");
    assert_eq!(stub.lines().last().unwrap(), "GET /power/P-1/error");
}

#[test]
fn one_that_broke_off_without_an_error_ends_quietly() {
    let (stub, place) = begun();
    let polls = vec![json!({"wid": "P-1", "done": true, "error": true})];
    stub.operation("PUT /power/", "P-1", &Operation { polls, ..Operation::default() });
    stub.gives("GET /power/P-1/error", Answer::text("\n"));
    place.run(POWER).told(0, "");
    assert_eq!(stub.lines().last().unwrap(), "DELETE /power/P-1/");
}
