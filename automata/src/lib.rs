//! The automaton: node sets walked through retried, timed steps.
//!
//! It knows node sets, steps and time, and nothing of machines. Its layers, each
//! usable without the one below it in this list:
//!
//! * [`Plan`] is what people write: positions, their alternatives, steps. A step's
//!   body is a [`Task`], or again a plan: a macro-step is a step whose body is a plan.
//! * [`Automaton`] is a plan compiled to a graph that is proved to end.
//! * [`Walk`] is the pure state of one run: reports in, commands out.
//! * [`TaskManager`] drives a walk with tasks, deadlines, a [`Journal`] and an
//!   [`Observer`]; [`TaskedTaskManager`] is a task that does so inside another.
//! * [`replay`] rebuilds the walks of a run from its journal; [`TaskManager::resume`]
//!   goes on where it ends.
//!
//! Nodes are numbers here; [`ranges`] reads and writes their names.

mod automaton;
mod context;
mod dot;
mod journal;
mod limits;
mod manager;
mod narrator;
mod nodes;
mod observer;
mod path;
mod plan;
pub mod ranges;
mod replay;
mod report;
mod task;
mod walk;

pub use automaton::{Automaton, InvalidPlan, StepId};
pub use context::Context;
pub use journal::{Entry, Journal, JournalError, ManagerPath, NoJournal, Record};
pub use limits::StepLimits;
pub use manager::{Control, Ended, Options, RunError, SetIds, TaskManager, TaskedTaskManager};
pub use nodes::{NodeId, NodeSet};
pub use observer::{Event, NoObserver, Observer};
pub use path::{Location, Path};
pub use plan::{Body, Plan, Position, Step, splice};
pub use replay::{InFlight, Replay, ReplayError, replay};
pub use report::{Cause, Command, Raise, Report, RunId, SetId, Status};
pub use task::{Failures, Outcome, Reason, Recovery, Task};
pub use walk::{Illegal, State, Walk};
