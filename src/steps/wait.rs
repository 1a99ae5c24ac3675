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

use super::{Run, gather::each, run::BootOrder};
use crate::{
    nodes::Node,
    platform::{Reach, Sighting, boot_id},
};
use automata::{Context, NodeId, NodeSet, Outcome, Reason};
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, sleep, timeout_at};

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Into the deployment system.
    pub(super) deploy: bool,
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
        run.journalist.boot_state(id, "rebooted");
        let text =
            format!("   * {} is here after {}s", run.node(id).name, began.elapsed().as_secs());
        run.journalist.message(5, text);
        Ok(())
    })
    .await
}

/// Watches one node.
struct Watch<'a> {
    run: &'a Run,
    id: NodeId,
    wanted: Wanted,
    order: BootOrder,
    last: Option<(Reach, Reach)>,
    same_boot: bool,
}

/// What a look at a node said.
enum Look {
    NotYet,
    Proved,
    Unproved,
}

impl<'a> Watch<'a> {
    fn new(run: &'a Run, id: NodeId, wanted: Wanted) -> Self {
        // Without an order (a restart of the service) everything seen from now on counts.
        let order = run.orders().get(&id).cloned().unwrap_or(BootOrder {
            at: SystemTime::now(),
            boot_id: None,
            went_down: false,
        });
        Self { run, id, wanted, order, last: None, same_boot: false }
    }

    fn node(&self) -> &'a Node {
        self.run.node(self.id)
    }

    /// Returns when the node is back, or known not to come.
    async fn back(&mut self, pause: Duration) -> Result<(), Reason> {
        let mut unproved_since = None;
        loop {
            match self.look().await {
                Look::Proved => return Ok(()),
                Look::NotYet => unproved_since = None,
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
        let port = |port| SocketAddr::new(IpAddr::V4(self.node().address), port);
        let presence = &self.run.ports.presence;
        let slot = self.run.windows.check.acquire().await;
        let ssh = presence.probe(port(settings.ssh_port), PROBE_LIMIT).await;
        let marker = match ssh {
            Reach::Open => presence.probe(port(settings.marker_port), PROBE_LIMIT).await,
            other => other,
        };
        drop(slot);
        self.last = Some((ssh, marker));
        if ssh != Reach::Open {
            self.order.went_down = true;
            self.same_boot = false;
        }
        let right = ssh == Reach::Open && (marker == Reach::Open) == self.wanted.deploy;
        if right { self.proof().await } else { Look::NotYet }
    }

    async fn proof(&mut self) -> Look {
        if let Some(before) = self.order.boot_id {
            match boot_id::boot_id(&*self.run.ports.shell, self.node(), BOOT_ID_LIMIT).await {
                Ok(now) if now != before => return Look::Proved,
                Ok(_) => {
                    self.same_boot = true;
                    return Look::NotYet;
                }
                // The installed system need not know our key.
                Err(_) => {}
            }
        }
        let proved = self.order.went_down || self.sighting().is_some();
        if proved { Look::Proved } else { Look::Unproved }
    }

    /// A request of the node to one of our servers after the order.
    fn sighting(&self) -> Option<Sighting> {
        let seen = self.run.ports.presence.last_seen(self.node())?;
        (seen.at > self.order.at).then_some(seen)
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
        format!("Unreachable after the reboot: {seen}; {booted}").into()
    }
}
