//! Workflows: an operation on one cluster, as a plan for the automaton.
//!
//! * [`Instance`] – one way through a macro-step, as the configuration or the request asks for it
//! * `catalogue` – the micro-steps of each instance, in order
//! * `filters` – which of them an image, a cluster or a request makes pointless
//! * `custom` – what administrators and users do beside micro-steps
//! * `plan` – catalogue, filters, limits and breakpoints made into one plan

mod catalogue;
mod custom;
mod filters;
mod plan;

pub use catalogue::{MACRO_STEPS, canonical, known_instance, known_micro_step};
pub use custom::{Beside, Custom, Place, shown};
pub use filters::Facts;
pub use plan::{Breakpoint, Instance, Limits, Unplannable, Wish, outline, plan};
