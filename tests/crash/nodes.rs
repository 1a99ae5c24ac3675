//! Nodes that answer by ssh: one real `sshd` on their addresses, which tells each its own
//! boot id.

use crate::common::Site;
use std::{
    fs,
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const SSHD: &str = "/usr/sbin/sshd";

/// The addresses of node-1 to node-3.
const ADDRESSES: [&str; 3] = ["127.0.1.1", "127.0.1.2", "127.0.1.3"];

/// For what should start, however slow the machine is.
const LONG: Duration = Duration::from_secs(60);

/// What answers in place of the shell: the boot id of the node that was asked.
const ANSWER: &str = "#!/bin/sh
set -- $SSH_CONNECTION
case $SSH_ORIGINAL_COMMAND in
  *boot_id*) cat DIR/power/node-${3##*.}.lab.test.boot ;;
  *) exit 0 ;;
esac
";

/// The server, ended when it goes out of scope.
pub(super) struct Nodes(Child);

impl Nodes {
    /// Lets the nodes of `site` answer by ssh.
    pub(super) async fn of(site: &Site) -> Self {
        // Root's sshd insists on its folder for privilege separation.
        let _ = fs::create_dir_all("/run/sshd");
        for key in ["host", "id"] {
            keygen(site, key);
        }
        site.write("answer", ANSWER);
        fs::set_permissions(site.path("answer"), fs::Permissions::from_mode(0o755)).unwrap();
        for node in 1..=3 {
            let id = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
            site.write(&format!("power/node-{node}.lab.test.boot"), &id);
        }
        let addresses = ADDRESSES.map(|address| format!("ListenAddress {address}\n")).concat();
        let config = format!(
            "Port {}\n{addresses}HostKey DIR/host\nPidFile none\nAuthorizedKeysFile DIR/id.pub\n\
             StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n\
             PermitUserRC no\nMaxStartups 1000\nForceCommand DIR/answer\n",
            site.ssh
        );
        site.write("sshd.conf", &config);
        let mut command = Command::new(SSHD);
        command
            .arg("-D")
            .arg("-f")
            .arg(site.path("sshd.conf"))
            .arg("-E")
            .arg(site.path("sshd.log"));
        let mut server = Self(command.stdin(Stdio::null()).spawn().unwrap());
        let begun = Instant::now();
        while ADDRESSES.iter().any(|address| TcpStream::connect((*address, site.ssh)).is_err()) {
            let log = || fs::read_to_string(site.path("sshd.log"));
            assert!(
                server.0.try_wait().unwrap().is_none() && begun.elapsed() < LONG,
                "{:?}",
                log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn keygen(site: &Site, name: &str) {
    for old in [name.to_owned(), format!("{name}.pub")] {
        let _ = fs::remove_file(site.path(&old));
    }
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(site.path(name));
    assert!(command.status().unwrap().success());
}
