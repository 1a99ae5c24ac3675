//! Rebuilds the walks of a run from its journal.

use crate::{
    Automaton, Entry, Illegal, ManagerPath, NodeSet, Path, Record, Recovery, Report, RunId, SetId,
    Walk,
};
use std::{collections::BTreeMap, sync::Arc};

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

/// The walks of an operation as its journal left them.
pub struct Replay {
    managers: BTreeMap<ManagerPath, (Walk, Path)>,
    next_set: SetId,
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
    let mut replay = Replay { managers: BTreeMap::new(), next_set: SetId(1) };
    for (index, record) in records.into_iter().enumerate() {
        match &record.entry {
            Entry::Opened { nodes, set, keep } => {
                let (plan, path) = replay.plan_of(automaton, &record.manager, index)?;
                let (walk, _) = Walk::start(plan, nodes.clone(), *set, *keep);
                replay.managers.insert(record.manager.clone(), (walk, path));
            }
            Entry::Reported { report, ids } => {
                replay.report(index, &record.manager, report, ids)?;
            }
        }
    }
    Ok(replay)
}

impl Replay {
    /// The walk of a manager that has not ended; the workflow's own has the empty path.
    pub fn walk(&self, manager: &ManagerPath) -> Option<&Walk> {
        self.managers.get(manager).map(|(walk, _)| walk)
    }

    /// The first set id that was not given out.
    pub fn next_set(&self) -> SetId {
        self.next_set
    }

    /// The micro-steps that were in flight.
    pub fn in_flight(&self) -> Vec<InFlight> {
        let mut found = Vec::new();
        for (manager, (walk, path)) in &self.managers {
            for (run, step, set, nodes, attempt, started) in walk.state().open_runs() {
                let Some(work) = walk.automaton().work(step) else { continue };
                if self.managers.contains_key(&manager.child(run)) {
                    continue;
                }
                found.push(InFlight {
                    manager: manager.clone(),
                    run,
                    path: path.child(work.location.clone()),
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

    fn plan_of(
        &self,
        automaton: &Arc<Automaton>,
        manager: &ManagerPath,
        index: usize,
    ) -> Result<(Arc<Automaton>, Path), ReplayError> {
        let Some((around, run)) = manager.parent() else {
            return Ok((Arc::clone(automaton), Path::default()));
        };
        let found = self.managers.get(&around).and_then(|(walk, path)| {
            let (_, _, step) = walk.state().open_run(run)?;
            let work = walk.automaton().work(step)?;
            Some((Arc::clone(work.inner.as_ref()?), path.child(work.location.clone())))
        });
        found.ok_or_else(|| ReplayError::NoMacroStep { index, manager: manager.clone() })
    }

    fn report(
        &mut self,
        index: usize,
        manager: &ManagerPath,
        report: &Report,
        ids: &[SetId],
    ) -> Result<(), ReplayError> {
        let (walk, _) = self
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
        walk.apply(report, &mut fresh).map_err(|source| ReplayError::Illegal { index, source })?;
        if missing {
            return Err(ReplayError::MissingId { index });
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
