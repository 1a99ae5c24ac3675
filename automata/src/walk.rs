//! The pure state of one run: reports in, commands out. No clock, no I/O, no chance.

mod state;

use crate::{
    Automaton, Cause, Command, Failures, NodeId, NodeSet, Raise, Reason, Report, RunId, SetId,
    Status, StepId,
    automaton::{Onward, Way, Work},
    task::failures,
};
pub use state::State;
use state::{Phase, Run};
use std::{collections::BTreeSet, sync::Arc};

/// A report that does not fit the state it was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// No such run is open: it never was, or it has ended.
    #[error("run {} is not open", .0.0)]
    NotOpen(RunId),
    /// The run was reported to start twice, or while its nodes are paused.
    #[error("run {} cannot start now", .0.0)]
    CannotStart(RunId),
    /// The run reported something before it started.
    #[error("run {} has not started", .0.0)]
    NotStarted(RunId),
    /// Nothing is reported of a run that was killed.
    #[error("the run was killed before")]
    Killed,
}

/// One run of an automaton over a set of nodes.
///
/// Each report costs work in proportion to the nodes it speaks of. Ids of new sets are
/// taken from `fresh`, in the order in which they are needed, so that the same reports
/// with the same ids give the same state.
pub struct Walk {
    automaton: Arc<Automaton>,
    state: State,
}

/// Nodes on their way from a step.
struct Parting {
    from: StepId,
    attempt: u32,
    set: SetId,
    nodes: NodeSet,
}

impl Walk {
    /// Places all nodes at the start; with `keep`, breakpoints pause instead of ending.
    pub fn start(
        automaton: Arc<Automaton>,
        nodes: NodeSet,
        set: SetId,
        keep: bool,
    ) -> (Self, Vec<Command>) {
        let mut walk = Self { automaton, state: State::new(nodes.clone(), keep) };
        let mut commands = Vec::new();
        if let (false, Onward::Step { step, attempt, cause }) =
            (nodes.is_empty(), walk.automaton.enter())
        {
            walk.open(step, Run::new(step, nodes, set, attempt), cause, &mut commands);
        }
        (walk, commands)
    }

    /// The state reached so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What is walked.
    pub fn automaton(&self) -> &Arc<Automaton> {
        &self.automaton
    }

    /// Takes a report; returns what follows from it.
    ///
    /// # Errors
    /// A report that does not fit; the state is as it was.
    pub fn apply(
        &mut self,
        report: &Report,
        fresh: &mut dyn FnMut() -> SetId,
    ) -> Result<Vec<Command>, Illegal> {
        if self.state.killed.is_some() {
            return Err(Illegal::Killed);
        }
        let mut commands = Vec::new();
        match report {
            Report::Started { run, .. } => self.started(*run)?,
            Report::Raised { run, nodes, set } => {
                self.raised(*run, nodes, *set, fresh, &mut commands)?;
            }
            Report::Finished { run, ok, ko } => {
                let ended = self.close(*run)?;
                let (ok, ko) = ended.results(ok, ko, self.name(ended.step));
                self.part(*run, &ended, ok, ko, fresh, &mut commands);
            }
            Report::TimedOut { run } => {
                let ended = self.close(*run)?;
                let reason = format!("Timeout in the {} step", self.name(ended.step));
                let ko = failures(&ended.held(), reason);
                commands.push(Command::Kill { run: *run });
                self.part(*run, &ended, NodeSet::new(), ko, fresh, &mut commands);
            }
            Report::Continued => self.go_on(&mut commands),
            Report::Aborted { reason } => self.abort(reason, &mut commands),
            Report::Killed { reason } => self.kill(reason, &mut commands),
        }
        Ok(commands)
    }

    fn started(&mut self, id: RunId) -> Result<(), Illegal> {
        let run = self.state.runs.get_mut(&id).ok_or(Illegal::NotOpen(id))?;
        if run.phase != Phase::Commanded {
            return Err(Illegal::CannotStart(id));
        }
        run.phase = Phase::Started;
        Ok(())
    }

    fn raised(
        &mut self,
        id: RunId,
        nodes: &Raise,
        set: Option<SetId>,
        fresh: &mut dyn FnMut() -> SetId,
        commands: &mut Vec<Command>,
    ) -> Result<(), Illegal> {
        let run = self.state.runs.get_mut(&id).ok_or(Illegal::NotOpen(id))?;
        if run.phase != Phase::Started {
            return Err(Illegal::NotStarted(id));
        }
        let whole = run.gone.is_empty();
        let nodes = run.release(nodes);
        let (leaving, reasons) = match &nodes {
            Raise::Ok(nodes) | Raise::Brk(nodes) => (nodes.clone(), Failures::new()),
            Raise::Ko(ko) => (ko.keys().copied().collect(), ko.clone()),
        };
        if leaving.is_empty() {
            return Ok(());
        }
        let same = whole && leaving.len() == run.nodes.len();
        let set = set.unwrap_or_else(|| if same { run.set } else { fresh() });
        let status = nodes.status();
        let parting = Parting { from: run.step, attempt: run.attempt, set, nodes: leaving };
        commands.push(Command::Leave { run: id, nodes, set });
        match status {
            Status::Ok => self.move_on(parting, Way::Ok, reasons, commands),
            Status::Ko => self.move_on(parting, Way::Ko, reasons, commands),
            Status::Brk => self.settle(parting, Status::Brk, reasons, commands),
        }
        Ok(())
    }

