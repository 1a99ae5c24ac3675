//! `wait_reboot`: until the nodes are back, with a proof that they were away.
//!
//! A port that answers proves nothing: a node that ignored the order answers as
//! well, and one that is going down answers until its last moment, its marker port
//! already closed. Its boot id, where it can be asked, is the word that counts:
//! another than before the order proves the boot, an equal one disproves it. Where
//! it cannot, proofs are, any one of them: the ssh port seen closed after the
//! order; a request to one of our boot servers after the order; the BMC seen off.
//! A node that stays without proof or disproof for the pause that the configuration
//! names is accepted, with a warning.
//!
//! A node that is seen to run on, though the order was accepted, is ordered again with more
//! force, up to `very_hard`; one that runs on after that fails.

use super::{Note, Run, gather::each, ledger::BootOrder, power, remote, variables::variables};
use crate::{
    nodes::Node,
    platform::{Errand, Input, Level, Reach, Sighting, boot_id, boot_id::BootId},
};
use automata::{Context, NodeId, NodeSet, Outcome, Reason};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Into the deployment system.
    pub(super) deploy: bool,
    /// One that does not leave is ordered again with more force.
    pub(super) press: bool,
    /// In the user's network.
    pub(super) moved: bool,
    /// For how long.
    pub(super) timeout: Duration,
}

/// Least pause between two tests of one node.
const LEAST_PAUSE: Duration = Duration::from_millis(250);

/// Further pause per node of the set: a thousand nodes are tested every two seconds.
const PAUSE_PER_NODE: Duration = Duration::from_millis(2);

/// Bound of one connection attempt.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// Bound of reading a boot id.
const BOOT_ID_LIMIT: Duration = Duration::from_secs(5);

/// A node that does not even refuse a connection for that long is down. A machine under load is
/// silent for a moment as well; one that boots is for longer.
const SILENCE: Duration = Duration::from_secs(3);

/// How long a system may take to leave when it is asked to: its services are stopped, which
/// systemd by itself gives 90 seconds.
const SOFT_EFFECT: Duration = Duration::from_secs(90);

/// How long a machine may take to leave when its BMC resets it.
const HARD_EFFECT: Duration = Duration::from_secs(30);

/// Waits for each node; those that are not back in time fail.
pub(super) async fn wait_reboot(
    run: &Run,
    nodes: &NodeSet,
    cx: &Context,
    wanted: Wanted,
) -> Outcome {
    let began = Instant::now();
    let until = began + wanted.timeout;
    let pause = LEAST_PAUSE.max(PAUSE_PER_NODE * u32::try_from(nodes.len()).unwrap_or(u32::MAX));
    each(nodes, cx, |id| async move {
        run.journalist.boot_state(id, "reboot_in_progress");
        let mut watch = Watch::new(run, id, wanted);
        let back = timeout_at(until, watch.back(pause)).await;
        match back {
            Ok(verdict) => verdict?,
            Err(_) => return Err(watch.unreachable()),
        }
        if watch.node.address != run.node(id).address {
            run.witness(Note::Moved { node: id }).await;
        }
        if wanted.deploy && run.target.is_some() {
            run.is_in_deployment_system(id, watch.boot).await;
        }
        if wanted.deploy {
            startup(run, cx, id).await?;
        }
        run.journalist.boot_state(id, "rebooted");
        let text =
            format!("   * {} is here after {}s", run.node(id).name, began.elapsed().as_secs());
        run.journalist.message(5, text);
        Ok(())
    })
    .await
}

/// The administrator's program for nodes that came into the deployment system.
async fn startup(run: &Run, cx: &Context, id: NodeId) -> Result<(), Reason> {
    let Some(script) = run.settings.startup_script.clone() else { return Ok(()) };
    let errand = Errand::RunScript { variables: variables(run), arguments: Vec::new() };
    let ran = remote::command(run, cx, id, errand, Input::File(script)).await;
    ran.map(drop).map_err(|why| format!("boot/startup_script: {why}").into())
}

/// Watches one node.
struct Watch<'a> {
    run: &'a Run,
    id: NodeId,
    /// Where it comes back.
    node: Arc<Node>,
    wanted: Wanted,
    order: BootOrder,
    last: Option<(Reach, Reach)>,
    /// Since when nothing answers.
    silent: Option<Instant>,
    same_boot: bool,
    /// Since when the last order should show; none once nothing more can be ordered.
    since: Option<Instant>,
    /// The boot that it is in now, if it had to tell.
    boot: Option<BootId>,
}

/// What a look at a node said.
enum Look {
    NotYet,
    Proved,
    Unproved,
}

impl<'a> Watch<'a> {
    fn new(run: &'a Run, id: NodeId, wanted: Wanted) -> Self {
        // Without an order everything seen from now on counts.
        let order = run.boot_order(id).unwrap_or(BootOrder {
            by: String::new(),
            at: Some(Instant::now()),
            answered: false,
            was_off: false,
            boot_id: None,
            went_down: false,
        });
        let since = Some(Instant::now());
        let (last, silent, boot) = (None, None, None);
        let node = run.node_in(id, wanted.moved);
        Self { run, id, node, wanted, order, last, silent, same_boot: false, since, boot }
    }

    fn node(&self) -> &Node {
        &self.node
    }

    /// Returns when the node is back, or known not to come.
    async fn back(&mut self, pause: Duration) -> Result<(), Reason> {
        let mut unproved_since = None;
        loop {
            match self.look().await {
                Look::Proved => {
                    self.run.observed(self.id).await;
                    return Ok(());
                }
                Look::NotYet => {
                    unproved_since = None;
                    // Boxed: an order to a node that ignores one is rare, and large.
                    Box::pin(self.press()).await?;
                }
                Look::Unproved => {
                    let since = *unproved_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= self.run.settings.sleep_before_ping {
                        return self.accept_unproved();
                    }
                }
            }
            sleep(pause).await;
        }
    }

