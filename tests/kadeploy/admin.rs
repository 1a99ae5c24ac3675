//! `kaadmin3 install`: what is published comes to this machine.

use super::programs::{Place, Ran};
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
