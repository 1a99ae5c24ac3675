//! The service without root, as its unit of systemd starts it: an account of its own with the one
//! capability for low ports. In a network namespace, where those ports are free.

use crate::common::Site;
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The number of `nobody`, on every system that has setpriv.
const NOBODY: &str = "65534";

/// A site whose boot servers have the ports that machines know, and belongs to nobody.
fn site() -> Site {
    let site = Site::new();
    let conf = fs::read_to_string(site.path("server.conf")).unwrap();
    let netboot = "netboot: {tftp: {}, http: {}, dhcp: {mode: full, interface: lo, listen: 127.0.0.1, netmask: 255.0.0.0}}\n";
    site.write("server.conf", &(conf + netboot));
    site.write("tftp/vmlinuz", "a kernel");
    // The program may be where nobody else can read it.
    let program = site.path("kadence");
    fs::hard_link(env!("CARGO_BIN_EXE_kadence"), &program)
        .or_else(|_| fs::copy(env!("CARGO_BIN_EXE_kadence"), &program).map(drop))
        .unwrap();
    let owner = format!("{NOBODY}:{NOBODY}");
    assert!(Command::new("chown").args(["-R", &owner]).arg(site.dir()).status().unwrap().success());
    // A link shares its owner and mode with the program under test.
    assert!(Command::new("chown").arg("root:root").arg(&program).status().unwrap().success());
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    site
}

/// The service in a namespace of its own, with `capabilities` and no others.
fn serve(site: &Site, capabilities: &str) -> Command {
    let mut command = Command::new("unshare");
    let script = "ip link set lo up && exec setpriv --reuid $0 --regid $0 --clear-groups \
         --bounding-set=$1 --inh-caps=$1 --ambient-caps=$1 --no-new-privs \"$2\" serve --config-dir \"$3\"";
    command.args(["--net", "sh", "-c", script, NOBODY, capabilities]);
    command.arg(site.path("kadence")).arg(site.dir());
    command.env("KADENCE_LOG", "info").stdin(Stdio::null());
    command
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Running {
    /// A file of its process.
    fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0.id()))
    }

    /// Whether a port is bound in its namespace.
    fn has(&self, protocol: &str, port: u16) -> bool {
        let table = fs::read_to_string(self.proc(&format!("net/{protocol}"))).unwrap();
        table.lines().any(|line| {
            line.split_whitespace().nth(1).is_some_and(|at| at.ends_with(&format!(":{port:04X}")))
        })
    }

    /// What a node gets from one of its servers.
    fn fetched(&self, url: &str) -> String {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.proc("ns/net").display()));
        command.args([
            "curl",
            "-sS",
            "--noproxy",
            "*",
            "--max-time",
            "60",
            "--interface",
            "127.0.1.1",
            url,
        ]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{url}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn low_ports_are_served_without_root() {
    let site = site();
    // What systemd listens at.
    let told = UnixDatagram::bind(site.path("notify")).unwrap();
    told.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    fs::set_permissions(site.path("notify"), fs::Permissions::from_mode(0o666)).unwrap();
    let mut command = serve(&site, "-all,+net_bind_service");
    command.env("NOTIFY_SOCKET", site.path("notify")).stderr(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let mut before = Vec::new();
    // Kept until the end: who logs into a pipe that nobody reads fails.
    let mut lines = BufReader::new(running.0.stderr.take().unwrap()).lines();
    for line in lines.by_ref() {
        let line = line.unwrap();
        let ready = line.contains("service is ready");
        before.push(line);
        if ready {
            break;
        }
    }
    assert!(before.last().is_some_and(|line| line.contains("service is ready")), "{before:#?}");
    let mut buffer = [0; 256];
    let length = told.recv(&mut buffer).unwrap();
    assert_eq!(String::from_utf8_lossy(&buffer[..length]).trim(), "READY=1");

    let status = fs::read_to_string(running.proc("status")).unwrap();
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    assert!(field("Uid:").split_whitespace().all(|id| id == NOBODY), "{status}");
    // The tenth capability, and no other.
    assert_eq!(u64::from_str_radix(field("CapEff:"), 16).unwrap(), 1 << 10, "{status}");
    for (protocol, port) in [("udp", 67), ("udp", 69), ("tcp", 80)] {
        assert!(running.has(protocol, port), "{protocol} {port}");
    }
    assert_eq!(running.fetched("tftp://127.0.0.1/vmlinuz"), "a kernel");
    assert_eq!(running.fetched("http://127.0.0.1/vmlinuz"), "a kernel");
    assert!(running.fetched(&format!("http://127.0.0.1:{}/version", site.port)).contains("test"));
    let pid = rustix::process::Pid::from_child(&running.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let log: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(running.0.wait().unwrap().success(), "{log:#?}");
    let length = told.recv(&mut buffer).unwrap();
    assert_eq!(String::from_utf8_lossy(&buffer[..length]).trim(), "STOPPING=1");
}

#[test]
fn without_the_capability_it_is_named() {
    let site = site();
    let output = serve(&site, "-all").output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the TFTP server cannot listen on 0.0.0.0:69"), "{said}");
    assert!(
        said.contains("CAP_NET_BIND_SERVICE") && said.contains("netboot/tftp/listen"),
        "{said}"
    );
}
