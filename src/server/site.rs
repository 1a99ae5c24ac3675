//! The configuration made into machines, keys and commands.

use crate::{
    nodes::{Bmc, BmcDriver, Firmware, Inventory, Node},
    platform::{
        Level, PowerAction,
        real::power::{CommandTable, Commands},
    },
};
use anyhow::Context;
use config::{
    Config,
    model::{RemoteAction, remoteops},
};
use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
    sync::Arc,
};

pub(super) use crate::operations::Site as Full;

/// The site that `config` describes.
pub(super) fn site(config: Config) -> anyhow::Result<Full> {
    let nodes = config.nodes().map(|(cluster, node)| Arc::new(machine(&cluster.name, node)));
    let inventory = Inventory::new(nodes.collect());
    let deploy_key = kernel_parameter(&config.server.ssh_private_key)?;
    Ok(Full { config, inventory, deploy_key })
}

fn machine(cluster: &str, node: &config::Node) -> Node {
    let bmc = node.bmc.as_ref().and_then(|bmc| {
        let driver = match bmc.driver {
            config::BmcDriver::Ipmi => BmcDriver::Ipmi,
            config::BmcDriver::Redfish => BmcDriver::Redfish,
            config::BmcDriver::Command => return None,
        };
        Some(Bmc {
            driver,
            address: bmc.address.clone(),
            port: bmc.port,
            user: bmc.user.clone(),
            password_file: bmc.password_file.clone().unwrap_or_default(),
        })
    });
    Node {
        name: node.name.clone(),
        cluster: cluster.to_owned(),
        address: node.address,
        macs: node.macs.clone(),
        firmware: match node.firmware {
            config::Firmware::Bios => Firmware::Bios,
            config::Firmware::Uefi => Firmware::Uefi,
        },
        bmc,
        rack: node.rack.clone(),
        switch: node.switch.clone(),
    }
}

/// The kernel parameter by which the deployment system lets us in: the public half of our
/// key. It is public, and works with every boot loader.
fn kernel_parameter(private: &Path) -> anyhow::Result<String> {
    let public = private.with_extension("pub");
    let text = fs::read_to_string(&public).with_context(|| {
        format!(
            "cannot read the public key {}: make it with `ssh-keygen -y -f {} > {}`",
            public.display(),
            private.display(),
            public.display()
        )
    })?;
    let mut words = text.split_whitespace();
    match (words.next(), words.next()) {
        (Some(kind), Some(key)) => Ok(format!("kadence.key={kind},{key}")),
        _ => anyhow::bail!("{} holds no public key", public.display()),
    }
}

/// The site's own commands for every node: its cluster's, where the node has none of its own.
pub(super) fn commands(config: &Config) -> CommandTable {
    let table: HashMap<String, Arc<Commands>> = config
        .nodes()
        .map(|(cluster, node)| {
            let commands = table(&cluster.remoteops).overridden_by(table(&node.commands));
            (node.name.clone(), Arc::new(commands))
        })
        .collect();
    let none = Arc::new(Commands::default());
    Arc::new(move |node: &Node| Arc::clone(table.get(&node.name).unwrap_or(&none)))
}

fn of(level: remoteops::Level) -> Level {
    match level {
        remoteops::Level::Soft => Level::Soft,
        remoteops::Level::Hard => Level::Hard,
        remoteops::Level::VeryHard => Level::VeryHard,
    }
}

fn table(written: &remoteops::RemoteOps) -> Commands {
    let levels = |action| {
        let level = |level| {
            let text = written.command(action, level)?.text.clone();
            Some((of(level), text))
        };
        remoteops::Level::ALL.into_iter().filter_map(level).collect()
    };
    let status = written.command(RemoteAction::PowerStatus, remoteops::Level::Soft);
    let actions = [
        (RemoteAction::Reboot, PowerAction::Reboot),
        (RemoteAction::PowerOn, PowerAction::On),
        (RemoteAction::PowerOff, PowerAction::Off),
    ];
    let grouped = |(written_action, action)| {
        remoteops::Level::ALL.into_iter().filter_map(move |level| {
            let command = written.command(written_action, level)?;
            (!command.groups.is_empty()).then(|| ((action, of(level)), command.groups.clone()))
        })
    };
    Commands {
        groups: actions.into_iter().flat_map(grouped).collect(),
        reboot: levels(RemoteAction::Reboot),
        power_on: levels(RemoteAction::PowerOn),
        power_off: levels(RemoteAction::PowerOff),
        power_status: status.map(|command| command.text.clone()),
    }
}

/// The relay for the nodes: the configured one, else the one installed with this program.
pub(super) fn relay_program(config: &Config) -> anyhow::Result<PathBuf> {
    const NAME: &str = "kadence-relay";
    if let Some(program) = &config.server.relay.binary {
        return Ok(program.clone());
    }
    let own = std::env::current_exe().context("cannot find this program's own path")?;
    // In the library directory of an installation, or where `relay/build` puts it. Not beside
    // this program: there a build leaves one that is not static.
    let prefix = own.ancestors().nth(2).into_iter();
    let mut places = prefix
        .flat_map(|prefix| ["lib/kadence", "relay"].map(|folder| prefix.join(folder).join(NAME)));
    let found = places.find(|path| path.is_file());
    found.with_context(|| {
        format!("{NAME} is not installed with {}: build it with relay/build, or name it in relay/binary", own.display())
    })
}

/// The address under which nodes reach us: the configured one, else that of the route to them.
pub(super) fn own_address(site: &Full) -> anyhow::Result<IpAddr> {
    if let Some(address) = site.config.server.netboot.addresses.first() {
        return Ok(IpAddr::V4(*address));
    }
    let Some(node) = site.inventory.all().first() else {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    };
    // Connecting a UDP socket sends nothing; it only chooses a route.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((node.address, 9)).with_context(|| {
        format!(
            "no route to {} ({}): name our address in netboot/addresses",
            node.name, node.address
        )
    })?;
    Ok(socket.local_addr()?.ip())
}
