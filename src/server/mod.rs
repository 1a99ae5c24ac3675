//! The service: everything put together, started in order, stopped in reverse.
//!
//! * `site` – the configuration made into machines and keys
//! * `state` – the state, or what can be read of a damaged one
//! * `boot` – the servers that machines boot from
//! * `simulated` – clusters whose machines are made up
//! * `workshop` – the ways to the machines, made of a configuration
//! * `reload` – the configuration loaded anew; `changes` sees that it has changed
//! * `tls` – the certificate of the service; `ports` – why a port cannot be had
//! * this file – the order of things

mod boot;
mod changes;
mod ports;
mod reload;
mod simulated;
mod site;
mod state;
mod tls;
mod workshop;

use crate::{
    access::{self, Access},
    api::{self, Api},
    consoles::{Consoles, Ear, Recorder, Shelf},
    operations::{Means, Operations, Premises, Stream},
    platform::Ports,
    steps::{Turns, Windows},
};
use anyhow::Context;
use boot::BootServers;
use config::{Config, Mistake};
use reload::Reloader;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
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
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use workshop::{Made, Workshop};

/// A peer of the cache that sends nothing for this long is given up.
const FETCH_STALL: Duration = Duration::from_secs(60);

/// Files that a site of any size may need open at once: a thousand TFTP transfers, as many ssh
/// connections, probes and API clients. More would only lengthen the system's tables.
const MOST_FILES: u64 = 65_536;

/// Between two looks for operations that are old enough to be forgotten.
const CLEANING: Duration = Duration::from_secs(60);

/// How long the end of what stands beside the interface may take: operations and clients had their
/// time before, and the whole service has stopped within ten seconds.
const BESIDE: Duration = Duration::from_millis(500);

/// What becomes of the operations that run when the service is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtStop {
    /// They go on when it is started again.
    Suspend,
    /// They end, their nodes aborted.
    Abort,
}

/// What a service worked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The whole state.
    All,
    /// What can be read of a damaged state.
    Rest,
}

/// Runs the service with the configuration in `dir` until SIGTERM or SIGINT. Of a damaged
/// state it serves what can be read: nothing is changed then, and nothing goes on.
///
/// # Errors
/// Whatever keeps it from starting: a mistake in the configuration, a port or a state
/// directory that another process holds.
pub async fn run(dir: &Path, at_stop: AtStop) -> anyhow::Result<Served> {
    crate::platform::crypto();
    allow_many_files();
    let config = load(dir)?;
    // Both before anything is opened or written: a second service must change nothing.
    let (listener, address) = listen(&config).await?;
    let state = state::open(&config.server.state_dir)?;
    let served = if state.damage.is_none() { Served::All } else { Served::Rest };
    let mut workshop = Workshop::new(&config);
    make_log_files(&config.server.logs)?;
    let Made { site, ports, profiles } = workshop.make(config, None)?;
    let stop = CancellationToken::new();
    // Before the boot servers: nodes that ask them get what they were to boot when the
    // service was stopped.
    let operations = Operations::open(means(&site, ports, state)?).await?;
    workshop.answer();
    // Before anything goes on: it hears what happens.
    let recorder = recorder(&site.config, &operations);
    let (table, hub) = (Arc::clone(&workshop.table), Arc::clone(&workshop.hub));
    let mut boot = BootServers::start(&site, &profiles, table, hub, &stop)?;
    let told = told_to_stop()?;
    operations.go_on();
    if let Err(error) = operations.enforce().await {
        tracing::warn!(%error, "the rights for what goes on could not be looked at");
    }
    let tls = tls::acceptor(&site.config)?;
    let access = access(&site, &operations).await?;
    let (reloader, reload) = Reloader::new(dir, &operations, workshop, boot.guests())?;
    let mut reloading = JoinSet::new();
    reloading.spawn(reloader.serve(stop.clone()));
    let recorder = recorder.map(|(recorder, ear)| {
        reloading.spawn(Arc::clone(&recorder).serve(ear, stop.clone()));
        recorder
    });
    tracing::info!(%address, nodes = site.inventory.all().len(), "the service is ready");
    tell_manager(&sd_notify::NotifyState::Ready);
    let name = access::own_name(&site.config);
    let consoles = Consoles::new(address.ip(), name, recorder.clone());
    let api = Arc::new(Api { operations: operations.clone(), reload, access, consoles, recorder });
    let kept = Arc::clone(&api);
    let serving = api::serve(listener, tls, api, stop.clone());
    let ended = serve(serving, &operations, &mut boot, at_stop, (&stop, told)).await;
    operations.keep_places().await;
    stop.cancel();
    let beside = async {
        kept.consoles.stop().await;
        boot.stopped().await;
        while reloading.join_next().await.is_some() {}
    };
    if timeout(BESIDE, beside).await.is_err() {
        tracing::warn!("not everything beside the interface could be ended in time");
    }
    ended.map(|()| served)
}

