//! A configuration directory of Kadeploy 3, served as it is.

use super::programs::Ran;
use crate::common::free_port;
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// Paths are those of such a site; `ROOT` goes before them.
const SERVER: &str = r#"database: {kind: mysql, host: 127.0.0.1, name: deploy3, login: deploy, passwd: p}
rights: {kind: db, almighty_users: "root,deploy"}
authentication:
  acl: {whitelist: [localhost]}
  http_basic: {dbfile: /etc/kadeploy3/htpasswd, whitelist: []}
security: {secure_server: false}
logs: {logfile: /var/log/kadeploy3/kadeploy.log, debugfile: /var/log/kadeploy3/kadeploy.debug}
cache: {directory: /var/cache/kadeploy3, size: 100}
network: {server_hostname: localhost, ports: {kadeploy_server: 25390, ssh: 22, test_deploy_env: 25391}}
windows: {reboot: {size: 50, sleep_time: 2}}
pxe:
  dhcp:
    method: PXElinux
    repository: /srv/tftp
    export: {kind: tftp, server: 10.0.0.1}
    profiles: {directory: pxelinux.cfg, filename: ip_hex}
    userfiles: {directory: userfiles, max_size: 50}
  localboot: {method: GrubPXE, binary: grubpxe.0, repository: /srv/tftp, profiles: {directory: grub.cfg, filename: ip}}
hooks: {end_of_power: /usr/local/bin/hook.sh WORKFLOW_ID}
external: {taktuk: {auto_propagate: false}}
"#;

const CLUSTERS: &str = r#"clusters:
- {name: alpha, conf_file: alpha-cluster.conf, nodes: [{name: "node-[1-3].testbed.lan", address: "127.0.1.[1-3]"}]}
- {name: beta, prefix: bt, conf_file: beta-cluster.conf, nodes: [{name: beta-1.testbed.lan, address: 127.0.2.1}]}
"#;

const CLUSTER: &str = r#"partitioning: {block_device: /dev/sda, partitions: {swap: 1, prod: 2, deploy: 3, tmp: 5}, script: part.sh}
boot:
  sleep_time_before_ping: 1
  install_bootloader: boot.sh
  kernels:
    user: {params: console=tty0}
    deploy: {vmlinuz: kernels/vmlinuz, initrd: kernels/initrd, params: ro, supported_fs: "ext2, ext3, ext4"}
timeouts: {reboot: 6, kexec: 5}
remoteops:
  reboot: [{name: soft, cmd: "DEFAULT_CONNECTOR HOSTNAME_FQDN reboot"}, {name: hard, cmd: "ipmi-cycle HOSTNAME_SHORT"}]
  power_on: [{name: hard, cmd: "ipmi-on HOSTNAME_SHORT"}]
  power_status: [{name: soft, cmd: "ipmi-status HOSTNAME_SHORT"}]
  console: [{name: soft, cmd: "conman HOSTNAME_SHORT"}]
pxe: {headers: {dhcp: "PROMPT 1\n", localboot: "timeout=1\n"}}
automata:
  macrosteps:
    SetDeploymentEnv: [{type: Dummy, timeout: 20}]
    BroadcastEnv: [{type: Dummy, timeout: 20}]
    BootNewEnv: [{type: Dummy, timeout: 20}]
"#;

/// Directories that the files name, and those of the files they name.
const DIRECTORIES: [&str; 7] = [
    "etc/kadeploy3/keys",
    "srv/tftp/pxelinux.cfg",
    "srv/tftp/grub.cfg",
    "srv/tftp/userfiles",
    "srv/tftp/kernels",
    "usr/local/bin",
    "var/log/kadeploy3",
];

/// Files that the files name, with what is in them.
const FILES: [(&str, &str); 12] = [
    ("etc/kadeploy3/server.conf", SERVER),
    ("etc/kadeploy3/clusters.conf", CLUSTERS),
    ("etc/kadeploy3/alpha-cluster.conf", CLUSTER),
    ("etc/kadeploy3/beta-cluster.conf", CLUSTER),
    ("etc/kadeploy3/command.conf", ""),
    ("etc/kadeploy3/version", "3.3.11.stable\n"),
    // carl's password is "sesame".
    ("etc/kadeploy3/htpasswd", "carl:sab06ANh7.9gw\n"),
    ("etc/kadeploy3/part.sh", "#!/bin/sh\n"),
    ("etc/kadeploy3/boot.sh", "#!/bin/sh\n"),
    ("srv/tftp/grubpxe.0", "a boot loader"),
    ("srv/tftp/kernels/vmlinuz", "a kernel"),
    ("srv/tftp/kernels/initrd", "a ramdisk"),
];

