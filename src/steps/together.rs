//! Orders that one command of the site gives to several nodes at once.
//!
//! Such a command is run only if every node that it serves takes part: it would switch the
//! others as well. Each node notes its own order, as for a command of its own.

use super::{
    Phase, Run,
    power::{Refusal, limit},
};
use crate::platform::{Level, PowerAction, PowerError};
use automata::{NodeId, NodeSet, Reason, ranges};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};
use tokio::sync::{Barrier, watch};

/// The nodes of one command.
pub(super) struct Group {
    /// All that it serves; none of a group of which not all take part.
    members: Option<Vec<NodeId>>,
    names: Vec<String>,
    /// Until all are ready.
    ready: Barrier,
    /// One of them could not be made ready.
    broken: AtomicBool,
    acted: watch::Sender<Option<Result<(), PowerError>>>,
}

/// The groups to which nodes of `now` belong.
pub(super) fn groups(
    run: &Run,
    now: &NodeSet,
    action: PowerAction,
    level: Level,
) -> BTreeMap<NodeId, Arc<Group>> {
    let mut groups: BTreeMap<NodeId, Arc<Group>> = BTreeMap::new();
    for id in now {
        if groups.contains_key(&id) {
            continue;
        }
        let Some(names) = run.ports.power.group(run.node(id), action, level) else { continue };
        let called = |id: NodeId, name: &str| {
            let node = run.node(id);
            node.name == name || node.short() == name
        };
        let member = |name: &String| now.iter().find(|id| called(*id, name));
        let members: Option<Vec<NodeId>> = names.iter().map(member).collect();
        let ours = members.clone().unwrap_or_else(|| vec![id]);
        let ready = Barrier::new(ours.len());
        let (broken, acted) = (AtomicBool::new(false), watch::Sender::new(None));
        let group = Arc::new(Group { members, names, ready, broken, acted });
        groups.extend(ours.into_iter().map(|id| (id, Arc::clone(&group))));
    }
    groups
}

impl Group {
    /// Gives `id` its part of the order, when it and all others are `prepared`.
    pub(super) async fn act(
        &self,
        run: &Run,
        id: NodeId,
        prepared: Result<(), Refusal>,
        (action, level): (PowerAction, Level),
    ) -> Result<(), Refusal> {
        let Some(members) = &self.members else {
            prepared?;
            return Err(Refusal::Refused(self.apart(run, id)));
        };
        let ready = async {
            prepared?;
            let turn = run.windows.turns.take_node(run.node(id)).await;
            let turn = turn.map_err(|why| Refusal::Refused(why.to_string().into()))?;
            let order = run.intend(id, action, level).await.map_err(Refusal::Unwritten)?;
            Ok::<_, Refusal>((turn, order))
        };
        let ready = ready.await;
        if ready.is_err() {
            self.broken.store(true, SeqCst);
        }
        let first = self.ready.wait().await.is_leader();
        let (turn, order) = ready?;
        if self.broken.load(SeqCst) {
            run.witness(order(Phase::Failed)).await;
            return Err(Refusal::Refused(self.apart(run, id)));
        }
        if first {
            let _slot = run.windows.reboot.acquire().await;
            let nodes: Vec<_> = members.iter().map(|id| Arc::clone(run.node(*id))).collect();
            let limit = limit(action, level);
            let acted = run.ports.power.act_on_group(&nodes, action, level, limit).await;
            self.acted.send_replace(Some(acted));
        }
        let acted = match self.acted.subscribe().wait_for(Option::is_some).await {
            Ok(acted) => acted.clone().unwrap_or(Ok(())),
            Err(_) => Err(PowerError::Refused("the order to its group was broken off".into())),
        };
        turn.over(&acted);
        run.witness(order(match (&acted, action) {
            (Err(_), _) => Phase::Failed,
            (Ok(()), PowerAction::Reboot) => Phase::Issued,
            (Ok(()), _) => Phase::Observed,
        }))
        .await;
        acted.map_err(|error| Refusal::Refused(error.to_string().into()))?;
        if action == PowerAction::Reboot {
            run.ports.shell.forget(run.node(id)).await;
        }
        Ok(())
    }

    /// Why nothing is ordered.
    fn apart(&self, run: &Run, id: NodeId) -> Reason {
        let all = ranges::fold(self.names.iter().map(String::as_str));
        let name = &run.node(id).name;
        format!("the command of this level serves {all} together: {name} alone gets none").into()
    }
}
