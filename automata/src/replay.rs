//! Rebuilds the walks of a run from its journal.

use crate::{
    Automaton, Command, Entry, Event, Illegal, ManagerPath, NodeSet, Observer, Path, Record,
    Recovery, Report, RunId, SetId, Walk, narrator::Narrator,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Records that do not fit the plan or each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// A manager reports that was not opened, or that has ended.
    #[error("record {index}: manager {manager:?} is not open")]
    NotOpen {
        /// Which record, from 0.
        index: usize,
        /// Which manager.
        manager: ManagerPath,
    },
    /// A manager opens for a run that does not exist or is no macro-step of the plan.
    #[error("record {index}: no macro-step is running that could open manager {manager:?}")]
    NoMacroStep {
        /// Which record, from 0.
        index: usize,
        /// Which manager.
        manager: ManagerPath,
    },
    /// A report does not fit the state: the plan is another, or records are missing.
    #[error("record {index}: {source}")]
    Illegal {
        /// Which record, from 0.
        index: usize,
        /// Why not.
        source: Illegal,
    },
    /// Fewer set ids were recorded than the report needs.
    #[error("record {index}: a set id is missing")]
    MissingId {
        /// Which record, from 0.
        index: usize,
    },
}

/// The walks of an operation as its journal left them; [`TaskManager::resume`] goes on.
///
/// [`TaskManager::resume`]: crate::TaskManager::resume
pub struct Replay {
    automaton: Arc<Automaton>,
    managers: BTreeMap<ManagerPath, Kept>,
    next_set: SetId,
    records: usize,
}

/// A manager as the journal left it.
pub(crate) struct Kept {
    pub(crate) walk: Walk,
    pub(crate) narrator: Narrator,
    pub(crate) set: SetId,
    /// Where nodes ended inside a macro-step: the manager above may not have heard of it.
    pub(crate) settled: Vec<Command>,
}

/// A task that was commanded and has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Its manager.
    pub manager: ManagerPath,
    /// Its run there.
    pub run: RunId,
    /// The step.
    pub path: Path,
    /// Id of its set.
    pub set: SetId,
    /// The nodes it still holds.
    pub nodes: NodeSet,
    /// Which attempt, from 0.
    pub attempt: u32,
    /// Whether it was reported to start.
    pub started: bool,
    /// What is to be done with it.
    pub recovery: Recovery,
}

/// Tells the recorded reports to new walks of `automaton`.
///
/// # Errors
/// A record that does not fit; a journal cut off after any record is fine.
pub fn replay<'a>(
    automaton: &Arc<Automaton>,
    records: impl IntoIterator<Item = &'a Record>,
) -> Result<Replay, ReplayError> {
    let mut replay = Replay::new(Arc::clone(automaton));
    for record in records {
        replay.take(record, Duration::ZERO, &crate::NoObserver)?;
    }
    Ok(replay)
}

impl Replay {
    /// A journal that holds nothing yet.
    pub fn new(automaton: Arc<Automaton>) -> Self {
        Self { automaton, managers: BTreeMap::new(), next_set: SetId(1), records: 0 }
    }

    /// Takes the next record, written `at` after the start of the operation. `observer` is
    /// told what the run told when it wrote the record, but for the start of the whole run.
    ///
    /// # Errors
    /// The record does not fit those before it.
    pub fn take(
        &mut self,
        record: &Record,
        at: Duration,
        observer: &dyn Observer,
    ) -> Result<(), ReplayError> {
        let index = self.records;
        self.records += 1;
        let mut told = Vec::new();
        match &record.entry {
            Entry::Opened { nodes, set, keep } => {
                let (plan, path) = self.plan_of(&record.manager, index)?;
                let mut narrator = Narrator::new(path, at);
                let (walk, commands) = Walk::start(plan, nodes.clone(), *set, *keep);
                narrator.commands(&walk, &commands, at, &mut told);
                let settled = commands.into_iter().filter(is_settle).collect();
                let kept = Kept { walk, narrator, set: *set, settled };
                self.managers.insert(record.manager.clone(), kept);
            }
            Entry::Reported { report, ids } => {
                self.report(index, &record.manager, (report, ids), at, &mut told)?;
            }
        }
        for event in &told {
            observer.event(event);
        }
        Ok(())
    }