/// A file or a directory that is not there, and what the line begins and ends with that Kadeploy
/// has for it.
const MISSING: [(&str, &str, &str); 16] = [
    ("etc/kadeploy3/server.conf", "The server.conf file", " cannot be read"),
    ("etc/kadeploy3/clusters.conf", "The clusters.conf file", " cannot be read"),
    ("etc/kadeploy3/command.conf", "The command.conf file", " cannot be read"),
    ("etc/kadeploy3/version", "The version file", " cannot be read"),
    ("etc/kadeploy3/alpha-cluster.conf", "Error(clusters.conf) ", " [field: clusters/0/conf_file]"),
    ("etc/kadeploy3/beta-cluster.conf", "Error(clusters.conf) ", " [field: clusters/1/conf_file]"),
    ("etc/kadeploy3/htpasswd", "Error(server.conf) ", " [field: authentication/http_basic/dbfile]"),
    ("etc/kadeploy3/keys/id_deploy", "Error(server.conf) ", " [field: ssh_private_key]"),
    ("etc/kadeploy3/part.sh", "Error(alpha-cluster.conf) ", " [field: partitioning/script]"),
    ("etc/kadeploy3/part.sh", "Error(beta-cluster.conf) ", " [field: partitioning/script]"),
    ("etc/kadeploy3/boot.sh", "Error(alpha-cluster.conf) ", " [field: boot/install_bootloader]"),
    ("srv/tftp", "Error(server.conf) ", " [field: pxe/dhcp/repository]"),
    ("srv/tftp/pxelinux.cfg", "Error(server.conf) ", " [field: pxe/dhcp/profiles/directory]"),
    ("srv/tftp/userfiles", "Error(server.conf) ", " [field: pxe/dhcp/userfiles/directory]"),
    ("srv/tftp/grub.cfg", "Error(server.conf) ", " [field: pxe/localboot/profiles/directory]"),
    ("srv/tftp/grubpxe.0", "Error(server.conf) ", " [field: pxe/localboot/binary]"),
];

/// A site of Kadeploy below a directory that stands for the root.
struct Old {
    root: TempDir,
    port: u16,
}

impl Old {
    fn new() -> Self {
        let old = Self { root: tempfile::tempdir().unwrap(), port: free_port() };
        for directory in DIRECTORIES {
            fs::create_dir_all(old.path(directory)).unwrap();
        }
        for (file, text) in FILES {
            old.write(file, text);
        }
        old.write("usr/local/bin/hook.sh", "#!/bin/sh\n");
        let program = fs::Permissions::from_mode(0o755);
        fs::set_permissions(old.path("usr/local/bin/hook.sh"), program).unwrap();
        // Only the private half, as the old service wants it.
        let key = old.path("etc/kadeploy3/keys/id_deploy");
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        assert!(make.status().unwrap().success());
        fs::remove_file(key.with_extension("pub")).unwrap();
        old
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    /// Writes a file, its paths below the root and its port one that is free.
    fn write(&self, file: &str, text: &str) {
        let root = self.root.path().display().to_string();
        let mut text = text.replace("25390", &self.port.to_string());
        for path in ["/etc/kadeploy3", "/var/log", "/var/cache", "/srv/tftp", "/usr/local"] {
            text = text.replace(path, &format!("{root}{path}"));
        }
        if file.ends_with("server.conf") {
            // Its own place would be outside of the root.
            text = format!("{text}state_dir: {root}/var/lib/kadence\n");
        }
        fs::write(self.path(file), text).unwrap();
    }

    fn serve(&self) -> Command {
        self.kadence("serve")
    }

    fn kadence(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kadence"));
        command.arg(verb).arg("--config-dir").arg(self.path("etc/kadeploy3"));
        command.env("KADENCE_LOG", "info").stdin(Stdio::null());
        command
    }
}

/// Ends with the test, whatever comes of it.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // It may be over by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
}

