//! A real OpenSSH server for tests: own port, own keys, in a temporary folder.
//! It listens on the wildcard address, so every 127.x.y.z is a node.

use super::{Ssh, SshOptions};
use crate::nodes::{Firmware, Node};
use config::Connector;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::TcpStream, process::Child};

const SSHD: &str = "/usr/sbin/sshd";

pub(crate) struct Sshd {
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
    address: &'static str,
    server: Child,
}

/// A node at a loopback address.
pub(crate) fn node(name: &str, address: [u8; 4]) -> Node {
    Node {
        name: name.into(),
        cluster: "test".into(),
        address: address.into(),
        macs: Vec::new(),
        firmware: Firmware::Bios,
        bmc: None,
        rack: None,
        switch: None,
    }
}

impl Sshd {
    /// Starts a server on every address and waits until it answers.
    pub(crate) async fn start() -> Self {
        Self::start_at("0.0.0.0").await
    }

    /// Starts a server on one address and waits until it answers.
    pub(crate) async fn start_at(address: &'static str) -> Self {
        assert!(Path::new(SSHD).exists(), "no {SSHD}: run scripts/setup");
        // Root's sshd insists on its folder for privilege separation.
        let _ = fs::create_dir_all("/run/sshd");
        let folder = tempfile::tempdir().expect("a temporary folder");
        for key in ["host", "client", "stranger"] {
            keygen(&folder.path().join(key));
        }
        fs::copy(folder.path().join("client.pub"), folder.path().join("authorized"))
            .expect("a copy");
        // Another process may take the free port before sshd does: then once more.
        for _ in 0..5 {
            let free = std::net::TcpListener::bind("0.0.0.0:0").expect("a free port");
            let port = free.local_addr().expect("its address").port();
            drop(free);
            let mut server = serve(folder.path(), address, port);
            if answers(&mut server, address, port).await {
                return Self { port, folder, address, server };
            }
        }
        panic!("sshd does not start: {}", log(folder.path()));
    }

    /// A shell whose nodes this server plays.
    pub(crate) fn shell(&self) -> Ssh {
        Ssh::new(self.options())
    }

    pub(crate) fn options(&self) -> SshOptions {
        let output = Command::new("id").arg("-un").output().expect("id runs");
        let user = String::from_utf8(output.stdout).expect("a name").trim().to_owned();
        // Not the keys of whoever runs the tests.
        let Connector::Ssh(alone) = Connector::parse("ssh -o IdentityAgent=none") else {
            panic!("it is ssh")
        };
        let connector = Some(alone);
        SshOptions { user, port: self.port, connector, ..SshOptions::new(self.path("client")) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How many connections were logged in, by the server's log.
    pub(crate) fn log_ins(&self) -> usize {
        log(self.folder.path()).matches("Accepted publickey").count()
    }

    /// Ends the listening server and starts it with another host key, on the same port.
    pub(crate) async fn reinstall(&mut self) {
        self.server.kill().await.expect("sshd ends");
        keygen(&self.path("host"));
        self.server = serve(self.folder.path(), self.address, self.port);
        assert!(
            answers(&mut self.server, self.address, self.port).await,
            "{}",
            log(self.folder.path())
        );
    }
}

fn keygen(path: &Path) {
    let _ = fs::remove_file(path);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status()
        .expect("ssh-keygen runs");
    assert!(made.success());
}

fn serve(folder: &Path, address: &str, port: u16) -> Child {
    let path = folder.display();
    // bash reads ~/.bashrc under sshd unless it is told that it is not the first shell.
    let config = format!(
        "Port {port}\nListenAddress {address}\nHostKey {path}/host\nPidFile none\n\
         AuthorizedKeysFile {path}/authorized\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n\
         PasswordAuthentication no\nPermitUserRC no\nMaxStartups 1000\nLogLevel VERBOSE\n\
         SetEnv SHLVL=2\n"
    );
    fs::write(folder.join("config"), config).expect("the configuration is written");
    tokio::process::Command::new(SSHD)
        .args(["-D", "-f"])
        .arg(folder.join("config"))
        .arg("-E")
        .arg(folder.join("log"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("sshd starts")
}

async fn answers(server: &mut Child, address: &str, port: u16) -> bool {
    while TcpStream::connect((address, port)).await.is_err() {
        if server.try_wait().expect("its state").is_some() {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}
