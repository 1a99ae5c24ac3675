//! The power port: a BMC for each machine.
//!
//! `soft` is the running system's own shutdown, as a site's command asks for it; `hard` and
//! `very_hard` are the BMC's.

use super::{
    World,
    faults::FaultKind,
    machine::{Moment, Work},
    world::Touch,
};
use crate::{
    nodes::{Bmc, Node},
    platform::{Level, Power, PowerAction, PowerError, PowerState, real::power::SETTLE},
};
use std::{sync::Arc, time::Duration};

/// What a slow BMC takes for an answer.
const SLOW: Duration = Duration::from_secs(60);
/// Between off and on of a very hard reboot: capacitors.
const REST: Duration = Duration::from_secs(3);
/// Until a resolver gives up: two requests of five seconds.
const RESOLVER: Duration = Duration::from_secs(10);
/// What a system without ssh lets a soft order wait for.
const NO_ANSWER: Duration = Duration::from_secs(3);

/// [`Power`] of simulated machines.
pub(super) struct SimPower {
    world: Arc<World>,
}

/// What comes of an order.
enum Reply {
    /// Accepted at that moment.
    Done(Moment),
    /// Refused at that moment.
    Error(Moment, PowerError),
    /// Accepted, and nothing happens: the machine stays as it is.
    Lie(Moment, PowerState),
    Silence,
}

impl SimPower {
    pub(super) fn new(world: &Arc<World>) -> Self {
        Self { world: Arc::clone(world) }
    }

    /// Waits for what comes of `reply`, which was `asked`.
    async fn wait(&self, reply: Reply, asked: PowerAction) -> Result<(), PowerError> {
        match reply {
            Reply::Done(at) => self.world.sleep_until(at).await,
            Reply::Error(at, error) => {
                self.world.sleep_until(at).await;
                return Err(error);
            }
            Reply::Lie(at, state) => {
                self.world.sleep_until(at + SETTLE).await;
                return Err(PowerError::NoEffect { action: asked, state, after: SETTLE });
            }
            Reply::Silence => std::future::pending().await,
        }
        Ok(())
    }
}

fn silent(node: &Node, after: Duration) -> PowerError {
    PowerError::Silent { address: format!("bmc.{}", node.name), after }
}

/// What is wrong with a BMC at this occasion; else how long it takes.
fn trouble(touch: &mut Touch<'_>) -> Result<Duration, Reply> {
    let latency = touch.hardware.bmc.draw(&mut touch.machine.dice);
    let at = touch.now + latency;
    let [no_answer, no_session, slow] =
        [FaultKind::BmcSilent, FaultKind::BmcSessions, FaultKind::BmcSlow]
            .map(|kind| touch.strikes(kind));
    let name = &touch.machine.node.name;
    if no_answer {
        return Err(Reply::Silence);
    }
    if touch.machine.wrong_password {
        let (address, user) = (format!("bmc.{name}"), "admin".to_owned());
        return Err(Reply::Error(at, PowerError::Credentials { address, user }));
    }
    if no_session {
        let text = format!("the BMC of {name} has no free session: end some, or wait");
        return Err(Reply::Error(at, PowerError::Refused(text)));
    }
    Ok(if slow { SLOW } else { latency })
}

/// An order to the BMC.
fn by_bmc(mut touch: Touch<'_>, action: PowerAction, level: Level) -> Reply {
    let latency = match trouble(&mut touch) {
        Ok(latency) => latency,
        Err(reply) => return reply,
    };
    let (at, state) = (touch.now + latency, touch.machine.power());
    let lies = touch.strikes(FaultKind::BmcLies);
    let machine = touch.machine;
    match (action, state) {
        (PowerAction::On, PowerState::On) | (PowerAction::Off, PowerState::Off) => Reply::Done(at),
        // A reset leaves a machine on that was on: there is nothing to see.
        (PowerAction::Reboot, PowerState::On) if lies && level == Level::Hard => Reply::Done(at),
        _ if lies => Reply::Lie(at, state),
        (PowerAction::On, _) | (PowerAction::Reboot, PowerState::Off) => {
            machine.later(at, Work::On);
            Reply::Done(at)
        }
        (PowerAction::Off, _) => {
            machine.later(at, Work::Off);
            Reply::Done(at)
        }
        (PowerAction::Reboot, _) if level == Level::VeryHard => {
            machine.later(at, Work::Off);
            machine.later(at + REST, Work::On);
            Reply::Done(at + REST)
        }
        (PowerAction::Reboot, _) => {
            machine.later(at, Work::Reset);
            Reply::Done(at)
        }
    }
}