#[tokio::test]
async fn an_old_configuration_directory_is_served_as_it_is() {
    let old = Old::new();
    let mut service = Ends(old.serve().stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(service.0.stderr.take().unwrap()).lines();
    let mut log = Vec::new();
    while !log.last().is_some_and(|line: &String| line.contains("the service is ready")) {
        log.push(lines.next().unwrap_or_else(|| panic!("{log:#?}")).unwrap());
    }
    let replaced = log.iter().any(|line| line.contains("database") && line.contains("replaced"));
    assert!(replaced, "{log:#?}");
    // Where it listens, and who is who, is as the files say.
    kadence::platform::crypto();
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", old.port);
    let version = reqwest::get(url("/version")).await.unwrap();
    assert_eq!(version.text().await.unwrap(), "3.3.11.stable\n");
    let ask = |path: &str| reqwest::Client::new().get(url(path)).header("X-Kadeploy-User", "carl");
    assert_eq!(ask("/rights").send().await.unwrap().status(), 403);
    let nodes = ask("/nodes?list").basic_auth("carl", Some("sesame")).send().await.unwrap();
    let nodes: Vec<String> = nodes.json().await.unwrap();
    let all = ["beta-1", "node-1", "node-2", "node-3"].map(|node| format!("{node}.testbed.lan"));
    assert_eq!(nodes, all);
    for made in ["var/log/kadeploy3/kadeploy.log", "var/log/kadeploy3/kadeploy.debug"] {
        assert!(old.path(made).is_file(), "{made}");
    }
    assert!(old.path("var/cache/kadeploy3").is_dir());
}

#[test]
fn whatever_is_missing_of_it_is_told_and_it_does_not_start() {
    let old = Old::new();
    for (path, begins, ends) in MISSING {
        let (there, away) = (old.path(path), old.path("away"));
        fs::rename(&there, &away).unwrap();
        let ran = Ran::of(old.serve().output().unwrap()).ended(1);
        // Behind an empty line, as it was.
        let after_empty = ran.err.lines().zip(ran.err.lines().skip(1));
        let mut first = after_empty.filter(|(before, _)| before.is_empty()).map(|(_, line)| line);
        let told = first.any(|line| line.starts_with(begins) && line.ends_with(ends));
        assert!(told, "{path}: {}", ran.err);
        let place = there.to_str().unwrap();
        assert!(ran.err.contains(place), "{path}: {}", ran.err);
        assert!(!old.path("var/lib/kadence").exists(), "{path}");
        fs::rename(away, there).unwrap();
    }
    remove(&old.path("usr/local/bin/hook.sh"));
    let ran = Ran::of(old.serve().output().unwrap()).ended(1);
    assert!(ran.err.contains(" [field: hooks/end_of_power]\n"), "{}", ran.err);
}

/// What the service would find when it starts is found by a look as well, all of it at once.
#[test]
fn what_is_there_and_cannot_be_used_is_told_before_the_service_starts() {
    let old = Old::new();
    old.write("etc/kadeploy3/keys/id_deploy", "no key\n");
    old.write("etc/kadeploy3/ca.pem", "no certificate\n");
    let server = SERVER.replace(
        "  acl: {whitelist: [localhost]}",
        "  acl: {whitelist: [localhost, no-such-host.invalid]}\n  certificate: {ca_cert: ca.pem}",
    );
    let server = server.replace(
        "{secure_server: false}",
        "{secure_server: true, certificate: htpasswd, private_key: {file: htpasswd, algorithm: RSA}}",
    );
    old.write("etc/kadeploy3/server.conf", &format!("{server}eventz: 1\n"));
    let ran = Ran::of(old.kadence("check").output().unwrap()).ended(1);
    assert!(ran.err.starts_with("4 mistakes in the configuration\n"), "{}", ran.err);
    for (begins, key) in [
        (
            "Error(server.conf) ROOT/etc/kadeploy3/keys/id_deploy (`ssh_private_key`) is no private key that can be used: ",
            "ssh_private_key",
        ),
        (
            "Error(server.conf) cannot resolve no-such-host.invalid: ",
            "authentication/acl/whitelist",
        ),
        (
            "Error(server.conf) ROOT/etc/kadeploy3/ca.pem is no PEM file",
            "authentication/certificate",
        ),
        ("Error(server.conf) ROOT/etc/kadeploy3/htpasswd ", "security"),
    ] {
        let begins = begins.replace("ROOT", old.root.path().to_str().unwrap());
        let ends = format!(" [field: {key}]");
        let mut lines = ran.err.lines();
        let told = lines.any(|line| line.starts_with(&begins) && line.ends_with(&ends));
        assert!(told, "{begins}: {}", ran.err);
    }
    assert!(
        ran.err.contains("\nWarning(server.conf) Unused field 'eventz'\nnotice: "),
        "{}",
        ran.err
    );
    assert!(!old.path("var/lib/kadence").exists(), "a look changes nothing");
}

#[test]
fn a_key_that_ssh_cannot_use_is_told() {
    let old = Old::new();
    old.write("etc/kadeploy3/keys/id_deploy", "no key\n");
    let ran = Ran::of(old.serve().output().unwrap()).ended(1);
    let words = "keys/id_deploy (`ssh_private_key`) is no private key that can be used: ";
    assert!(ran.err.contains(words), "{}", ran.err);
}

#[test]
fn kernels_that_are_not_there_yet_are_only_told() {
    let old = Old::new();
    remove(&old.path("srv/tftp/kernels/vmlinuz"));
    let ran = Ran::of(old.kadence("check").output().unwrap()).ended(0);
    assert!(ran.err.contains("boot/kernels/deploy/vmlinuz"), "{}", ran.err);
    assert!(ran.err.contains("srv/tftp/kernels/vmlinuz does not exist"), "{}", ran.err);
}