/// Serves until it is told to stop, or something has failed.
async fn serve<E: Into<anyhow::Error>>(
    serving: impl Future<Output = Result<(), E>>,
    operations: &Operations,
    boot: &mut BootServers,
    at_stop: AtStop,
    (stop, told): (&CancellationToken, impl Future<Output = &'static str>),
) -> anyhow::Result<()> {
    let cleaning = clean(operations);
    tokio::pin!(serving, cleaning);
    tokio::select! {
        ended = &mut serving => ended.map_err(Into::into),
        never = &mut cleaning => match never {},
        ended = boot.failed() => Err(ended),
        signal = told => {
            tracing::info!(signal, "stopping");
            tell_manager(&sd_notify::NotifyState::Stopping);
            // Running operations first: their clients may still ask how they stand, and whoever
            // comes with something new is told to come back.
            let (ended, ()) = tokio::join!(serving.as_mut(), end(operations, at_stop, stop));
            ended.map_err(Into::into)
        }
    }
}

/// Records the consoles of nodes, unless the configuration says that it is not to be.
fn recorder(config: &Config, operations: &Operations) -> Option<(Arc<Recorder>, Ear)> {
    let settings = &config.server.consoles;
    let directory = config.server.state_dir.join("consoles");
    let shelf = Shelf::new(&directory, settings.size.bytes(), settings.keep as usize);
    settings.record.then(|| Recorder::new(shelf, operations))
}

/// Forgets old operations, again and again.
async fn clean(operations: &Operations) -> std::convert::Infallible {
    loop {
        operations.clean().await;
        tokio::time::sleep(CLEANING).await;
    }
}

/// Ends what runs, then the service.
async fn end(operations: &Operations, at_stop: AtStop, stop: &CancellationToken) {
    match at_stop {
        AtStop::Suspend => operations.suspend().await,
        AtStop::Abort => operations.abort().await,
    }
    stop.cancel();
}

/// Where clients of the interface come in.
async fn listen(config: &Config) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let port = config.server.network.ports.kadeploy_server;
    let local = config.server.security.local_only;
    let host = if local { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
    let address = SocketAddr::from((host, port));
    let listener = TcpListener::bind(address).await.map_err(ports::refused(
        "the service",
        address,
        "network/ports/kadeploy_server",
    ))?;
    Ok((listener, address))
}

/// Tells the manager of services how it stands, where one has started us and wants to know.
fn tell_manager(state: &sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(%error, "the manager of services does not hear how the service stands");
    }
}

/// Raises the number of files this process may have open: most systems begin with 1024, the
/// limit of old programs, and let it be raised.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(MOST_FILES, |maximum| maximum.min(MOST_FILES));
    if limit.current.is_some_and(|current| current < most)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit })
    {
        tracing::warn!(%error, "the number of open files stays limited: a large site may need more");
    }
}

fn load(dir: &Path) -> anyhow::Result<Config> {
    let loaded = config::load(dir)?;
    for notice in &loaded.notices {
        if let Some(old) = notice.old() {
            tracing::warn!("{old}");
        }
        tracing::warn!("{notice}");
    }
    Ok(loaded.config)
}

/// What a configuration names that cannot be used though it is there: keys, certificates, names of
/// hosts. Only a look: the service finds the same when it starts.
pub fn look(config: &Config) -> Vec<Mistake> {
    crate::platform::crypto();
    let mistake = |key: &str, found: String| {
        let file = config.dir.join("server.conf");
        Mistake::file(file, key, found, "something that the service can use")
    };
    let mut found = Vec::new();
    if let Err(error) = site::kernel_parameter(&config.server.ssh_private_key) {
        found.push(mistake("ssh_private_key", format!("{error:#}")));
    }
    for error in access::unusable(config) {
        let why: Vec<_> = error.chain().skip(1).map(ToString::to_string).collect();
        found.push(mistake(&error.to_string(), why.join(": ")));
    }
    if let Err(error) = tls::look(config) {
        found.push(mistake("security", format!("{error:#}")));
    }
    found
}

/// Makes the files that are written about operations, so that they are there for whoever reads or
/// rotates them, and a place where they cannot be is told at once.
fn make_log_files(logs: &config::model::server::Logs) -> anyhow::Result<()> {
    for file in [&logs.logfile, &logs.debugfile].into_iter().flatten() {
        if file.exists() {
            continue;
        }
        let made = std::fs::OpenOptions::new().create(true).append(true).open(file);
        made.with_context(|| format!("cannot create {}", file.display()))?;
        tracing::info!(file = %file.display(), "created");
    }
    Ok(())
}

/// How clients say who they are. Names of hosts are looked up: off the runtime.
async fn access(site: &Arc<site::Full>, operations: &Operations) -> anyhow::Result<Access> {
    let store = Arc::clone(&operations.means().store);
    if operations.writable().is_ok()
        && let Err(error) = access::tokens::sweep(&*store).await
    {
        tracing::warn!(%error, "tokens that have expired are kept for now");
    }
    let site = Arc::clone(site);
    tokio::task::spawn_blocking(move || Access::new(&site.config, store)).await?
}

fn means(site: &Arc<site::Full>, ports: Ports, state: state::State) -> anyhow::Result<Means> {
    let server = &site.config.server;
    let limits = cache::Limits {
        size: server.cache.size.bytes(),
        concurrency: server.cache.concurrency_level as usize,
        stall: FETCH_STALL,
    };
    let cache =
        cache::Cache::open(&server.cache.directory, limits).context("cannot open the cache")?;
    let windows = Windows {
        reboot: Semaphore::new(server.windows.reboot.size as usize),
        check: Semaphore::new(server.windows.check.size as usize),
        turns: Turns::new(server.windows.reboot.quiet_time),
    };
    Ok(Means {
        premises: Premises::new(Arc::clone(site), ports),
        store: state.store,
        damage: state.damage,
        depot: Arc::new(cache),
        windows: Arc::new(windows),
        stream: Stream::keeping(server.events.backlog as usize),
    })
}

/// Ends when the service is told to stop, from now on; by what.
fn told_to_stop() -> std::io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