    /// Takes a started run out.
    fn close(&mut self, id: RunId) -> Result<Box<Run>, Illegal> {
        match self.state.runs.get(&id) {
            None => Err(Illegal::NotOpen(id)),
            Some(run) if run.phase != Phase::Started => Err(Illegal::NotStarted(id)),
            Some(_) => self.state.runs.remove(&id).ok_or(Illegal::NotOpen(id)),
        }
    }

    /// Sends the nodes of an ended run on: those that passed first, then the failed ones.
    fn part(
        &mut self,
        id: RunId,
        run: &Run,
        ok: NodeSet,
        ko: Failures,
        fresh: &mut dyn FnMut() -> SetId,
        commands: &mut Vec<Command>,
    ) {
        let failed: NodeSet = ko.keys().copied().collect();
        let (mut ok_set, mut ko_set) = (run.set, run.set);
        commands.push(Command::End { run: id, ok: ok.clone(), ko: ko.clone() });
        if !ok.is_empty() && !failed.is_empty() {
            (ok_set, ko_set) = (fresh(), fresh());
            commands.push(Command::Split {
                step: run.step,
                from: run.set,
                ok: (ok_set, ok.clone()),
                ko: (ko_set, failed.clone()),
            });
        }
        let (from, attempt) = (run.step, run.attempt);
        let passed = Parting { from, attempt, set: ok_set, nodes: ok };
        self.move_on(passed, Way::Ok, Failures::new(), commands);
        let failed = Parting { from, attempt, set: ko_set, nodes: failed };
        self.move_on(failed, Way::Ko, ko, commands);
    }

    fn move_on(&mut self, set: Parting, way: Way, reasons: Failures, out: &mut Vec<Command>) {
        if set.nodes.is_empty() {
            return;
        }
        match self.automaton.leave(set.from, set.attempt, way) {
            Onward::Step { step, attempt, cause } => {
                let run = Run::new(step, set.nodes, set.set, attempt);
                self.open(step, run, cause, out);
            }
            Onward::Passed => self.settle(set, Status::Ok, reasons, out),
            Onward::GaveUp => self.settle(set, Status::Ko, reasons, out),
        }
    }

    /// Commands a run, unless a breakpoint stands before its first attempt.
    fn open(&mut self, step: StepId, mut run: Run, cause: Cause, out: &mut Vec<Command>) {
        let waits = cause != Cause::Retry && self.work(step).is_some_and(|work| work.breakpoint);
        if waits && !self.state.keep {
            let Run { nodes, set, attempt, .. } = run;
            let parting = Parting { from: step, attempt, set, nodes };
            return self.settle(parting, Status::Brk, Failures::new(), out);
        }
        let id = self.state.next_run();
        if waits {
            run.phase = Phase::Paused;
            self.state.paused += 1;
            out.push(Command::Pause { run: id, step, nodes: run.nodes.clone(), set: run.set });
        } else {
            out.push(self.command(id, &run, cause));
        }
        self.state.runs.insert(id, Box::new(run));
    }

    fn command(&self, id: RunId, run: &Run, cause: Cause) -> Command {
        Command::Run {
            run: id,
            step: run.step,
            nodes: run.nodes.clone(),
            set: run.set,
            attempt: run.attempt,
            cause,
            limit: self.work(run.step).and_then(|work| work.timeout),
        }
    }

    fn go_on(&mut self, commands: &mut Vec<Command>) {
        for id in self.state.take_paused() {
            if let Some(run) = self.state.runs.get_mut(&id) {
                run.phase = Phase::Commanded;
            }
            if let Some(run) = self.state.runs.get(&id) {
                commands.push(self.command(id, run, Cause::Continue));
            }
        }
    }

    fn abort(&mut self, reason: &Reason, commands: &mut Vec<Command>) {
        for id in self.state.take_paused() {
            if let Some(run) = self.state.runs.remove(&id) {
                let Run { step: from, nodes, set, attempt, .. } = *run;
                let reasons = failures(&nodes, Arc::clone(reason));
                let parting = Parting { from, attempt, set, nodes };
                self.settle(parting, Status::Ko, reasons, commands);
            }
        }
    }

    fn kill(&mut self, reason: &Reason, commands: &mut Vec<Command>) {
        let runs = std::mem::take(&mut self.state.runs);
        for (id, run) in runs {
            if run.phase != Phase::Paused {
                commands.push(Command::Kill { run: id });
            }
            let nodes = run.held();
            if nodes.is_empty() {
                continue;
            }
            let reasons = failures(&nodes, Arc::clone(reason));
            let parting = Parting { from: run.step, attempt: run.attempt, set: run.set, nodes };
            self.settle(parting, Status::Ko, reasons, commands);
        }
        self.state.all_killed(reason);
    }

    fn settle(&mut self, set: Parting, status: Status, reasons: Failures, out: &mut Vec<Command>) {
        let Parting { from: step, set, nodes, .. } = set;
        self.state.settle(&nodes, status, &reasons);
        out.push(Command::Settle { step, set, nodes, status, reasons });
    }

    fn work(&self, step: StepId) -> Option<&Work> {
        self.automaton.work(step)
    }

    fn name(&self, step: StepId) -> &str {
        self.work(step).map_or("?", |work| &work.location.name)
    }
}

/// Nodes that left a run before it ended.
type Gone = BTreeSet<NodeId>;
