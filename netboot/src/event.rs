//! What the servers see, for whoever wants to know what a node is doing.

use crate::Mac;
use std::{
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::broadcast;

/// Which server was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// DHCP or proxy DHCP.
    Dhcp,
    /// TFTP.
    Tftp,
    /// HTTP.
    Http,
}

/// Who asked. DHCP clients have a MAC and seldom an address, the others have an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Client {
    /// Address of the client; with DHCP, the address it was given or uses.
    pub ip: Option<IpAddr>,
    /// Its Ethernet address, where the protocol tells it.
    pub mac: Option<Mac>,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ip, self.mac) {
            (Some(ip), Some(mac)) => write!(f, "{ip} ({mac})"),
            (Some(ip), None) => write!(f, "{ip}"),
            (None, Some(mac)) => write!(f, "{mac}"),
            (None, None) => f.write_str("unknown"),
        }
    }
}

/// One thing that happened at a server. Cloning copies no text.
#[derive(Clone, Debug)]
pub struct Event {
    /// Where.
    pub server: Server,
    /// Who.
    pub client: Client,
    /// What was asked: a file name, or for DHCP the message and the kind of client.
    pub what: Arc<str>,
    /// When.
    pub at: SystemTime,
    /// Beginning or end.
    pub stage: Stage,
}

/// Beginning or end of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The request arrived.
    Asked,
    /// It was dealt with. A DHCP message has only this stage.
    Ended {
        /// How.
        outcome: Outcome,
        /// Content sent, in bytes, without headers and repetitions.
        bytes: u64,
        /// Since the request arrived.
        took: Duration,
    },
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was sent (TFTP: and acknowledged). DHCP: the text says what was answered.
    Sent(Arc<str>),
    /// Nothing was sent, for this reason.
    Refused(Arc<str>),
    /// A part was sent, and then this went wrong.
    Failed(Arc<str>),
    /// The machine is not known; such a machine is reported once.
    Stranger,
}

/// Receives the events. Called from the servers' own tasks: it must not block.
pub trait Watcher: Send + Sync + 'static {
    /// Something happened.
    fn seen(&self, event: &Event);
}

/// Looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watcher for Unwatched {
    fn seen(&self, _: &Event) {}
}

impl Watcher for broadcast::Sender<Event> {
    fn seen(&self, event: &Event) {
        // An error only means that nobody listens now.
        self.send(event.clone()).ok();
    }
}
