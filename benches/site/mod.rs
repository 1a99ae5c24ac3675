//! A site of 10 000 simulated nodes, and the real program that serves it.
#![allow(dead_code, reason = "each bench uses a part of it")]

use reqwest::{Client, Response};
use serde_json::{Value, json};
use std::{
    error::Error,
    fmt::Write,
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::time::sleep;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Each network of the site holds a part of its nodes.
const NETWORKS: u32 = 40;
const PER_NETWORK: u32 = 250;
/// Nodes of the site.
pub(crate) const NODES: u32 = NETWORKS * PER_NETWORK;
/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

const SERVER: &str = "rights: {kind: dummy, almighty_users: root}
authentication: {acl: {whitelist: [127.0.0.1]}}
security: {secure_server: false, local_only: true}
network: {server_hostname: localhost, ports: {kadeploy_server: PORT}}
ssh_private_key: DIR/id
state_dir: DIR/state
cache: {directory: DIR/cache, size: 64}
relay: {binary: DIR/id}
pxe:
  dhcp:
    method: IPXE
    repository: DIR/boot
    export: {kind: http, server: 127.0.0.1}
    profiles: {directory: pxelinux.cfg, filename: ip_hex}
    userfiles: {directory: userfiles, max_size: 50}
";

const CLUSTER: &str = "partitioning: {block_device: /dev/sda, partitions: {swap: 2, deploy: 3, tmp: 4}, script: DIR/id}
boot:
  sleep_time_before_ping: 20
  install_bootloader: DIR/id
  kernels: {deploy: {vmlinuz: vmlinuz, initrd: initrd, supported_fs: 'ext4'}}
timeouts: {reboot: 900, kexec: 900}
remoteops:
  reboot: [{name: soft, cmd: 'true'}]
  power_on: [{name: soft, cmd: 'true'}]
  power_off: [{name: soft, cmd: 'true'}]
  power_status: [{name: soft, cmd: 'true'}]
automata:
  macrosteps:
    SetDeploymentEnv: [{type: Untrusted, timeout: 3600}]
    BroadcastEnv: [{type: Chain, timeout: 3600}]
    BootNewEnv: [{type: Kexec, timeout: 3600}]
";

/// Its configuration, and where the program listens.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    client: Client,
}

impl Site {
    /// A new one, in a folder of its own, whose machines the service simulates.
    pub(crate) fn new() -> Result<Self> {
        Self::on("sim, sim: {speed: 10}")
    }

    /// A new one whose machines are none of the service's, nor of its memory. Nobody may ask
    /// for anything.
    pub(crate) fn of_real_machines() -> Result<Self> {
        Self::on("real")
    }

    fn on(platform: &str) -> Result<Self> {
        let (dir, port) =
            (tempfile::tempdir()?, TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let mut clusters = format!(
            "clusters:\n- {{name: many, conf_file: cluster.conf, platform: {platform}, nodes: ["
        );
        for network in 0..NETWORKS {
            let (first, last) = (network * PER_NETWORK + 1, (network + 1) * PER_NETWORK);
            write!(
                clusters,
                "{{name: 'node-[{first}-{last}].sim', address: '10.9.{network}.[1-{PER_NETWORK}]'}}, "
            )?;
        }
        clusters += "]}\n";
        for folder in ["boot/userfiles", "boot/pxelinux.cfg", "cache", "state"] {
            fs::create_dir_all(dir.path().join(folder))?;
        }
        let path = dir.path().to_str().ok_or("a path that is no text")?;
        for (name, text) in [
            ("server.conf", SERVER),
            ("cluster.conf", CLUSTER),
            ("clusters.conf", &clusters),
            ("command.conf", ""),
            ("version", "bench\n"),
            ("id", "not used"),
            ("id.pub", "ssh-ed25519 AAAA bench\n"),
            ("image.tgz", "an image"),
        ] {
            let text = text.replace("DIR", path).replace("PORT", &port.to_string());
            fs::write(dir.path().join(name), text)?;
        }
        Ok(Self { dir, port, client: Client::new() })
    }

    /// Starts the program; how long until it answers.
    pub(crate) async fn start(&self) -> Result<(Child, Duration)> {
        let begun = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_kadence"))
            .args(["serve", "--config-dir"])
            .arg(self.dir.path())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.dir.path().join("log"))?)
            .spawn()?;
        while self.get("/version").await.is_err() {
            if begun.elapsed() > PATIENCE {
                return Err(fs::read_to_string(self.dir.path().join("log"))?.into());
            }
            sleep(Duration::from_millis(2)).await;
        }
        Ok((child, begun.elapsed()))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Response> {
        let request = self.client.get(format!("http://127.0.0.1:{}{path}", self.port));
        Ok(request.header("X-Kadeploy-User", "bench").send().await?.error_for_status()?)
    }

    /// Begins the deployment of the first so many nodes; its path.
    pub(crate) async fn deploy(&self, nodes: u32) -> Result<String> {
        let image = self.dir.path().join("image.tgz");
        let environment = json!({
            "kind": "anonymous", "name": "bench", "os": "linux", "filesystem": "ext4",
            "image": {"file": format!("server://{}", image.display()), "kind": "tar", "compression": "gzip"},
            "boot": {"kernel": "/vmlinuz", "initrd": "/initrd.img"}, "partition_type": 131,
        });
        let body = json!({
            "nodes": [format!("node-[1-{nodes}].sim")],
            "environment": environment, "verbose_level": 5,
        });
        let request = self.client.post(format!("http://127.0.0.1:{}/deployment", self.port));
        let answer = request.header("X-Kadeploy-User", "bench").json(&body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        let wid = serde_json::from_str::<Value>(&text).ok();
        let wid = wid.as_ref().and_then(|answer| answer["wid"].as_str());
        Ok(format!("/deployment/{}", wid.ok_or_else(|| format!("{status}: {text}"))?))
    }

    /// Waits until an operation is over, and ends it for good, as its client would.
    pub(crate) async fn ended(&self, path: &str) -> Result<()> {
        let end = Instant::now() + 5 * PATIENCE;
        loop {
            let state: Value = self.get(path).await?.json().await?;
            if state["done"] == true {
                break;
            }
            if Instant::now() > end {
                return Err(format!("{path} does not end: {state}").into());
            }
            sleep(Duration::from_millis(100)).await;
        }
        let request = self.client.delete(format!("http://127.0.0.1:{}{path}", self.port));
        request.header("X-Kadeploy-User", "bench").send().await?.error_for_status()?;
        Ok(())
    }

    /// Waits until the messages of an operation hold `text` `times` times.
    pub(crate) async fn told(&self, path: &str, text: &str, times: usize) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let said = self.get(&format!("{path}/logs?since=0")).await?.text().await?;
            if said.matches(text).count() >= times {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!("{text:?} does not come in {said}").into());
            }
            sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Ends the program without a warning.
pub(crate) fn kill(mut child: Child) -> Result<()> {
    child.kill()?;
    child.wait()?;
    Ok(())
}
