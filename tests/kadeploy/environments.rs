//! `kaenv3`.

use super::{
    programs::{Place, Ran},
    stub::{Answer, Stub},
};
use serde_json::{Value, json};

fn begun() -> (Stub, Place) {
    let stub = Stub::new(&[]);
    let place = Place::new(&[("main", stub.port)]);
    (stub, place)
}

fn environment(user: &str) -> Value {
    json!({
        "user": user, "name": "debian test", "version": 2, "description": "x".repeat(60), "visibility": "private",
        "destructive": false, "os": "linux", "partition_type": 131, "multipart": false, "filesystem": "ext4",
        "image": {"compression": "gzip", "file": "server:///srv/img.tgz", "kind": "tar"},
        "boot": {"kernel": "/vmlinuz", "initrd": "/initrd.img"},
    })
}

/// One run and the request that it was for.
fn asked(stub: &Stub, place: &Place, line: &str, what: &str) -> (Ran, String) {
    let before = stub.asked().len();
    let ran = Ran::of(place.shell(line).output().unwrap()).ended(0);
    let asked = stub.asked();
    let found = asked[before..].iter().find(|asked| asked.what == what);
    let lines = stub.lines();
    (ran, found.unwrap_or_else(|| panic!("{what} is not in {lines:#?}")).body.clone())
}

#[test]
fn environments_are_listed() {
    let (stub, place) = begun();
    let without = json!({"user": "root", "name": "a", "version": 1, "image": {"file": "/i"}});
    stub.gives(
        "GET /environments?last=true",
        Answer::json(&json!([without, environment("anna")])).packed(),
    );
    let (ran, _) = asked(&stub, &place, "kaenv3 -l", "GET /environments?last=true");
    let text = "Name                  Version User        Description
####                  ####### ####        ###########
a                     1       root
debian test           2       anna        xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...
";
    assert_eq!(ran.out, text);
    for (words, what) in [
        ("-l deb%", "GET /environments?last=true&name=deb%25"),
        ("-l 'a b'", "GET /environments?last=true&name=a+b"),
        ("-l -s -u root", "GET /environments?username=root"),
        (
            "--list deb --env-version 3 -u root",
            "GET /environments?last=true&username=root&version=3&name=deb",
        ),
    ] {
        stub.gives(what, Answer::json(&json!([])));
        let (ran, _) = asked(&stub, &place, &format!("kaenv3 {words}"), what);
        assert_eq!(ran.out, "No environment has been found\n");
    }
}

#[test]
fn descriptions_are_printed_in_their_order_ones_own_first() {
    let (stub, place) = begun();
    let what = "GET /environments?last=true&name=debian+test";
    stub.gives(what, Answer::json(&json!([environment("root"), environment("anna")])));
    let (ran, _) = asked(&stub, &place, "kaenv3 -p 'debian test'", what);
    let one = |user: &str| {
        format!(
            "---\nname: debian test\nversion: 2\ndescription: {}\nvisibility: private\ndestructive: false\n\
             os: linux\nimage:\n  file: server:///srv/img.tgz\n  kind: tar\n  compression: gzip\n\
             boot:\n  kernel: /vmlinuz\n  initrd: /initrd.img\nfilesystem: ext4\npartition_type: 131\n\
             multipart: false\nuser: {user}\n",
            "x".repeat(60)
        )
    };
    assert_eq!(ran.out, one("anna") + &one("root"));
}

