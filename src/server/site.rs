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
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, Stdio},
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
pub(super) fn kernel_parameter(private: &Path) -> anyhow::Result<String> {
    let mut beside = private.as_os_str().to_owned();
    beside.push(".pub");
    let beside = PathBuf::from(beside);
    let text = match fs::read_to_string(&beside) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => public_half(private)?,
        Err(error) => {
            let text = format!("cannot read the public key {}", beside.display());
            return Err(anyhow::Error::new(error).context(text));
        }
    };
    let mut words = text.split_whitespace();
    match (words.next(), words.next()) {
        (Some(kind), Some(key)) => Ok(format!("kadence.key={kind},{key}")),
        _ => anyhow::bail!("{} holds no public key", beside.display()),
    }
}

/// The public half of a private key beside which it is not kept, as on sites of Kadeploy. Of
/// every kind of key that ssh itself can use, and with its demands on who may read the file.
fn public_half(private: &Path) -> anyhow::Result<String> {
    let mut command = Command::new("ssh-keygen");
    // With an empty passphrase, so that it never asks for one.
    command.args(["-y", "-P", "", "-f"]).arg(private).stdin(Stdio::null());
    let output = command.output().with_context(|| {
        format!("cannot run ssh-keygen; put the public key into {}.pub", private.display())
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let why: Vec<&str> = said.lines().map(|line| line.trim_matches(['@', ' '])).collect();
    anyhow::bail!(
        "{} (`ssh_private_key`) is no private key that can be used: {}",
        private.display(),
        why.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
    )
}

/// The site's own commands for every node: its cluster's, where the node has none of its own.
pub(super) fn commands(config: &Config) -> CommandTable {
    let none = Arc::new(Commands::default());
    let mut clusters = HashMap::new();
    // Few nodes have any of their own.
    let mut nodes = HashMap::new();
    for cluster in &config.clusters {
        let shared = table(&cluster.remoteops);
        for node in &cluster.nodes {
            let own = table(&node.commands);
            if own != *none {
                let commands = shared.clone().overridden_by(own);
                nodes.insert(node.name.clone(), Arc::new(commands));
            }
        }
        clusters.insert(cluster.name.clone(), Arc::new(shared));
    }
    Arc::new(move |node: &Node| {
        let commands = nodes.get(&node.name).or_else(|| clusters.get(&node.cluster));
        Arc::clone(commands.unwrap_or(&none))
    })
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

/// The relay for the nodes: the configured one, else the one installed with this program. Where
/// there is none nodes must bring it, which a site whose steps are not ours need not know.
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
    Ok(places.find(|path| path.is_file()).unwrap_or_else(|| {
        tracing::warn!(
            "{NAME} is not installed with {}: images reach only nodes whose deployment system has it (build it with relay/build, or name it in relay/binary)",
            own.display()
        );
        NAME.into()
    }))
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
