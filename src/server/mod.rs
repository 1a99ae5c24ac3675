//! The service: everything put together, started in order, stopped in reverse.
//!
//! * `site` – the configuration made into machines and keys
//! * `boot` – the servers that machines boot from
//! * this file – the order of things

mod boot;
mod site;

use crate::{
    api::{self, Api},
    operations::{Means, Operations, Stream},
    platform::{
        Ports,
        real::{
            power::{RealPower, SETTLE},
            presence::PresenceHub,
            profiles::{Profiles, Shelf},
            ssh::{Ssh, SshOptions},
            transfer::{RelaySettings, RelayTransfer},
        },
    },
    steps::Windows,
    store::SledStore,
};
use anyhow::{Context, bail};
use boot::BootServers;
use config::Config;
use netboot::ProfileTable;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

/// A peer of the cache that sends nothing for this long is given up.
const FETCH_STALL: Duration = Duration::from_secs(60);

/// Runs the service with the configuration in `dir` until SIGTERM or SIGINT.
///
/// # Errors
/// Whatever keeps it from starting: a mistake in the configuration, a port or a state
/// directory that another process holds.
pub async fn run(dir: &Path) -> anyhow::Result<()> {
    crate::platform::crypto();
    let config = load(dir)?;
    refuse_other_addresses(&config)?;
    // Both before anything is opened or written: a second service must change nothing.
    let port = config.server.network.ports.kadeploy_server;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: is another service running? (network/ports/kadeploy_server chooses another port)")
    })?;
    let store =
        SledStore::open(&config.server.state_dir).context("cannot open the state directory")?;
    let hub = Arc::new(PresenceHub::default());
    let table = Arc::new(ProfileTable::default());
    let own = config.server.netboot.serves_profiles();
    let shelf = if own { Shelf::Table(Arc::clone(&table)) } else { Shelf::Files };
    let profiles = Arc::new(Profiles::new(&config, shelf));
    let site = Arc::new(site::site(config)?);
    if own {
        profiles.reset(site.inventory.all())?;
    }
    let stop = CancellationToken::new();
    let mut boot = BootServers::start(&site, &profiles, table, Arc::clone(&hub), &stop)?;
    let ports = ports(&site, hub, profiles)?;
    let operations = Operations::open(means(&site, ports, Arc::new(store))?).await?;
    tracing::info!(%address, nodes = site.inventory.all().len(), "the service is ready");
    let api = Arc::new(Api { operations: operations.clone() });
    let ended = {
        let serving = api::serve(listener, api, stop.clone());
        let signal = wait_for_signal();
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => ended.map_err(Into::into),
            ended = boot.failed() => Err(ended),
            signal = signal => {
                tracing::info!(signal = signal?, "stopping");
                // Running operations end first: their clients may still ask how.
                operations.stop().await;
                stop.cancel();
                serving.await.map_err(Into::into)
            }
        }
    };
    stop.cancel();
    boot.stopped().await;
    ended
}

fn load(dir: &Path) -> anyhow::Result<Config> {
    let loaded = config::load(dir)?;
    for notice in &loaded.notices {
        tracing::warn!("{notice}");
    }
    Ok(loaded.config)
}

/// Without authentication the user is whoever the client says: only local clients may.
fn refuse_other_addresses(config: &Config) -> anyhow::Result<()> {
    let security = &config.server.security;
    if !security.local_only {
        bail!(
            "the service can only listen on the loopback address, because it cannot check yet who its clients are: set security/local_only to true in server.conf"
        );
    }
    Ok(())
}

fn ports(
    site: &site::Full,
    hub: Arc<PresenceHub>,
    profiles: Arc<Profiles>,
) -> anyhow::Result<Ports> {
    let server = &site.config.server;
    let mut options = SshOptions::new(&server.ssh_private_key);
    options.port = server.network.ports.ssh;
    let shell = Arc::new(Ssh::new(options));
    let relay = RelaySettings {
        block: server.relay.block_size as usize,
        ring: server.relay.ring as usize,
        ..RelaySettings::new(site::relay_program(&site.config)?, site::own_address(site)?)
    };
    Ok(Ports {
        power: Arc::new(RealPower::new(site::commands(&site.config), SETTLE)?),
        transfer: Arc::new(RelayTransfer::new(shell.clone(), relay)),
        shell,
        presence: hub,
        profiles,
    })
}

fn means(site: &Arc<site::Full>, ports: Ports, store: Arc<SledStore>) -> anyhow::Result<Means> {
    let server = &site.config.server;
    let limits = cache::Limits {
        size: server.cache.size.bytes(),
        concurrency: server.cache.concurrency_level as usize,
        stall: FETCH_STALL,
    };
    let cache =
        cache::Cache::open(&server.cache.directory, limits).context("cannot open the cache")?;
    // Nobody refers to the files of operations that a stop cut short.
    cache.clean(cache::Priority::Anonymous).context("cannot tidy the cache")?;
    let windows = Windows {
        reboot: Semaphore::new(server.windows.reboot.size as usize),
        check: Semaphore::new(server.windows.check.size as usize),
    };
    Ok(Means {
        site: Arc::clone(site),
        ports,
        store,
        cache: Arc::new(cache),
        windows: Arc::new(windows),
        stream: Stream::default(),
    })
}

async fn wait_for_signal() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
