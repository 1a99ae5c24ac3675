//! The programs beside the nodes: kept running while the lab is up.

use super::{
    BmcKind, Dhcp, Guest, LabError, Place, Plan,
    control::ServiceStatus,
    error::Context,
    ipmi,
    network::{BESIDE, BRIDGE, beside},
    place::{cache_dir, write_private},
    plan::{BMC_USER, REDFISH_PORT},
    process::not_started,
};
use crate::nodes::Firmware;
use std::{
    fs::File,
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UdpSocket,
    process::{Child, ChildStdout, Command},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Pause before a program that ended is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// A program that is asked to end does so within this time, or is killed.
const END_LIMIT: Duration = Duration::from_secs(3);
/// The slowest, Redfish, is ready after one or two seconds; on a busy machine much later.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Time between two presence pings: a datagram to a socket that is not yet there is lost.
const PING_PAUSE: Duration = Duration::from_millis(100);
/// RMCP presence ping (ASF 2.0, section 3.2.4.2).
const PRESENCE_PING: [u8; 12] = [6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 1, 0, 0];

/// How it is known that a program is ready.
#[derive(Clone, Debug)]
enum Ready {
    /// As soon as it runs.
    Started,
    /// When it says a line.
    Says,
    /// When it answers an RMCP presence ping.
    Pong(SocketAddr),
}

/// A program to keep running.
#[derive(Clone, Debug)]
pub(super) struct Service {
    name: String,
    program: String,
    args: Vec<String>,
    input: String,
    ready: Ready,
    log: PathBuf,
    status: Arc<Mutex<ServiceStatus>>,
}

impl Service {
    fn new(place: &Place, name: &str, program: &str, args: Vec<String>, ready: Ready) -> Self {
        let status = ServiceStatus { name: name.into(), pid: None, starts: 0 };
        Self {
            name: name.into(),
            program: program.into(),
            args,
            input: String::new(),
            ready,
            log: place.at("bmcs").join(format!("{name}.log")),
            status: Arc::new(Mutex::new(status)),
        }
    }

    /// How it is.
    pub(super) fn status(&self) -> ServiceStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts it and waits until it is ready.
    pub(super) async fn start(&self) -> Result<Child, LabError> {
        let mut child = self.spawn()?;
        let stdout = child.stdout.take();
        if let (Some(mut stdin), text) = (child.stdin.take(), self.input.clone()) {
            // What it thinks of it is seen below.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        let ready = tokio::select! {
            ready = timeout(READY_LIMIT, self.ready(stdout)) => ready,
            _ = child.wait() => Ok(Ok(false)),
        };
        match ready {
            Ok(Ok(true)) => Ok(child),
            Ok(Ok(false)) => {
                Err(LabError::Keeper(format!("{} ended: {}", self.name, self.last_words())))
            }
            Ok(Err(source)) => {
                Err(LabError::Io { what: format!("waiting for {}", self.name), source })
            }
            Err(_) => Err(LabError::Deadline {
                what: format!("the start of {}", self.name),
                limit: READY_LIMIT,
            }),
        }
    }

    fn spawn(&self) -> Result<Child, LabError> {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.context(|| format!("writing {}", self.log.display()))?;
        // What nobody listens to goes to the log: a program may say something later.
        let stdout = match self.ready {
            Ready::Says => Stdio::piped(),
            _ => log.try_clone().context(|| format!("writing {}", self.log.display()))?.into(),
        };
        let child = Command::new(&self.program)
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| not_started(&self.program, e))?;
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        (status.pid, status.starts) = (child.id(), status.starts + 1);
        Ok(child)
    }

    async fn ready(&self, stdout: Option<ChildStdout>) -> std::io::Result<bool> {
        match (&self.ready, stdout) {
            (Ready::Says, Some(stdout)) => {
                Ok(BufReader::new(stdout).lines().next_line().await?.is_some())
            }
            (Ready::Pong(address), _) => pong(*address).await.map(|()| true),
            _ => Ok(true),
        }
    }

    /// Keeps it running until `stop`.
    pub(super) async fn keep(self, mut child: Child, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return end(child).await,
                ended = child.wait() => tracing::warn!(service = %self.name, ?ended, "ended"),
            }
            self.status.lock().unwrap_or_else(PoisonError::into_inner).pid = None;
            child = loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(RESTART_PAUSE) => {}
                }
                match self.start().await {
                    Ok(child) => break child,
                    Err(error) => tracing::warn!(service = %self.name, %error, "not started again"),
                }
            };
        }
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        last.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }
}

