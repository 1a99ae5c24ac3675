//! The configuration that a run has: a site's own, or one that is built in.

use super::scenario::Scenario;
use crate::nodes::{Bmc, BmcDriver, Firmware, Node};
use anyhow::Context;
use config::{
    Cluster, Config,
    model::{ExportKind, Method, PxeMethod},
};
use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Most machines of a run: all addresses of 10.0.0.0/8 but the first.
const MOST: u32 = 1 << 20;

const SERVER: &str = "rights: {kind: dummy, almighty_users: root}
authentication: {acl: {whitelist: [127.0.0.1]}}
security: {secure_server: false, local_only: true}
network: {server_hostname: localhost, ports: {kadeploy_server: 25300, ssh: 22, test_deploy_env: 25300}}
ssh_private_key: DIR/file
state_dir: DIR/state
cache: {directory: DIR/cache, size: 1000}
relay: {binary: DIR/file}
windows: {reboot: {size: 50}, check: {size: 100}}
pxe:
  dhcp:
    method: IPXE
    repository: DIR
    export: {kind: http, server: 10.0.0.1}
    profiles: {directory: profiles, filename: ip_hex}
    userfiles: {directory: userfiles, max_size: 50}
netboot: {http: true}
";

const CLUSTERS: &str = "clusters:
- {name: sim, conf_file: cluster.conf, platform: sim, nodes: [{name: node-1.sim, address: 10.0.0.2}]}
";

const CLUSTER: &str = "partitioning: {block_device: /dev/sda, partitions: {swap: 2, deploy: 3, tmp: 4}, script: file}
boot:
  sleep_time_before_ping: 5
  install_bootloader: file
  kernels:
    deploy: {vmlinuz: deploy/vmlinuz, initrd: deploy/initrd.img, params: quiet, supported_fs: 'ext4, xfs'}
    nfsroot: {vmlinuz: nfsroot/vmlinuz, params: root=/dev/nfs}
timeouts: {reboot: 600, kexec: 120}
remoteops: {}
automata:
  macrosteps:
    SetDeploymentEnv: [{type: Untrusted, timeout: 1200, retries: 2}]
    BroadcastEnv: [{type: Chain, timeout: 1800, retries: 1}]
    BootNewEnv: [{type: Kexec, timeout: 300}, {type: Classical, timeout: 900}, {type: HardReboot, timeout: 900, retries: 1}]
";

/// Where runs take place: a configuration and one cluster of it.
pub struct Place {
    config: Config,
    cluster: Cluster,
}

impl Place {
    /// The built-in site: network boot by iPXE, a deployment of an archive, kexec into it, and
    /// when that fails a boot through the firmware. Its files exist only while this reads them.
    ///
    /// # Errors
    /// No temporary directory can be made.
    pub fn built_in() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir().context("cannot make a temporary directory")?;
        let at = |name: &str| dir.path().join(name);
        let write = |name: &str, text: &str| {
            fs::write(at(name), text.replace("DIR", &dir.path().to_string_lossy()))
        };
        fs::create_dir(at("userfiles"))?;
        for (name, text) in [
            ("server.conf", SERVER),
            ("clusters.conf", CLUSTERS),
            ("cluster.conf", CLUSTER),
            ("command.conf", "{}"),
            ("version", "simulated"),
            ("file", ""),
        ] {
            write(name, text).with_context(|| format!("cannot write {}", at(name).display()))?;
        }
        Self::of(dir.path(), None)
    }

    /// The site in `dir` and its cluster of that name, or its first one.
    ///
    /// # Errors
    /// Mistakes in the configuration; no such cluster.
    pub fn of(dir: &Path, cluster: Option<&str>) -> anyhow::Result<Self> {
        let config = config::load(dir)?.config;
        let wanted = |one: &&Cluster| cluster.is_none_or(|name| one.name == name);
        let found = config.clusters.iter().find(wanted).cloned();
        let cluster = found.with_context(|| {
            let names: Vec<_> = config.clusters.iter().map(|one| one.name.as_str()).collect();
            format!(
                "there is no cluster {}: there are {}",
                cluster.unwrap_or("at all"),
                names.join(", ")
            )
        })?;
        Ok(Self { config, cluster })
    }

    /// The configuration as `scenario` has it: of the simulated cluster alone.
    pub(crate) fn config(&self, scenario: &Scenario) -> Config {
        let mut config = self.config.clone();
        config.clusters = vec![self.cluster.clone()];
        if let Some(method) = scenario.method {
            let pxe = &mut config.server.pxe;
            for way in [&mut pxe.dhcp, &mut pxe.localboot, &mut pxe.networkboot] {
                change(way, method);
            }
        }
        config
    }

    /// The cluster.
    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The machines of `scenario`: every other one with UEFI where the loader can run there.
    pub(super) fn nodes(&self, scenario: &Scenario) -> Vec<Arc<Node>> {
        let loader = scenario.method.unwrap_or(self.config.server.pxe.dhcp.method);
        let bios_only = matches!(loader, Method::PxeLinux | Method::GpxeLinux);
        let node = |number: u32| {
            let uefi = number.is_multiple_of(2) && !bios_only;
            Arc::new(Node {
                name: format!("node-{number}.sim"),
                cluster: self.cluster.name.clone(),
                address: Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 1).to_bits() + number),
                macs: Vec::new(),
                firmware: if uefi { Firmware::Uefi } else { Firmware::Bios },
                bmc: Some(bmc(number)),
                rack: None,
                switch: None,
            })
        };
        (1..=scenario.nodes.min(MOST)).map(node).collect()
    }
}

/// The BMC of a machine: of every eight machines two are in one chassis.
fn bmc(number: u32) -> Bmc {
    let place = if number % 8 == 2 { number - 1 } else { number };
    Bmc {
        driver: BmcDriver::Redfish,
        address: format!("bmc-{place}.sim"),
        port: None,
        user: "admin".to_owned(),
        password_file: PathBuf::new(),
    }
}

fn change(way: &mut PxeMethod, method: Method) {
    way.method = method;
    if !method.exports().contains(&way.export.kind) {
        way.export.kind = ExportKind::Tftp;
    }
}
