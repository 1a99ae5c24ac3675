//! Each kind of mistake, in the words a person reads.

use crate::site::{CLUSTERS, Site};
use config::{Mistakes, Notice};
use std::{fmt::Write as _, fs, path::Path};

/// One edit of a site without mistakes: file, what is replaced, by what.
const EDITS: &[(&str, &str, &str)] = &[
    ("server.conf", "ssh: 22", "ssh: \"22\""),
    ("server.conf", "ssh: 22", "ssh: 70000"),
    ("server.conf", "ssh: 22", "ssh: [22]"),
    ("server.conf", "secure_server: false", "secure_server: 0"),
    ("server.conf", "server_hostname: localhost", "server_hostname: 7"),
    ("server.conf", "method: PXElinux", "method: PXElinus"),
    ("server.conf", "size: 100", "siez: 100"),
    ("server.conf", "directory: ../cache", "directory: htpasswd"),
    ("server.conf", "dbfile: htpasswd", "dbfile: htpaswd"),
    ("server.conf", "[localhost]", "[10.0.0.0/33, 300.0.0.1, /a]"),
    ("server.conf", "[localhost]", "[]"),
    ("server.conf", "acl: {whitelist: [localhost]}", "ident:"),
    ("server.conf", "acl: {whitelist: [localhost]}", "ident: {whitelist: }"),
    ("server.conf", "acl: {whitelist: [localhost]}", "certificate: {}"),
    ("server.conf", "authentication:", "authentification:"),
    ("server.conf", "{secure_server: false}", "{certificate: htpasswd}"),
    ("server.conf", "kind: tftp", "kind: http"),
    ("server.conf", "kind: mysql", "kind: sqlite"),
    ("server.conf", "passwd: hunter2", "passwd: 4711"),
    ("server.conf", "passwd: hunter2", "paswd: hunter2"),
    ("server.conf", "binary: grubpxe.0", "binary: none.0"),
    ("server.conf", "directory: pxelinux.cfg", "directory: pxelinux"),
    ("server.conf", "directory: userfiles", "directory: files"),
    ("server.conf", "windows: {", "windows: 5 # {"),
    ("server.conf", "windows: {", "netboot: {dhcp: full}\nwindows: {"),
    ("server.conf", "windows: {", "netboot: {tftp: 10.0.0.1}\nwindows: {"),
    ("clusters.conf", "127.0.1.[1-3]", "127.0.1.[1-4]"),
    ("clusters.conf", "127.0.2.1", "127.0.1"),
    ("clusters.conf", "beta-1.testbed.lan", "beta;1"),
    ("clusters.conf", "[1-3].testbed", "[0-99999999].testbed"),
    ("clusters.conf", "prefix: bt", "prefix: [bt"),
    ("clusters.conf", "127.0.2.1", "127.0.2.1, mac: 52:54:00"),
    ("clusters.conf", "127.0.2.1", "127.0.2.1, bmc: {driver: ipmi, address: b}"),
    ("clusters.conf", "beta-cluster.conf", "gamma.conf"),
    (
        "alpha-cluster.conf",
        "BroadcastEnv: [{type: Dummy",
        "BroadcastEnv: [{retries: x, type: Classical",
    ),
    (
        "alpha-cluster.conf",
        "SetDeploymentEnv: [{type: Dummy, timeout: 20}",
        "SetDeploymentEnv: [{type: Untrusted}",
    ),
    ("alpha-cluster.conf", "reboot: 6", "reboot: soon!"),
    ("alpha-cluster.conf", "{name: hard, cmd: \"ipmi-cycle", "{name: hrad, cmd: \"ipmi-cycle"),
    ("alpha-cluster.conf", "{name: soft, cmd: \"conman", "{name: soft, cmd: \"/none/conman"),
    ("alpha-cluster.conf", "console: [", "console: [cu, "),
    ("alpha-cluster.conf", "swap: 1, ", ""),
    ("alpha-cluster.conf", "swap: 1, ", "swap: \"1\", "),
    ("alpha-cluster.conf", "swap: 1, ", "swap: disk/0/SWAP, "),
    ("alpha-cluster.conf", "swap: 1, ", "swap: system/SWAP, "),
    ("alpha-cluster.conf", "deploy: 3, ", ""),
    ("alpha-cluster.conf", "block_device: /dev/sda", "block_device: sd/a"),
    (
        "alpha-cluster.conf",
        "timeout: 20}",
        "timeout: 20, microsteps: [{name: reboot, pre-ops: [{name: x, action: send, file: boot.sh}]}]}",
    ),
    ("alpha-cluster.conf", "timeout: 20}", "timeout: 20, microsteps: [{name: mount_deploy_prt}]}"),
];

