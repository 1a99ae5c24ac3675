//! Acts on what the walk commands, and says so.

use super::driver::{Driver, Effect};
use crate::{
    Cause, Command, Context, Event, Failures, NodeSet, Path, Raise, RunId, SetId, Status, StepId,
    context::Inner, manager::running::Launch,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// A run that is commanded.
struct Start {
    run: RunId,
    step: StepId,
    nodes: NodeSet,
    set: SetId,
    attempt: u32,
    limit: Option<Duration>,
}

/// Nodes at the end of their way.
struct Settled {
    step: StepId,
    set: SetId,
    nodes: NodeSet,
    status: Status,
    reasons: Failures,
}

impl Driver {
    /// Does what follows from reports that the journal has.
    pub(super) fn act(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Tell(event) => self.level.shared.observe(|| event),
                Effect::Do(Command::Run { run, step, nodes, set, attempt, cause, limit }) => {
                    self.start(cause, Start { run, step, nodes, set, attempt, limit });
                }
                Effect::Do(Command::Pause { step, nodes, set, .. }) => {
                    let path = self.path(step);
                    self.level.shared.observe(|| Event::Paused { path, set, nodes });
                }
                Effect::Do(Command::Split { step, from, ok, ko }) => {
                    let path = self.path(step);
                    self.level.shared.observe(|| Event::Split { path, from, ok, ko });
                }
                Effect::Do(Command::Settle { step, set, nodes, status, reasons }) => {
                    self.settle(Settled { step, set, nodes, status, reasons });
                }
                Effect::Do(Command::Leave { .. } | Command::End { .. } | Command::Kill { .. }) => {}
            }
        }
        self.tell_held();
    }

    fn start(&mut self, cause: Cause, start: Start) {
        if self.level.cancel.is_cancelled() {
            return;
        }
        let Start { run, step, nodes, set, attempt, limit } = start;
        let path = self.path(step);
        let shared = &self.level.shared;
        let (at, on) = (path.clone(), nodes.clone());
        match cause {
            Cause::Next => {}
            Cause::Retry => {
                shared.observe(|| Event::Retry { path: at, set, nodes: on, attempt });
            }
            Cause::Fallback => shared.observe(|| Event::Fallback { path: at, set, nodes: on }),
            Cause::Continue => shared.observe(|| Event::Continued { path: at, set, nodes: on }),
        }
        let (at, on) = (path.clone(), nodes.clone());
        shared.observe(|| Event::StepStarted { path: at, set, nodes: on, attempt, limit });
        let automaton = Arc::clone(self.walk.automaton());
        let Some(work) = automaton.work(step) else { return };
        let above = self.level.above.as_ref();
        let own = limit.and_then(|limit| Instant::now().checked_add(limit));
        let around = above.and_then(Context::deadline);
        let context = Context::new(Inner {
            run,
            set,
            path,
            inside: match &work.inner {
                Some(_) => self.level.manager.child(run),
                None => self.level.manager.clone(),
            },
            attempt,
            macro_attempt: above.map_or(0, Context::attempt),
            deadline: own.into_iter().chain(around).min(),
            cancel: self.level.cancel.child_token(),
            queue: self.sender.clone(),
            shared: Arc::clone(shared),
        });
        let task = Arc::clone(&work.task);
        let levels = work.inner.as_ref().map_or(0, |inner| inner.levels);
        self.running.launch(&self.level, Launch { run, nodes, task, context, limit, levels });
    }

    fn settle(&mut self, settled: Settled) {
        let Settled { step, set, nodes, status, reasons } = settled;
        let path = self.path(step);
        let elapsed = self.begun.elapsed();
        let shared = Arc::clone(&self.level.shared);
        let work = self.walk.automaton().work(step);
        if status == Status::Brk && work.is_some_and(|work| work.breakpoint) {
            shared.observe(|| Event::Breakpoint { path: path.clone(), set, nodes: nodes.clone() });
        }
        let Some(above) = &self.level.above else {
            shared.observe(|| Event::Settled { path, set, nodes, status, reasons, elapsed });
            return;
        };
        if let Some(at) = path.last().cloned() {
            let (path, nodes, reasons) = (self.level.path.clone(), nodes.clone(), reasons.clone());
            let left = Event::Left { path, at, set, nodes, status, reasons, elapsed };
            shared.observe(|| left);
        }
        // The whole set ending as it came needs no message of its own: the outcome says it.
        let whole = set == self.set && nodes == *self.walk.state().nodes();
        let now = !whole && work.is_some_and(|work| work.raisable);
        match status {
            Status::Brk => above.raise(Raise::Brk(nodes), Some(set)),
            Status::Ok if now => above.raise(Raise::Ok(nodes), Some(set)),
            Status::Ko if now => above.raise(Raise::Ko(reasons), Some(set)),
            Status::Ok => self.kept_ok.push(nodes),
            Status::Ko => self.kept_ko.extend(reasons),
        }
    }

    /// Tells the manager above when nodes inside begin or cease to be paused.
    fn tell_held(&mut self) {
        let held = self.walk.state().has_paused() || self.running.holds();
        if held != self.told_held {
            self.told_held = held;
            if let Some(above) = &self.level.above {
                above.hold(held);
            }
        }
    }

    fn path(&self, step: StepId) -> Path {
        let location = self.walk.automaton().location(step);
        location.map_or_else(Path::default, |location| self.level.path.child(location.clone()))
    }
}
