//! What server and relays say to each other, besides blocks.

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    fs::File,
    io::{self, Read},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// A word that proves the right to join or to be served. Never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// 256 random bits of the system, in hexadecimal.
    ///
    /// # Errors
    /// When `/dev/urandom` cannot be read.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; blake3::OUT_LEN];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self(blake3::Hash::from(bytes).to_hex().to_string()))
    }

    /// What stands for the secret in a table: equal for equal secrets, compared in
    /// constant time.
    pub fn digest(&self) -> blake3::Hash {
        blake3::hash(self.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// When the other side counts as dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Who has nothing to say says so this often.
    pub beat: Duration,
    /// Who is not heard for so long is dead.
    pub silence: Duration,
    /// A command that takes no byte for so long, though some wait, is killed.
    pub stall: Duration,
    /// Every node has joined, and every node's successor attached, within this time.
    pub join: Duration,
}

impl Default for Timing {
    /// Silence is many beats, so that a busy machine is not taken for a dead one; the
    /// stall is longer than a disk needs to write back a full cache.
    fn default() -> Self {
        Self {
            beat: Duration::from_secs(2),
            silence: Duration::from_secs(15),
            stall: Duration::from_secs(120),
            join: Duration::from_secs(60),
        }
    }
}

/// What a relay is started with, on its standard input, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ticket {
    /// Where the server listens, as this node reaches it.
    pub server: SocketAddr,
    /// Good for one `Join`.
    pub token: Secret,
    /// The node's name, for messages.
    pub name: String,
    /// The node's own address: the relay listens there, on a port of the system's choice.
    pub listen: IpAddr,
    /// When the other side counts as dead.
    pub timing: Timing,
}

/// A peer to get blocks from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Where it listens; none for the server, at the address of the ticket.
    pub address: Option<SocketAddr>,
}

/// The stream of one node ended before its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{node} lost the stream from {peer} ({address}) at block {block} (offset {offset}): {why}")]
pub struct Loss {
    /// Who noticed.
    pub node: String,
    /// Who it was reading from.
    pub peer: String,
    /// Where that is.
    pub address: String,
    /// Number of the first block that is missing, from 0.
    pub block: u64,
    /// Its offset in the file, bytes.
    pub offset: u64,
    /// What happened.
    pub why: String,
}

/// What the server starts a node's part with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Shell text that reads the stream.
    pub command: String,
    /// Bytes in all.
    pub total: u64,
    /// Bytes in each block but the last.
    pub block: usize,
    /// Blocks in the ring.
    pub ring: usize,
    /// Opens data connections of this broadcast.
    pub pass: Secret,
    /// Whether a node will attach to this one.
    pub successor: bool,
    /// Where to get blocks.
    pub attach: Peer,
}

/// A command that ended by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Exit status; 128 + n after signal n.
    pub status: i32,
    /// The end of its standard error.
    pub stderr: String,
    /// Bytes it took.
    pub taken: u64,
    /// BLAKE3 digest of the sequence of blocks it took whole, hexadecimal; see the
    /// crate's page.
    pub digest: String,
}

/// Anything but data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// Node to server, first: this is a control connection.
    Join {
        /// Of the ticket.
        token: Secret,
        /// Where this relay serves blocks.
        address: SocketAddr,
    },
    /// Server to node: the token was good.
    Welcome,
    /// The token, the pass or the offset was not good; the connection is closed.
    Refused {
        /// What was wrong.
        why: String,
    },
    /// Server to node: everyone is here.
    Begin(Begin),
    /// Node to peer, first: send blocks.
    Get {
        /// Of `Begin`.
        pass: Secret,
        /// Who asks.
        node: String,
        /// First byte wanted; a multiple of the block size.
        from: u64,
    },
    /// Peer to node: that was all.
    End(End),
    /// Peer to node: there will be no more, because of this.
    Broken(Loss),
    /// Nothing else to say.
    Alive,
    /// Node to server.
    Progress {
        /// Bytes the command has taken.
        taken: u64,
    },
    /// Node to server: the command ended.
    Done(Done),
    /// Node to server: the stream broke; the command was killed.
    Lost(Loss),
    /// Node to server: the command could not be run, or was killed.
    Failed {
        /// What happened.
        why: String,
    },
}

/// The end of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Bytes in all.
    pub length: u64,
}

impl Message {
    /// The message's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Join { .. } => "join",
            Self::Welcome => "welcome",
            Self::Refused { .. } => "refused",
            Self::Begin(_) => "begin",
            Self::Get { .. } => "get",
            Self::End(_) => "end",
            Self::Broken(_) => "broken",
            Self::Alive => "alive",
            Self::Progress { .. } => "progress",
            Self::Done(_) => "done",
            Self::Lost(_) => "lost",
            Self::Failed { .. } => "failed",
        }
    }
}
