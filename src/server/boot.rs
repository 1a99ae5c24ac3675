//! The servers that machines boot from: DHCP, TFTP, HTTP.

use super::{ports::refused, site::Full};
use crate::{
    nodes::Node,
    platform::{Sighting, Witness, real::presence::PresenceHub, rendered::Profiles},
};
use anyhow::{Context, anyhow};
use config::model::{DhcpMode, Method, netboot::Dhcp};
use netboot::{
    BootService, Directory, Event, Known, ProfileTable, Routes, Server, Watcher,
    dhcp::{self, BootFiles, DhcpHost, Hosts},
    http, tftp,
};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
};
use tokio::{net::TcpListener, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

/// Port of a proxy DHCP server (PXE 2.1, section 2.2.3).
const BOOT_SERVER_PORT: u16 = 4011;

/// The running servers.
pub(super) struct BootServers {
    tasks: JoinSet<anyhow::Result<()>>,
    guests: Guests,
}

/// The machines that the servers know.
#[derive(Clone)]
pub(super) struct Guests {
    eyes: Arc<Eyes>,
    known: Arc<Known>,
    hosts: Arc<Hosts>,
}

impl Guests {
    fn new(site: &Full, profiles: &Profiles, hub: Arc<PresenceHub>) -> anyhow::Result<Self> {
        let eyes = Arc::new(Eyes { names: RwLock::default(), hub });
        let guests = Self { eyes, known: Arc::default(), hosts: Arc::default() };
        guests.change(site, profiles)?;
        Ok(guests)
    }

    /// The machines of `site`, and no others, from now on.
    ///
    /// # Errors
    /// What one of them boots first cannot be told; then nothing is changed.
    pub(super) fn change(&self, site: &Full, profiles: &Profiles) -> anyhow::Result<()> {
        let nodes = site.inventory.all();
        let hosts = nodes.iter().filter(|node| !node.macs.is_empty());
        let hosts =
            hosts.map(|node| host(site, profiles, node)).collect::<anyhow::Result<Vec<_>>>()?;
        self.hosts.replace(hosts);
        self.known.replace(nodes.iter().map(|node| IpAddr::V4(node.address)));
        *self.eyes.names.write().unwrap_or_else(PoisonError::into_inner) = Names::of(nodes);
        Ok(())
    }
}

impl BootServers {
    /// Binds the servers that the configuration asks for and starts them.
    pub(super) fn start(
        site: &Full,
        profiles: &Profiles,
        table: Arc<ProfileTable>,
        hub: Arc<PresenceHub>,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let settings = &site.config.server.netboot;
        let guests = Guests::new(site, profiles, hub)?;
        let watcher: Arc<dyn Watcher> = Arc::clone(&guests.eyes) as _;
        let repository = &site.config.server.pxe.dhcp.repository;
        let directory = Directory::open(repository)
            .with_context(|| format!("cannot open the boot repository {}", repository.display()))?;
        let routes = Routes::new(vec![table as _, Arc::new(directory)]);
        let known = Arc::clone(&guests.known);
        let service = BootService::new(Arc::new(routes), known, Arc::clone(&watcher));
        let mut tasks = JoinSet::new();
        if let Some(tftp) = &settings.tftp {
            let bound = tftp::bind(tftp.listen);
            let socket =
                bound.map_err(refused("the TFTP server", tftp.listen, "netboot/tftp/listen"))?;
            let limits =
                tftp::Limits { transfers: tftp.transfers as usize, ..tftp::Limits::default() };
            let (service, stop) = (service.clone(), stop.clone());
            tasks.spawn(async move {
                tftp::serve(socket, service, limits, stop).await.context("the TFTP server failed")
            });
        }
        if let Some(http) = &settings.http {
            let listener = listen(http.listen)?;
            let stop = stop.clone();
            tasks.spawn(async move {
                let limits = http::Limits::default();
                http::serve(listener, service, limits, stop).await.context("the HTTP server failed")
            });
        }
        if settings.dhcp.mode != DhcpMode::Off {
            serve_dhcp(&mut tasks, site, Arc::clone(&guests.hosts), watcher, stop)?;
        }
        Ok(Self { tasks, guests })
    }

    /// The machines that they know, to be changed.
    pub(super) fn guests(&self) -> Guests {
        self.guests.clone()
    }

    /// Returns when a server has failed; never if none does.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => return error,
                Some(Err(panic)) => return anyhow!(panic),
                None => return std::future::pending().await,
            }
        }
    }

    /// Waits until all have ended.
    pub(super) async fn stopped(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    bound.map_err(refused("the HTTP server", address, "netboot/http/listen"))
}

