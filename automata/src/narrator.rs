//! What happens in one manager, told as events.
//!
//! Events are made of what the walk was told and what it commanded, and of nothing else:
//! a replay of the journal tells the same story as the run that wrote it.

use crate::{
    Command, Event, NodeSet, Path, Report, RunId, SetId, Status, StepId, Walk, automaton::Work,
};
use std::{collections::BTreeMap, time::Duration};

/// Makes events of what happens in one manager. Times count from the start of the operation.
pub(crate) struct Narrator {
    /// Of the manager: empty for the outermost.
    path: Path,
    since: Duration,
    runs: BTreeMap<RunId, Tale>,
    /// When nodes were last paused before a step.
    paused: Duration,
}

/// A run that was told to begin.
struct Tale {
    path: Path,
    set: SetId,
    since: Duration,
    limit: Option<Duration>,
}

impl Narrator {
    /// Nothing has happened yet.
    pub(crate) fn new(path: Path, since: Duration) -> Self {
        Self { path, since, runs: BTreeMap::new(), paused: Duration::ZERO }
    }

    /// When nodes were last paused before a step, if they were.
    pub(crate) fn paused(&self) -> Duration {
        self.paused
    }

    /// The path of a step in this manager.
    pub(crate) fn path_of(&self, walk: &Walk, step: StepId) -> Path {
        let location = walk.automaton().location(step);
        location.map_or_else(Path::default, |location| self.path.child(location.clone()))
    }

    /// The events of a report and of what `walk` commanded when it was told it.
    pub(crate) fn report(
        &mut self,
        walk: &Walk,
        report: &Report,
        commands: &[Command],
        at: Duration,
        told: &mut Vec<Event>,
    ) {
        match report {
            Report::Started { run, .. } => told.extend(self.started(walk, *run, at)),
            Report::TimedOut { run } => told.extend(self.timed_out(*run, commands)),
            _ => {}
        }
        self.commands(walk, commands, at, told);
        if let (Report::Killed { reason }, true) = (report, self.is_outermost()) {
            let nodes = walk.state().nodes().clone();
            told.push(Event::Killed { nodes, reason: reason.clone() });
        }
    }

    /// The events of commands.
    pub(crate) fn commands(
        &mut self,
        walk: &Walk,
        commands: &[Command],
        at: Duration,
        told: &mut Vec<Event>,
    ) {
        for command in commands {
            self.command(walk, command, at, told);
        }
    }

    fn is_outermost(&self) -> bool {
        self.path.steps().is_empty()
    }

    fn started(&mut self, walk: &Walk, run: RunId, at: Duration) -> Option<Event> {
        let (nodes, set, step, attempt) = walk.state().open_run(run)?;
        let path = self.path_of(walk, step);
        let limit = walk.automaton().work(step).and_then(|work| work.timeout);
        self.runs.insert(run, Tale { path: path.clone(), set, since: at, limit });
        Some(Event::StepStarted { path, set, nodes: nodes.clone(), attempt, limit })
    }

    fn timed_out(&self, run: RunId, commands: &[Command]) -> Option<Event> {
        let Tale { path, set, limit, .. } = self.runs.get(&run)?;
        let nodes = commands.iter().find_map(|command| match command {
            Command::End { ko, .. } => Some(ko.keys().copied().collect()),
            _ => None,
        });
        Some(Event::TimedOut {
            path: path.clone(),
            set: *set,
            nodes: nodes.unwrap_or_default(),
            limit: limit.unwrap_or_default(),
        })
    }

    fn command(&mut self, walk: &Walk, command: &Command, at: Duration, told: &mut Vec<Event>) {
        match command {
            Command::Run { step, nodes, set, attempt, cause, .. } => {
                let (path, nodes, set) = (self.path_of(walk, *step), nodes.clone(), *set);
                told.extend(cause.event(path, set, nodes, *attempt));
            }
            Command::Pause { step, nodes, set, .. } => {
                let (path, nodes) = (self.path_of(walk, *step), nodes.clone());
                self.paused = at;
                told.push(Event::Paused { path, set: *set, nodes });
            }
            Command::Leave { run, nodes, set } => {
                let Some(tale) = self.runs.get(run) else { return };
                let (path, elapsed) = (tale.path.clone(), at.saturating_sub(tale.since));
                told.push(Event::Raised { path, set: *set, nodes: nodes.clone(), elapsed });
            }
            Command::End { run, ok, ko } => {
                let Some(Tale { path, set, since, .. }) = self.runs.remove(run) else { return };
                let (ok, ko, elapsed) = (ok.clone(), ko.clone(), at.saturating_sub(since));
                told.push(Event::StepFinished { path, set, ok, ko, elapsed });
            }
            Command::Split { step, from, ok, ko } => {
                let path = self.path_of(walk, *step);
                told.push(Event::Split { path, from: *from, ok: ok.clone(), ko: ko.clone() });
            }
            Command::Settle { .. } => self.settled(walk, command, at, told),
            // A run is killed when its deadline passes or everything stops: that is told.
            Command::Kill { .. } => {}
        }
    }

    fn settled(&self, walk: &Walk, command: &Command, at: Duration, told: &mut Vec<Event>) {
        let Command::Settle { step, set, nodes, status, reasons } = command else { return };
        let path = self.path_of(walk, *step);
        let (set, nodes, status, reasons) = (*set, nodes.clone(), *status, reasons.clone());
        let stops = |work: &Work| work.breakpoint;
        if status == Status::Brk && walk.automaton().work(*step).is_some_and(stops) {
            told.push(Event::Breakpoint { path: path.clone(), set, nodes: nodes.clone() });
        }
        let elapsed = at.saturating_sub(self.since);
        if self.is_outermost() {
            told.push(Event::Settled { path, set, nodes, status, reasons, elapsed });
        } else if let Some(at) = path.last().cloned() {
            let path = self.path.clone();
            told.push(Event::Left { path, at, set, nodes, status, reasons, elapsed });
        }
    }
}

impl crate::Cause {
    /// What is told of a run beside that it begins.
    fn event(self, path: Path, set: SetId, nodes: NodeSet, attempt: u32) -> Option<Event> {
        match self {
            Self::Next => None,
            Self::Retry => Some(Event::Retry { path, set, nodes, attempt }),
            Self::Fallback => Some(Event::Fallback { path, set, nodes }),
            Self::Continue => Some(Event::Continued { path, set, nodes }),
        }
    }
}
