//! How the keeper is spoken to: one JSON line asks, one JSON line answers, on a
//! Unix socket that only root can reach.

use super::{Accel, BmcKind, BootDevice, LabError, Place};
use crate::nodes::Firmware;
use serde::{Deserialize, Serialize};
use std::{net::Ipv4Addr, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::timeout,
};

/// Longest request: they are all under 100 bytes.
const MAX_REQUEST: u64 = 4096;
/// A client that says nothing for this long is let go.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// The keeper answers within this time: the slowest is a power action that is waited for.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// What a BMC can do to its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum PowerOp {
    /// Give power; nothing happens to a machine that has it.
    On,
    /// Cut the power.
    Off,
    /// Start anew; refused for a machine that is off.
    Reset,
    /// Press the ACPI power button; refused for a machine that is off.
    Shutdown,
}

/// A request to the keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(super) enum Request {
    /// Everything about the lab.
    Status,
    /// Does this node have power? A node on its way to a state counts as in it.
    Power {
        /// Number of the node.
        node: u8,
    },
    /// Do this to the node; the answer comes at once, or when it is done if `wait`.
    SetPower {
        /// Number of the node.
        node: u8,
        /// What to do.
        op: PowerOp,
        /// Answer when it is done.
        #[serde(default)]
        wait: bool,
    },
    /// What the node boots from next, if that was overridden.
    Boot {
        /// Number of the node.
        node: u8,
    },
    /// Boot from `device` at the next power action, once; `None` forgets an earlier wish.
    SetBoot {
        /// Number of the node.
        node: u8,
        /// The device.
        device: Option<BootDevice>,
    },
}

/// The keeper's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum Answer {
    Status { status: LabStatus },
    Power { on: bool },
    Boot { device: Option<BootDevice> },
    Done,
    Refused { reason: String },
}

/// The lab as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabStatus {
    /// Its name and namespace.
    pub name: String,
    /// Address of the service.
    pub server: Ipv4Addr,
    /// How QEMU runs.
    pub accel: Accel,
    /// Its nodes, by number.
    pub nodes: Vec<NodeStatus>,
    /// The programs beside the nodes: BMC emulators and router advertisements.
    pub services: Vec<ServiceStatus>,
}

/// One node as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Full name.
    pub name: String,
    /// Address once it runs.
    pub address: Ipv4Addr,
    /// MAC address.
    pub mac: String,
    /// Its firmware.
    pub firmware: Firmware,
    /// Protocol of its BMC.
    pub bmc: BmcKind,
    /// Address of its BMC.
    pub bmc_address: Ipv4Addr,
    /// Nothing answers at that address.
    pub dead_bmc: bool,
    /// Does it have power?
    pub on: bool,
    /// The process it runs in.
    pub pid: Option<u32>,
    /// How often it was given power, resets by the BMC included.
    pub starts: u32,
    /// How often it was restarted from inside since then.
    pub reboots: u32,
    /// What it boots from next, if that was overridden.
    pub boot: Option<BootDevice>,
    /// Why it has no power though it should.
    pub error: Option<String>,
}

/// A program beside the nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// The process, while it runs.
    pub pid: Option<u32>,
    /// How often it was started.
    pub starts: u32,
}

/// Asks the keeper of the lab in `place`.
pub(super) async fn ask(place: &Place, request: &Request) -> Result<Answer, LabError> {
    let path = place.control();
    let silent = |source| LabError::KeeperSilent { path: path.clone(), source };
    let talk = async {
        let mut stream = UnixStream::connect(&path).await?;
        stream.write_all(&line(request)).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
    };
    let answer = timeout(ANSWER_LIMIT, talk)
        .await
        .map_err(|_| silent(std::io::ErrorKind::TimedOut.into()))?
        .map_err(silent)?;
    match serde_json::from_slice(&answer) {
        Ok(Answer::Refused { reason }) => Err(LabError::Keeper(reason)),
        Ok(answer) => Ok(answer),
        Err(source) => Err(LabError::Format { path: path.clone(), source }),
    }
}

/// Answers one client: reads its request, lets `reply` do it, writes what it returns.
pub(super) async fn serve<F>(
    mut stream: UnixStream,
    reply: impl FnOnce(Request) -> F,
) -> std::io::Result<()>
where
    F: Future<Output = Answer>,
{
    let (read, mut write) = stream.split();
    let mut text = Vec::new();
    let mut limited = BufReader::new(read.take(MAX_REQUEST));
    timeout(REQUEST_LIMIT, limited.read_until(b'\n', &mut text)).await??;
    let answer = match serde_json::from_slice(&text) {
        Ok(request) => reply(request).await,
        Err(error) => Answer::Refused { reason: format!("not a request: {error}") },
    };
    write.write_all(&line(&answer)).await
}

fn line(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn exchange(sent: &[u8]) -> Answer {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(sent).await.unwrap();
        client.shutdown().await.unwrap();
        let reply = |request| async move {
            assert_eq!(request, Request::SetPower { node: 2, op: PowerOp::Reset, wait: false });
            Answer::Done
        };
        serve(server, reply).await.unwrap();
        let mut text = Vec::new();
        client.read_to_end(&mut text).await.unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    #[tokio::test]
    async fn requests_are_answered_and_noise_is_refused() {
        let request = br#"{"ask":"set_power","node":2,"op":"reset"}"#;
        assert_eq!(exchange(request).await, Answer::Done);
        let noise = vec![b'x'; 100_000];
        for sent in [&b""[..], b"{}\n", &noise[..4000]] {
            assert!(matches!(exchange(sent).await, Answer::Refused { .. }));
        }
    }
}
