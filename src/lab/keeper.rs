//! The keeper: the one process that holds a lab together.
//!
//! It runs inside the namespace, owns the QEMU of every node and the programs
//! beside them, and does what BMCs and the command line ask on its socket. When
//! it ends, they end. If it is killed they go on; `up` and `down` find them by
//! the namespace.

use super::{
    BmcKind, LabError, Place, Plan,
    console::Console,
    control::{Answer, LabStatus, NodeStatus, Request, serve},
    error::Context,
    ipmi::sol_port,
    machine::Machine,
    place::write_private,
    process::Process,
    qemu::NodeFiles,
    services::{Service, services},
};
use std::{net::Ipv4Addr, path::Path, sync::Arc};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, UnixListener},
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// Says on standard output that the lab is ready; everything before it is progress.
pub(super) const READY: &str = "ready";

struct Keeper {
    plan: Plan,
    machines: Vec<Machine>,
    services: Vec<Service>,
}

/// Keeps the lab in `place` until a signal asks it to end.
pub(super) async fn keep(place: &Place) -> Result<(), LabError> {
    // What happens to the terminal that made the lab is not meant for the lab.
    let _ = rustix::process::setsid();
    let plan = place.plan()?;
    let mut ending = signal(SignalKind::terminate()).context(|| "catching signals".into())?;
    let mut interrupt = signal(SignalKind::interrupt()).context(|| "catching signals".into())?;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let keeper = tokio::select! {
        keeper = Keeper::start(place, plan, &mut tasks, &stop) => keeper?,
        _ = ending.recv() => return Ok(()),
    };
    say(READY).await;
    tokio::select! {
        _ = ending.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    drop(keeper);
    Ok(())
}

/// One line for `up`, which may no longer listen.
async fn say(line: &str) {
    let mut stdout = tokio::io::stdout();
    let _ = stdout.write_all(format!("{line}\n").as_bytes()).await;
    let _ = stdout.flush().await;
}

impl Keeper {
    async fn start(
        place: &Place,
        plan: Plan,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<Arc<Self>, LabError> {
        let mut machines = Vec::new();
        for guest in &plan.guests {
            let files = NodeFiles(place.node(&guest.name()));
            let monitor = listen(&files.monitor())?;
            let sol = match guest.bmc {
                BmcKind::Redfish => None,
                BmcKind::Ipmi => {
                    let address = (Ipv4Addr::LOCALHOST, sol_port(guest));
                    Some(
                        TcpListener::bind(address)
                            .await
                            .context(|| format!("listening on {address:?}"))?,
                    )
                }
            };
            let console = Console {
                serial: listen(&files.serial())?,
                terminals: listen(&files.console())?,
                sol,
            };
            tasks.spawn(console.run(stop.clone()));
            let (machine, driver) = Machine::new(&plan, guest, files);
            tasks.spawn(driver.run(monitor, stop.clone()));
            machines.push(machine);
        }
        let control = listen(&place.control())?;
        let password = std::fs::read_to_string(place.bmc_password());
        let password =
            password.context(|| format!("reading {}", place.bmc_password().display()))?;
        let services = services(place, &plan, password.trim())?;
        let keeper = Arc::new(Self { plan, machines, services });
        tasks.spawn(Arc::clone(&keeper).answer(control, stop.clone()));
        for service in &keeper.services {
            say(&format!("starting {}", service.status().name)).await;
            let child = service.start().await?;
            tasks.spawn(service.clone().keep(child, stop.clone()));
        }
        Ok(keeper)
    }

    /// Answers on `control` until `stop`.
    async fn answer(self: Arc<Self>, control: UnixListener, stop: CancellationToken) {
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Ok((stream, _)) = control.accept() => {
                    let keeper = Arc::clone(&self);
                    clients.spawn(serve(stream, move |request| async move { keeper.reply(request).await }));
                }
                Some(_) = clients.join_next() => {}
            }
        }
    }

    async fn reply(&self, request: Request) -> Answer {
        match self.perform(request).await {
            Ok(answer) => answer,
            Err(reason) => Answer::Refused { reason },
        }
    }

    async fn perform(&self, request: Request) -> Result<Answer, String> {
        Ok(match request {
            Request::Status => Answer::Status { status: self.status() },
            Request::Power { node } => Answer::Power { on: self.machine(node)?.known().on },
            Request::Boot { node } => Answer::Boot { device: self.machine(node)?.known().boot },
            Request::SetBoot { node, device } => {
                self.machine(node)?.set_boot(device);
                Answer::Done
            }
            Request::SetPower { node, op, wait } => {
                let outcome = self.machine(node)?.power(op)?;
                // An action that was under way already has somebody else waiting for it.
                if wait && let Ok(outcome) = outcome.await {
                    outcome?;
                }
                Answer::Done
            }
        })
    }

    fn machine(&self, number: u8) -> Result<&Machine, String> {
        let index = usize::from(number).checked_sub(1);
        index.and_then(|index| self.machines.get(index)).ok_or_else(|| format!("no node {number}"))
    }

    fn status(&self) -> LabStatus {
        let node = |(guest, machine): (&super::Guest, &Machine)| {
            let known = machine.known();
            NodeStatus {
                name: guest.fqdn(),
                address: guest.address,
                mac: guest.mac(),
                firmware: guest.firmware,
                bmc: guest.bmc,
                bmc_address: guest.bmc_address,
                dead_bmc: guest.dead_bmc,
                on: known.on,
                pid: known.pid,
                starts: known.starts,
                reboots: known.reboots,
                boot: known.boot,
                error: known.error,
            }
        };
        LabStatus {
            name: self.plan.name.clone(),
            server: self.plan.subnet.server(),
            accel: self.plan.accel,
            nodes: self.plan.guests.iter().zip(&self.machines).map(node).collect(),
            services: self.services.iter().map(Service::status).collect(),
        }
    }
}

/// Listens on a Unix socket, in the place of one that an earlier keeper left.
fn listen(path: &Path) -> Result<UnixListener, LabError> {
    let _ = std::fs::remove_file(path);
    UnixListener::bind(path).context(|| format!("listening on {}", path.display()))
}

/// Records the keeper's process, so that `down` ends exactly it.
pub(super) fn record(place: &Place, process: Process) -> Result<(), LabError> {
    let text = serde_json::to_string(&process).unwrap_or_default();
    write_private(&place.at("keeper.json"), &text)
}

/// The keeper's process as it was recorded.
pub(super) fn recorded(place: &Place) -> Option<Process> {
    serde_json::from_slice(&std::fs::read(place.at("keeper.json")).ok()?).ok()
}
