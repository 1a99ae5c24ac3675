//! What the service makes of a configuration, and what stays when that is loaded anew.

use super::{simulated::Simulated, site};
use crate::{
    nodes::Node,
    platform::{
        Here, Ports, Shell,
        real::{
            called::Called,
            command::CommandShell,
            console::CommandConsole,
            power::{RealPower, SETTLE},
            presence::PresenceHub,
            ssh::{Ssh, SshOptions},
            transfer::{RelaySettings, RelayTransfer},
        },
        rendered::{Profiles, Shelf},
    },
};
use config::{Config, Connector};
use netboot::ProfileTable;
use relay::{message::Timing, source::Shape};
use std::{collections::HashSet, sync::Arc};

/// Makes the ways to the machines of a site.
pub(super) struct Workshop {
    /// Where all that is seen of machines is reported.
    pub(super) hub: Arc<PresenceHub>,
    /// What our own boot servers answer.
    pub(super) table: Arc<ProfileTable>,
    /// Whether profiles are answered by our own servers.
    own: bool,
    simulated: Simulated,
}

/// A site, the ways to its machines, and what these boot.
pub(super) struct Made {
    pub(super) site: Arc<site::Full>,
    pub(super) ports: Ports,
    pub(super) profiles: Arc<Profiles>,
}

impl Workshop {
    /// For a service that starts with `config`.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            hub: Arc::default(),
            table: Arc::default(),
            own: config.server.netboot.serves_profiles(),
            simulated: Simulated::default(),
        }
    }

    /// Makes what `config` says. Machines that were not in the configuration `before` boot their
    /// disks from now on; the others boot what they were to boot.
    ///
    /// # Errors
    /// A key that cannot be read, a relay that is not there, boot methods that do not go together.
    pub(super) fn make(
        &mut self,
        config: Config,
        before: Option<&site::Full>,
    ) -> anyhow::Result<Made> {
        let shelf = if self.own { Shelf::Table(Arc::clone(&self.table)) } else { Shelf::Files };
        let profiles = Arc::new(Profiles::new(&config, shelf));
        let site = Arc::new(site::site(config)?);
        let real = || real(&site, Arc::clone(&self.hub), Arc::clone(&profiles));
        let ports = self.simulated.ports(&site, &self.hub, real)?;
        if self.own {
            profiles.reset(&new(&site, before))?;
        }
        if before.is_some() {
            self.answer();
        }
        Ok(Made { site, ports, profiles })
    }

    /// From now on the boot servers of simulated machines answer. When the service starts that is
    /// once these get what they were to boot when it was stopped.
    pub(super) fn answer(&mut self) {
        self.simulated.answer();
    }
}

/// The machines of `site` that are not in `before`.
fn new(site: &site::Full, before: Option<&site::Full>) -> Vec<Arc<Node>> {
    let known: HashSet<&str> =
        before.iter().flat_map(|site| site.inventory.all()).map(|node| &*node.name).collect();
    let all = site.inventory.all().iter();
    all.filter(|node| !known.contains(&*node.name)).cloned().collect()
}

fn real(
    site: &site::Full,
    hub: Arc<PresenceHub>,
    profiles: Arc<Profiles>,
) -> anyhow::Result<Ports> {
    let server = &site.config.server;
    let shell = shell(&site.config);
    let bytes = |megabits: u32| u64::from(megabits) * 1_000_000 / 8;
    let relay = RelaySettings {
        block: server.relay.block_size as usize,
        ring: server.relay.ring as usize,
        timing: Timing { patience: server.relay.stall, ..Timing::default() },
        shape: Shape { arity: server.relay.fanout as usize },
        rate: server.relay.rate.map(bytes),
        total_rate: server.relay.total_rate.map(bytes),
        ..RelaySettings::new(site::relay_program(&site.config)?, site::own_address(site)?)
    };
    Ok(Ports {
        power: Arc::new(RealPower::new(site::commands(&site.config), SETTLE)?),
        transfer: Arc::new(RelayTransfer::new(Arc::clone(&shell), relay)),
        shell,
        presence: hub,
        profiles,
        console: Arc::new(CommandConsole::new(&site.config)),
        server: Arc::new(Here),
    })
}

/// The way to nodes that the site's connector wants.
fn shell(config: &Config) -> Arc<dyn Shell> {
    let (server, called) = (&config.server, Called::new(config));
    match server.external.connector() {
        Connector::Command { text, .. } => Arc::new(CommandShell::new(text, called)),
        Connector::Ssh(connector) => Arc::new(Ssh::new(SshOptions {
            port: server.network.ports.ssh,
            connector: Some(connector),
            called,
            ..SshOptions::new(&server.ssh_private_key)
        })),
    }
}
