//! One cluster's part of an operation: its plan, and the automaton that walks it.

use super::{
    feed::Feed,
    log::Log,
    order::{self, Order},
    watch::Watch,
};
use crate::{
    platform::Ports,
    steps::{Files, Ledger, Run, Windows},
    types::{Kind, Problem},
    workflows,
};
use automata::{
    Automaton, Control, Journal, NodeId, NodeSet, Observer, Options, Record, Replay, SetIds,
    TaskManager,
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// One cluster's part.
pub(super) struct Part {
    pub(super) watch: Arc<Watch>,
    pub(super) run: Arc<Run>,
    pub(super) automaton: Arc<Automaton>,
    /// How far it is.
    pub(super) replay: Replay,
    pub(super) files: Arc<OnceLock<Files>>,
    journal: Arc<dyn Journal>,
}

/// What the parts of an operation have in common, and what they work with.
pub(super) struct Common<'a> {
    pub(super) wid: &'a str,
    pub(super) kind: Kind,
    pub(super) log: &'a Arc<Log>,
    pub(super) debug: Option<&'a Arc<Log>>,
    pub(super) files: &'a Arc<OnceLock<Files>>,
    pub(super) ports: &'a Ports,
    pub(super) windows: &'a Arc<Windows>,
    /// Cancelled when the operation is suspended.
    pub(super) suspended: &'a CancellationToken,
    /// Nothing is said to users: it was said before a restart.
    pub(super) muted: bool,
}

impl Part {
    /// What `order` says, ready to be begun; its messages begin with `prefix`, and it is
    /// written down in `journal` and `ledger`.
    pub(super) fn new(
        common: &Common<'_>,
        order: Order,
        prefix: String,
        feed: Feed,
        (journal, ledger): (Arc<dyn Journal>, Arc<dyn Ledger>),
    ) -> Result<Self, Problem> {
        let watch = Arc::new(Watch::new(
            common.kind,
            (order.cluster, prefix),
            order.nodes.clone(),
            (Arc::clone(common.log), common.debug.cloned()),
            feed,
        ));
        watch.mute(common.muted);
        for note in &order.notes {
            watch.say(0, note);
        }
        let mut run = Run::new(
            common.wid.to_owned(),
            order.nodes,
            common.ports.clone(),
            order.settings,
            order.target,
            Arc::clone(common.files),
            Arc::clone(common.windows),
            (Arc::clone(&watch) as _, ledger),
        );
        run.suspended = common.suspended.clone();
        let run = Arc::new(run);
        for (id, node) in (0..).map(NodeId).zip(&run.nodes) {
            if let Some(begin) = order.begins.get(&node.name) {
                run.begin(id, begin.clone());
            }
        }
        let plan = workflows::plan(order.wish, &run).map_err(|error| order::unplannable(&error))?;
        let automaton = plan.compile().map_err(Problem::internal)?;
        let replay = Replay::new(Arc::clone(&automaton));
        Ok(Self { watch, run, automaton, replay, files: Arc::clone(common.files), journal })
    }

    /// Takes a record into account that was written `at` after the start of the operation.
    ///
    /// # Errors
    /// It does not fit those before it.
    pub(super) fn recall(&mut self, record: &Record, at: Duration) -> Result<(), String> {
        self.replay.take(record, at, &*self.watch).map_err(|error| error.to_string())
    }

    /// The run of its automaton over its nodes, from wherever it is `age` after its beginning,
    /// and the handle that controls it. Nodes at a breakpoint are kept for that long, if at all.
    pub(super) fn manager(
        self,
        observer: Arc<dyn Observer>,
        (keep, patience): (bool, Duration),
        age: Duration,
    ) -> (TaskManager, Control) {
        let journal = self.journal;
        let options = Options { journal, observer, keep, patience, set_ids: SetIds::default() };
        let nodes: NodeSet = self.watch.ids().collect();
        TaskManager::resume(self.replay, nodes, options, age)
    }
}
