//! One operation, while it runs and after it has ended.

use super::{
    hook::Hook,
    log::{Log, seconds, whole},
    record::{Footprint, Record},
    viewer::Viewer,
    watch::Watch,
};
use crate::types::{
    Code, EnvironmentRef, Kind, NodeLists, NodeStatus, Poll, Problem, Resources, StatusTree,
};
use automata::{Control, NodeId, SetId, Status};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use tokio_util::sync::CancellationToken;

/// One operation.
pub(crate) struct Operation {
    /// Its id.
    pub(crate) wid: String,
    /// Which operation.
    pub(crate) kind: Kind,
    /// Who asked for it.
    pub(crate) user: String,
    /// When.
    pub(crate) start: SystemTime,
    /// Level of the messages its readers get.
    pub(crate) level: u8,
    /// What it installs.
    pub(crate) environment: Option<EnvironmentRef>,
    /// All its nodes.
    pub(crate) nodes: Vec<String>,
    /// The clusters concerned.
    pub(crate) clusters: Vec<String>,
    /// What it makes of the states of its nodes.
    pub(crate) footprint: Option<Footprint>,
    /// The site's hook at its end.
    pub(crate) hook: Hook,
    /// Its messages.
    pub(crate) log: Arc<Log>,
    /// What commands printed, when it was asked for.
    pub(crate) debug: Option<Arc<Log>>,
    /// Its clusters' parts; none for one that ended before the service was started.
    pub(crate) watches: Vec<Arc<Watch>>,
    /// Ends it.
    pub(crate) cancel: CancellationToken,
    /// Stops it so that it goes on when the service is started again.
    pub(crate) suspend: CancellationToken,
    /// Cancelled when it was cancelled and something is left to be done to its nodes.
    pub(crate) undoing: CancellationToken,
    /// Cancelled when nothing of it runs any more and its end is written down.
    closed: CancellationToken,
    /// By node: in which of `watches` it is, and its id there.
    seats: HashMap<String, (usize, NodeId)>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    end: Option<SystemTime>,
    error: Option<Problem>,
    state: BTreeMap<String, NodeStatus>,
    plans: Value,
    controls: Vec<Control>,
}

impl Operation {
    /// An operation at its start.
    pub(crate) fn new(record: Record, wid: String, parts: Parts) -> Self {
        let Parts { log, debug, watches, plans, suspend } = parts;
        let start = time(record.start);
        let end = record.end.map(time);
        let closed = CancellationToken::new();
        if end.is_some() {
            closed.cancel();
        }
        let (error, state) = (record.error, record.state);
        let seats = seats(&watches);
        let inner = Inner { end, error, state, plans, controls: Vec::new() };
        Self {
            wid,
            kind: record.kind,
            user: record.user,
            start,
            level: record.level,
            environment: record.environment,
            nodes: record.nodes,
            clusters: record.clusters,
            footprint: record.footprint,
            hook: Hook::new(record.hook, record.hook_due),
            log,
            debug,
            watches,
            cancel: CancellationToken::new(),
            suspend,
            undoing: CancellationToken::new(),
            closed,
            seats,
            inner: Mutex::new(inner),
        }
    }

    /// What the store keeps of it now.
    pub(crate) fn record(&self) -> Record {
        let inner = self.inner();
        Record {
            kind: self.kind,
            user: self.user.clone(),
            start: seconds(self.start),
            end: inner.end.map(seconds),
            level: self.level,
            environment: self.environment.clone(),
            clusters: self.clusters.clone(),
            nodes: self.nodes.clone(),
            state: inner.state.clone(),
            error: inner.error.clone(),
            footprint: self.footprint,
            debug: self.debug.is_some(),
            hook: self.hook.asked,
            hook_due: self.hook.is_due(),
            lines: self.log.since(0, u8::MAX, None).0,
        }
    }

    /// Its runs have begun.
    pub(crate) fn control(&self, control: Control) {
        self.inner().controls.push(control);
    }

    /// How long ago it began.
    pub(crate) fn age(&self) -> Duration {
        SystemTime::now().duration_since(self.start).unwrap_or_default()
    }

    /// The handles of its runs.
    pub(crate) fn controls(&self) -> Vec<Control> {
        self.inner().controls.clone()
    }

