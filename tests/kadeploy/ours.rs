//! The programs against our own service.

use super::programs::{Place, Ran};
use crate::common::{Service, Site, free_port};

/// A service, and a place whose server it is. Its nodes are `node-[1-3].lab.test` and `beta-1.lab.test`.
fn begun() -> (Service, Place) {
    let service = Service::on(Site::new());
    let place = Place::new(&[("ours", service.port)]);
    (service, place)
}

#[test]
fn a_local_image_is_deployed() {
    let (_service, place) = begun();
    place.write("image.tgz", "an image");
    let text = "name: deb\nos: linux\nimage: {file: image.tgz, kind: tar, compression: gzip}\n\
                boot: {kernel: /vmlinuz}\nfilesystem: ext4\n";
    place.write("env", text);
    place.write("key", "ssh-ed25519 AAAA anna\n");
    let words = "kadeploy3 -a env -m node-[1-2] -m beta-1 -k key -V 5 -d -o ok -n ko --write-workflow-id wid --force";
    for secure in ["", "--secure"] {
        let ran = place.run(&format!("{words} {secure}")).ended(0);
        let wid = place.read("wid");
        assert!(ran.out.starts_with(&format!("Deployment #{wid} started\n")), "{}", ran.out);
        assert!(ran.out.contains("Grab the tarball file image.tgz"), "{}", ran.out);
        let end = format!(
            "Deployment #{wid} done\n\nThe deployment is successful on nodes\n\
             beta-1.lab.test\nnode-1.lab.test\nnode-2.lab.test\n"
        );
        assert!(ran.out.ends_with(&end), "{}", ran.out);
        assert_eq!(place.read("ok"), "beta-1.lab.test\nnode-1.lab.test\nnode-2.lab.test\n");
        assert_eq!(place.read("ko"), "");
    }
}

#[test]
fn files_of_a_client_do_not_come_by_a_proxy() {
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let variables = ["http_proxy", "HTTP_PROXY", "all_proxy"].map(|name| (name, nobody.as_str()));
    let service = Service::within(Site::new(), &variables);
    let place = Place::new(&[("ours", service.port)]);
    place.write("image.tgz", "an image");
    let text = "name: deb\nos: other\nimage: {file: image.tgz, kind: dd, compression: gzip}\n";
    place.write("env", text);
    place.run("kaenv3 -a env").told(0, "");
    place.run("kadeploy3 -e deb -m node-1").ended(0);
}

#[test]
fn errors_are_those_of_the_service() {
    let (_service, place) = begun();
    place.write(
        "env",
        "name: deb\nos: other\nimage: {file: 'server:///nowhere', kind: dd, compression: gzip}\n",
    );
    let ran = place.run("kadeploy3 -a env -m node-1").ended(5);
    assert!(ran.err.ends_with("[Kadeploy Error #5]\n"), "{}", ran.err);
    let ran = place.run("kadeploy3 -e nothing -m node-1").ended(1);
    assert_eq!(ran.err, "Resource not found /environments\n");
    let ran = place.run("kareboot3 -m node").ended(2);
    assert!(ran.err.contains("Ambibuous node name 'node'"), "{}", ran.err);
}

#[test]
fn nodes_are_switched_asked_and_rebooted() {
    let (service, place) = begun();
    let ran = place.run("kapower3 --on -m node-1").ended(0);
    assert!(
        ran.out.ends_with("The power operation is successful on nodes\nnode-1.lab.test\n"),
        "{}",
        ran.out
    );
    let ran = place.run("kapower3 --status -m node-1").ended(0);
    assert!(ran.out.contains("---\nnode-1.lab.test: node-1.lab.test is on\n---\n"), "{}", ran.out);
    service.write("power/node-2.lab.test.broken", "");
    let ran = place.run("kapower3 --off -m node-1 -m node-2 -n ko").ended(0);
    assert!(
        ran.out.contains("The power operation failed on nodes\nnode-2.lab.test ("),
        "{}",
        ran.out
    );
    assert_eq!(place.read("ko"), "node-2.lab.test\n");
}

