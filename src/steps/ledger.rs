//! What steps write down: orders to machines, and what was seen of them.
//!
//! A restart of the service forgets what is only in memory. What a step must know then, it
//! notes before it goes on: an order before it is given, so that it is never given twice
//! without a look at the machine; what proves that a node rebooted, so that the proof counts
//! afterwards; what a node boots next.

use super::{Begin, Run, profile::Boots, ticket::Tickets};
use crate::{
    nodes::Node,
    platform::{DiskId, Level, PowerAction, boot_id::BootId},
};
use automata::{Context, Failures, NodeId, NodeSet, Reason};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, MutexGuard, PoisonError},
};
use tokio::time::Instant;

/// Keeps notes.
#[async_trait::async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Keeps `note`; when it returns, the note survives a crash.
    ///
    /// # Errors
    /// It cannot be kept: what it announces must not be done.
    async fn note(&self, note: &Note) -> Result<(), Reason>;
}

/// Something to be known after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// A node is about to be ordered to boot.
    Boot {
        /// Which node.
        node: NodeId,
        /// Which attempt of which step orders it.
        by: String,
        /// Whether its ssh port was open.
        answered: bool,
        /// Boot id of the system that was running, if it told.
        boot_id: Option<BootId>,
        /// Whether its BMC said that it was off.
        was_off: bool,
    },
    /// A node was seen down after it was ordered to boot.
    WentDown {
        /// Which node.
        node: NodeId,
    },
    /// A node is back from its boot, in the network that it was moved to.
    Moved {
        /// Which node.
        node: NodeId,
    },
    /// How far an order to a machine is.
    Power {
        /// Which node.
        node: NodeId,
        /// Number of the order, never used twice for the nodes of one cluster.
        id: u32,
        /// What is ordered.
        action: PowerAction,
        /// With how much force.
        level: Level,
        /// How far it is.
        phase: Phase,
    },
    /// What nodes boot next.
    Profile {
        /// Which nodes.
        nodes: NodeSet,
        /// The deployment system, not what is installed.
        deploy: bool,
        /// What exactly; none in the notes of an earlier version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boots: Option<Boots>,
    },
    /// Nodes boot what is on their disks: they have no profile any more.
    NoProfile {
        /// Which nodes.
        nodes: NodeSet,
    },
    /// A node's disk is about to be written to, by one attempt of one step.
    Ticket {
        /// Which node.
        node: NodeId,
        /// Number of the ticket, never used twice for the nodes of one cluster.
        serial: u32,
        /// Which attempt of which step.
        by: String,
        /// Which disk.
        disk: DiskId,
    },
    /// A node runs the deployment system.
    System {
        /// Which node.
        node: NodeId,
        /// In this boot.
        boot: BootId,
    },
    /// What a node answered.
    Answer {
        /// Which node.
        node: NodeId,
        /// What.
        text: String,
    },
}

/// How far an order to a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It is about to be given.
    Intent,
    /// It was accepted.
    Issued,
    /// It was seen to have taken effect.
    Observed,
    /// It was refused, or had no effect.
    Failed,
}

/// What the steps of one workflow remember of its nodes.
#[derive(Debug, Default)]
pub(super) struct Memory {
    boots: HashMap<NodeId, BootOrder>,
    powers: HashMap<NodeId, Note>,
    pub(super) profiles: BTreeMap<NodeId, Boots>,
    pub(super) lost: BTreeMap<NodeId, Reason>,
    pub(super) tickets: Tickets,
    /// The last boot of the deployment system, by node.
    pub(super) systems: BTreeMap<NodeId, BootId>,
    /// Nodes that go on from where another operation left them.
    pub(super) begins: BTreeMap<NodeId, Begin>,
    /// Nodes that answer in the network that they were moved to.
    moved: BTreeSet<NodeId>,
    last_order: u32,
}

/// An order to boot: what was known of the node when it was given.
#[derive(Clone, Debug)]
pub(super) struct BootOrder {
    /// Which attempt of which step gave it.
    pub(super) by: String,
    /// When; none if that was before a restart: all that is seen now came after it. Not of the
    /// wall clock: one that jumps must not make an old proof a new one.
    pub(super) at: Option<Instant>,
    /// Whether its ssh port was open.
    pub(super) answered: bool,
    /// Boot id of the system that was running, if it answered.
    pub(super) boot_id: Option<BootId>,
    /// The machine was off.
    pub(super) was_off: bool,
    /// The machine was off, or its ssh port was seen closed afterwards.
    pub(super) went_down: bool,
}

impl Run {
    /// Takes `note`, of before a restart, into account as the one who wrote it did.
    pub fn recall(&self, note: Note) {
        self.take(note, None);
    }