fn serve_dhcp(
    tasks: &mut JoinSet<anyhow::Result<()>>,
    site: &Full,
    hosts: Arc<Hosts>,
    watcher: Arc<dyn Watcher>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let settings = &site.config.server.netboot.dhcp;
    let interface = settings.interface.as_deref();
    let bind = |port: u16| {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        dhcp::bind(interface, port).map_err(refused(
            "the DHCP server",
            address,
            "netboot/dhcp/port",
        ))
    };
    let socket = bind(settings.port)?;
    let proxy = settings.mode == DhcpMode::Proxy;
    let second = if proxy { Some(bind(BOOT_SERVER_PORT)?) } else { None };
    let settings = dhcp_settings(settings);
    let stop = stop.clone();
    tasks.spawn(async move {
        dhcp::serve(socket, second, settings, hosts, watcher, stop).await;
        Ok(())
    });
    Ok(())
}

fn dhcp_settings(settings: &Dhcp) -> dhcp::Settings {
    let server = settings.listen.unwrap_or(Ipv4Addr::UNSPECIFIED);
    dhcp::Settings {
        mode: match settings.mode {
            DhcpMode::Off => dhcp::Mode::Off,
            DhcpMode::Proxy => dhcp::Mode::Proxy,
            DhcpMode::Full => dhcp::Mode::Full,
        },
        server,
        next_server: server,
        netmask: settings.netmask.unwrap_or(Ipv4Addr::new(255, 255, 255, 0)),
        router: settings.router,
        dns: settings.dns.clone(),
        domain: settings.domain.clone(),
        lease: settings.lease,
        ports: dhcp::Ports::default(),
    }
}

/// What DHCP tells one machine. iPXE goes to its profile where that is the site's method;
/// any other firmware, and any other method, begins with the loader's program.
fn host(site: &Full, profiles: &Profiles, node: &Node) -> anyhow::Result<DhcpHost> {
    let server = &site.config.server;
    let loaders = &server.netboot.dhcp;
    let macs = node.macs.iter().map(|mac| mac.parse().map_err(anyhow::Error::from));
    let ipxe = if server.pxe.dhcp.method == Method::Ipxe {
        Some(profiles.first(node)?)
    } else {
        loaders.bios_loader.clone()
    };
    let http = &server.pxe.dhcp.export.server;
    let boot = BootFiles {
        bios: loaders.bios_loader.clone().or_else(|| ipxe.clone()),
        uefi: loaders.uefi_loader.clone(),
        uefi_http: loaders.uefi_loader.as_ref().map(|file| format!("http://{http}/{file}")),
        ipxe,
    };
    Ok(DhcpHost {
        macs: macs.collect::<anyhow::Result<_>>()?,
        address: node.address,
        hostname: node.name.clone(),
        firmware: match node.firmware {
            crate::nodes::Firmware::Bios => netboot::Firmware::Bios,
            crate::nodes::Firmware::Uefi => netboot::Firmware::Uefi,
        },
        boot,
    })
}

/// Tells the presence hub which node asked for what.
struct Eyes {
    names: RwLock<Names>,
    hub: Arc<PresenceHub>,
}

/// The names of nodes.
#[derive(Default)]
struct Names {
    by_address: HashMap<IpAddr, String>,
    by_mac: HashMap<String, String>,
}

impl Names {
    fn of(nodes: &[Arc<Node>]) -> Self {
        let address = |node: &Arc<Node>| (IpAddr::V4(node.address), node.name.clone());
        let macs = nodes
            .iter()
            .flat_map(|node| node.macs.iter().map(|mac| (mac.clone(), node.name.clone())));
        Self { by_address: nodes.iter().map(address).collect(), by_mac: macs.collect() }
    }

    /// The node with that MAC address or, where that is not known, at that address.
    fn find(&self, mac: Option<&str>, address: Option<IpAddr>) -> Option<&String> {
        let by_mac = mac.and_then(|mac| self.by_mac.get(mac));
        by_mac.or_else(|| address.and_then(|address| self.by_address.get(&address)))
    }
}

impl Watcher for Eyes {
    fn seen(&self, event: &Event) {
        let mac = event.client.mac.map(|mac| mac.to_string());
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let Some(node) = names.find(mac.as_deref(), event.client.ip) else {
            tracing::info!(server = ?event.server, client = %event.client, what = %event.what, "asked by an unknown machine");
            return;
        };
        tracing::debug!(node, server = ?event.server, what = %event.what, stage = ?event.stage, "boot request");
        self.hub.saw(Sighting {
            node: node.clone(),
            witness: match event.server {
                Server::Dhcp => Witness::Dhcp,
                Server::Tftp => Witness::Tftp,
                Server::Http => Witness::Http,
            },
            what: event.what.to_string(),
            at: Instant::now(),
        });
    }
}