    /// It has ended; `error` if it broke off.
    pub(crate) fn end(&self, error: Option<Problem>) {
        let state = self.live_state();
        let mut inner = self.inner();
        inner.end = Some(SystemTime::now());
        inner.error = error;
        inner.state = state;
    }

    /// A message of the operation itself.
    pub(crate) fn say(&self, level: u8, text: &str) {
        self.log.add(level, None, SetId(-1), text);
    }

    /// What it takes to go on after a restart, or to do it again.
    pub(crate) fn plans(&self) -> Value {
        self.inner().plans.clone()
    }

    /// Nothing of it runs any more, and its end is written down.
    pub(crate) fn close(&self) {
        self.inner().plans = Value::Null;
        self.closed.cancel();
    }

    /// Waits until nothing of it runs any more.
    pub(crate) async fn finished(&self) {
        self.closed.cancelled().await;
    }

    /// Whether it has ended and its end is written down.
    pub(crate) fn is_closed(&self) -> bool {
        self.ended() && self.closed.is_cancelled()
    }

    /// Whether it changes nothing: the power of nodes is asked for.
    pub(crate) fn only_asks(&self) -> bool {
        self.footprint.is_none()
    }

    /// Whether it has ended.
    pub(crate) fn ended(&self) -> bool {
        self.inner().end.is_some()
    }

    /// Whether a node of it waits at a breakpoint.
    pub(crate) fn has_paused(&self) -> bool {
        self.watches.iter().any(|watch| watch.board().has_paused())
    }

    /// The error of an order to nodes at a breakpoint where there are none.
    pub(crate) fn nobody_waits(&self) -> Problem {
        let (wid, path) = (&self.wid, self.kind.path());
        let way_out = if self.ended() {
            format!("it has ended: GET /{path}/{wid}/state tells how")
        } else {
            format!("GET /{path}/{wid}/status tells where its nodes are: ask again when they stop")
        };
        let text = format!("No node of {wid} waits at a breakpoint");
        Problem::new(Code::NothingModified, text).hint(way_out)
    }

    /// Whether `viewer` may see all of it and end it.
    pub(crate) fn open_to(&self, viewer: &Viewer) -> bool {
        viewer.almighty || viewer.user == self.user
    }

    /// What anybody may know, and for its owner how it stands.
    pub(crate) fn poll(&self, viewer: &Viewer) -> Poll {
        // Told when its end is written down and its nodes are free, not before: whoever
        // reads it may go on with them.
        let closed = self.closed.is_cancelled();
        let (end, error) = {
            let inner = self.inner();
            (inner.end.filter(|_| closed), inner.error.is_some() && closed)
        };
        let mut poll = Poll {
            wid: self.wid.clone(),
            user: self.user.clone(),
            done: end.is_some(),
            error,
            start_time: whole(seconds(self.start)),
            environment: None,
            logs: None,
            debugs: None,
            nodes: None,
            time: None,
        };
        if !self.open_to(viewer) {
            poll.nodes = Some(NodeLists::Names(self.nodes.clone()));
            return poll;
        }
        let until = seconds(end.unwrap_or_else(SystemTime::now));
        poll.time = Some(((until - seconds(self.start)).max(0.0) * 100.0).round() / 100.0);
        poll.environment = self.environment.clone().map(|environment| EnvironmentRef {
            id: environment.id.filter(|_| end.is_none()),
            ..environment
        });
        if !error {
            poll.logs = Some(self.log.has_unread(&viewer.reader(), self.level));
            poll.debugs =
                self.debug.as_ref().map(|debug| debug.has_unread(&viewer.reader(), u8::MAX));
            poll.nodes = Some(self.lists(end.is_some()));
        }
        poll
    }

    /// Its clients ask for this all the time: it takes no more than a look at each node.
    fn lists(&self, ended: bool) -> NodeLists {
        let (mut ok, mut ko, mut processing) = (Vec::new(), Vec::new(), Vec::new());
        let inner = self.inner();
        let boards: Vec<_> = self.watches.iter().map(|watch| watch.board()).collect();
        for name in &self.nodes {
            let kept = || inner.state.get(name).map(|status| (status.state.as_str(), false));
            let seat = self.seats.get(name).filter(|_| inner.end.is_none());
            let place = seat.map(|(watch, id)| boards[*watch].place(*id));
            let now = place.filter(|place| place.started || place.ended.is_some());
            match now.map(|place| (place.state, place.ended.is_some())).or_else(kept) {
                Some(("discarded", _)) => {}
                Some(("ko", at_end)) if ended || at_end => ko.push(name.clone()),
                Some((_, at_end)) if ended || at_end => ok.push(name.clone()),
                _ => processing.push(name.clone()),
            }
        }
        NodeLists::Sorted { ok, ko, processing: (!ended).then_some(processing) }
    }

