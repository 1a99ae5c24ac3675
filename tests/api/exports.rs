//! Where profiles say that files are: what they name is there, for the loader that reads them.

use crate::common::{Service, Site, free_port, wid};
use serde_json::{Value, json};
use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

/// Sizes that are no multiple of any block.
const KERNEL: usize = 70_001;
const RAMDISK: usize = 200_003;

/// Bytes that repeat nowhere near a block.
fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

/// A service with boot servers of its own, whose loader reads by that export; their addresses, of
/// HTTP and of TFTP.
fn service(method: &str, kind: &str, server: Option<&str>) -> (Service, [SocketAddr; 2]) {
    let site = Site::new();
    let [http, tftp] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
    let netboot = format!("netboot: {{http: '{http}', tftp: '{tftp}'}}\npxe:\n");
    site.edit("server.conf", "pxe:\n", &netboot);
    site.edit("server.conf", "method: PXElinux", &format!("method: {method}"));
    let server = server.map_or_else(|| http.to_string(), str::to_owned);
    let export = format!("export: {{kind: {kind}, server: '{server}'}}");
    site.edit("server.conf", "export: {kind: tftp, server: 127.0.0.1}", &export);
    fs::write(site.path("tftp/vmlinuz"), content(KERNEL)).unwrap();
    fs::write(site.path("tftp/initrd"), content(RAMDISK)).unwrap();
    (Service::on(site), [http, tftp])
}

/// A file as node-1 gets it by HTTP.
async fn by_http(server: SocketAddr, path: &str) -> Vec<u8> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 1, 1], 0).into()).unwrap();
    let mut stream = socket.connect(server).await.unwrap();
    let text = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
    body
}

/// A file as node-1 gets it by TFTP, in blocks of the usual size.
fn by_tftp(server: SocketAddr, path: &str) -> Vec<u8> {
    let socket = UdpSocket::bind(("127.0.1.1", 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let request = [b"\0\x01", path.as_bytes(), b"\0octet\0"].concat();
    socket.send_to(&request, server).unwrap();
    let (mut file, mut packet, mut next) = (Vec::new(), [0; 1024], 1_u16);
    loop {
        let (len, from) = socket.recv_from(&mut packet).unwrap();
        let [0, 3, high, low] = packet[..4] else { panic!("{:?}", &packet[..len]) };
        let block = u16::from_be_bytes([high, low]);
        if block == next {
            file.extend_from_slice(&packet[4..len]);
            next = next.wrapping_add(1);
        }
        socket.send_to(&[0, 4, high, low], from).unwrap();
        if len < 4 + 512 {
            return file;
        }
    }
}

/// The profile that node-1 has while a reboot of that kind waits for it.
async fn profile(service: &Service, http: SocketAddr, changes: Value) -> String {
    let anna = service.user("anna");
    let mut body = json!({"nodes": ["node-1"]});
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let path = format!("/reboot/{}", wid(&anna.post("/reboot", &body).await));
    anna.shows(&format!("{path}/status"), "wait_reboot").await;
    let text = String::from_utf8(by_http(http, "/pxelinux.cfg/7F000101").await).unwrap();
    anna.delete(&path).await.ok();
    text
}

/// A reboot by a profile of the user's own with a file.
fn own(service: &Service) -> Value {
    fs::write(service.path("kernel"), content(KERNEL)).unwrap();
    let file = format!("server://{}", service.path("kernel").display());
    json!({"kind": "set_pxe", "pxe": {"profile": "boot FILES_PREFIX--kernel\n", "files": [file]}})
}

#[tokio::test]
async fn what_a_profile_names_is_fetched_by_http() {
    for method in ["IPXE", "GPXElinux", "GrubPXE"] {
        let (service, [http, _]) = service(method, "http", None);
        let text = profile(&service, http, json!({"kind": "deploy_env"})).await;
        let url = |file: &str| match method {
            "GrubPXE" => format!("(http,{http})/{file}"),
            _ => format!("http://{http}/{file}"),
        };
        for file in ["vmlinuz", "initrd"] {
            assert!(text.contains(&url(file)), "{}: {text}", url(file));
        }
        let text = profile(&service, http, own(&service)).await;
        assert_eq!(text, format!("boot {}\n", url("userfiles/pxe-anna--kernel")));
    }
    let (service, [http, _]) = service("IPXE", "http", None);
    assert!(by_http(http, "/vmlinuz").await == content(KERNEL));
    assert!(by_http(http, "/initrd").await == content(RAMDISK));
    profile(&service, http, own(&service)).await;
    assert!(by_http(http, "/userfiles/pxe-anna--kernel").await == content(KERNEL));
}

#[tokio::test]
async fn what_a_profile_names_is_fetched_by_tftp() {
    for method in ["PXElinux", "IPXE", "GrubPXE"] {
        let (service, [http, tftp]) = service(method, "tftp", None);
        let text = profile(&service, http, json!({"kind": "deploy_env"})).await;
        let root = if method == "GrubPXE" { "(pxe)/" } else { "/" };
        for file in ["vmlinuz", "initrd"] {
            let name = format!("{root}{file}");
            assert!(text.contains(&name), "{name}: {text}");
        }
        let text = profile(&service, http, own(&service)).await;
        assert_eq!(text, format!("boot {root}userfiles/pxe-anna--kernel\n"));
        let fetch = |path: &'static str| tokio::task::spawn_blocking(move || by_tftp(tftp, path));
        assert!(fetch("/vmlinuz").await.unwrap() == content(KERNEL));
        assert!(fetch("/initrd").await.unwrap() == content(RAMDISK));
        assert!(fetch("/userfiles/pxe-anna--kernel").await.unwrap() == content(KERNEL));
    }
}

#[tokio::test]
async fn what_a_profile_names_is_on_the_sites_own_ftp_server() {
    for method in ["IPXE", "GPXElinux"] {
        let (service, [http, _]) = service(method, "ftp", Some("ftp.lab.test"));
        let text = profile(&service, http, json!({"kind": "deploy_env"})).await;
        for file in ["vmlinuz", "initrd"] {
            let url = format!("ftp://ftp.lab.test/{file}");
            assert!(text.contains(&url), "{url}: {text}");
        }
        let text = profile(&service, http, own(&service)).await;
        assert_eq!(text, "boot ftp://ftp.lab.test/userfiles/pxe-anna--kernel\n");
    }
}
