//! Turns what happens to one cluster's nodes into messages, states and events.

mod journalist;

use super::{board::Board, feed::Feed, log::Log};
use crate::{
    nodes::Node,
    steps::Undone,
    types::{EventBody, Kind},
    workflows::shown,
};
use automata::{
    Event, Failures, NodeId, NodeSet, Observer, Path, Raise, Reason, Recovery, SetId, Status,
    ranges,
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    time::Duration,
};

/// Sees one cluster's part of an operation.
pub(crate) struct Watch {
    /// Which operation.
    pub(crate) kind: Kind,
    /// Name of the cluster.
    pub(crate) cluster: String,
    /// What its messages begin with; empty where only one cluster is concerned.
    pub(crate) prefix: String,
    /// Its nodes; an id is an index.
    pub(crate) nodes: Vec<Arc<Node>>,
    /// Messages of the operation.
    pub(crate) log: Arc<Log>,
    /// Command output, when it was asked for.
    pub(crate) debug: Option<Arc<Log>>,
    /// Events of the service.
    pub(crate) feed: Feed,
    board: Mutex<Board>,
    /// Set of the step that began last: messages from inside steps bear its number.
    set: AtomicI32,
    muted: AtomicBool,
}

impl Watch {
    /// Nothing was seen yet.
    pub(crate) fn new(
        kind: Kind,
        (cluster, prefix): (String, String),
        nodes: Vec<Arc<Node>>,
        (log, debug): (Arc<Log>, Option<Arc<Log>>),
        feed: Feed,
    ) -> Self {
        let board = Mutex::new(Board::new(nodes.len()));
        let (set, muted) = (AtomicI32::new(-1), AtomicBool::new(false));
        Self { kind, cluster, prefix, nodes, log, debug, feed, board, set, muted }
    }

    /// Where the nodes are.
    pub(crate) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Name of a node.
    pub(crate) fn name(&self, id: NodeId) -> String {
        self.nodes[id.index()].name.clone()
    }

    /// Ids of all its nodes.
    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> {
        (0_u32..).map(NodeId).take(self.nodes.len())
    }

    /// The nodes that ended with `status`.
    pub(crate) fn ended_with(&self, status: Status) -> Vec<Arc<Node>> {
        let board = self.board();
        board.ended_with(status).map(|id| Arc::clone(&self.nodes[id.index()])).collect()
    }

    /// Ids of the nodes that ended badly.
    pub(crate) fn failed(&self) -> NodeSet {
        self.board().ended_with(Status::Ko).collect()
    }

    /// Whether a node may have been changed.
    pub(crate) fn touched(&self, id: NodeId) -> bool {
        let board = self.board();
        let place = board.place(id);
        place.started && place.undone.as_ref().is_none_or(|undone| undone.written)
    }

    /// Nothing more is done to the nodes that are not at their end, for this reason.
    pub(crate) fn give_up(&self, reason: &str) {
        let all: NodeSet = {
            let board = self.board();
            let under_way = board.iter().filter(|(_, place)| place.ended.is_none());
            under_way.map(|(id, _)| id).collect()
        };
        for id in &all {
            let mut board = self.board();
            let place = board.place_mut(id);
            place.broken_off = place.started;
        }
        let reasons = all.iter().map(|id| (id, reason.into())).collect();
        self.settled(SetId(-1), &all, Status::Ko, &reasons, Duration::ZERO);
    }

    /// The nodes that were under way when the operation was broken off.
    pub(crate) fn broken_off(&self) -> Vec<NodeId> {
        let board = self.board();
        board.iter().filter(|(_, place)| place.broken_off).map(|(id, _)| id).collect()
    }

    /// What became of a node that was broken off: it is on its result.
    pub(crate) fn left_as(&self, id: NodeId, undone: &Undone) {
        {
            let mut board = self.board();
            let place = board.place_mut(id);
            place.undone = Some(undone.clone());
            place.state = "ko";
            let before = place.error.take();
            let reason = before.into_iter().chain([undone.state.clone()]);
            place.error = Some(reason.collect::<Vec<_>>().join("; "));
        }
        let (node, state) = (self.name(id), undone.state.clone());
        self.say(1, &format!("{node}: {state}"));
        self.tell(SetId(-1), EventBody::NodeLeft { node, state });
    }

    /// A message of this cluster that concerns no set.
    pub(crate) fn say(&self, level: u8, text: &str) {
        self.say_of(SetId(-1), level, text);
    }

    fn say_of(&self, set: SetId, level: u8, text: &str) {
        let prefix = match (self.prefix.as_str(), set.is_shown()) {
            ("", false) => String::new(),
            ("", true) => format!("[{set}] "),
            (prefix, false) => format!("[{prefix}] "),
            (prefix, true) => format!("[{prefix}.{set}] "),
        };
        let text: String = text.lines().map(|line| format!("{prefix}{line}\n")).collect();
        if !self.is_muted() {
            self.log.add(level, Some(&self.cluster), set, &text);
        }
    }

