//! The REST interface.
//!
//! `routes` is the one table: every route with its method, its permission and
//! its handler. A request is read by `request` (body and query merged, sizes
//! bounded), finds its handler there, and leaves as a `reply`, errors too; the
//! handlers themselves only decode, call and encode. `room` bounds what all of them hold. `yaml` writes what old
//! clients print as it is. `listen` accepts connections, in the clear or with TLS; `patient` ends those whose clients do not read. `openapi` describes what is here; a test holds it to the table.

mod address;
mod consoles;
mod environments;
mod listen;
mod nodes;
mod openapi;
mod operations;
mod patient;
mod reload;
mod reply;
mod request;
mod rights;
mod room;
mod routes;
mod service;
mod shape;
mod stats;
mod tokens;
mod yaml;

pub use listen::serve;
pub use openapi::document;
pub use reload::{Reload, ReloadRequests};
pub use routes::{Permission, routes};

use crate::{
    access::Access,
    consoles::{Consoles, Recorder},
    operations::Operations,
};
use std::sync::Arc;

/// What the handlers work with.
pub struct Api {
    /// The operations.
    pub operations: Operations,
    /// Whoever loads the configuration anew.
    pub reload: Reload,
    /// Who may ask.
    pub access: Access,
    /// Consoles of nodes.
    pub consoles: Consoles,
    /// What they printed; none where nothing is recorded.
    pub recorder: Option<Arc<Recorder>>,
}