/// The messages are those of `mistakes.txt`; `UPDATE=1` rewrites it.
#[test]
fn each_kind_in_its_words() {
    let mut told = String::new();
    for (file, from, to) in EDITS {
        let message = Site::new().edit(file, from, to).told();
        assert!(!message.contains("hunter2"), "{message}");
        let _ = writeln!(told, "==== {file}: {from:?} -> {to:?}\n{message}");
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/mistakes.txt");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&golden, &told).unwrap();
    }
    for (line, (found, wanted)) in
        told.lines().zip(fs::read_to_string(golden).unwrap().lines()).enumerate()
    {
        assert_eq!(found, wanted, "line {} of mistakes.txt", line + 1);
    }
}

#[test]
fn five_mistakes_are_five() {
    let site = Site::new();
    site.edit("server.conf", "ssh: 22", "ssh: x").edit("server.conf", "size: 100", "siez: 100");
    site.edit("clusters.conf", "127.0.2.1", "127.0.2");
    site.edit("beta-cluster.conf", "script: part.sh", "script: party.sh");
    site.write("command.conf", "node-1.testbed.lan: {reboot_hart: x}\n");
    let mistakes = site.load().unwrap_err().all;
    let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
    let command = "node-1.testbed.lan/reboot_hart";
    assert_eq!(
        keys,
        [
            "cache/size",
            "network/ports/ssh",
            "clusters/1/nodes/0/address",
            "partitioning/script",
            command
        ]
    );
    assert_eq!(mistakes[4].hint.as_deref(), Some("did you mean `reboot_hard`?"));
    assert!(site.told().starts_with("5 mistakes in the configuration\n"));
}

#[test]
fn files_that_are_missing() {
    let site = Site::new();
    for file in ["version", "clusters.conf", "keys/id_deploy"] {
        fs::remove_file(site.path("etc").join(file)).unwrap();
    }
    let told = site.told();
    assert!(
        told.contains(
            "ROOT/etc/version\n  found:    The version file cannot be read: No such file"
        ),
        "{told}"
    );
    assert!(
        told.contains(
            "ROOT/etc/clusters.conf\n  found:    The clusters.conf file cannot be read: No such"
        ),
        "{told}"
    );
    assert!(told.contains("ssh_private_key") && told.contains("(the default)"), "{told}");
    assert_eq!(site.load().unwrap_err().all.len(), 3);
}

#[test]
fn what_else_there_is_to_say_is_told_with_the_mistakes() {
    let site = Site::new();
    site.edit("server.conf", "size: 100", "size: many, disabled: true");
    let Mistakes { all, notices } = site.load().unwrap_err();
    assert_eq!((all.len(), all[0].key.as_str()), (1, "cache/size"));
    let unknown: Vec<_> = notices.iter().filter_map(Notice::old).collect();
    assert_eq!(unknown, ["Warning(server.conf) Unused field 'cache/disabled'"]);
}

