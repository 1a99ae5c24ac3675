//! `karights3`, `kastat3`, `kanodes3` and `kaconsole3` against our own service.

use super::{
    programs::{Place, Ran},
    terminal::{at_a_terminal, end_of},
};
use crate::common::{Service, Site};
use std::{
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    process::Child,
};

/// A service where rights count and anna is an administrator, and a place whose server it is.
/// Its nodes have consoles that answer what they are told in capitals.
pub(super) fn begun() -> (Service, Place) {
    let site = Site::new();
    site.edit("server.conf", "kind: dummy, almighty_users: root", "kind: db, almighty_users: anna");
    let console = "  console: [{name: soft, cmd: 'DIR/console HOSTNAME_SHORT'}]\nautomata:";
    site.edit("cluster.conf", "automata:", console);
    site.write("console", "#!/bin/sh\necho \"this is $1\"\nstty -echo\nwhile read line; do [ \"$line\" = bye ] && exit; echo \"$line\" | tr a-z A-Z; done\n");
    let program = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(site.path("console"), program).unwrap();
    let service = Service::on(site);
    let place = Place::new(&[("ours", service.port)]);
    (service, place)
}

fn as_user(place: &Place, user: &str, words: &str) -> Ran {
    Ran::of(place.command(words).env("USER", user).output().unwrap())
}

fn shell(place: &Place, line: &str) -> Ran {
    Ran::of(place.shell(line).output().unwrap())
}

const HEAD: &str = "User            Node                                      Partitions
####            ####                                      ##########
";

#[test]
fn rights_are_given_listed_and_taken() {
    let (_service, place) = begun();
    place.run("karights3 -l").told(1, "Resource not found /rights");
    place.run("karights3 -a -u bert -m node-[1-2] -p /dev/sda3").told(0, "");
    let two = format!(
        "{HEAD}bert            node-1.lab.test                           /dev/sda3\n\
         bert            node-2.lab.test                           /dev/sda3\n"
    );
    assert_eq!(place.run("karights3 -l -u bert").ended(0).out, two);
    assert_eq!(place.run("karights3 -l").ended(0).out, two);
    place.run("karights3 -a -u bert -m node-1 -p /dev/sda3").ended(14);
    // Somebody else's node, until it is taken over.
    let ran = place.run("karights3 -a -u carl -m node-1").ended(11);
    let text = "Some rights are already set for user bert on nodes node-1.lab.test";
    assert!(ran.err.contains(text) && ran.err.ends_with("[Kadeploy Error #11]\n"), "{}", ran.err);
    place.run("karights3 -a -u carl -m node-1 -o").told(0, "");
    let rest =
        format!("{HEAD}bert            node-2.lab.test                           /dev/sda3\n");
    assert_eq!(place.run("karights3 -l -u bert").ended(0).out, rest);
    // `*` is everything; it is quoted from the shell.
    shell(&place, "karights3 -a -u anna -m '*' -p '*'").told(0, "");
    let all = format!("{HEAD}anna            *                                         *\n");
    assert_eq!(place.run("karights3 -l -u anna").ended(0).out, all);
    // What rights are for.
    as_user(&place, "carl", "kapower3 --on -m node-1").ended(0);
    let ran = as_user(&place, "carl", "kapower3 --on -m node-2").ended(6);
    let text = "You do not have sufficient rights to perform the operation on all the nodes\n[Kadeploy Error #6]\n";
    assert_eq!(ran.err, text);
    place.run("karights3 -d -u carl -m node-1").told(0, "");
    as_user(&place, "carl", "kapower3 --on -m node-1").ended(6);
    place.run("karights3 -d -u carl").ended(14);
    let denied = "Forbidden -- Only administrators are allowed to manage rights\n[HTTP Error #403 on GET /rights]";
    as_user(&place, "carl", "karights3 -l").told(2, denied);
}

#[test]
fn what_was_done_is_counted() {
    let (service, place) = begun();
    shell(&place, "karights3 -a -u anna -m '*' -p '*'").told(0, "");
    service.write("power/node-2.lab.test.broken", "");
    let ran = place.run("kapower3 --on -m node-[1-2] --write-workflow-id wid").ended(0);
    assert!(ran.out.contains("The power operation failed on nodes\nnode-2.lab.test ("), "{ran:?}");
    let wid = place.read("wid");
    place.run("kareboot3 -r deploy_env -m node-1 --dry-run").told(0, "");
    let fields = "wid,user,hostname,step1,success";
    let rows = format!("{wid},anna,node-1.lab.test,On,true\n{wid},anna,node-2.lab.test,On,false\n");
    let sorted = place.run(&format!("kastat3 -a -F {fields} --sort hostname")).ended(0).out;
    assert_eq!(sorted, rows);
    let one =
        place.run(&format!("kastat3 -a -F {fields} -m node-1 -o power -w {wid}")).ended(0).out;
    assert_eq!(one, rows.lines().next().unwrap().to_owned() + "\n");
    assert_eq!(place.run("kastat3 -a -o deploy").ended(0).out, "");
    assert_eq!(place.run("kastat3 -a -l 1").ended(0).out.lines().count(), 1);
    assert_eq!(place.run("kastat3 -a -r 1").ended(0).out, "");
    let all = place.run("kastat3 -a").ended(0).out;
    let columns = all.lines().next().unwrap().split(',').count();
    assert_eq!((all.lines().count(), columns), (2, 20), "{all}");
    let past = shell(&place, "kastat3 -a -y '2001-01-01 00:00:00'").ended(0).out;
    assert_eq!(past, "");
    let now = shell(&place, "kastat3 -a -x '2001-01-01 00:00:00' -F hostname").ended(0).out;
    assert_eq!(now.lines().count(), 2);
    let rates = place.run("kastat3 -b").ended(0).out;
    assert_eq!(rates, "node-1.lab.test: 0.0\nnode-2.lab.test: 1.0\n");
    assert_eq!(place.run("kastat3 -b 0.5").ended(0).out, "node-2.lab.test: 1.0\n");
    place.run("kastat3 -a -F nothing").ended(4);
}