#[test]
fn environments_are_recorded_shown_deployed_and_deleted() {
    let (service, place) = begun();
    let text = "name: deb test\nversion: 1\nos: linux\nimage: {file: 'IMAGE', kind: tar, compression: gzip}\n\
                boot: {kernel: /vmlinuz}\nfilesystem: ext4\npartition_type: 0x83\n";
    place.write("env", &text.replace("IMAGE", &service.image()));
    place.run("kaenv3 -a env").told(0, "");
    let ran = place.run("kaenv3 -l").ended(0);
    let row = ran.out.lines().nth(2).unwrap();
    assert_eq!(row, "deb test              1       anna", "{}", ran.out);
    let shell = |line: &str| Ran::of(place.shell(line).output().unwrap());
    let printed = shell("kaenv3 -p 'deb test'").ended(0).out;
    assert!(printed.starts_with("---\nname: deb test\nversion: 1\n"), "{printed}");
    assert!(printed.contains("partition_type: 131\n"), "{printed}");
    let ran = shell("kadeploy3 -e 'deb test' -m node-1").ended(0);
    assert!(
        ran.out.ends_with("The deployment is successful on nodes\nnode-1.lab.test\n"),
        "{}",
        ran.out
    );
    let state = place.run("kanodes3 -s -m node-1").ended(0).out;
    let shown = "---\nnode-1.lab.test:\n  state: deployed\n  user: anna\n  environment:\n    name: deb test\n    version: 1\n    user: anna\n";
    assert_eq!(state, shown);
    place.run("kaenv3 -a env").ended(10);
    // The latest version, or all of them.
    let text = text.replace("version: 1", "version: 2");
    place.write("env", &text.replace("IMAGE", &service.image()));
    let rows = |words: &str| place.run(words).ended(0).out.lines().count() - 2;
    for all in ["", "-s"] {
        place.run("kaenv3 -a env").told(0, "");
        assert_eq!((rows("kaenv3 -l"), rows("kaenv3 -l -s")), (1, 2));
        shell(&format!("kaenv3 -d 'deb test' {all}")).told(0, "");
    }
    assert_eq!(place.run("kaenv3 -l").ended(0).out, "No environment has been found\n");
}

#[test]
fn what_runs_is_listed() {
    let (service, place) = begun();
    let out = place.run("kanodes3 -p").ended(0).out;
    assert!(out.starts_with("---") && out.trim_end().ends_with("[]"), "{out}");
    service.hold("node-1");
    let ran = place.run("kapower3 --off -m node-1 --no-wait").ended(0);
    let wid = ran.out.split(' ').next().unwrap();
    for words in ["kanodes3 -p".to_owned(), format!("kanodes3 -p -w {wid}")] {
        let out = place.run(&words).ended(0).out;
        assert!(out.starts_with("---\n") && out.contains(&format!("wid: {wid}\n")), "{out}");
    }
    service.release("node-1");
}

#[test]
fn what_the_service_offers_is_told() {
    let (_service, place) = begun();
    assert_eq!(place.run("kareboot3 -v").ended(0).out, "Kadeploy version: test\n");
    let ran = place.run("kadeploy3 -I").ended(0);
    assert!(ran.out.contains("SetDeploymentEnv: SetDeploymentEnvDummy,0,300"), "{}", ran.out);
    assert!(ran.out.contains("KADEPLOY_BLOCK_DEVICE"), "{}", ran.out);
}

#[test]
fn ctrl_c_ends_the_operation() {
    use std::{
        io::{BufRead, BufReader},
        process::Stdio,
    };
    let (service, place) = begun();
    service.hold("node-1");
    let mut command = place.command("kapower3 --on -m node-1");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    crate::cli::wait_for(&mut lines, "started");
    crate::cli::signal(child.id(), rustix::process::Signal::INT);
    assert_eq!(Ran::of(child.wait_with_output().unwrap()).code, 1);
    service.release("node-1");
    // Nobody holds the node any more.
    place.run("kapower3 --on -m node-1").ended(0);
}