    fn take(&self, note: Note, at: Option<Instant>) {
        let mut memory = self.memory();
        match note {
            Note::Boot { node, by, answered, boot_id, was_off } => {
                let went_down = was_off;
                let order = BootOrder { by, at, answered, boot_id, was_off, went_down };
                memory.boots.insert(node, order);
                memory.powers.remove(&node);
                memory.moved.remove(&node);
            }
            Note::Moved { node } => {
                memory.moved.insert(node);
            }
            Note::WentDown { node } => {
                if let Some(order) = memory.boots.get_mut(&node) {
                    order.went_down = true;
                }
            }
            Note::Power { node, id, .. } => {
                memory.last_order = memory.last_order.max(id);
                memory.powers.insert(node, note);
            }
            Note::Profile { nodes, deploy, boots } => {
                let boots = boots.unwrap_or(if deploy { Boots::Deploy } else { Boots::Installed });
                memory.profiles.extend(nodes.iter().map(|node| (node, boots)));
            }
            Note::NoProfile { nodes } => {
                memory.profiles.retain(|node, _| !nodes.contains(*node));
            }
            Note::Ticket { node, serial, by, disk } => {
                memory.tickets.take((node, serial), by, disk, at.is_none());
            }
            Note::System { node, boot } => {
                memory.systems.insert(node, boot);
            }
            Note::Answer { node, text } => {
                drop(memory);
                self.journalist.answer(node, text);
            }
        }
    }

    /// Those of `nodes` that cannot be treated any more, and why.
    pub(super) fn lost_of(&self, nodes: &NodeSet) -> Failures {
        let memory = self.memory();
        let lost = memory.lost.iter().filter(|(id, _)| nodes.contains(**id));
        lost.map(|(id, why)| (*id, why.clone())).collect()
    }

    /// A node that cannot be treated any more: every step fails on it, for this reason.
    pub fn lose(&self, node: NodeId, reason: Reason) {
        self.memory().lost.insert(node, reason);
    }

    /// Writes a note down, then takes it into account.
    pub(super) async fn note(&self, note: Note) -> Result<(), Reason> {
        let at = Instant::now();
        self.ledger.note(&note).await?;
        self.take(note, Some(at));
        Ok(())
    }

    /// The same for what has happened already: it counts even if it cannot be written down.
    pub(super) async fn witness(&self, note: Note) {
        let at = Instant::now();
        if let Err(error) = self.ledger.note(&note).await {
            tracing::error!(wid = self.wid, ?note, %error, "a note was not kept");
        }
        self.take(note, Some(at));
    }

    /// The node behind an id, where it answers now.
    pub(super) fn node_now(&self, id: NodeId) -> Arc<Node> {
        let moved = self.memory().moved.contains(&id);
        self.node_in(id, moved)
    }

    /// The last order to boot that was given to a node.
    pub(super) fn boot_order(&self, node: NodeId) -> Option<BootOrder> {
        self.memory().boots.get(&node).cloned()
    }

    /// The last order to a node's machine, since it was last about to boot: with how much
    /// force, and how far it is.
    pub fn power_order(&self, node: NodeId) -> Option<(Level, Phase)> {
        match self.memory().powers.get(&node) {
            Some(Note::Power { level, phase, .. }) => Some((*level, *phase)),
            _ => None,
        }
    }

    /// With how much force a node was last ordered to reboot, if nothing was seen of that yet;
    /// an order that may not have been given counts where `perhaps`.
    pub(super) fn open_reboot(&self, node: NodeId, perhaps: bool) -> Option<Level> {
        match self.memory().powers.get(&node)? {
            Note::Power { action: PowerAction::Reboot, level, phase, .. } => {
                let open = *phase == Phase::Issued || (perhaps && *phase == Phase::Intent);
                open.then_some(*level)
            }
            _ => None,
        }
    }

    /// Writes down that an order is about to be given; returns what says how far it is.
    pub(super) async fn intend(
        &self,
        node: NodeId,
        action: PowerAction,
        level: Level,
    ) -> Result<impl Fn(Phase) -> Note + use<>, Reason> {
        let id = {
            let mut memory = self.memory();
            memory.last_order += 1;
            memory.last_order
        };
        let note = move |phase| Note::Power { node, id, action, level, phase };
        self.note(note(Phase::Intent)).await?;
        Ok(note)
    }

    /// The order that was given to a node's machine has been seen to take effect.
    pub(super) async fn observed(&self, node: NodeId) {
        let open = match self.memory().powers.get(&node) {
            Some(Note::Power {
                id, action, level, phase: Phase::Intent | Phase::Issued, ..
            }) => Some((*id, *action, *level)),
            _ => None,
        };
        if let Some((id, action, level)) = open {
            self.witness(Note::Power { node, id, action, level, phase: Phase::Observed }).await;
        }
    }

    /// What is remembered; a panic elsewhere does not make it wrong.
    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One attempt of one step, by name.
pub(super) fn attempt(cx: &Context) -> String {
    format!("{} {}.{}", cx.path(), cx.macro_attempt(), cx.attempt())
}