    /// Where each node is that has begun.
    pub(crate) fn state(&self) -> BTreeMap<String, NodeStatus> {
        let inner = self.inner();
        if inner.end.is_some() {
            inner.state.clone()
        } else {
            drop(inner);
            self.live_state()
        }
    }

    fn live_state(&self) -> BTreeMap<String, NodeStatus> {
        let mut state = self.inner().state.clone();
        for watch in &self.watches {
            let board = watch.board();
            let begun = board.iter().filter(|(_, place)| place.started || place.ended.is_some());
            state.extend(begun.map(|(id, place)| (watch.name(id), board.status(place))));
        }
        state
    }

    /// The nodes under way, by cluster, macro-step and micro-step.
    pub(crate) fn status(&self) -> StatusTree {
        if self.ended() {
            return StatusTree::new();
        }
        let mut tree = StatusTree::new();
        for watch in &self.watches {
            tree.extend(watch.board().tree(&watch.cluster, |id| watch.name(id)));
        }
        tree
    }

    /// Why it broke off, if it did.
    pub(crate) fn error(&self) -> Option<Problem> {
        self.inner().error.clone()
    }

    /// Names of the nodes that ended with `status`.
    pub(crate) fn with(&self, status: Status) -> Vec<String> {
        let mut names = Vec::new();
        for watch in &self.watches {
            let board = watch.board();
            names.extend(board.ended_with(status).map(|id| watch.name(id)));
        }
        names
    }

    /// How one node ended, if it did.
    pub(crate) fn ended_as(&self, name: &str) -> Option<Status> {
        let (watch, id) = self.seats.get(name)?;
        self.watches[*watch].board().place(*id).ended
    }

    /// Whether something may have been done to the node of that name; of an operation of
    /// before a restart that is not known.
    pub(crate) fn touched(&self, name: &str) -> bool {
        let seat = self.seats.get(name);
        self.watches.is_empty() || seat.is_some_and(|(watch, id)| self.watches[*watch].touched(*id))
    }

    /// A node that is not part of it after all.
    pub(crate) fn discard(&self, name: &str) {
        let status = NodeStatus { state: "discarded".into(), ..NodeStatus::default() };
        self.inner().state.insert(name.to_owned(), status);
    }

    /// Where to look.
    pub(crate) fn resources(&self) -> Resources {
        let base = format!("/{}/{}", self.kind.path(), self.wid);
        let of = |what: &str| format!("{base}/{what}");
        let by = |what: &str, names: &[String]| {
            let path = |name: &String| format!("{base}/{what}/{name}?user={}", self.user);
            names.iter().map(|name| (name.clone(), path(name))).collect()
        };
        let debug = self.debug.is_some();
        Resources {
            resource: format!("{base}/"),
            log: of("logs"),
            logs: by("logs", &self.clusters),
            state: of("state"),
            status: of("status"),
            error: of("error"),
            debug: debug.then(|| of("debugs")),
            debugs: debug.then(|| by("debugs", &self.nodes)),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an operation is made of besides its record.
pub(crate) struct Parts {
    /// Its messages.
    pub(crate) log: Arc<Log>,
    /// What commands printed.
    pub(crate) debug: Option<Arc<Log>>,
    /// Its clusters' parts.
    pub(crate) watches: Vec<Arc<Watch>>,
    /// What it takes to go on after a restart.
    pub(crate) plans: Value,
    /// Cancelled when it is suspended.
    pub(crate) suspend: CancellationToken,
}

fn seats(watches: &[Arc<Watch>]) -> HashMap<String, (usize, NodeId)> {
    let mut seats = HashMap::new();
    for (index, watch) in watches.iter().enumerate() {
        seats.extend(watch.ids().map(|id| (watch.name(id), (index, id))));
    }
    seats
}

fn time(seconds: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