#[test]
fn all_that_runs_is_told_in_one_list() {
    let (service, place) = begun();
    assert_eq!(place.run("kanodes3 -a").ended(0).out, "--- []\n");
    shell(&place, "karights3 -a -u anna -m '*' -p '*'").told(0, "");
    service.hold("node-1");
    service.hold("node-2");
    let power = place.run("kapower3 --off -m node-1 --no-wait").ended(0).out;
    let reboot = place.run("kareboot3 -m node-2 --no-wait").ended(0).out;
    let wid = |out: &str| out.split(' ').next().unwrap().to_owned();
    let (power, reboot) = (wid(&power), wid(&reboot));
    let out = place.run("kanodes3 -a").ended(0).out;
    let keys = |wid: &str| format!("- wid: {wid}\n  user: anna\n  done: false\n  error: false\n");
    let reboots = out.find(&keys(&reboot)).unwrap_or_else(|| panic!("{out}"));
    let powers = out.find(&keys(&power)).unwrap_or_else(|| panic!("{out}"));
    assert!(out.starts_with("---\n") && reboots < powers, "{out}");
    // One kind alone has the keys of the service.
    let out = place.run("kanodes3 -r").ended(0).out;
    assert!(out.starts_with(&format!("---\n- :wid: {reboot}\n  :user: anna\n")), "{out}");
    let out = place.run(&format!("kanodes3 -r -w {reboot}")).ended(0).out;
    assert!(out.starts_with(&format!("---\n:wid: {reboot}\n:user: anna\n")), "{out}");
    assert_eq!(place.run("kanodes3 -c").ended(0).out, "--- []\n");
    service.release("node-1");
    service.release("node-2");
}

fn sees(child: &mut Child, text: &str) {
    let mut seen = Vec::new();
    while !seen.ends_with(text.as_bytes()) {
        let mut letter = [0];
        let read = child.stdout.as_mut().unwrap().read_exact(&mut letter);
        assert!(read.is_ok(), "{text:?} does not come: {}", String::from_utf8_lossy(&seen));
        seen.push(letter[0]);
    }
}

fn types(child: &mut Child, keys: &str) {
    child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
}

#[test]
fn a_person_talks_to_a_node() {
    let (_service, place) = begun();
    let (text, code) = end_of(at_a_terminal(&place, "kaconsole3 -m node-1"));
    assert_eq!(code, Some(6), "{text}");
    shell(&place, "karights3 -a -u anna -m '*' -p '*'").told(0, "");
    let mut child = at_a_terminal(&place, "kaconsole3 -m node-1");
    sees(&mut child, "[Kaconsole] kill sequence: ^[^[^[^[");
    sees(&mut child, "this is node-1");
    types(&mut child, "hello\r");
    sees(&mut child, "HELLO");
    let listed = place.run("kanodes3 -c").ended(0).out;
    for line in [
        "- :id: C-",
        "  :user: anna\n",
        "  :node: node-1.lab.test\n",
        "  :attached: true\n",
        "  :console_uri: tcp://localhost:",
    ] {
        assert!(listed.contains(line), "{line:?} is not in {listed}");
    }
    types(&mut child, "\x1b\x1b\x1b\x1b");
    let (text, code) = end_of(child);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(place.run("kanodes3 -c").ended(0).out, "--- []\n");
    // The node ends it.
    let mut child = at_a_terminal(&place, "kaconsole3 -m node-2");
    sees(&mut child, "this is node-2");
    types(&mut child, "bye\r");
    let (text, code) = end_of(child);
    assert_eq!(code, Some(0), "{text}");
    // The right goes, and the console with it.
    place.run("karights3 -a -u bert -m node-3").ended(0);
    let mut command = place.command("kaconsole3 -m node-3");
    command.env("USER", "bert");
    let mut child = super::terminal::started_at_a_terminal(&place, &command);
    sees(&mut child, "this is node-3");
    place.run("karights3 -d -u bert -m node-3").told(0, "");
    let (text, code) = end_of(child);
    assert_eq!(code, Some(0), "{text}");
}
