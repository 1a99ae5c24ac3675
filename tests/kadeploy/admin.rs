//! `kaadmin3 install`: what is published comes to this machine.

use super::{
    programs::{Place, Ran},
    terminal::{at_a_terminal, end_of},
};
use crate::common::{Service, Site};
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};

fn begun() -> (Service, Place) {
    let service = Service::on(Site::new());
    let place = Place::new(&[("ours", service.port)]);
    (service, place)
}

fn admin(service: &Service, place: &Place, words: &str) -> Ran {
    place.run(&format!("kaadmin3 {}", words.replace("SITE", service.dir().to_str().unwrap())))
}

/// A web server with these files; its address.
fn web(files: Vec<(&'static str, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let found = files.iter().find(|(name, _)| *name == path);
            let (status, body) = found.map_or(("404 Not Found", ""), |(_, body)| ("200 OK", body));
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            stream.write_all((head + body).as_bytes()).unwrap();
        }
    });
    address
}

const DEB: &str = "name: deb\nversion: 3\nos: linux\nimage: {file: img/deb.tgz, kind: tar, compression: gzip}\n\
    postinstalls: [{archive: /post.tgz, compression: gzip, script: run}]\n\
    boot: {kernel: /vmlinuz}\nfilesystem: ext4\n";

#[test]
fn an_environment_is_fetched_and_recorded_with_its_new_places() {
    let (service, place) = begun();
    let image = "image ".repeat(100_000);
    let address = web(vec![
        ("/envs/deb.yaml", DEB.into()),
        ("/envs/img/deb.tgz", image.clone()),
        ("/post.tgz", "archive".into()),
    ]);
    let images = place.name("images");
    let words = format!("install -c SITE -D --images {images} {address}/envs/deb.yaml");
    let ran = admin(&service, &place, &words).ended(0);
    assert!(ran.out.contains("deb.tgz 100 %") && ran.out.contains("is recorded"), "{}", ran.out);
    assert_eq!(fs::read_to_string(format!("{images}/deb.tgz")).unwrap(), image);
    let shown = place.run("kaenv3 -p deb").ended(0).out;
    assert!(shown.contains(&format!("server://{images}/deb.tgz")), "{shown}");
    assert!(shown.contains(&format!("server://{images}/post.tgz")), "{shown}");
    // The code is that of kaenv3.
    let again = admin(&service, &place, &words).ended(10);
    assert!(again.err.contains("already been recorded"), "{}", again.err);
}

#[test]
fn the_deployment_system_goes_to_the_boot_servers() {
    let (service, place) = begun();
    for (name, text) in [("k", "kernel"), ("i", "ramdisk"), ("key", "secret")] {
        place.write(name, text);
    }
    let file = place.write("deploy.yaml", "os: deploy\nvmlinuz: k\ninitrd: i\nprivate_key: key\n");
    let ran = admin(&service, &place, &format!("install -c SITE/server.conf {file}")).ended(0);
    assert!(ran.out.contains("boot/kernels/deploy"), "{}", ran.out);
    let there = |name: &str| fs::read_to_string(service.path(name)).unwrap();
    assert_eq!(
        [there("tftp/kernels/k"), there("tftp/kernels/i"), there("id")],
        ["kernel", "ramdisk", "secret"]
    );
    let mode = fs::metadata(service.path("id")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_cannot_be_had_leaves_nothing_behind() {
    let (service, place) = begun();
    let address = web(vec![("/deb.yaml", DEB.replace("img/", ""))]);
    let images = PathBuf::from(place.name("images"));
    let words = |rest: &str| format!("install -c SITE --images {} {rest}", images.display());
    let ran = admin(&service, &place, &words(&format!("{address}/deb.yaml"))).ended(1);
    assert!(
        ran.err.contains("deb.tgz' cannot be used: ") && ran.err.contains("404"),
        "{}",
        ran.err
    );
    assert_eq!(fs::read_dir(&images).unwrap().count(), 0);
    place.run("kaenv3 -p deb").ended(1);
    let ran = admin(&service, &place, &words(&place.write("x", "name: deb\nos: linux\n"))).ended(7);
    assert!(ran.err.contains("mandatory"), "{}", ran.err);
    for (words, said) in [
        ("", "Say what to install"),
        ("remove x", "Say what to install"),
        ("install", "Say what to install"),
        ("install -c SITE ftp://a/b", "unknown protocol ftp"),
        ("install -c SITE /nonexistent", "cannot be used"),
        ("install -c /nonexistent x", "server.conf"),
    ] {
        let ran = admin(&service, &place, words).ended(1);
        assert!(ran.err.contains(said), "{words}: {}", ran.err);
    }
}

#[test]
fn what_is_among_the_images_is_not_overwritten_by_another_file() {
    let (service, place) = begun();
    let text = DEB.replace("img/deb.tgz", "v1/deb.tgz").replace("/post.tgz", "post/deb.tgz");
    for (folder, content) in [("v1", "the image"), ("post", "the archive")] {
        fs::create_dir(place.path(folder)).unwrap();
        place.write(&format!("{folder}/deb.tgz"), content);
    }
    let images = place.name("images");
    let words = format!("install -c SITE -D --images {images} {}", place.write("deb.yaml", &text));
    let ran = admin(&service, &place, &words).ended(1);
    let told = format!(
        "The file '{images}/deb.tgz' cannot be used: there is another file of that name: move it away, or choose another directory with --images\n"
    );
    assert_eq!(ran.err, told);
    let there = || fs::read_to_string(format!("{images}/deb.tgz")).unwrap();
    assert_eq!((there().as_str(), fs::read_dir(&images).unwrap().count()), ("the image", 1));
    place.run("kaenv3 -p deb").ended(1);
    // The same file once more is the same.
    place.write("post/deb.tgz", "the image");
    admin(&service, &place, &words).ended(0);
    // A newer one of the same name is another: the one that is recorded stays.
    place.write("v1/deb.tgz", "a newer image");
    admin(&service, &place, &words).told(1, told.trim_end());
    assert_eq!(there(), "the image");
}

#[test]
fn a_person_is_asked_for_the_directory() {
    let (service, place) = begun();
    let text = DEB.replace("img/", "").replace("/post.tgz", "post.tgz");
    for name in ["deb.tgz", "post.tgz"] {
        place.write(name, name);
    }
    let (site, file) = (service.dir().display(), place.write("deb.yaml", &text));
    let mut child = at_a_terminal(&place, &format!("kaadmin3 install -c {site} {file}"));
    let images = place.name("mine");
    child.stdin.as_mut().unwrap().write_all(format!("{images}\n").as_bytes()).unwrap();
    let (text, code) = end_of(child);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Where are images kept? [/var/lib/kadeploy3/images] "), "{text}");
    assert_eq!(fs::read_to_string(format!("{images}/deb.tgz")).unwrap(), "deb.tgz");
    let shown = place.run("kaenv3 -p deb").ended(0).out;
    assert!(shown.contains(&format!("server://{images}/post.tgz")), "{shown}");
}

#[test]
fn only_root_may_install() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The program may be where nobody else can read it.
    let (program, kadence) = (dir.path().join("kaadmin3"), env!("CARGO_BIN_EXE_kadence"));
    fs::hard_link(kadence, &program).or_else(|_| fs::copy(kadence, &program).map(drop)).unwrap();
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.arg(program).args(["install", "/none"]).current_dir("/");
    let told = "Only root may install: the files are those of the service";
    Ran::of(command.output().unwrap()).told(1, told);
}
