//! Nodes of an operation that does another one again: where they go on.
//!
//! A node that failed after it had come into the deployment system may still be there, on the
//! same boot and with the same disk. What was done to it until then holds, and it goes on from
//! the macro-step that failed. That is looked at before the operation begins, and once more by
//! the step in whose place it would have been waited for. Anything else begins at the start.

use super::{Micro, Note, Run, Windows, gather::each, remote};
use crate::{
    nodes::Node,
    platform::{Command, DiskId, Errand, Input, Ports, Reach, boot_id, boot_id::BootId},
};
use automata::{Context, NodeId, NodeSet, Outcome, Reason};
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Bound of each look at a node: one that takes longer is not there.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// Bound of ending what an attempt left behind: it waits ten seconds for a disk that is in use.
const TIDY_LIMIT: Duration = Duration::from_secs(60);

/// Most that a look prints.
const OUTPUT: usize = 4096;

/// The macro-step from which a node goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entrance {
    /// The image comes, onto a filesystem that is made anew.
    Broadcast,
    /// What is installed is booted.
    Boot,
}

impl Entrance {
    /// For a node that failed in the macro-step at this position of a deployment.
    pub fn position(position: usize) -> Option<Self> {
        [None, Some(Self::Broadcast), Some(Self::Boot)].get(position).copied().flatten()
    }

    /// Whether `micro` of the macro-step at `position` was done and holds.
    fn passes(self, position: u32, micro: &Micro) -> bool {
        match self {
            Self::Broadcast => {
                let makes_anew = matches!(
                    micro,
                    Micro::FormatDeployPart | Micro::MountDeployPart | Micro::ManageAdminPreInstall
                );
                position == 0 && !makes_anew
            }
            Self::Boot => position < 2,
        }
    }
}

/// What an operation left a node in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The boot of the deployment system it came into.
    pub boot: Option<BootId>,
    /// The disk it began to write to.
    pub disk: Option<DiskId>,
}

/// Where a node goes on, and what it must still be in for that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// From here.
    pub from: Entrance,
    /// As it was left.
    pub left: Left,
}

/// Looks whether `node` is still in what an operation `left` it in; `device` is the disk.
///
/// # Errors
/// It is not, or that cannot be told: why.
pub async fn still_there(
    (ports, windows): (&Ports, &Windows),
    [ssh, marker]: [u16; 2],
    node: &Node,
    (device, left): (&str, &Left),
) -> Result<(), String> {
    let Some(boot) = left.boot else {
        return Err("it is not known which boot of the deployment system it came into".to_owned());
    };
    let port = |port| SocketAddr::new(IpAddr::V4(node.address), port);
    let slot = windows.check.acquire().await;
    for at in [ssh, marker] {
        if ports.presence.probe(port(at), LOOK_LIMIT).await != Reach::Open {
            return Err("it is not in the deployment system any more".to_owned());
        }
    }
    drop(slot);
    let shell = &*ports.shell;
    let now = boot_id::boot_id(shell, node, LOOK_LIMIT).await.map_err(|why| why.to_string())?;
    if now != boot {
        return Err("it has been booted since".to_owned());
    }
    let Some(disk) = &left.disk else { return Ok(()) };
    let errand = Errand::IdentifyDisk { device: device.to_owned() };
    let command = Command {
        errand: errand.into(),
        input: Input::Empty,
        deadline: LOOK_LIMIT,
        output_limit: OUTPUT,
    };
    let told = shell.run(node, &command).await.map_err(|why| why.to_string())?;
    let found = DiskId::told(&String::from_utf8_lossy(&told.stdout));
    if found == *disk { Ok(()) } else { Err(format!("{device} was: {disk}; now it is: {found}")) }
}

impl Run {
    /// Lets a node go on from where an operation before this one left it.
    pub fn begin(&self, id: NodeId, begin: Begin) {
        let mut memory = self.memory();
        if let Some(disk) = begin.left.disk.clone() {
            // The tickets of this operation are for that disk.
            memory.tickets.take((id, 0), String::new(), disk, false);
        }
        memory.systems.extend(begin.left.boot.map(|boot| (id, boot)));
        memory.begins.insert(id, begin);
    }

    /// Those of `nodes` on which `micro` was done before this operation, and holds. The first
    /// attempt of a macro-step relies on that, a further one does everything.
    pub(super) fn passes(&self, nodes: &NodeSet, micro: &Micro, cx: &Context) -> NodeSet {
        let memory = self.memory();
        let place = cx.path().macro_step().filter(|_| cx.macro_attempt() == 0);
        let Some(place) = place.filter(|place| place.alternative == 0) else {
            return NodeSet::new();
        };
        let passes = |id: &NodeId| {
            memory.begins.get(id).is_some_and(|begin| begin.from.passes(place.position, micro))
        };
        nodes.iter().filter(passes).collect()
    }

    /// Takes note of the boot in which a node runs the deployment system.
    pub(super) async fn is_in_deployment_system(&self, id: NodeId, seen: Option<BootId>) {
        let boot = match seen {
            Some(boot) => Some(boot),
            None => boot_id::boot_id(&*self.ports.shell, self.node(id), LOOK_LIMIT).await.ok(),
        };
        if let Some(boot) = boot {
            self.witness(Note::System { node: id, boot }).await;
        }
    }
}

/// In place of waiting for them: the nodes are still where they were left, and nothing of the
/// attempt before is at work there.
pub(super) async fn instead_of_waiting(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    each(nodes, cx, |id| async move {
        let begin = run.memory().begins.get(&id).cloned();
        let Some((begin, target)) = begin.zip(run.target.as_ref()) else { return Ok(()) };
        let (node, settings) = (run.node(id), &run.settings);
        let ports = [settings.ssh_port, settings.marker_port];
        let left = (target.device.as_str(), &begin.left);
        let there = still_there((&run.ports, &run.windows), ports, node, left).await;
        there.map_err(|why| Reason::from(format!("{} cannot go on: {why}", node.name)))?;
        tidy(run, id).await
    })
    .await
}

/// Ends what steps left at work on a node in the deployment system, and what they mounted.
pub(super) async fn tidy(run: &Run, id: NodeId) -> Result<(), Reason> {
    end(run, id, true).await
}

/// The same; what is mounted stays.
pub(super) async fn quiet(run: &Run, id: NodeId) -> Result<(), Reason> {
    end(run, id, false).await
}

async fn end(run: &Run, id: NodeId, unmount: bool) -> Result<(), Reason> {
    let errand = Errand::Tidy { directory: run.settings.extraction_dir.clone(), unmount };
    remote::within(run, id, errand, Input::Empty, TIDY_LIMIT).await.map(drop)
}
