//! What is refused: one error that names the thing and the way out, Kadeploy's number as the
//! exit code, and nothing left behind.

use super::site::Site;

/// What stands in a description, what is put there, the exit code, what is told.
const DESCRIPTIONS: &[(&str, &str, i32, &[&str])] = &[
    (
        "image: {file: image.tgz, kind: tar, compression: gzip}\n",
        "",
        7,
        &["The field is mandatory [field: image]"],
    ),
    ("image.tgz", "missing.tgz", 1, &["cannot read missing.tgz: No such file"]),
    (
        "filesystem: ext4",
        "filesystem: zfs",
        7,
        &["'zfs' is not supported", "(supported: ext2, ext4)"],
    ),
    (
        "compression: gzip",
        "compression: gzip, sha256: '0000000000000000000000000000000000000000000000000000000000000000'",
        5,
        &[
            "Checksum of the file",
            "image.tgz",
            "expected 0000",
            "hint: bring image/sha256 up to date",
        ],
    ),
];

/// Refused or broken off with this code and these words, and no node was touched.
#[track_caller]
fn refused(site: &Site, words: &[&str], code: i32, told: &[&str]) {
    let ran = site.run(words).ended(code);
    for text in told {
        assert!(ran.err.contains(text), "{text:?} is not in {}", ran.err);
    }
    assert_eq!(ran.err.matches("error: ").count(), 1, "{}", ran.err);
    assert!(!site.path("n-1.site.power").exists());
}

#[test]
fn a_description_with_a_mistake_is_told() {
    let service = Site::new().serve();
    for (from, to, code, told) in DESCRIPTIONS {
        let env = service.environment("deb");
        let text = std::fs::read_to_string(service.path(env)).unwrap();
        assert!(text.contains(from), "{from}");
        service.write(env, &text.replace(from, to));
        refused(&service, &["deploy", "-a", env, "-m", "n-1"], *code, told);
    }
}

#[test]
fn more_nodes_than_an_address_can_have_are_told() {
    let site = Site::new().serve();
    let many: Vec<String> = (1..=5_000).map(|number| format!("node-{number}.site")).collect();
    let mut words = vec!["nodes", "--list", "-m"];
    words.extend(many.iter().map(String::as_str));
    let ran = site.run(&words).ended(1);
    assert!(ran.err.contains("error: a request cannot have an address of "), "{}", ran.err);
    assert!(ran.err.contains("hint: name ranges such as 'node-[1-100]'"), "{}", ran.err);
    // A body has room for them.
    let words = [&["power", "status", "--dry-run", "-m"], &words[3..]].concat();
    assert!(site.run(&words).err.contains("'node-1.site' does not exist"));
}

#[test]
fn nodes_that_cannot_be_meant_are_told() {
    let service = Site::new().serve();
    let exploding = ["`n-[1-99999999].site` stands for 99999999 nodes", "at most"];
    refused(&service, &["power", "on", "-m", "n-[1-99999999].site"], 2, &exploding);
    refused(&service, &["power", "on", "-m", "zz"], 2, &["The node 'zz' does not exist", "hint: "]);
    service.write("nobody", "\n");
    refused(&service, &["power", "on", "-f", "nobody"], 2, &["'nodes'", "hint: "]);
    assert_eq!(service.run(&["operations", "--json"]).json(), serde_json::json!([]));
    // Twice is once, with a note.
    let ran = service.run(&["power", "on", "-m", "n-1", "n-[1-2].site"]).ended(0);
    assert!(ran.err.contains("note: named more than once, counted once: n-1.site"), "{}", ran.err);
    assert_eq!(ran.out, "The power operation is successful on nodes\nn-1.site\nn-2.site\n");
}
