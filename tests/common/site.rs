//! A configuration in a temporary directory.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// `node-[1-3].lab.test` in the cluster alpha, `beta-1.lab.test` in beta. All steps of a
/// deployment are dummies, and the power of a node is the file `power/<node>`:
/// `<node>.hold` beside it keeps its commands waiting, `<node>.broken` lets them fail, and
/// `<node>.boot` is its boot id once it has been rebooted. Where there is a script `guest`, it
/// is run when a node is switched on.
pub(crate) struct Site {
    dir: TempDir,
    /// Where the service listens.
    pub(crate) port: u16,
    /// The port that counts as the ssh port of the nodes.
    pub(crate) ssh: u16,
    /// The port that is open only in the deployment system of the nodes.
    pub(crate) marker: u16,
}

const CLUSTERS: &str = "clusters:
- {name: alpha, conf_file: cluster.conf, nodes: [{name: 'node-[1-3].lab.test', address: '127.0.1.[1-3]'}]}
- {name: beta, prefix: bt, conf_file: cluster.conf, nodes: [{name: beta-1.lab.test, address: 127.0.2.1}]}
";

/// The line of alpha in it.
const ALPHA: &str = "{name: alpha, conf_file: cluster.conf, nodes: [{name: 'node-[1-3].lab.test', address: '127.0.1.[1-3]'}]}";

const SERVER: &str = "rights: {kind: dummy, almighty_users: root}
authentication: {acl: {whitelist: [127.0.0.1]}}
security: {secure_server: false, local_only: true}
network: {server_hostname: localhost, ports: {kadeploy_server: PORT, ssh: SSH, test_deploy_env: MARKER}}
ssh_private_key: DIR/id
state_dir: DIR/state
cache: {directory: DIR/cache, size: 64}
relay: {binary: DIR/relay}
environments: {deployment: {extraction_dir: DIR/mnt, rambin_dir: DIR/ram}}
windows: {reboot: {quiet_time: 0}}
pxe:
  dhcp:
    method: PXElinux
    repository: DIR/tftp
    export: {kind: tftp, server: 127.0.0.1}
    profiles: {directory: pxelinux.cfg, filename: ip_hex}
    userfiles: {directory: userfiles, max_size: 50}
";

const CLUSTER: &str = "partitioning: {block_device: /dev/sda, partitions: {swap: 1, prod: 2, deploy: 3, tmp: 5}, script: DIR/relay}
boot:
  sleep_time_before_ping: 0
  install_bootloader: DIR/relay
  kernels:
    deploy: {vmlinuz: vmlinuz, initrd: initrd, params: ro, supported_fs: 'ext2, ext4'}
timeouts: {reboot: 60, kexec: 60}
remoteops:
  reboot: [{name: soft, cmd: 'DIR/machine reboot HOSTNAME_FQDN'}]
  power_on: [{name: soft, cmd: 'DIR/machine on HOSTNAME_FQDN'}]
  power_off: [{name: soft, cmd: 'DIR/machine off HOSTNAME_FQDN'}]
  power_status: [{name: soft, cmd: 'DIR/machine status HOSTNAME_FQDN'}]
automata:
  macrosteps:
    SetDeploymentEnv: [{type: Dummy, timeout: 300}]
    BroadcastEnv: [{type: Dummy, timeout: 300}]
    BootNewEnv: [{type: Dummy, timeout: 300}]
";

const MACHINE: &str = "#!/bin/sh
# machine ACTION NODE
state=DIR/power/$2
echo \"$1\" >> \"$state.orders\"
while [ -e \"$state.hold\" ]; do sleep 0.1; done
if [ -e \"$state.broken\" ]; then echo \"$2 lost its mains cable\" >&2; exit 3; fi
case $1 in
  on|off) echo \"$1\" > \"$state\"; [ \"$1\" = off ] || [ ! -e DIR/guest ] || sh DIR/guest \"$2\" ;;
  reboot) cat /proc/sys/kernel/random/uuid > \"$state.boot\" ;;
  status) echo \"$2 is $(cat \"$state\")\" ;;
esac
";