#[test]
fn environments_are_recorded() {
    let (stub, place) = begun();
    stub.gives("POST /environments/", Answer::json(&json!({"name": "deb"})));
    let text = "name: deb\nversion: 1\nos: other\nimage: {file: FILE, kind: dd, compression: gzip}\npartition_type: 0x83\nodd: 1\n";
    place.write("env", &text.replace("FILE", "'server:///i'"));
    let (ran, body) = asked(&stub, &place, "kaenv3 -a env", "POST /environments/");
    assert_eq!(
        body,
        r#"{"environment":{"name":"deb","version":1,"os":"other","image":{"file":"server:///i","kind":"dd","compression":"gzip"},"partition_type":131,"odd":1},"last":true}"#
    );
    assert_eq!(
        (ran.out.as_str(), ran.err.as_str()),
        ("", "Warning[env_desc]: Unused field 'odd'\n")
    );
    let several = "postinstalls: [{archive: 'server:///p', compression: gzip, scripts: go}]\n\
        options: {partitions: [{id: 0, device: /dev/sda2}, {id: 1, device: /dev/sda3}]}\n";
    place.write("env", &(text.replace("FILE", "'server:///i'") + several));
    let (ran, _) = asked(&stub, &place, "kaenv3 -a env", "POST /environments/");
    let warnings = "Warning[env_desc]: Several partitions are listed, and without 'multipart' none of them counts\n\
        Warning[env_desc]: Unused field 'odd'\n\
        Warning[env_desc]: Unused field 'postinstalls/0/scripts'\n";
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", warnings));
    // A file of this machine is there while the request is open.
    place.write("image", "an image");
    place.write("env", &text.replace("FILE", &place.name("image")));
    let (_, body) = asked(&stub, &place, "kaenv3 -a env --secure", "POST /environments/");
    assert!(body.starts_with(r#"{"client":"https://"#), "{body}");
    place.write("env", "name: deb\n");
    let told = "Invalid environment specification -- Error[environment description] The field is mandatory [field: image]\n[Kadeploy Error #7]";
    place.run("kaenv3 -a env").told(7, told);
    place.write("env", "\0\u{1}binary");
    let ran = place.run("kaenv3 -a env").ended(1);
    assert!(ran.err.contains("should be in plain text"), "{}", ran.err);
    place.run("kaenv3 -a nowhere").ended(1);
}

#[test]
fn environments_are_changed_and_deleted() {
    let (stub, place) = begun();
    let path = "/environments/anna/debian+test";
    for what in
        [format!("PUT {path}"), format!("DELETE {path}"), "DELETE /environments/root/deb/3".into()]
    {
        stub.gives(&what, Answer::json(&json!([])));
    }
    let found = Answer::json(&json!([environment("anna")]));
    stub.gives("GET /environments?last=true&name=debian%2Btest", found);
    let put = format!("PUT {path}");
    for (words, what, body) in [
        (
            "--toggle-destructive-tag 'debian test'",
            put.as_str(),
            r#"{"toggle_destructive":true,"last":true}"#,
        ),
        (
            "--set-visibility-tag 'debian test' -t shared",
            &put,
            r#"{"visibility":"shared","last":true}"#,
        ),
        (
            "--update-image-checksum 'debian test'",
            &put,
            r#"{"update_image_checksum":true,"last":true}"#,
        ),
        (
            "--update-preinstall-checksum 'debian test'",
            &put,
            r#"{"update_preinstall_checksum":true,"last":true}"#,
        ),
        (
            "--update-postinstalls-checksum 'debian test'",
            &put,
            r#"{"update_postinstalls_checksum":true,"last":true}"#,
        ),
        ("-d 'debian test'", "DELETE /environments/anna/debian+test", r#"{"last":true}"#),
        ("-d 'debian test' -s", "DELETE /environments/anna/debian+test", "{}"),
        ("-d deb -u root --env-version 3", "DELETE /environments/root/deb/3", r#"{"last":true}"#),
    ] {
        let (ran, sent) = asked(&stub, &place, &format!("kaenv3 {words}"), what);
        assert_eq!((sent.as_str(), ran.out.as_str()), (body, ""), "{words}");
    }
}

#[test]
fn files_are_moved() {
    let (stub, place) = begun();
    stub.gives(
        "PUT /environments/",
        Answer::json(&json!([environment("root"), {"name": "b", "version": 7}])),
    );
    let line = "kaenv3 --move-files -m 'server:///a/::server:///b/,http://x/::http://y/'";
    let (ran, body) = asked(&stub, &place, line, "PUT /environments/");
    assert_eq!(
        body,
        r#"{"update_files":{"server:///a/":"server:///b/","http://x/":"http://y/"},"last":true}"#
    );
    assert_eq!(ran.out, "debian test v2\nb v7\n");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (stub, place) = begun();
    for (words, told) in [
        ("", "You must choose an action"),
        ("-l -p a", "You can only choose one action"),
        ("-p", "Option parsing error: missing argument: -p"),
        ("-l -u a-b", "Option parsing error: invalid argument: --env-user a-b"),
        ("--set-visibility-tag deb", "--set-visibility-tag and -t go together"),
        (
            "--set-visibility-tag deb -t open",
            "Option parsing error: invalid argument: --visibility-tag open",
        ),
        ("--move-files", "--move-files and -m go together"),
        ("--move-files -m a:b", "'a:b' is not src::dest"),
        ("-l --env-version new", "Option parsing error: invalid argument: --env-version new"),
    ] {
        place.run(&format!("kaenv3 {words}")).told(1, told);
    }
    assert!(stub.lines().is_empty());
    stub.gives("DELETE /environments/anna/deb", Answer::text("File Not Found -- x\n").status(404));
    place.run("kaenv3 -d deb").told(1, "Resource not found /environments/anna/deb");
    stub.gives("PUT /environments/anna/deb", Answer::error(14, "No element has been modified\n"));
    let told = "No element has been modified\n[Kadeploy Error #14]";
    place.run("kaenv3 --toggle-destructive-tag deb").told(14, told);
}