    /// Tells those who listen to events.
    fn tell(&self, set: SetId, body: EventBody) {
        if !self.is_muted() {
            self.feed.tell(&self.cluster, set, body);
        }
    }

    /// While muted it takes note and tells nobody: what it hears of was told before.
    pub(crate) fn mute(&self, muted: bool) {
        self.muted.store(muted, Ordering::Relaxed);
    }

    fn is_muted(&self) -> bool {
        self.muted.load(Ordering::Relaxed)
    }

    fn names(&self, nodes: &NodeSet) -> Vec<String> {
        nodes.iter().map(|id| self.name(id)).collect()
    }

    fn folded(&self, nodes: &NodeSet) -> String {
        ranges::fold(nodes.iter().map(|id| self.nodes[id.index()].name.as_str()))
    }

    /// `Deploy[SetDeploymentEnvUntrusted]`.
    fn instance(&self, path: &Path) -> String {
        let name = path.macro_step().map_or("", |step| &step.name);
        let kind = match self.kind {
            Kind::Deploy => "Deploy",
            Kind::Reboot => "Reboot",
            Kind::Power => "Power",
        };
        format!("{kind}[{name}]")
    }

    fn started(&self, path: &Path, set: SetId, nodes: &NodeSet, limit: Option<Duration>) {
        self.board().enter(path, nodes, limit);
        self.set.store(set.0, Ordering::Relaxed);
        let Some((outer, micro)) = two(path) else {
            return self.say_of(set, 1, &format!("Performing a {} step", self.instance(path)));
        };
        self.say_of(set, 3, &format!("  {}", shown(&micro)));
        let nodes = self.names(nodes);
        self.tell(set, EventBody::StepStarted { macro_step: outer, micro, nodes });
    }

    fn finished(&self, path: &Path, set: SetId, ok: &NodeSet, ko: &Failures, elapsed: Duration) {
        if let (Some((_, micro)), Some(why)) = (two(path), of_all(ok, ko)) {
            self.say_of(set, 0, &format!("Error[{}] {why}", shown(&micro)));
        }
        self.ended(path, set, ok, ko, elapsed);
    }

    fn stopped(&self, path: &Path, set: SetId, nodes: &NodeSet) {
        let step = path.last().map_or("", |step| &step.name);
        let text = format!("*** Breakpoint on {step} reached for {}", self.folded(nodes));
        self.say_of(set, 2, &text);
    }

    fn ended(&self, path: &Path, set: SetId, ok: &NodeSet, ko: &Failures, elapsed: Duration) {
        let failed: NodeSet = ko.keys().copied().collect();
        let seconds = elapsed.as_secs();
        {
            let mut board = self.board();
            board.leave(path, ok, &failed, elapsed);
            if path.micro_step().is_some() {
                board.failed(path, ko);
            }
        }
        let Some((outer, micro)) = two(path) else {
            return self.macro_ended(path, set, ok, &failed, seconds);
        };
        for id in &failed {
            let text =
                format!("The node {} has been discarded of the current instance", self.name(id));
            self.say_of(set, 5, &text);
        }
        self.say_of(set, 4, &format!("   ~ Time in {}: {seconds}s", shown(&micro)));
        if !ok.is_empty() && !ko.is_empty() {
            let (failed, micro) = (self.folded(&failed), shown(&micro));
            let text = format!("!!! The nodes {failed} failed on step {micro}");
            self.say_of(set, 2, &text);
        }
        let (ok, ko) = (self.names(ok), self.names(&failed));
        let seconds = elapsed.as_secs_f64();
        let body = EventBody::StepEnded { macro_step: outer, micro, ok, ko, seconds };
        self.tell(set, body);
    }

    fn macro_ended(&self, path: &Path, set: SetId, ok: &NodeSet, ko: &NodeSet, seconds: u64) {
        let step = self.instance(path);
        if !ok.is_empty() {
            self.say_of(set, 1, &format!("End of step {step} after {seconds}s"));
        }
        if !ko.is_empty() {
            let text = format!("Step {step} failed for {} after {seconds}s", self.folded(ko));
            self.say_of(set, 1, &text);
        }
    }

    fn raised(&self, path: &Path, set: SetId, nodes: &Raise, elapsed: Duration) {
        match nodes {
            Raise::Ok(ok) => self.ended(path, set, ok, &Failures::new(), elapsed),
            Raise::Ko(ko) => self.ended(path, set, &NodeSet::new(), ko, elapsed),
            Raise::Brk(_) => {}
        }
    }

