//! The site as it is configured now, and the ways to its machines.

use crate::{nodes::Inventory, platform::Ports};
use config::Config;
use std::sync::{Arc, PoisonError, RwLock};

/// What the configuration makes of the site.
pub struct Site {
    /// The configuration.
    pub config: Config,
    /// The machines.
    pub inventory: Inventory,
    /// Kernel parameter that lets us into the deployment system.
    pub deploy_key: String,
}

/// The site and the ways to its machines, until the configuration is loaded anew. An operation
/// keeps those it began with.
pub struct Premises(RwLock<(Arc<Site>, Ports)>);

impl Premises {
    /// `site`, whose machines are reached through `ports`.
    pub fn new(site: Arc<Site>, ports: Ports) -> Self {
        Self(RwLock::new((site, ports)))
    }

    /// The site as it is now.
    pub fn site(&self) -> Arc<Site> {
        self.both().0
    }

    /// The ways to its machines.
    pub fn ports(&self) -> Ports {
        self.both().1
    }

    /// The site and the ways to its machines, of the same moment.
    pub fn both(&self) -> (Arc<Site>, Ports) {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whatever begins from now on sees this.
    pub fn change(&self, site: Arc<Site>, ports: Ports) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = (site, ports);
    }
}
