//! Acts on what the walk commands, and says so.

use super::{batch::Batch, driver::Driver, running::Launch};
use crate::{
    Command, Context, Failures, NodeSet, Raise, RunId, SetId, Status, StepId, context::Inner,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// A run that begins.
pub(super) struct Start {
    pub(super) run: RunId,
    pub(super) step: StepId,
    pub(super) nodes: NodeSet,
    pub(super) set: SetId,
    pub(super) attempt: u32,
    pub(super) limit: Option<Duration>,
    /// It was in flight when the service was stopped.
    pub(super) recovering: bool,
}

/// Nodes at the end of their way.
pub(super) struct Settled {
    pub(super) step: StepId,
    pub(super) set: SetId,
    pub(super) nodes: NodeSet,
    pub(super) status: Status,
    pub(super) reasons: Failures,
}

impl Driver {
    /// Does what follows from reports that the journal has.
    pub(super) fn act(&mut self, batch: Batch) {
        let shared = Arc::clone(&self.level.shared);
        shared.micro_steps_ended(batch.ended);
        for event in &batch.told {
            shared.observe(event);
        }
        for command in batch.commands {
            match command {
                Command::Run { run, step, nodes, set, attempt, limit, .. } if batch.begins => {
                    let recovering = false;
                    self.start(Start { run, step, nodes, set, attempt, limit, recovering });
                }
                Command::Settle { step, set, nodes, status, reasons } => {
                    self.hand_up(Settled { step, set, nodes, status, reasons });
                }
                _ => {}
            }
        }
        self.tell_held();
    }

    /// Launches a run of which the journal knows.
    pub(super) fn start(&mut self, start: Start) {
        if self.level.cancel.is_cancelled() {
            return;
        }
        let Start { run, step, nodes, set, attempt, limit, recovering } = start;
        let automaton = Arc::clone(self.walk.automaton());
        let Some(work) = automaton.work(step) else { return };
        let above = self.level.above.as_ref();
        let own = limit.and_then(|limit| Instant::now().checked_add(limit));
        let around = above.and_then(Context::deadline);
        let context = Context::new(Inner {
            run,
            set,
            path: self.narrator.path_of(&self.walk, step),
            inside: match &work.inner {
                Some(_) => self.level.manager.child(run),
                None => self.level.manager.clone(),
            },
            attempt,
            macro_attempt: above.map_or(0, Context::attempt),
            recovering,
            deadline: own.into_iter().chain(around).min(),
            cancel: self.level.cancel.child_token(),
            queue: self.sender.clone(),
            shared: Arc::clone(&self.level.shared),
        });
        let task = Arc::clone(&work.task);
        let levels = work.inner.as_ref().map_or(0, |inner| inner.levels);
        self.running.launch(&self.level, Launch { run, nodes, task, context, limit, levels });
    }

    /// Tells the manager above of nodes that are at their end here, now or at the end.
    pub(super) fn hand_up(&mut self, settled: Settled) {
        let Settled { step, set, nodes, status, reasons } = settled;
        let Some(above) = &self.level.above else { return };
        // The whole set ending as it came needs no message of its own: the outcome says it.
        let whole = set == self.set && nodes == *self.walk.state().nodes();
        let raisable = self.walk.automaton().work(step).is_some_and(|work| work.raisable);
        match status {
            Status::Brk => above.raise(Raise::Brk(nodes), Some(set)),
            Status::Ok if raisable && !whole => above.raise(Raise::Ok(nodes), Some(set)),
            Status::Ko if raisable && !whole => above.raise(Raise::Ko(reasons), Some(set)),
            Status::Ok => self.kept_ok.push(nodes),
            Status::Ko => self.kept_ko.extend(reasons),
        }
    }

    /// Tells the manager above, or whoever asks, when nodes begin or cease to be paused.
    pub(super) fn tell_held(&mut self) {
        let held = self.walk.state().has_paused() || self.running.holds();
        if held != self.told_held {
            self.told_held = held;
            match &self.level.above {
                Some(above) => above.hold(held),
                None => self.level.shared.set_held(held),
            }
        }
    }
}
