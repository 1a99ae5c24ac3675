//! The shell port: errands are done by the machines themselves.

use super::{
    World,
    faults::FaultKind,
    machine::{Answer, Moment, Work},
    power::{Order, stranger},
    world::Touch,
};
use crate::{
    nodes::Node,
    platform::{Command, Errand, Input, Output, Shell, ShellError, shell::within_deadline},
};
use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Until a machine that is not there is found not to be there (ARP, three requests).
const NO_ROUTE: Duration = Duration::from_secs(3);

/// [`Shell`] of simulated machines.
pub(super) struct SimShell {
    world: Arc<World>,
    /// By node; whoever holds one runs a command.
    lines: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// How an errand begins.
enum Begun {
    /// It will be over at that moment.
    Runs {
        id: u64,
        until: Moment,
    },
    /// The connection breaks off at that moment, and the errand with it.
    Breaks {
        id: u64,
        at: Moment,
    },
    /// It is over at that moment, without effect.
    Ends {
        at: Moment,
        output: Output,
    },
    /// There is no connection.
    Fails {
        at: Moment,
        why: ShellError,
    },
    Hangs,
}

impl SimShell {
    pub(super) fn new(world: &Arc<World>) -> Self {
        Self { world: Arc::clone(world), lines: Mutex::default() }
    }

    async fn run_in_line(&self, node: &Node, command: &Command) -> Result<Output, ShellError> {
        let line = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(lines.entry(node.name.clone()).or_default())
        };
        let _turn = line.lock().await;
        let input = match &command.input {
            Input::File(path)
                if matches!(
                    command.errand.bare(),
                    Errand::Unpack(_) | Errand::WriteImage { .. } | Errand::Store { .. }
                ) =>
            {
                Some(self.world.image(path).await)
            }
            _ => None,
        };
        let work = |boot| Work::Errand { boot, errand: Arc::clone(&command.errand), image: input };
        let mut order = self.order(node, &command.errand);
        let begun = self.world.touch(&node.name, |touch| begin(touch, node, &command.errand, work));
        match begun.unwrap_or_else(|| Begun::Fails {
            at: self.world.now(),
            why: unreachable(node, &stranger(node)),
        }) {
            Begun::Fails { at, why } => {
                self.world.sleep_until(at).await;
                Err(why)
            }
            Begun::Ends { at, output } => {
                self.world.sleep_until(at).await;
                Ok(output)
            }
            Begun::Hangs => pending().await,
            Begun::Breaks { id, at } => {
                self.world.sleep_until(at).await;
                self.world.touch(&node.name, |touch| touch.machine.cut(id));
                Err(unreachable(node, "connection reset by peer"))
            }
            Begun::Runs { id, until } => {
                let waiting = Waiting { world: &self.world, node: &node.name, id };
                self.world.sleep_until(until).await;
                if let Some(order) = &mut order {
                    order.accepted = Some(until);
                }
                waiting.output(node)
            }
        }
    }

    /// The books have an errand after which the node boots as the order that it is.
    fn order(&self, node: &Node, errand: &Errand) -> Option<Order<'_>> {
        let what = match errand.bare() {
            Errand::Reboot => "a reboot by its system",
            Errand::Kexec { .. } => "a kexec",
            _ => return None,
        };
        let node = self.world.touch(&node.name, |touch| {
            let node = Arc::clone(&touch.machine.node);
            touch.audit.order_by_errand(&node, what, touch.now);
            node
        })?;
        Some(Order { world: &self.world, node, accepted: None })
    }
}

/// Logs in and starts an errand.
fn begin(
    mut touch: Touch<'_>,
    node: &Node,
    errand: &Errand,
    work: impl FnOnce(u64) -> Work,
) -> Begun {
    touch.audit.errand(&node.name, errand);
    let now = touch.now;
    let [refused, reset, hangs] = [FaultKind::SshRefused, FaultKind::SshReset, FaultKind::SshHangs]
        .map(|kind| touch.strikes(kind));
    let fails = |after: Duration, why| Begun::Fails { at: now + after, why };
    let Some(boot) = touch.machine.boot() else {
        return fails(NO_ROUTE, unreachable(node, "no route to host"));
    };
    let answer = touch.hardware.command.draw(&mut touch.machine.dice);
    if refused {
        return fails(answer, unreachable(node, "connection refused"));
    }
    if !touch.machine.admits_us() {
        let (node, key) = (node.name.clone(), "of the service".to_owned());
        return fails(answer, ShellError::Key { node, key });
    }
    if hangs {
        return Begun::Hangs;
    }
    let turn = if errand.takes_turn() { touch.machine.turn() } else { now };
    let waits = turn.saturating_sub(now);
    let takes = waits + answer + duration(&mut touch, errand);
    let writes = matches!(
        errand.bare(),
        Errand::Partition(_)
            | Errand::Format(_)
            | Errand::MakeFilesystem { .. }
            | Errand::MakeSwap { .. }
    );
    if writes && touch.strikes(FaultKind::DiskWriteError) {
        let output = output(1, String::new(), "Input/output error".to_owned());
        return Begun::Ends { at: now + takes, output };
    }
    let id = touch.machine.later(now + takes, work(boot));
    if reset {
        Begun::Breaks { id, at: now + takes / 2 }
    } else {
        Begun::Runs { id, until: now + takes }
    }
}

/// How long an errand takes beyond the connection.
fn duration(touch: &mut Touch<'_>, errand: &Errand) -> Duration {
    let hardware = touch.hardware;
    let span = match errand.bare() {
        Errand::Partition(_) => hardware.partitioning,
        Errand::MakeFilesystem { .. } | Errand::MakeSwap { .. } | Errand::Format(_) => {
            hardware.mkfs
        }
        Errand::InstallBootLoader(_) => hardware.boot_loader,
        _ => hardware.command,
    };
    span.draw(&mut touch.machine.dice)
}

fn unreachable(node: &Node, why: &str) -> ShellError {
    ShellError::Unreachable {
        node: node.name.clone(),
        address: node.address.to_string(),
        why: why.to_owned(),
    }
}

/// The result of an errand, for the port.
fn output(status: i32, stdout: String, stderr: String) -> Output {
    Output { status, stdout: stdout.into(), stderr: stderr.into() }
}

/// Somebody who waits for an errand.
struct Waiting<'a> {
    world: &'a World,
    node: &'a str,
    id: u64,
}

impl Waiting<'_> {
    fn output(&self, node: &Node) -> Result<Output, ShellError> {
        let answer = self.world.touch(self.node, |touch| touch.machine.answer(self.id)).flatten();
        match answer {
            Some(Answer::Ended { status, stdout, stderr }) => Ok(output(status, stdout, stderr)),
            Some(Answer::Gone) | None => Err(unreachable(node, "connection lost")),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.world.touch(self.node, |touch| touch.machine.abandon(self.id));
    }
}

#[async_trait::async_trait]
impl Shell for SimShell {
    async fn run(&self, node: &Node, command: &Command) -> Result<Output, ShellError> {
        within_deadline(node, command, self.run_in_line(node, command)).await
    }

    async fn forget(&self, node: &Node) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).remove(&node.name);
    }
}