/// Asks a program to end, then kills it.
async fn end(mut child: Child) {
    if let Some(pid) =
        child.id().and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?))
    {
        // Not yet waited for, so the pid is still its own; it may have ended.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if timeout(END_LIMIT, child.wait()).await.is_err() {
        let _ = child.start_kill();
        let _ = timeout(END_LIMIT, child.wait()).await;
    }
}

async fn pong(address: SocketAddr) -> std::io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect(address).await?;
    let mut answer = [0; 64];
    loop {
        // Until it listens the ping is refused or lost.
        let _ = socket.send(&PRESENCE_PING).await;
        match timeout(PING_PAUSE, socket.recv(&mut answer)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(_)) => sleep(PING_PAUSE).await,
            Err(_) => {}
        }
    }
}

/// All programs of the lab.
pub(super) fn services(
    place: &Place,
    plan: &Plan,
    password: &str,
) -> Result<Vec<Service>, LabError> {
    let mut all = vec![router(place)?];
    if plan.dhcp == Dhcp::Proxy {
        all.push(lender(place, plan)?);
    }
    let alive = |kind| plan.guests.iter().filter(move |g| g.bmc == kind && !g.dead_bmc);
    for guest in alive(BmcKind::Ipmi) {
        let args = ipmi::prepare(place, guest, password)?;
        let address = SocketAddr::from((guest.bmc_address, ipmi::IPMI_PORT));
        let name = format!("ipmi-{}", guest.name());
        all.push(Service::new(place, &name, "ipmi_sim", args, Ready::Pong(address)));
    }
    let guests: Vec<&Guest> = alive(BmcKind::Redfish).collect();
    if !guests.is_empty() {
        all.push(redfish(place, &guests)?);
    }
    Ok(all)
}

/// Router advertisements: without them iPXE waits 14 s for IPv6 at each boot.
fn router(place: &Place) -> Result<Service, LabError> {
    let text = format!(
        "port=0\ninterface={BRIDGE}\nbind-interfaces\nleasefile-ro\nenable-ra\ndhcp-range=fd77::,ra-only\nra-param={BRIDGE},low,30,0\n"
    );
    let args = dnsmasq(place, "router", &text)?;
    Ok(Service::new(place, "router", "dnsmasq", args, Ready::Started))
}

/// A DHCP server that lends the nodes their addresses and knows nothing of booting.
fn lender(place: &Place, plan: &Plan) -> Result<Service, LabError> {
    let mut text = format!(
        "port=0\ninterface={BESIDE}\nbind-interfaces\nleasefile-ro\nlog-dhcp\ndhcp-range={},static,255.255.255.0,1h\n",
        plan.subnet.beside()
    );
    for guest in &plan.guests {
        text += &format!("dhcp-host={},{},{}\n", guest.mac(), guest.address, guest.name());
    }
    let mut args: Vec<String> =
        ["netns", "exec", &beside(place), "dnsmasq"].map(str::to_owned).into();
    args.extend(dnsmasq(place, "dhcp", &text)?);
    Ok(Service::new(place, "dhcp", "ip", args, Ready::Started))
}

/// Writes `text` as the configuration `name` of a dnsmasq; returns its arguments.
fn dnsmasq(place: &Place, name: &str, text: &str) -> Result<Vec<String>, LabError> {
    let conf = place.at("bmcs").join(format!("{name}.conf"));
    write_private(&conf, text)?;
    let conf = format!("--conf-file={}", conf.display());
    let args = ["--keep-in-foreground", "--log-facility=-", "--user=root", "--pid-file=", &conf];
    Ok(args.map(str::to_owned).into())
}

/// The Python of the lab's virtual environment, which has sushy-tools.
pub(super) fn python() -> PathBuf {
    cache_dir().join("venv/bin/python")
}

fn redfish(place: &Place, guests: &[&Guest]) -> Result<Service, LabError> {
    let script = place.at("bmcs/redfish.py");
    write_private(&script, include_str!("redfish.py"))?;
    let nodes: Vec<_> = guests
        .iter()
        .map(|guest| {
            let mode = if guest.firmware == Firmware::Bios { "Legacy" } else { "UEFI" };
            serde_json::json!({
                "number": guest.number, "name": guest.name(), "uuid": guest.uuid(),
                "mac": guest.mac(), "address": guest.bmc_address, "port": REDFISH_PORT,
                "boot_mode": mode,
            })
        })
        .collect();
    let settings = serde_json::json!({
        "control": place.control(), "user": BMC_USER, "password_file": place.bmc_password(),
        "state_dir": place.at("bmcs/redfish"), "nodes": nodes,
    });
    let args = vec!["-B".into(), script.to_string_lossy().into_owned()];
    let python = python().to_string_lossy().into_owned();
    let mut service = Service::new(place, "redfish", &python, args, Ready::Says);
    service.input = settings.to_string();
    Ok(service)
}
