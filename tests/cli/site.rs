//! A service in a temporary directory.

use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::Arc,
};

/// The program under test.
pub(super) fn kadence() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("kadence"));
    for name in ["KADENCE_SERVER", "KADENCE_LOG", "RUST_LOG", "KADEPLOY3_CONFIG_DIR"] {
        command.env_remove(name);
    }
    command.env("USER", "anna");
    command
}

/// A configuration in a temporary directory. Nodes: n-1.site to n-3.site in the cluster
/// `one`, m-1.site in `two`.
#[derive(Clone)]
pub(super) struct Site {
    dir: Arc<tempfile::TempDir>,
    port: u16,
}

/// What one run of the program left.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ran {
    pub(super) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output is one JSON document.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub(super) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

impl Site {
    /// Configured, not running.
    pub(super) fn new() -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        // Another process may take it before the service does; the tests of one run share
        // no ports, and the kernel hands out ephemeral ports in turn.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let site = Self { dir, port };
        for folder in ["state", "cache", "tftp", "tftp/userfiles", "tftp/pxelinux.cfg"] {
            fs::create_dir_all(site.path(folder)).unwrap();
        }
        site.write("id", "not used");
        site.write("id.pub", "ssh-ed25519 AAAA test\n");
        for file in ["relay", "part.sh", "boot.sh", "tftp/vmlinuz", "tftp/initrd"] {
            site.write(file, "#!/bin/sh\n");
        }
        site.write("version", "1\n");
        site.write("command.conf", "");
        site.write("server.conf", &site.server_conf(port));
        site.write("clusters.conf", CLUSTERS);
        site.write("power.sh", POWER);
        let script = format!("sh {}", site.path("power.sh").display());
        site.write("one.conf", &site.cluster_conf(&script));
        site.write("two.conf", &site.cluster_conf("sh -c 'echo no power here >&2; exit 3' --"));
        site
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(super) fn server_conf(&self, port: u16) -> String {
        let dir = self.dir.path().display();
        format!(
            "rights: {{kind: dummy, almighty_users: root}}
authentication: {{acl: {{whitelist: [127.0.0.1]}}}}
security: {{secure_server: false, local_only: true}}
network: {{server_hostname: localhost, ports: {{kadeploy_server: {port}}}}}
ssh_private_key: {dir}/id
state_dir: {dir}/state
cache: {{directory: {dir}/cache, size: 64}}
relay: {{binary: {dir}/relay}}
pxe:
  dhcp:
    method: PXElinux
    repository: {dir}/tftp
    export: {{kind: tftp, server: 127.0.0.1}}
    profiles: {{directory: pxelinux.cfg, filename: ip_hex}}
    userfiles: {{directory: userfiles, max_size: 50}}
"
        )
    }

    /// `power` is the command that changes and tells the power.
    pub(super) fn cluster_conf(&self, power: &str) -> String {
        let dir = self.dir.path().display();
        format!(
            "partitioning: {{block_device: /dev/sda, partitions: {{swap: 1, prod: 2, deploy: 3, tmp: 5}}, script: {dir}/part.sh}}
boot:
  install_bootloader: {dir}/boot.sh
  kernels:
    user: {{params: console=tty0}}
    deploy: {{vmlinuz: vmlinuz, initrd: initrd, params: ro, supported_fs: 'ext2, ext4'}}
timeouts: {{reboot: 6, kexec: 5}}
remoteops:
  reboot: [{{name: soft, cmd: \"{power} on HOSTNAME_FQDN\"}}]
  power_on: [{{name: soft, cmd: \"{power} on HOSTNAME_FQDN\"}}]
  power_off: [{{name: soft, cmd: \"{power} off HOSTNAME_FQDN\"}}]
  power_status: [{{name: soft, cmd: \"{power} status HOSTNAME_FQDN\"}}]
automata:
  macrosteps:
    SetDeploymentEnv: [{{type: Dummy, timeout: 20}}]
    BroadcastEnv: [{{type: Dummy, timeout: 20}}]
    BootNewEnv: [{{type: Dummy, timeout: 20, retries: 2}}]
"
        )
    }

    /// `kadence serve`, not yet started.
    pub(super) fn serve_command(&self) -> Command {
        let mut command = kadence();
        command.arg("serve").arg("--config-dir").arg(self.dir.path());
        command
    }

    /// Starts the service; returns when it is ready.
    pub(super) fn serve(self) -> Service {
        let mut child = self.serve_command().stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut before = Vec::new();
        loop {
            let line = lines.next().unwrap_or_else(|| panic!("{before:#?}")).unwrap();
            if line.contains("the service is ready") {
                break;
            }
            before.push(line);
        }
        let log = std::thread::spawn(move || lines.map_while(Result::ok).collect());
        Service { site: self, child, log: Some(log) }
    }

    /// The program as a user of this service runs it.
    pub(super) fn user(&self, words: &[&str]) -> Command {
        let mut command = kadence();
        command.args(words).current_dir(self.dir.path());
        command.env("KADENCE_SERVER", self.url());
        command
    }

    /// Where the service is.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn run(&self, words: &[&str]) -> Ran {
        Ran::of(self.user(words).stdin(Stdio::null()).output().unwrap())
    }

    /// A description whose image is a small file here.
    pub(super) fn environment(&self, name: &str) -> &'static str {
        self.write("image.tgz", "an image");
        let text = format!(
            "name: {name}
version: 1
description: for tests
os: linux
image: {{file: image.tgz, kind: tar, compression: gzip}}
boot: {{kernel: /vmlinuz, initrd: /initrd}}
filesystem: ext4
partition_type: 131
"
        );
        self.write("env.yaml", &text);
        "env.yaml"
    }
}

/// A machine is a file that says whether it has power.
const POWER: &str = "cd $(dirname $0)
case $1 in
status) cat $2.power 2>/dev/null || echo off ;;
*) echo $1 > $2.power ;;
esac
";

const CLUSTERS: &str = "clusters:
- {name: one, conf_file: one.conf, nodes: [{name: 'n-[1-3].site', address: '127.0.1.[1-3]'}]}
- {name: two, prefix: b, conf_file: two.conf, nodes: [{name: m-1.site, address: 127.0.2.1}]}
";

/// A running service, stopped when it goes out of scope.
pub(super) struct Service {
    site: Site,
    child: Child,
    log: Option<std::thread::JoinHandle<Vec<String>>>,
}

impl std::ops::Deref for Service {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Service {
    /// Stops it as an operator does; its exit code and its log.
    pub(super) fn stop(mut self) -> (Option<i32>, Vec<String>) {
        signal(self.child.id(), rustix::process::Signal::TERM);
        let code = self.child.wait().unwrap().code();
        (code, self.log.take().unwrap().join().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have been stopped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends `what` to the process `pid`.
pub(crate) fn signal(pid: u32, what: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, what).unwrap();
}

/// Reads lines of a stream until one contains `text`; returns that line.
pub(crate) fn wait_for(
    lines: &mut impl Iterator<Item = std::io::Result<String>>,
    text: &str,
) -> String {
    let mut before = Vec::new();
    for line in lines {
        let line = line.unwrap();
        if line.contains(text) {
            return line;
        }
        before.push(line);
    }
    panic!("no `{text}` in {before:#?}");
}
