//! One node: a task that owns its QEMU process.
//!
//! Power actions queue up and are done one after the other. While one is under
//! way the node already counts as in the wanted state, as a BMC would say, and
//! an action that is already on its way is not done a second time: IPMI
//! clients repeat requests whose answer is late.

use super::{
    BootDevice, Guest, Plan,
    console::rotate,
    control::PowerOp,
    process::not_started,
    qemu::{NodeFiles, OVMF_VARS, qemu_args},
    qmp::{Event, Qmp},
};
use crate::nodes::Firmware;
use std::{
    fs::File,
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    net::UnixListener,
    process::{Child, Command},
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Actions that wait for a node; a BMC is asked by one client at a time.
const QUEUE: usize = 16;
/// QEMU connects its monitor within a second, on a very busy machine after several.
const START_LIMIT: Duration = Duration::from_secs(40);
/// A killed process ends at once; its memory may take a moment to free.
const KILL_LIMIT: Duration = Duration::from_secs(20);

/// What is known of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// In power, or on the way to it.
    pub(super) on: bool,
    pub(super) pid: Option<u32>,
    pub(super) starts: u32,
    pub(super) reboots: u32,
    pub(super) boot: Option<BootDevice>,
    pub(super) error: Option<String>,
    /// The last action that was taken into the queue, while it or one before it is under way.
    pending: Option<PowerOp>,
}

struct Job {
    op: PowerOp,
    done: oneshot::Sender<Result<(), String>>,
}

/// A node as the keeper's other parts see it.
#[derive(Clone)]
pub(super) struct Machine {
    known: Arc<Mutex<Known>>,
    jobs: mpsc::Sender<Job>,
}

impl Machine {
    /// The node, off, and the task that it needs.
    pub(super) fn new(plan: &Plan, guest: &Guest, files: NodeFiles) -> (Self, Driver) {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let known = Arc::new(Mutex::new(Known::default()));
        let machine = Self { known: Arc::clone(&known), jobs };
        (machine, Driver { plan: plan.clone(), guest: guest.clone(), files, known, queue })
    }

    /// What is known of it now.
    pub(super) fn known(&self) -> Known {
        lock(&self.known).clone()
    }

    /// Overrides the next boot, once.
    pub(super) fn set_boot(&self, device: Option<BootDevice>) {
        lock(&self.known).boot = device;
    }

    /// Takes `op` into the queue; the receiver learns how it went. Fails if that cannot be done now.
    pub(super) fn power(
        &self,
        op: PowerOp,
    ) -> Result<oneshot::Receiver<Result<(), String>>, String> {
        let (done, outcome) = oneshot::channel();
        let mut known = lock(&self.known);
        if !known.on && matches!(op, PowerOp::Reset | PowerOp::Shutdown) {
            return Err("the node is off".into());
        }
        if known.pending == Some(op) {
            // The sender is dropped: whoever waits learns that there is nothing more to do.
            return Ok(outcome);
        }
        self.jobs
            .try_send(Job { op, done })
            .map_err(|_| "too many power actions wait".to_owned())?;
        known.pending = Some(op);
        known.on = op != PowerOp::Off;
        Ok(outcome)
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Owns the node's process.
pub(super) struct Driver {
    plan: Plan,
    guest: Guest,
    files: NodeFiles,
    known: Arc<Mutex<Known>>,
    queue: mpsc::Receiver<Job>,
}

struct Running {
    child: Child,
    qmp: Qmp,
}

impl Driver {
    /// Does what is asked until `stop`, then cuts the power.
    pub(super) async fn run(mut self, monitor: UnixListener, stop: CancellationToken) {
        let mut running = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                job = self.queue.recv() => {
                    let Some(job) = job else { break };
                    let outcome = self.perform(job.op, &mut running, &monitor).await;
                    self.settle(running.as_ref(), &outcome);
                    // Nobody may be waiting.
                    let _ = job.done.send(outcome);
                }
                event = next_event(&mut running) => {
                    if let Some(event) = event {
                        self.note(&event);
                    } else {
                        cut(&mut running).await;
                        self.settle(running.as_ref(), &Ok(()));
                    }
                }
            }
        }
        cut(&mut running).await;
    }