    fn split(&self, from: SetId, ok: &(SetId, NodeSet), ko: &(SetId, NodeSet)) {
        let line = |(set, nodes): &(SetId, NodeSet)| format!("  [{set}] {}\n", self.folded(nodes));
        let (ok, ko) = (line(ok), line(ko));
        self.say(1, &format!("---\nNodeset [{from}] split into :\n{ok}{ko}---"));
    }

    fn settled(&self, set: SetId, nodes: &NodeSet, status: Status, why: &Failures, took: Duration) {
        self.board().settle(nodes, status, why);
        let names = self.folded(nodes);
        match status {
            Status::Ok => {
                let text = format!("End of {} for {names} after {}s", self.kind, took.as_secs());
                self.say_of(set, 1, &text);
            }
            Status::Brk => self.say_of(set, 1, &format!("Breakpoint reached for {names}")),
            Status::Ko => {}
        }
        let state = match status {
            Status::Ok => "ok",
            Status::Ko => "ko",
            Status::Brk => "brk",
        };
        for id in nodes {
            let reason = self.board().place(id).error.clone();
            let (node, state) = (self.name(id), state.to_owned());
            self.tell(set, EventBody::NodeEnded { node, state, reason });
        }
    }

    fn killed(&self, nodes: &NodeSet, reason: &str) {
        {
            let mut board = self.board();
            for id in nodes {
                let place = board.place_mut(id);
                // Settled a moment ago, for this very reason.
                let now = place.failed.as_deref().is_some_and(|why| why == reason);
                place.broken_off |= place.started && now;
                let done = place.ended == Some(Status::Ok);
                place.ended = Some(Status::Ko);
                place.state = "ko";
                let done = if done { "; all had been done to it by then" } else { "" };
                place.error.get_or_insert_with(|| format!("{reason}{done}"));
            }
        }
        self.say(2, &format!(" * Kill a {} instance", self.kind));
        let kind = self.kind.to_string();
        let mut letters = kind.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase()).into_iter();
        let kind: String = first.chain(letters).collect();
        self.say(0, &format!("{kind} aborted"));
    }
}

impl Observer for Watch {
    fn event(&self, event: &Event) {
        match event {
            Event::RunStarted { nodes, set } => {
                let text = format!("Launching a {} on {}", self.kind, self.folded(nodes));
                self.say_of(*set, 0, &text);
            }
            Event::StepStarted { path, set, nodes, limit, .. } => {
                self.started(path, *set, nodes, *limit);
            }
            Event::Recovered { path, set, nodes, recovery } => {
                let step = path.last().map_or("", |step| &step.name);
                let how = match recovery {
                    Recovery::Rerun => "again from its start",
                    Recovery::Observe | Recovery::Fail => "after a look at the nodes",
                };
                let text = format!("  {step} goes on {how}: {}", self.folded(nodes));
                self.say_of(*set, 3, &text);
            }
            Event::StepFinished { path, set, ok, ko, elapsed } => {
                self.finished(path, *set, ok, ko, *elapsed);
            }
            Event::Raised { path, set, nodes, elapsed } => self.raised(path, *set, nodes, *elapsed),
            Event::TimedOut { path, set, .. } => {
                let step = path.last().map_or("", |step| shown(&step.name));
                let text = format!("Timeout in the {step} step, let's kill the instance");
                self.say_of(*set, 1, &text);
            }
            Event::Split { from, ok, ko, .. } => self.split(*from, ok, ko),
            Event::Retry { path, nodes, .. } | Event::Fallback { path, nodes, .. } => {
                if let (Some(outer), None) = (path.macro_step(), path.micro_step()) {
                    self.board().again(outer, nodes);
                }
            }
            Event::Breakpoint { path, set, nodes } => {
                self.stopped(path, *set, nodes);
                if path.micro_step().is_some() {
                    let text = format!("Step {} breakpointed", self.instance(path));
                    self.say_of(*set, 1, &text);
                }
            }
            Event::Paused { path, set, nodes } => {
                self.board().pause(nodes);
                self.stopped(path, *set, nodes);
            }
            Event::Settled { set, nodes, status, reasons, elapsed, .. } => {
                self.settled(*set, nodes, *status, reasons, *elapsed);
            }
            Event::Killed { nodes, reason } => self.killed(nodes, reason),
            Event::Continued { .. } | Event::Left { .. } => {}
        }
    }
}

/// Why a step failed on all its nodes, if that is the same for all.
fn of_all<'k>(ok: &NodeSet, ko: &'k Failures) -> Option<&'k Reason> {
    let mut reasons = ko.values();
    let first = reasons.next().filter(|_| ok.is_empty())?;
    reasons.all(|other| other == first).then_some(first)
}

/// The names of the macro- and the micro-step, where there is a micro-step.
fn two(path: &Path) -> Option<(String, String)> {
    Some((path.macro_step()?.name.to_string(), path.micro_step()?.name.to_string()))
}
