//! A node that is there for ssh: its system is this machine, whose sshd listens at the node's
//! address once the node was switched on.

use super::{Site, program::program};
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// The system of `node-1.lab.test`; it ends with the test.
pub(crate) struct Guest {
    /// Holds the id of its sshd, longer than the site lives.
    dir: TempDir,
    /// Starts it.
    script: PathBuf,
    /// What tells the deployment system from an installed one.
    _marker: TcpListener,
}

impl Guest {
    /// Prepares `site`: a real key, a real relay, the scripts of the examples. The guest is
    /// not there before the node is switched on.
    pub(crate) fn on(site: &Site) -> Self {
        let uid = rustix::process::geteuid();
        assert!(uid.is_root(), "the service logs in to nodes as root: run scripts/test as root");
        // Root's sshd insists on its folder for privilege separation.
        fs::create_dir_all("/run/sshd").unwrap();
        for key in ["id", "host"] {
            fs::remove_file(site.path(key)).ok();
            ran(Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(site.path(key)));
        }
        fs::create_dir_all(site.path("mnt")).unwrap();
        let relay = fs::copy(program(), site.path("relay"));
        relay.unwrap();
        let sshd = "Port SSH\nListenAddress 127.0.1.1\nHostKey DIR/host\nPidFile PID\n\
             AuthorizedKeysFile DIR/id.pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n\
             PasswordAuthentication no\nPermitUserRC no\n";
        let dir = tempfile::tempdir().unwrap();
        let sshd = sshd.replace("PID", dir.path().join("pid").to_str().unwrap());
        site.write("sshd_config", &sshd.replace("Port SSH", &format!("Port {}", site.ssh)));
        site.write("guest", "exec /usr/sbin/sshd -f DIR/sshd_config -E DIR/sshd.log\n");
        let script = format!("script: {}", site.path("relay").display());
        let example = concat!("script: ", env!("CARGO_MANIFEST_DIR"), "/examples/partition-gpt");
        site.edit("cluster.conf", &script, example);
        let marker = TcpListener::bind(("127.0.1.1", site.marker)).unwrap();
        Self { dir, script: site.path("guest"), _marker: marker }
    }

    /// It is there from now on.
    pub(crate) fn boot(&self) {
        ran(Command::new("sh").arg(&self.script));
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // None where it was never there.
        let Ok(pid) = fs::read_to_string(self.dir.path().join("pid")) else { return };
        let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap_or(0));
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
    }
}

/// A disk that is a file, given back with the test.
pub(crate) struct Loop(pub(crate) String);

impl Loop {
    /// A disk of `mib` MiB in `file`.
    pub(crate) fn new(file: &Path, mib: u64) -> Self {
        fs::File::create(file).unwrap().set_len(mib << 20).unwrap();
        Self(ran(Command::new("losetup").args(["--find", "--show"]).arg(file)))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        Command::new("losetup").args(["--detach", &self.0]).status().ok();
    }
}

/// Standard output of a program that succeeds.
#[track_caller]
fn ran(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