/// The name of the machine or of its BMC is not resolved.
fn nameless(touch: &mut Touch<'_>) -> Option<Reply> {
    let node = &touch.machine.node;
    let name = node.bmc.as_ref().map_or_else(|| node.name.clone(), Bmc::place);
    let text = format!("no address is known of {name}: the name server does not answer");
    let refused = Reply::Error(touch.now + RESOLVER, PowerError::Refused(text));
    touch.strikes(FaultKind::DnsGone).then_some(refused)
}

/// An order to the running system.
fn by_system(touch: Touch<'_>, action: PowerAction) -> Reply {
    let Touch { now, machine, hardware, .. } = touch;
    let Some(boot) = machine.boot() else {
        let text = format!(
            "the site's command for {} ended with status 255: no route to host",
            machine.node.name
        );
        return Reply::Error(now + NO_ANSWER, PowerError::Refused(text));
    };
    let answer = now + hardware.command.draw(&mut machine.dice);
    let gone = answer + hardware.shutdown.draw(&mut machine.dice);
    if action == PowerAction::Off {
        machine.later(gone, Work::Halt { boot });
        Reply::Done(gone)
    } else {
        machine.later(gone, Work::Leave { boot, clean: true });
        Reply::Done(answer)
    }
}

#[async_trait::async_trait]
impl Power for SimPower {
    async fn status(&self, node: &Node, deadline: Duration) -> Result<PowerState, PowerError> {
        let asked = self.world.touch(&node.name, |mut touch| {
            if let Some(nameless) = nameless(&mut touch) {
                return nameless;
            }
            match trouble(&mut touch) {
                Ok(latency) => Reply::Done(touch.now + latency),
                Err(reply) => reply,
            }
        });
        let reply = asked.ok_or_else(|| PowerError::Refused(stranger(node)))?;
        let waited = tokio::time::timeout(deadline, self.wait(reply, PowerAction::On)).await;
        waited.unwrap_or_else(|_| Err(silent(node, deadline)))?;
        let state = self.world.touch(&node.name, |touch| touch.machine.power());
        state.ok_or_else(|| PowerError::Refused(stranger(node)))
    }

    async fn status_text(&self, node: &Node, deadline: Duration) -> Result<String, PowerError> {
        self.status(node, deadline).await.map(|state| state.to_string())
    }

    async fn act(
        &self,
        node: &Node,
        action: PowerAction,
        level: Level,
        deadline: Duration,
    ) -> Result<(), PowerError> {
        let reply = self.world.touch(&node.name, |mut touch| {
            let node = Arc::clone(&touch.machine.node);
            touch.audit.order(&node, &format!("{level} {action}"), touch.now);
            if let Some(nameless) = nameless(&mut touch) {
                return (nameless, node);
            }
            let reply = match (level, action) {
                (Level::Soft, PowerAction::Reboot | PowerAction::Off) => by_system(touch, action),
                _ => by_bmc(touch, action, level),
            };
            (reply, node)
        });
        let (reply, machine) = reply.ok_or_else(|| PowerError::Refused(stranger(node)))?;
        let accepted = match reply {
            Reply::Done(at) | Reply::Lie(at, _) => Some(at),
            Reply::Error(..) | Reply::Silence => None,
        };
        let mut order = Order { world: &self.world, node: machine, accepted: None };
        let waited = tokio::time::timeout(deadline, self.wait(reply, action)).await;
        if waited.is_ok() {
            // Who has given up before knows of nothing that was accepted.
            order.accepted = accepted;
        }
        waited.unwrap_or_else(|_| Err(silent(node, deadline)))
    }
}

pub(super) fn stranger(node: &Node) -> String {
    format!("there is no simulated machine called {}", node.name)
}

/// An order under way, until somebody has its answer or gives it up.
pub(super) struct Order<'a> {
    pub(super) world: &'a World,
    pub(super) node: Arc<Node>,
    pub(super) accepted: Option<Moment>,
}

impl Drop for Order<'_> {
    fn drop(&mut self) {
        self.world.audit(|audit| audit.ordered(&self.node, self.accepted));
    }
}
