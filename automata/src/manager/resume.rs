//! A manager that goes on where its journal ends.

use super::{
    act::{Settled, Start},
    driver::Driver,
    shared::Stop,
};
use crate::{
    Command, Event, Failures, NodeSet, Reason, Recovery, Report, RunId, automaton::Work,
    task::failures,
};
use std::sync::Arc;

/// What becomes of the runs that the journal left open.
#[derive(Default)]
struct Open {
    /// Not yet begun.
    commanded: Vec<Command>,
    /// Run again.
    again: Vec<(Start, Recovery)>,
    /// Over: nobody is left in them, or they cannot be recovered.
    over: Vec<(RunId, Failures)>,
}

impl Driver {
    /// Goes on: tells the manager above what it did not hear, ends what is over, begins what
    /// was commanded, runs again what was in flight. `held` are the nodes that are still its
    /// own in the manager above.
    pub(super) async fn go_on(
        &mut self,
        settled: Vec<Command>,
        held: &NodeSet,
    ) -> Result<(), Stop> {
        for command in settled {
            if let Some(settled) = still_held(command, held) {
                self.hand_up(settled);
            }
        }
        let Open { commanded, again, over } = self.open_runs();
        let mut batch = self.batch();
        for (run, ko) in over {
            self.apply(Report::Finished { run, ok: NodeSet::new(), ko }, &mut batch)?;
        }
        batch.commands.extend(commanded);
        self.write(&mut batch).await?;
        if batch.begins {
            self.run_again(again);
        }
        self.act(batch);
        Ok(())
    }

    fn open_runs(&self) -> Open {
        let mut open = Open::default();
        let automaton = self.walk.automaton();
        for (run, step, set, nodes, attempt, started) in self.walk.state().open_runs() {
            let Some(work) = automaton.work(step) else { continue };
            let limit = work.timeout;
            let start =
                |nodes, recovering| Start { run, step, nodes, set, attempt, limit, recovering };
            match work.task.recovery() {
                _ if !started => {
                    let cause = crate::Cause::Next;
                    open.commanded.push(Command::Run {
                        run,
                        step,
                        nodes,
                        set,
                        attempt,
                        cause,
                        limit,
                    });
                }
                _ if nodes.is_empty() => open.over.push((run, Failures::new())),
                Recovery::Fail => open.over.push((run, failures(&nodes, broken_off(work)))),
                recovery => open.again.push((start(nodes, true), recovery)),
            }
        }
        open
    }

    fn run_again(&mut self, again: Vec<(Start, Recovery)>) {
        let shared = Arc::clone(&self.level.shared);
        for (start, recovery) in again {
            let is_micro =
                self.walk.automaton().work(start.step).is_some_and(|work| work.inner.is_none());
            if is_micro {
                shared.micro_steps_begin(1);
                let path = self.narrator.path_of(&self.walk, start.step);
                let (set, nodes) = (start.set, start.nodes.clone());
                shared.observe(&Event::Recovered { path, set, nodes, recovery });
            }
            self.start(start);
        }
    }
}

fn broken_off(work: &Work) -> Reason {
    let name = &work.location.name;
    format!("the service was stopped during the {name} step, which cannot be taken up again").into()
}

/// Those of the settled nodes that the manager above still counts as this one's.
fn still_held(command: Command, held: &NodeSet) -> Option<Settled> {
    let Command::Settle { step, set, nodes, status, mut reasons } = command else { return None };
    let nodes = nodes.intersection(held);
    reasons.retain(|node, _| nodes.contains(*node));
    (!nodes.is_empty()).then_some(Settled { step, set, nodes, status, reasons })
}
