//! The loop of a manager: wait, tell the walk, write the journal, act.

use super::{
    Ended, Level, TaskManager,
    running::{Ending, Live, Running},
    shared::{Order, Stop, Upward},
};
use crate::{
    Command, Entry, Event, Failures, NodeSet, Outcome, Reason, Record, Report, RunId, SetId, State,
    Walk, task::failures,
};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        watch,
    },
    time::Instant,
};

/// Most ended tasks taken in one turn: bounds the records of one append.
const MOST_ENDED: usize = 1024;

/// A manager at work.
pub(super) struct Driver {
    pub(super) level: Level,
    pub(super) walk: Walk,
    pub(super) set: SetId,
    pub(super) begun: Instant,
    first: Vec<Command>,
    pub(super) running: Running,
    /// Unbounded, because handing over must not wait for the manager; a run can hand
    /// over each of its nodes once.
    queue: UnboundedReceiver<Box<Upward>>,
    pub(super) sender: UnboundedSender<Box<Upward>>,
    orders: watch::Receiver<Option<Order>>,
    /// Whether the manager above knows of paused nodes.
    pub(super) told_held: bool,
    /// Nodes that are at their end here and go up when this manager ends.
    pub(super) kept_ok: Vec<NodeSet>,
    pub(super) kept_ko: Failures,
}

/// What is done after the journal has the reports.
pub(super) enum Effect {
    Tell(Event),
    Do(Command),
}

impl Driver {
    pub(super) fn new(manager: TaskManager) -> Self {
        let TaskManager { automaton, nodes, set, level } = manager;
        let keep = level.shared.options.keep;
        let (walk, first) = Walk::start(automaton, nodes, set, keep);
        let (sender, queue) = unbounded_channel();
        let orders = level.shared.orders();
        Self {
            level,
            walk,
            set,
            begun: Instant::now(),
            first,
            running: Running::default(),
            queue,
            sender,
            orders,
            told_held: false,
            kept_ok: Vec::new(),
            kept_ko: Failures::new(),
        }
    }

    pub(super) fn state(&self) -> &State {
        self.walk.state()
    }

    pub(super) fn ended(&self) -> Ended {
        let state = self.walk.state();
        Ended {
            ok: state.ok(),
            ko: state.ko().clone(),
            brk: state.brk(),
            killed: state.killed().cloned(),
        }
    }

    /// What the manager above is told at the end: what was not handed over before.
    pub(super) fn take_outcome(&mut self) -> Outcome {
        let ok = match self.kept_ok.as_slice() {
            [all] => all.clone(),
            parts => parts.iter().flatten().collect(),
        };
        Outcome { ok, ko: std::mem::take(&mut self.kept_ko) }
    }

    /// Runs until every node is at its end or everything is stopped; nothing runs then.
    pub(super) async fn run(&mut self) -> Result<(), Stop> {
        let result = self.work().await;
        if let Err(stop) = &result {
            self.level.shared.stop(stop.clone());
        }
        if self.walk.state().is_done() || self.level.above.is_some() {
            // What the manager above records of this run speaks for all inside.
            self.running.stop().await;
            return result;
        }
        if let Some(Stop::Killed(reason)) = self.level.shared.stopped() {
            return self.kill(reason).await;
        }
        self.running.stop().await;
        result
    }