    /// The walk of a manager that has not ended; the workflow's own has the empty path.
    pub fn walk(&self, manager: &ManagerPath) -> Option<&Walk> {
        self.managers.get(manager).map(|kept| &kept.walk)
    }

    /// The first set id that was not given out.
    pub fn next_set(&self) -> SetId {
        self.next_set
    }

    /// The micro-steps that were in flight.
    pub fn in_flight(&self) -> Vec<InFlight> {
        let mut found = Vec::new();
        for (manager, Kept { walk, narrator, .. }) in &self.managers {
            for (run, step, set, nodes, attempt, started) in walk.state().open_runs() {
                let Some(work) = walk.automaton().work(step) else { continue };
                if self.managers.contains_key(&manager.child(run)) {
                    continue;
                }
                found.push(InFlight {
                    manager: manager.clone(),
                    run,
                    path: narrator.path_of(walk, step),
                    set,
                    nodes,
                    attempt,
                    started,
                    recovery: work.task.recovery(),
                });
            }
        }
        found
    }

    /// The plan, and the managers that go on.
    pub(crate) fn into_parts(self) -> (Arc<Automaton>, BTreeMap<ManagerPath, Kept>) {
        (self.automaton, self.managers)
    }

    fn plan_of(
        &self,
        manager: &ManagerPath,
        index: usize,
    ) -> Result<(Arc<Automaton>, Path), ReplayError> {
        let Some((around, run)) = manager.parent() else {
            return Ok((Arc::clone(&self.automaton), Path::default()));
        };
        let found = self.managers.get(&around).and_then(|Kept { walk, narrator, .. }| {
            let (_, _, step, _) = walk.state().open_run(run)?;
            let work = walk.automaton().work(step)?;
            Some((Arc::clone(work.inner.as_ref()?), narrator.path_of(walk, step)))
        });
        found.ok_or_else(|| ReplayError::NoMacroStep { index, manager: manager.clone() })
    }

    fn report(
        &mut self,
        index: usize,
        manager: &ManagerPath,
        (report, ids): (&Report, &[SetId]),
        at: Duration,
        told: &mut Vec<Event>,
    ) -> Result<(), ReplayError> {
        let Kept { walk, narrator, settled, .. } = self
            .managers
            .get_mut(manager)
            .ok_or_else(|| ReplayError::NotOpen { index, manager: manager.clone() })?;
        let mut given = ids.iter();
        let mut missing = false;
        let mut fresh = || {
            given.next().copied().unwrap_or_else(|| {
                missing = true;
                SetId::FIRST
            })
        };
        let commands = walk
            .apply(report, &mut fresh)
            .map_err(|source| ReplayError::Illegal { index, source })?;
        if missing {
            return Err(ReplayError::MissingId { index });
        }
        narrator.report(walk, report, &commands, at, told);
        if manager.parent().is_some() {
            settled.extend(commands.into_iter().filter(is_settle));
        }
        let last = ids.iter().map(|id| SetId(id.0.saturating_add(1))).max();
        self.next_set = last.map_or(self.next_set, |last| last.max(self.next_set));
        match report {
            Report::Finished { run, .. } | Report::TimedOut { run } => {
                self.forget(&manager.child(*run), false);
            }
            Report::Killed { .. } => self.forget(manager, true),
            _ => {}
        }
        Ok(())
    }

    /// Drops a manager and those inside it, or only those inside it.
    fn forget(&mut self, manager: &ManagerPath, only_inside: bool) {
        let inside = self.managers.range(manager.clone()..).map(|(path, _)| path);
        let inside = inside.take_while(|path| path.runs().starts_with(manager.runs()));
        let gone: Vec<_> =
            inside.filter(|path| !only_inside || *path != manager).cloned().collect();
        for path in gone {
            self.managers.remove(&path);
        }
    }
}

fn is_settle(command: &Command) -> bool {
    matches!(command, Command::Settle { .. })
}