impl Site {
    /// A site without mistakes.
    pub(crate) fn new() -> Self {
        let [port, ssh, marker] = [free_port(), free_port(), free_port()];
        let site = Self { dir: tempfile::tempdir().unwrap(), port, ssh, marker };
        for folder in ["state", "cache", "power", "tftp/userfiles", "tftp/pxelinux.cfg"] {
            fs::create_dir_all(site.path(folder)).unwrap();
        }
        for node in ["node-1", "node-2", "node-3", "beta-1"] {
            site.write(&format!("power/{node}.lab.test"), "off\n");
        }
        let server = SERVER.replace("PORT", &port.to_string()).replace("SSH", &ssh.to_string());
        site.write("server.conf", &server.replace("MARKER", &marker.to_string()));
        site.write("clusters.conf", CLUSTERS);
        site.write("cluster.conf", CLUSTER);
        site.write("command.conf", "");
        site.write("version", "test\n");
        site.write("id", "not used");
        site.write("id.pub", "ssh-ed25519 AAAA test\n");
        site.write("relay", "#!/bin/sh\n");
        site.write("image.tgz", "an image");
        site.write("machine", MACHINE);
        fs::set_permissions(site.path("machine"), fs::Permissions::from_mode(0o755)).unwrap();
        site
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A path below it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Writes a file; `DIR` in it stands for the directory.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text.replace("DIR", self.dir().to_str().unwrap())).unwrap();
    }

    /// Puts `to` where `from` stands in a file; `DIR` in it stands for the directory, whose own
    /// name may have these letters.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{from:?} is not in {name}");
        let to = to.replace("DIR", self.dir().to_str().unwrap());
        fs::write(self.path(name), text.replacen(from, &to, 1)).unwrap();
    }

    /// The machines of alpha are simulated, `count` of them, for whom `speed` seconds pass in one;
    /// a deployment takes the macro-steps `steps`.
    pub(crate) fn simulate(&self, count: u32, speed: u32, steps: &str) {
        let cluster = fs::read_to_string(self.path("cluster.conf")).unwrap();
        let (head, _) = cluster.split_once("    SetDeploymentEnv").unwrap();
        self.write("sim.conf", &format!("{head}{steps}"));
        let nodes =
            format!("{{name: 'node-[1-{count}].lab.test', address: '127.0.1.[1-{count}]'}}");
        let sim = format!(
            "platform: sim, sim: {{seed: 3, speed: {speed}, kept: true}}, nodes: [{nodes}]"
        );
        self.edit("clusters.conf", ALPHA, &format!("{{name: alpha, conf_file: sim.conf, {sim}}}"));
    }

    /// From now on the commands of `node` wait.
    pub(crate) fn hold(&self, node: &str) {
        self.write(&format!("power/{node}.lab.test.hold"), "");
    }

    /// They wait no longer.
    pub(crate) fn release(&self, node: &str) {
        fs::remove_file(self.path(&format!("power/{node}.lab.test.hold"))).unwrap();
    }

    /// Ends the site's commands that outlive a service that was killed: one that had just been
    /// started would give its order only now.
    pub(crate) fn end_commands(&self) {
        let mine = self.path("").to_str().unwrap().to_owned();
        loop {
            let left = processes_that_name(&mine);
            if left.is_empty() {
                return;
            }
            for pid in left {
                // It may be over by itself.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }

    /// Forgets the orders that reached a node.
    pub(crate) fn forget_orders(&self, node: &str) {
        self.write(&format!("power/{node}.lab.test.orders"), "");
    }

    /// The orders that reached a node.
    pub(crate) fn orders(&self, node: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(&format!("power/{node}.lab.test.orders")));
        text.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// The description of an environment with a small image on the server.
    pub(crate) fn description(&self) -> Value {
        json!({
            "name": "debian", "version": 1, "os": "linux", "filesystem": "ext4",
            "image": {"file": self.image(), "kind": "tar", "compression": "gzip"},
            "boot": {"kernel": "/vmlinuz", "initrd": "/initrd.img"},
        })
    }

    /// The same in a request, with `changes` over it; a null takes a field away.
    #[expect(clippy::needless_pass_by_value, reason = "callers write `json!` in place")]
    pub(crate) fn anonymous(&self, changes: Value) -> Value {
        let mut description = self.description();
        let fields = description.as_object_mut().unwrap();
        fields.insert("kind".into(), "anonymous".into());
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                fields.remove(name);
            } else {
                fields.insert(name.clone(), value.clone());
            }
        }
        description
    }

    /// The reference of the image.
    pub(crate) fn image(&self) -> String {
        format!("server://{}", self.path("image.tgz").display())
    }
}

/// A port that nobody listens on. Another process may take it before it is used: whoever
/// needs it must say so when it is taken.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Processes, dead ones left out, with `word` in their command line.
fn processes_that_name(word: &str) -> Vec<Pid> {
    let numbers = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i32>().ok());
    // A dead one, and one that is gone, have no command line.
    let named = numbers.filter(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(word)
    });
    named.filter_map(Pid::from_raw).collect()
}
