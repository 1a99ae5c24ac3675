//! A real BMC emulator: `ipmi_sim` of `OpenIPMI`, with a helper script whose machine is a file.
//! The tests of the whole service use it as well: it needs nothing of this crate.

use std::{
    fs,
    net::UdpSocket,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

pub(crate) const USER: &str = "admin";
pub(crate) const PASSWORD: &str = "s3cret:x";

/// The emulator, its state in a folder: `state` is `on` or `off`, `log` the orders it got.
/// When the file `lies` exists, it accepts orders and does nothing.
pub(crate) struct IpmiSim {
    pub(crate) port: u16,
    folder: TempDir,
    process: Child,
}

impl IpmiSim {
    /// A machine that is off, its BMC at a loopback address; returns when that answers.
    pub(crate) async fn start(address: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let free = UdpSocket::bind((address, 0)).expect("a free port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        write_files(&folder, address, port);
        let output = fs::File::create(folder.path().join("output")).expect("a log");
        let process = Command::new("ipmi_sim")
            .args(["-n", "-c", "lan.conf", "-f", "sim.emu", "-s", "."])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a copy"))
            .stderr(output)
            .spawn()
            .expect("the emulator starts: run scripts/setup");
        let mut sim = Self { port, folder, process };
        // It is up when it holds its port, which Linux lists in hexadecimal.
        let port = format!(":{port:04X} ");
        while !fs::read_to_string("/proc/net/udp").expect("Linux").contains(&port) {
            let ended = sim.process.try_wait().expect("its state");
            assert!(ended.is_none(), "{:?}", fs::read_to_string(sim.path("output")));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sim
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for IpmiSim {
    fn drop(&mut self) {
        // It fails where it has ended: just as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write_files(folder: &TempDir, address: &str, port: u16) {
    let path = folder.path().display();
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
         user 2 true \"{USER}\" \"{PASSWORD}\" admin 10 none md2 md5 straight\n"
    );
    let sim = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 \
               persist_sdr\nmc_enable 0x20\n";
    let files =
        [("chassis", helper.as_str()), ("lan.conf", &lan), ("sim.emu", sim), ("state", "off\n")];
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path().join("chassis"), mode).expect("its mode");
}
