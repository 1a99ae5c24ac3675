//! Real BMC emulators for tests.

use crate::{
    nodes::{Bmc, BmcDriver, Node},
    platform::real::ssh::sshd::node,
};
use std::{
    fs,
    net::{TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Stdio,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::sleep,
};

pub(super) const USER: &str = "admin";

/// An emulator, its state in a folder.
pub(super) struct Emulator {
    pub(super) node: Node,
    folder: TempDir,
    _process: Child,
}

/// A node with a BMC; the password file holds `password` and a line end.
pub(super) fn with_bmc(folder: &TempDir, driver: BmcDriver, address: &str, port: u16) -> Node {
    let password_file = folder.path().join("password");
    fs::write(&password_file, "s3cret:x\n").expect("written");
    let (address, user) = (address.into(), USER.into());
    let bmc = Bmc { driver, address, port: Some(port), user, password_file };
    Node { bmc: Some(bmc), ..node("n1.site", [127, 0, 8, 1]) }
}

impl Emulator {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The lines of a file that the emulator's helper writes.
    pub(super) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(super) fn wrong_password(&self) {
        fs::write(self.path("password"), "wrong\n").expect("written");
    }

    /// `ipmi_sim` with a helper script whose machine is the file `state`. When the file
    /// `lies` exists, the helper accepts orders and does nothing.
    pub(super) async fn ipmi(address: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().display();
        let free = UdpSocket::bind((address, 0)).expect("a free port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        let helper = format!(
            "#!/bin/sh\ncd {path}; case $1 in get|set|check) ;; *) shift ;; esac; op=$1; shift\n\
             say() {{ echo \"$1\" >>log; [ -e lies ] || echo \"$2\" >state; }}\n\
             if [ $op = get ]; then\n  [ \"$(cat state)\" = on ] && echo power:1 || echo power:0\n\
             elif [ $op = set ]; then case \"$1 $2\" in\n  'power 1') say start on ;;\n  \
             'power 0') say stop off ;;\n  'reset 1') say start on ;;\n  \
             'shutdown 1') say acpi off ;;\nesac; fi\nexit 0\n"
        );
        let lan = format!(
            "name \"n1\"\nset_working_mc 0x20\n  startlan 1\n    addr {address} {port}\n    \
             priv_limit admin\n    allowed_auths_admin none md2 md5 straight\n    \
             guid a123456789abcdefa123456789abcd01\n  endlan\n  \
             chassis_control \"{path}/chassis 0x20\"\n  \
             user 1 true \"\" \"test\" user 10 none md2 md5 straight\n  \
             user 2 true \"{USER}\" \"s3cret:x\" admin 10 none md2 md5 straight\n"
        );
        let sim = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 \
                   persist_sdr\nmc_enable 0x20\n";
        let files = [
            ("chassis", helper.as_str()),
            ("lan.conf", &lan),
            ("sim.emu", sim),
            ("state", "off\n"),
        ];
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("written");
        }
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path().join("chassis"), mode).expect("its mode");
        let mut process = spawn(
            Command::new("ipmi_sim").args(["-n", "-c", "lan.conf", "-f", "sim.emu", "-s"]).arg("."),
            &folder,
        );
        let node = with_bmc(&folder, BmcDriver::Ipmi, address, port);
        // It is up when it holds its port, which Linux lists in hexadecimal.
        let port = format!(":{port:04X} ");
        while !fs::read_to_string("/proc/net/udp").expect("Linux").contains(&port) {
            let ended = process.try_wait().expect("its state");
            assert!(ended.is_none(), "{:?}", fs::read_to_string(folder.path().join("output")));
            sleep(Duration::from_millis(20)).await;
        }
        Self { node, folder, _process: process }
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
        let arguments = [script, address, &port_text, USER, "s3cret:x", &systems];
        let mut process = spawn(Command::new(python).args(arguments), &folder);
        let url = format!("{scheme}://{address}");
        let node = with_bmc(&folder, BmcDriver::Redfish, &url, port);
        while TcpStream::connect((address, port)).await.is_err() {
            let ended = process.try_wait().expect("its state");
            assert!(ended.is_none(), "{:?}", fs::read_to_string(folder.path().join("output")));
            sleep(Duration::from_millis(50)).await;
        }
        Self { node, folder, _process: process }
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
