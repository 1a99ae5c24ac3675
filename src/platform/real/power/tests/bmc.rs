//! Real BMC emulators for tests.

use super::ipmi_sim::{IpmiSim, PASSWORD, USER};
use crate::{
    nodes::{Bmc, BmcDriver, Node},
    platform::real::ssh::sshd::node,
};
use std::{fs, net::TcpListener, path::PathBuf, process::Stdio, time::Duration};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::sleep,
};

/// An emulator, its state in a folder.
pub(super) struct Emulator {
    pub(super) node: Node,
    folder: TempDir,
    process: Process,
}

enum Process {
    Ipmi(IpmiSim),
    /// Ended when it is dropped.
    Redfish {
        _process: Child,
    },
}

/// A node with a BMC; the password file holds `password` and a line end.
pub(super) fn with_bmc(folder: &TempDir, driver: BmcDriver, address: &str, port: u16) -> Node {
    let password_file = folder.path().join("password");
    fs::write(&password_file, format!("{PASSWORD}\n")).expect("written");
    let (address, user) = (address.into(), USER.into());
    let bmc = Bmc { driver, address, port: Some(port), user, password_file };
    Node { bmc: Some(bmc), ..node("n1.site", [127, 0, 8, 1]) }
}

impl Emulator {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        match &self.process {
            Process::Ipmi(sim) => sim.path(name),
            Process::Redfish { .. } => self.folder.path().join(name),
        }
    }

    /// The lines of a file that the emulator's helper writes.
    pub(super) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(super) fn wrong_password(&self) {
        fs::write(self.folder.path().join("password"), "wrong\n").expect("written");
    }

    /// IPMI, by `ipmi_sim`.
    pub(super) async fn ipmi(address: &'static str) -> Self {
        let sim = IpmiSim::start(address).await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let node = with_bmc(&folder, BmcDriver::Ipmi, address, sim.port);
        Self { node, folder, process: Process::Ipmi(sim) }
    }

    /// sushy-tools' Redfish service with its "fake" driver, whose power state is in the
    /// file `state` here; reset types are logged. `lies` as above. By https with a
    /// self-signed certificate, or by http.
    pub(super) async fn redfish(scheme: &str, address: &'static str, systems: usize) -> Self {
        let home = std::env::var_os("HOME").expect("a home");
        let python = PathBuf::from(home).join(".cache/kadence/venv/bin/python");
        assert!(python.exists(), "no {}: run scripts/setup", python.display());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let free = TcpListener::bind((address, 0)).expect("a free port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        fs::write(folder.path().join("state"), "Off\n").expect("written");
        if scheme == "https" {
            certificate(&folder);
        }
        let script =
            concat!(env!("CARGO_MANIFEST_DIR"), "/src/platform/real/power/tests/redfish.py");
        let (port_text, systems) = (port.to_string(), systems.to_string());
        let arguments = [script, address, &port_text, USER, PASSWORD, &systems];
        let mut process = spawn(Command::new(python).args(arguments), &folder);
        let url = format!("{scheme}://{address}");
        let node = with_bmc(&folder, BmcDriver::Redfish, &url, port);
        while TcpStream::connect((address, port)).await.is_err() {
            let ended = process.try_wait().expect("its state");
            assert!(ended.is_none(), "{:?}", fs::read_to_string(folder.path().join("output")));
            sleep(Duration::from_millis(50)).await;
        }
        Self { node, folder, process: Process::Redfish { _process: process } }
    }
}

/// `cert.pem` and `key.pem`, signed by nobody else.
fn certificate(folder: &TempDir) {
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=bmc", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder.path())
        .output()
        .expect("openssl runs: run scripts/setup");
    assert!(made.status.success(), "{made:?}");
}

fn spawn(command: &mut Command, folder: &TempDir) -> Child {
    let output = fs::File::create(folder.path().join("output")).expect("a log");
    command
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("a copy"))
        .stderr(output)
        .kill_on_drop(true)
        .spawn()
        .expect("the emulator starts: run scripts/setup")
}
