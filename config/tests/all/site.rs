//! A small complete site in a directory of its own.

use config::{Loaded, Mistakes};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

const SERVER: &str = r#"database: {kind: mysql, host: 127.0.0.1, name: deploy3, login: deploy, passwd: hunter2}
rights: {kind: db, almighty_users: "root,deploy"}
authentication:
  acl: {whitelist: [localhost]}
  http_basic: {dbfile: htpasswd, whitelist: []}
security: {secure_server: false}
logs: {logfile: ../log/kadeploy.log, debugfile: ../log/kadeploy.debug}
cache: {directory: ../cache, size: 100}
network: {server_hostname: localhost, ports: {kadeploy_server: 25390, ssh: 22, test_deploy_env: 25391}}
windows: {reboot: {size: 50, sleep_time: 2}}
pxe:
  dhcp:
    method: PXElinux
    repository: ../tftp
    export: {kind: tftp, server: 10.0.0.1}
    profiles: {directory: pxelinux.cfg, filename: ip_hex}
    userfiles: {directory: userfiles, max_size: 50}
  localboot: {method: GrubPXE, binary: grubpxe.0, repository: ../tftp, profiles: {directory: grub.cfg, filename: ip}}
hooks: {end_of_power: ROOT/hook.sh WORKFLOW_ID}
external: {taktuk: {auto_propagate: false}}
state_dir: ../state
"#;

pub(crate) const CLUSTERS: &str = r#"clusters:
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

/// Directories that the files name.
const DIRS: [&str; 6] =
    ["etc/keys", "log", "tftp/pxelinux.cfg", "tftp/grub.cfg", "tftp/userfiles", "tftp/kernels"];
/// Files that the files name.
const FILES: [&str; 9] = [
    "etc/keys/id_deploy",
    "etc/htpasswd",
    "etc/part.sh",
    "etc/boot.sh",
    "etc/version",
    "etc/command.conf",
    "tftp/grubpxe.0",
    "tftp/kernels/vmlinuz",
    "tftp/kernels/initrd",
];

/// A site whose files can be edited and loaded.
pub(crate) struct Site {
    root: TempDir,
}

impl Site {
    /// A site without mistakes.
    pub(crate) fn new() -> Self {
        let site = Self { root: TempDir::new().unwrap() };
        for dir in DIRS {
            fs::create_dir_all(site.path(dir)).unwrap();
        }
        for file in FILES {
            fs::write(site.path(file), "").unwrap();
        }
        site.write("version", "3.3.11\n");
        fs::write(site.path("hook.sh"), "#!/bin/sh\n").unwrap();
        executable(&site.path("hook.sh"));
        site.write("server.conf", SERVER);
        site.write("clusters.conf", CLUSTERS);
        site.write("alpha-cluster.conf", CLUSTER);
        site.write("beta-cluster.conf", CLUSTER);
        site
    }

    /// A path below the site's root.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    /// Writes a file of the configuration, `ROOT` standing for the site's root.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let root = self.root.path().to_str().unwrap();
        fs::write(self.path("etc").join(file), text.replace("ROOT", root)).unwrap();
    }

    /// Puts `to` where `from` stands in a file.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) -> &Self {
        let text = fs::read_to_string(self.path("etc").join(file)).unwrap();
        assert!(text.contains(from), "{from:?} is not in {file}");
        self.write(file, &text.replacen(from, to, 1));
        self
    }

    pub(crate) fn load(&self) -> Result<Loaded, Mistakes> {
        config::load(&self.path("etc"))
    }

    pub(crate) fn loaded(&self) -> Loaded {
        self.load().unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    /// The mistakes as they are shown, with `ROOT` for the site's root.
    pub(crate) fn told(&self) -> String {
        self.relative(&self.load().unwrap_err().to_string())
    }

    /// The notices about one file as they are shown.
    pub(crate) fn notices(&self, file: &str) -> Vec<String> {
        let notices = self.loaded().notices;
        let of_file = notices.iter().filter(|notice| notice.place.file.ends_with(file));
        of_file.map(|notice| self.relative(&notice.to_string())).collect()
    }

    fn relative(&self, text: &str) -> String {
        text.replace(self.root.path().to_str().unwrap(), "ROOT")
    }
}

fn executable(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}