/// Edits as above, and the line that scripts look for.
const OLD: &[(&str, &str, &str, &str)] = &[
    ("server.conf", "size: 100", "", "The field is mandatory [field: cache/size]"),
    ("server.conf", "size: 100", "size: ~", "The field is mandatory [field: cache/size]"),
    (
        "server.conf",
        "size: 100",
        "size: '100'",
        "The field should have the type Integer [field: cache/size]",
    ),
    (
        "server.conf",
        "secure_server: false",
        "secure_server: 0",
        "The field should have the type Boolean [field: security/secure_server]",
    ),
    (
        "server.conf",
        "[localhost]",
        "localhost",
        "The field should have the type Array [field: authentication/acl/whitelist]",
    ),
    (
        "server.conf",
        "windows: {",
        "windows: 5 # {",
        "The field should have the type Hash [field: windows]",
    ),
    (
        "server.conf",
        "method: PXElinux",
        "method: PXE",
        "Invalid value 'PXE', allowed values are: 'PXElinux', 'GPXElinux', 'IPXE' or 'GrubPXE' [field: pxe/dhcp/method]",
    ),
    (
        "server.conf",
        "kind: mysql",
        "kind: oracle",
        "Invalid value 'oracle', allowed values are: 'mysql' [field: database/kind]",
    ),
    (
        "server.conf",
        "kind: tftp",
        "kind: http",
        "Kadeploy::NetBoot::PXElinux do not support 'http' (supported values: tftp)",
    ),
    (
        "server.conf",
        "  acl: {whitelist: [localhost]}\n  http_basic: {dbfile: htpasswd, whitelist: []}",
        "  {}",
        "You must set at least one authentication method",
    ),
    (
        "server.conf",
        "acl: {whitelist: [localhost]}",
        "certificate: {}",
        "At least a certificate or a public key have to be specified",
    ),
    (
        "clusters.conf",
        "127.0.1.[1-3]",
        "127.0.1.[1-4]",
        "Incoherent number of hostnames and IP addresses",
    ),
    ("clusters.conf", CLUSTERS, "clusters: []\n", "The nodes list is empty"),
    ("command.conf", "", "node-1.testbed.lan: {reboot: x}\n", "Unknown command kind: reboot"),
    (
        "command.conf",
        "",
        "node-9.testbed.lan: {console: x}\n",
        "The node node-9.testbed.lan does not exist",
    ),
    (
        "alpha-cluster.conf",
        "{name: hard, cmd: \"ipmi-cycle",
        "{name: hrad, cmd: \"ipmi-cycle",
        "error in remoteops, Invalid value 'hrad', allowed values are: 'soft', 'hard' or 'very_hard' [field: remoteops/reboot/1/name]",
    ),
    (
        "alpha-cluster.conf",
        "SetDeploymentEnv: [{type: Dummy, timeout: 20}",
        "SetDeploymentEnv: [{type: Untrusted, timeout: 5}",
        "Global reboot timeout is greater than the timeout of the macrostep SetDeploymentEnvUntrusted",
    ),
];

#[test]
fn what_kadeploy_said_of_a_mistake_is_said_first() {
    for (file, from, to, words) in OLD {
        let told = Site::new().edit(file, from, to).told();
        let lines = told.lines().filter(|line| line.starts_with("Error("));
        assert_eq!(lines.collect::<Vec<_>>(), [format!("Error({file}) {words}")], "{to}");
    }
}

#[test]
fn commands_of_nobody() {
    let site = Site::new();
    site.write("command.conf", "node-4.testbed.lan: {console: cu}\n");
    let mistakes = site.load().unwrap_err().all;
    assert_eq!(mistakes[0].found, "the node `node-4.testbed.lan`");
    assert_eq!(mistakes.len(), 1);
}

#[test]
fn a_mac_twice_names_both_places() {
    let site = Site::new();
    site.write("clusters.conf", "clusters:\n- name: a\n  conf_file: alpha-cluster.conf\n  nodes:\n  - {name: n1, address: 10.0.0.1, mac: 52:54:00:00:00:0a}\n  - {name: n2, address: 10.0.0.2, mac: 52-54-00-00-00-0A}\n");
    let mistake = &site.load().unwrap_err().all[0];
    assert_eq!((mistake.place.line, mistake.other.as_ref().unwrap().line), (6, 5));
    assert_eq!(mistake.found, "the MAC address `52:54:00:00:00:0a` a second time");
}

#[test]
fn an_alias_bomb_is_stopped() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..9 {
        let inner = vec![format!("*a{}", n - 1); 10].join(", ");
        let _ = writeln!(bomb, "a{n}: &a{n} [{inner}]");
    }
    let site = Site::new();
    site.write("server.conf", &bomb);
    let mistakes = site.load().unwrap_err().all;
    assert_eq!((mistakes.len(), mistakes[0].expected.as_str()), (1, "well-formed YAML"));
}

#[test]
fn a_password_on_lines_of_its_own_is_not_shown() {
    for secret in [
        "passwd: |\n    hunter2\n  kind: x",
        "passwd:\n    'hunter2'\n  kind: x",
        "passwd: [hunter2]\n  kind: x",
    ] {
        let site = Site::new();
        let text = fs::read_to_string(site.path("etc/server.conf")).unwrap();
        let rest = text.split_once('\n').unwrap().1.to_owned();
        site.write("server.conf", &format!("database:\n  {secret}\n{rest}"));
        let mistakes = site.load().unwrap_err();
        assert!(mistakes.to_string().contains("database/kind"));
        assert!(!format!("{mistakes}{mistakes:?}").contains("hunter2"), "{mistakes}");
    }
}
