//! What operations work with.

use super::{Premises, Site, Stream};
use crate::{files::Depot, platform::Ports, steps::Windows, store::Store};
use std::sync::Arc;

/// What operations work with.
pub struct Means {
    /// The site and its machines.
    pub premises: Premises,
    /// What is kept.
    pub store: Arc<dyn Store>,
    /// Why it can only be read, and the way out; none for a sound state.
    pub damage: Option<Arc<str>>,
    /// Files.
    pub depot: Arc<dyn Depot>,
    /// Server-wide limits.
    pub windows: Arc<Windows>,
    /// Where events go.
    pub stream: Stream,
}

impl Means {
    /// The site as it is configured now.
    pub fn site(&self) -> Arc<Site> {
        self.premises.site()
    }

    /// The ways to its machines.
    pub fn ports(&self) -> Ports {
        self.premises.ports()
    }
}
