//! Whole deployments on simulated machines, in virtual time.
//!
//! A [`Scenario`] says everything that a run depends on; [`Scenario::run`] carries it out
//! with the plan, the steps and the automaton of the service, and the [`Report`] tells how it
//! went and which invariants it broke. The same scenario gives the same run, byte for byte of
//! its journal.
//!
//! | file | what |
//! |---|---|
//! | `scenario` | what a run depends on |
//! | `site` | the configuration it runs with |
//! | `stage` | its machines, which outlive a service |
//! | `state`, `gate` | the store of the service, on a disk in memory that fails |
//! | `run` | the run itself |
//! | `record` | the size of its journal, and what was seen of it |
//! | `retold` | what its journal says |
//! | `starts` | how often each node was started on each step |
//! | `check` | what must hold whatever goes wrong |
//! | `crash` | the whole service, stopped everywhere |
//! | `report` | what came of it, for people and programs |

mod check;
#[cfg(test)]
mod crash;
mod gate;
mod record;
mod report;
mod retold;
mod run;
mod scenario;
mod site;
mod stage;
mod starts;
mod state;

pub use report::{Books, Report, Times};
pub use scenario::{Boot, Images, Scenario};
pub use site::Place;
pub use stage::Stage;
