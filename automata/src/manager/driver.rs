//! The loop of a manager: wait, tell the walk, write the journal, act.

use super::{
    Ended, Level, TaskManager,
    batch::Batch,
    running::{Ending, Live, Running},
    shared::{Order, Stop, Upward},
};
use crate::{
    Command, Context, Entry, Event, Failures, NodeSet, Outcome, Reason, Record, Report, RunId,
    SetId, Walk, narrator::Narrator, replay::Kept,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        watch,
    },
    time::{Instant, sleep_until},
};

/// Most ended tasks taken in one turn: bounds the records of one append.
const MOST_ENDED: usize = 1024;

/// A manager at work.
pub(super) struct Driver {
    pub(super) level: Level,
    pub(super) walk: Walk,
    pub(super) narrator: Narrator,
    pub(super) set: SetId,
    first: First,
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

/// How a manager begins.
enum First {
    /// With what the walk commands.
    New(Vec<Command>),
    /// With what the journal left: where nodes ended inside, and those still held above.
    Kept(Vec<Command>, NodeSet),
}

impl Driver {
    pub(super) fn new(manager: TaskManager) -> Self {
        let TaskManager { automaton, nodes, set, level, kept } = manager;
        let (walk, narrator, set, first) = if let Some(kept) = kept {
            let Kept { walk, narrator, set, settled } = kept;
            (walk, narrator, set, First::Kept(settled, nodes))
        } else {
            let keep = level.shared.options.keep;
            let (walk, first) = Walk::start(automaton, nodes, set, keep);
            let narrator = Narrator::new(level.path.clone(), level.shared.now());
            (walk, narrator, set, First::New(first))
        };
        let (sender, queue) = unbounded_channel();
        let orders = level.shared.orders();
        Self {
            level,
            walk,
            narrator,
            set,
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

    pub(super) fn is_done(&self) -> bool {
        self.walk.state().is_done()
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
        if self.is_done() || self.level.above.is_some() {
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
        while !self.is_done() && !cancel.is_cancelled() {
            let reports = tokio::select! {
                biased;
                reports = self.wait() => reports,
                () = cancel.cancelled() => return Ok(()),
            };
            if cancel.is_cancelled() {
                // The ends among them are those of tasks that were cancelled.
                return Ok(());
            }
            let batch = self.tell(reports).await?;
            self.act(batch);
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<(), Stop> {
        let first = match std::mem::replace(&mut self.first, First::New(Vec::new())) {
            First::New(first) => first,
            First::Kept(settled, held) => return self.go_on(settled, &held).await,
        };
        let entry = Entry::Opened {
            nodes: self.walk.state().nodes().clone(),
            set: self.set,
            keep: self.level.shared.options.keep,
        };
        let mut batch = self.batch();
        batch.records.push(self.record(entry));
        if self.level.above.is_none() {
            let nodes = self.walk.state().nodes().clone();
            batch.told.push(Event::RunStarted { nodes, set: self.set });
        }
        self.narrator.commands(&self.walk, &first, batch.at, &mut batch.told);
        batch.commands = first;
        self.write(&mut batch).await?;
        self.act(batch);
        Ok(())
    }

    async fn kill(&mut self, reason: Reason) -> Result<(), Stop> {
        let batch = self.tell(vec![Report::Killed { reason }]).await;
        self.running.stop().await;
        self.act(batch?);
        Ok(())
    }

    /// Waits for something to happen; returns all that has.
    async fn wait(&mut self) -> Vec<Report> {
        let mut ended = Vec::new();
        let mut upward = Vec::new();
        let (mut order, mut given_up) = (None, false);
        let paused = self.walk.state().has_paused();
        let patience = self.patience();
        tokio::select! {
            biased;
            change = self.running.changed() => ended.extend(change),
            Some(first) = self.queue.recv() => upward.push(*first),
            Ok(()) = self.orders.changed(), if paused => {
                order.clone_from(&*self.orders.borrow_and_update());
            }
            () = sleep_until(patience), if paused => given_up = true,
        }
        if given_up {
            order = Some(self.given_up());
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

    /// When the paused nodes have waited long enough: counted from the last that were paused,
    /// over restarts of the service.
    fn patience(&self) -> Instant {
        let shared = &self.level.shared;
        let until = self.narrator.paused().saturating_add(shared.options.patience);
        let now = Instant::now();
        now.checked_add(until.saturating_sub(shared.now())).unwrap_or(now)
    }

    fn given_up(&self) -> Order {
        let seconds = Duration::from_secs(self.level.shared.options.patience.as_secs());
        let text = format!("given up at the breakpoint: nobody continued it within {seconds:?}");
        Order::Abort(text.into())
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
                let Outcome { ok, ko } = self.panicked(run, &text);
                Report::Finished { run, ok, ko }
            }
        }));
        reports
    }

    /// What is told of a run that ended with a panic.
    fn panicked(&self, run: RunId, text: &str) -> Outcome {
        let name = self.running.get(run).and_then(|live| live.path.last());
        let name = name.map_or("", |step| &*step.name);
        tracing::error!(step = name, panic = text, "a task panicked");
        Outcome::ko(&self.walk.state().held(run), format!("the {name} step panicked: {text}"))
    }

    /// Tells the walk, then the journal; returns what is to be done.
    async fn tell(&mut self, reports: Vec<Report>) -> Result<Batch, Stop> {
        let mut batch = self.batch();
        let paused = self.walk.state().has_paused();
        for report in reports {
            self.apply(report, &mut batch)?;
        }
        if self.walk.state().has_paused() && !paused {
            // Orders given before anybody could know of these nodes do not concern them.
            self.orders.borrow_and_update();
        }
        self.write(&mut batch).await?;
        Ok(batch)
    }

    pub(super) fn batch(&self) -> Batch {
        let shared = &self.level.shared;
        Batch::new(shared.now(), !shared.is_drained())
    }

    /// Tells the walk one report.
    pub(super) fn apply(&mut self, report: Report, batch: &mut Batch) -> Result<(), Stop> {
        let set_ids = self.level.shared.options.set_ids.clone();
        let mut ids = Vec::new();
        let mut fresh = || {
            let id = set_ids.next();
            ids.push(id);
            id
        };
        let commands = self.walk.apply(&report, &mut fresh).map_err(Stop::Illegal)?;
        self.narrator.report(&self.walk, &report, &commands, batch.at, &mut batch.told);
        for command in &commands {
            if let Command::End { run, .. } = command {
                let ended = self.running.forget(*run);
                batch.ended += usize::from(ended.is_some_and(|live| live.micro));
            }
        }
        batch.commands.extend(commands);
        batch.records.push(self.record(Entry::Reported { report, ids }));
        Ok(())
    }

    /// Reports the runs that are about to begin, so that one append holds both what led
    /// to a run and that it may have begun, and writes all down.
    pub(super) async fn write(&mut self, batch: &mut Batch) -> Result<(), Stop> {
        let runs = batch.commands.iter().filter_map(|command| match command {
            Command::Run { run, step, limit, .. } if batch.begins => Some((*run, *step, *limit)),
            _ => None,
        });
        let runs: Vec<_> = runs.collect();
        let automaton = Arc::clone(self.walk.automaton());
        let micro = |step| automaton.work(step).is_some_and(|work| work.inner.is_none());
        let begin = runs.iter().filter(|(_, step, _)| micro(*step)).count();
        self.level.shared.micro_steps_begin(begin);
        for (run, _, limit) in runs {
            let until = self.until(limit);
            self.apply(Report::Started { run, until }, batch)?;
        }
        if batch.records.is_empty() {
            return Ok(());
        }
        self.level.shared.append(&batch.records).await
    }

    /// When a run that begins now and may take `limit` will be stopped, in milliseconds since
    /// the start of the operation.
    fn until(&self, limit: Option<Duration>) -> Option<u64> {
        let around = self.level.above.as_ref().and_then(Context::deadline);
        let around = around.map(|at| at.saturating_duration_since(Instant::now()));
        let left = limit.into_iter().chain(around).min()?;
        u64::try_from(self.level.shared.now().saturating_add(left).as_millis()).ok()
    }

    fn record(&self, entry: Entry) -> Record {
        Record { manager: self.level.manager.clone(), entry }
    }
}