    async fn perform(
        &mut self,
        op: PowerOp,
        running: &mut Option<Running>,
        monitor: &UnixListener,
    ) -> Result<(), String> {
        tracing::info!(node = %self.guest.name(), ?op, "power");
        match (op, running.as_mut()) {
            (PowerOp::On, Some(_)) => {}
            (PowerOp::Shutdown, Some(machine)) => {
                machine.qmp.execute("system_powerdown").await.map_err(|e| e.to_string())?;
            }
            (PowerOp::Reset | PowerOp::Shutdown, None) => return Err("the node is off".into()),
            (PowerOp::Off, _) => cut(running).await,
            (PowerOp::On | PowerOp::Reset, _) => {
                cut(running).await;
                *running = Some(self.start(monitor).await?);
            }
        }
        Ok(())
    }

    /// A fresh console log, and UEFI variables at the first start.
    fn prepare(&self) -> Result<(), String> {
        rotate(&self.files.console_log())
            .map_err(|e| format!("keeping the old console log: {e}"))?;
        let vars = self.files.vars();
        if self.guest.firmware == Firmware::Uefi && !vars.exists() {
            std::fs::copy(OVMF_VARS, vars).map_err(|e| format!("copying {OVMF_VARS}: {e}"))?;
        }
        Ok(())
    }

    async fn start(&mut self, monitor: &UnixListener) -> Result<Running, String> {
        let boot = lock(&self.known).boot.take().unwrap_or_default();
        self.prepare()?;
        let log = self.files.0.join("qemu.log");
        let stderr = File::create(&log).map_err(|e| format!("writing {}: {e}", log.display()))?;
        let mut child = Command::new("qemu-system-x86_64")
            .args(qemu_args(&self.plan, &self.guest, &self.files.0, boot))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| not_started("qemu-system-x86_64", e).to_string())?;
        let ready = tokio::select! {
            qmp = timeout(START_LIMIT, Qmp::accept(monitor)) => match qmp {
                Ok(qmp) => qmp.map_err(|e| format!("its monitor: {e}")),
                Err(_) => Err(format!("no monitor within {}", humantime::format_duration(START_LIMIT))),
            },
            _ = child.wait() => {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                Err(format!("QEMU ended: {}", said.trim()))
            }
        };
        match ready {
            Ok(qmp) => {
                let mut known = lock(&self.known);
                (known.starts, known.reboots) = (known.starts + 1, 0);
                Ok(Running { child, qmp })
            }
            Err(reason) => {
                kill(&mut child).await;
                Err(reason)
            }
        }
    }

    /// Makes what is known true again after an action or an end.
    fn settle(&self, running: Option<&Running>, outcome: &Result<(), String>) {
        let mut known = lock(&self.known);
        known.pid = running.and_then(|machine| machine.child.id());
        known.error = outcome.as_ref().err().cloned();
        if let Some(error) = &known.error {
            tracing::warn!(node = %self.guest.name(), %error, "power action failed");
        }
        if self.queue.is_empty() {
            known.on = running.is_some();
            known.pending = None;
        }
    }

    fn note(&self, event: &Event) {
        tracing::info!(node = %self.guest.name(), ?event, "machine");
        if *event == Event::Reset {
            lock(&self.known).reboots += 1;
        }
    }
}

/// The next event of a machine that runs; `None` when it has ended, never while it is off.
async fn next_event(running: &mut Option<Running>) -> Option<Event> {
    match running {
        Some(machine) => machine.qmp.next().await,
        None => std::future::pending().await,
    }
}

/// Pulls the plug.
async fn cut(running: &mut Option<Running>) {
    if let Some(mut machine) = running.take() {
        kill(&mut machine.child).await;
    }
}

async fn kill(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.start_kill();
    if timeout(KILL_LIMIT, child.wait()).await.is_err() {
        tracing::warn!(pid = ?child.id(), "a killed QEMU does not end");
    }
}