    async fn look(&mut self) -> Look {
        let settings = &self.run.settings;
        let ssh = self.run.probe(self.node(), settings.ssh_port, PROBE_LIMIT).await;
        let marker = match ssh {
            Reach::Open => self.run.probe(self.node(), settings.marker_port, PROBE_LIMIT).await,
            other => other,
        };
        self.last = Some((ssh, marker));
        if ssh != Reach::Open {
            self.same_boot = false;
        }
        if self.is_down(ssh) && !self.order.went_down {
            self.order.went_down = true;
            self.run.witness(Note::WentDown { node: self.id }).await;
            self.run.observed(self.id).await;
        }
        let right = ssh == Reach::Open && (marker == Reach::Open) == self.wanted.deploy;
        if right { self.proof().await } else { Look::NotYet }
    }

    /// Whether the node is down, as its ssh port answered now and before.
    fn is_down(&mut self, ssh: Reach) -> bool {
        if ssh != Reach::Silent {
            self.silent = None;
            return ssh == Reach::Refused;
        }
        self.silent.get_or_insert_with(Instant::now).elapsed() >= SILENCE
    }

    /// Orders a node that runs on to reboot with more force, when it is time.
    async fn press(&mut self) -> Result<(), Reason> {
        let (Some(since), true) = (self.since, self.wanted.press) else { return Ok(()) };
        let Some(level) = self.run.open_reboot(self.id, true) else { return Ok(()) };
        if since.elapsed() < effect(level, self.wanted.timeout) || !self.stays().await {
            return Ok(());
        }
        let name = &self.node().name;
        if level == Level::VeryHard {
            return Err(format!(
                "the reboot of {name} was accepted and had no effect, at every level up to \
                 {level}: look at its BMC and its console"
            )
            .into());
        }
        let text = format!("   ! The {level} reboot of {name} was accepted and had no effect");
        self.run.journalist.message(3, text);
        self.since = match power::harder(self.run, self.id, level).await {
            Ok(_) => Some(Instant::now()),
            // Perhaps it leaves yet.
            Err(why) => {
                self.run.journalist.message(3, format!("   ! No other reboot of {name}: {why}"));
                None
            }
        };
        Ok(())
    }

    /// Whether the node is known to run the system that it ran when it was ordered to reboot.
    async fn stays(&mut self) -> bool {
        let open = matches!(self.last, Some((Reach::Open, _)));
        if !open || self.order.went_down || self.sighting().is_some() {
            return false;
        }
        let Some(before) = self.order.boot_id else { return self.order.answered };
        let now = boot_id::boot_id(&*self.run.ports.shell, self.node(), BOOT_ID_LIMIT).await;
        now.is_ok_and(|now| now == before)
    }

    async fn proof(&mut self) -> Look {
        if let Some(before) = self.order.boot_id {
            match boot_id::boot_id(&*self.run.ports.shell, self.node(), BOOT_ID_LIMIT).await {
                Ok(now) if now != before => {
                    self.boot = Some(now);
                    return Look::Proved;
                }
                Ok(_) => {
                    self.same_boot = true;
                    return Look::NotYet;
                }
                // The installed system need not know our key; the one before did.
                Err(error) if error.is_of_another_system() => return Look::Proved,
                // A system that is slow to die, or one that is not quite there: neither is known.
                Err(error) if error.is_silence() => return Look::NotYet,
                Err(_) => {}
            }
        }
        let proved = self.order.went_down || self.sighting().is_some();
        if proved { Look::Proved } else { Look::Unproved }
    }

    /// A request of the node to one of our servers after the order.
    fn sighting(&self) -> Option<Sighting> {
        let seen = self.run.ports.presence.last_seen(self.node())?;
        self.order.at.is_none_or(|at| seen.at > at).then_some(seen)
    }

    fn accept_unproved(&self) -> Result<(), Reason> {
        let name = &self.node().name;
        if self.run.settings.require_reboot_proof {
            return Err("reboot not observed (require_reboot_proof is set for the cluster)".into());
        }
        tracing::warn!(wid = self.run.wid, node = name, "reboot not observed");
        self.run.journalist.message(1, format!("Warning: reboot not observed on {name}"));
        Ok(())
    }

    /// Why the node is given up, with what was last seen of it.
    fn unreachable(&self) -> Reason {
        let seen = match (self.same_boot, self.last) {
            (true, _) => "the node never rebooted: its boot id is the one from before the order",
            (_, Some((Reach::Open, Reach::Open))) => "it still runs the deployment system",
            (_, Some((Reach::Open, _))) if self.wanted.deploy => {
                "ssh answers, but it is not the deployment system"
            }
            (_, Some((Reach::Refused, _))) => "it is up, but nothing listens on its ssh port",
            _ => "nothing answers at its address",
        };
        let booted = match self.sighting() {
            Some(at) => format!("last request: {:?} {}", at.witness, at.what).to_lowercase(),
            None => "it asked none of our boot servers for anything".to_owned(),
        };
        let name = &self.node().name;
        format!("Unreachable after the reboot: {seen}; {booted}. Look at its console and its boot order, and ask `kadence power status -m {name}`").into()
    }
}

/// How long an order of `level` may take to show, where the node may be away for `timeout`:
/// there must be time for a stronger one.
fn effect(level: Level, timeout: Duration) -> Duration {
    let limit = if level == Level::Soft { SOFT_EFFECT } else { HARD_EFFECT };
    limit.min(timeout / 3)
}
