//! Serves a directory by TFTP and HTTP, and with an interface by DHCP as well, to
//! see it work by hand:
//!
//! `serve DIR CLIENT_IP [--dhcp INTERFACE SERVER_IP CLIENT_MAC full|proxy]`
#![expect(clippy::print_stderr, reason = "what a person at a terminal looks at")]

use netboot::{
    BootService, Directory, Event, Firmware, Known, Watcher,
    dhcp::{self, BootFiles, DhcpHost, Hosts, Mode, Ports, Settings},
    http, tftp,
};
use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

struct Terminal;

impl Watcher for Terminal {
    fn seen(&self, event: &Event) {
        eprintln!("{:?} {} {} {:?}", event.server, event.client, event.what, event.stage);
    }
}

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, client, dhcp @ ..] = arguments.as_slice() else {
        return Err(
            "usage: serve DIR CLIENT_IP [--dhcp INTERFACE SERVER_IP CLIENT_MAC full|proxy]".into(),
        );
    };
    let client: IpAddr = client.parse()?;
    let known = Arc::new(Known::new([client]));
    let service = BootService::new(Arc::new(Directory::open(root)?), known, Arc::new(Terminal));
    let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let stop = CancellationToken::new();
    let mut servers = JoinSet::new();
    servers.spawn(tftp::serve(
        tftp::bind(any(69))?,
        service.clone(),
        tftp::Limits::default(),
        stop.clone(),
    ));
    let listener = TcpListener::bind(any(8069)).await?;
    servers.spawn(http::serve(listener, service, http::Limits::default(), stop.clone()));
    if let [flag, interface, server, mac, mode] = dhcp
        && flag == "--dhcp"
    {
        let (settings, hosts) = network(server, client, mac, mode)?;
        let (socket, boot) = (dhcp::bind(Some(interface), 67)?, dhcp::bind(Some(interface), 4011)?);
        let stop = stop.clone();
        servers.spawn(async move {
            dhcp::serve(socket, Some(boot), settings, hosts, Arc::new(Terminal), stop).await;
            Ok(())
        });
    }
    eprintln!("serving {root} to {client}");
    while let Some(ended) = servers.join_next().await {
        ended??;
    }
    Ok(())
}

fn network(
    server: &str,
    client: IpAddr,
    mac: &str,
    mode: &str,
) -> Result<(Settings, Arc<Hosts>), Failure> {
    let server: Ipv4Addr = server.parse()?;
    let IpAddr::V4(address) = client else { return Err("DHCP needs an IPv4 address".into()) };
    let file = |name: &str| Some(name.to_owned());
    let boot = BootFiles {
        bios: file("undionly.kpxe"),
        uefi: file("snponly.efi"),
        uefi_http: Some(format!("http://{server}:8069/snponly.efi")),
        ipxe: Some(format!("http://{server}:8069/boot.ipxe")),
    };
    let (macs, hostname) = (vec![mac.parse()?], "node-1".to_owned());
    let host = DhcpHost { macs, address, hostname, firmware: Firmware::Bios, boot };
    let settings = Settings {
        mode: if mode == "proxy" { Mode::Proxy } else { Mode::Full },
        server,
        next_server: server,
        netmask: Ipv4Addr::new(255, 255, 255, 0),
        router: Some(server),
        dns: Vec::new(),
        domain: None,
        lease: Duration::from_secs(3600),
        ports: Ports::default(),
    };
    Ok((settings, Arc::new(Hosts::new([host]))))
}