    async fn work(&mut self) -> Result<(), Stop> {
        self.open().await?;
        let cancel = self.level.cancel.clone();
        while !self.walk.state().is_done() && !cancel.is_cancelled() {
            let reports = tokio::select! {
                biased;
                reports = self.wait() => reports,
                () = cancel.cancelled() => return Ok(()),
            };
            if cancel.is_cancelled() {
                // The ends among them are those of tasks that were cancelled.
                return Ok(());
            }
            let effects = self.tell(reports).await?;
            self.act(effects);
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<(), Stop> {
        let entry = Entry::Opened {
            nodes: self.walk.state().nodes().clone(),
            set: self.set,
            keep: self.level.shared.options.keep,
        };
        let mut records = vec![self.record(entry)];
        let effects = std::mem::take(&mut self.first).into_iter().map(Effect::Do).collect();
        self.start_runs(&effects, &mut records)?;
        self.level.shared.append(&records).await?;
        self.act(effects);
        Ok(())
    }

    async fn kill(&mut self, reason: Reason) -> Result<(), Stop> {
        let effects = self.tell(vec![Report::Killed { reason }]).await;
        self.running.stop().await;
        self.act(effects?);
        Ok(())
    }

    /// Waits for something to happen; returns all that has.
    async fn wait(&mut self) -> Vec<Report> {
        let mut ended = Vec::new();
        let mut upward = Vec::new();
        let mut order = None;
        let paused = self.walk.state().has_paused();
        tokio::select! {
            biased;
            change = self.running.changed() => ended.extend(change),
            Some(first) = self.queue.recv() => upward.push(*first),
            Ok(()) = self.orders.changed(), if paused => {
                order.clone_from(&*self.orders.borrow_and_update());
            }
        }
        while ended.len() < MOST_ENDED {
            let Some(more) = self.running.ended_now() else { break };
            ended.push(more);
        }
        while let Ok(more) = self.queue.try_recv() {
            upward.push(*more);
        }
        self.reports(upward, ended, order)
    }

    /// What is to be told to the walk. What a run handed over comes before its end.
    fn reports(
        &mut self,
        upward: Vec<Upward>,
        ended: Vec<(RunId, Ending)>,
        order: Option<Order>,
    ) -> Vec<Report> {
        let mut reports = Vec::with_capacity(upward.len() + ended.len());
        for message in upward {
            match message {
                Upward::Hold { run, held } => self.running.hold(run, held),
                Upward::Raise { run, nodes, set } => {
                    if self.running.get(run).is_some_and(Live::is_heard) {
                        reports.push(Report::Raised { run, nodes, set });
                    }
                }
            }
        }
        reports.extend(order.map(|order| match order {
            Order::Continue => Report::Continued,
            Order::Abort(reason) => Report::Aborted { reason },
        }));
        reports.extend(ended.into_iter().map(|(run, ending)| match ending {
            Ending::Returned(Outcome { ok, ko }) => Report::Finished { run, ok, ko },
            Ending::TimedOut => Report::TimedOut { run },
            Ending::Panicked(text) => {
                let name = self.running.get(run).and_then(|live| live.path.last());
                let name = name.map_or("", |step| &*step.name);
                tracing::error!(step = name, panic = text, "a task panicked");
                let reason = format!("the {name} step panicked: {text}");
                let ko = failures(&self.walk.state().held(run), reason);
                Report::Finished { run, ok: NodeSet::new(), ko }
            }
        }));
        reports
    }

    /// Tells the walk, then the journal; returns what is to be done.
    async fn tell(&mut self, reports: Vec<Report>) -> Result<Vec<Effect>, Stop> {
        let mut records = Vec::with_capacity(2 * reports.len());
        let mut effects = Vec::new();
        let paused = self.walk.state().has_paused();
        for report in reports {
            let commands = self.apply(&report, &mut records)?;
            if let Report::TimedOut { run } = report {
                effects.extend(self.timed_out(run, &commands).map(Effect::Tell));
            }
            effects.extend(commands.into_iter().filter_map(|command| self.effect(command)));
        }
        self.start_runs(&effects, &mut records)?;
        if self.walk.state().has_paused() && !paused {
            // Orders given before anybody could know of these nodes do not concern them.
            self.orders.borrow_and_update();
        }
        if !records.is_empty() {
            self.level.shared.append(&records).await?;
        }
        Ok(effects)
    }

    fn apply(&mut self, report: &Report, records: &mut Vec<Record>) -> Result<Vec<Command>, Stop> {
        let set_ids = self.level.shared.options.set_ids.clone();
        let mut ids = Vec::new();
        let mut fresh = || {
            let id = set_ids.next();
            ids.push(id);
            id
        };
        let commands = self.walk.apply(report, &mut fresh).map_err(Stop::Illegal)?;
        records.push(self.record(Entry::Reported { report: report.clone(), ids }));
        Ok(commands)
    }

    /// Reports the runs that are about to begin, so that one append holds both what led
    /// to a run and that it may have begun.
    fn start_runs(&mut self, effects: &Vec<Effect>, records: &mut Vec<Record>) -> Result<(), Stop> {
        for effect in effects {
            if let Effect::Do(Command::Run { run, .. }) = effect {
                self.apply(&Report::Started { run: *run }, records)?;
            }
        }
        Ok(())
    }

    fn record(&self, entry: Entry) -> Record {
        Record { manager: self.level.manager.clone(), entry }
    }

    /// What a command means while the state of the runs is still that of its report.
    fn effect(&mut self, command: Command) -> Option<Effect> {
        match command {
            Command::Leave { run, nodes, set } => {
                let live = self.running.get(run)?;
                let (path, elapsed) = (live.path.clone(), live.begun.elapsed());
                Some(Effect::Tell(Event::Raised { path, set, nodes, elapsed }))
            }
            Command::End { run, ok, ko } => {
                let Live { path, set, begun, .. } = self.running.forget(run)?;
                let elapsed = begun.elapsed();
                Some(Effect::Tell(Event::StepFinished { path, set, ok, ko, elapsed }))
            }
            // A run is killed when its deadline passes or everything stops: it was done.
            Command::Kill { .. } => None,
            other => Some(Effect::Do(other)),
        }
    }

    fn timed_out(&self, run: RunId, commands: &[Command]) -> Option<Event> {
        let live = self.running.get(run)?;
        let ended = commands.iter().find_map(|command| match command {
            Command::End { ko, .. } => Some(ko.keys().copied().collect()),
            _ => None,
        });
        Some(Event::TimedOut {
            path: live.path.clone(),
            set: live.set,
            nodes: ended.unwrap_or_default(),
            limit: live.limit.unwrap_or_default(),
        })
    }
}
