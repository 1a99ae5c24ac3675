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
    /// A peer that sends no byte for so long is left for another one.
    pub patience: Duration,
    /// A node that says nothing to the server for so long has failed.
    pub silence: Duration,
    /// A command that takes no byte for so long, though some wait, is killed.
    pub stall: Duration,
    /// The stream begins so long after the first node joined, without those that have not:
    /// they get what they missed when they come.
    pub gather: Duration,
    /// Every node has joined, and every node's successor attached, within this time.
    pub join: Duration,
    /// Who loses the connection between server and node waits so long for the other side to
    /// come back.
    pub orphan: Duration,
    /// A relay whose broadcast has the name of a run waits so long for a server that goes on with
    /// it.
    pub resume: Duration,
}

impl Default for Timing {
    /// Patience is short, because who is left for another is not lost by it; silence is
    /// many beats, so that a busy machine is not taken for a dead one; the stall is longer
    /// than a disk needs to write back a full cache; a service is started again within a minute.
    fn default() -> Self {
        Self {
            beat: Duration::from_millis(500),
            patience: Duration::from_secs(3),
            silence: Duration::from_secs(15),
            stall: Duration::from_secs(120),
            gather: Duration::from_secs(10),
            join: Duration::from_secs(60),
            orphan: Duration::from_secs(2),
            resume: Duration::from_secs(60),
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
    /// The name of the broadcast for servers that go on with it.
    pub run: Option<String>,
    /// Only a relay that is there already may take part.
    pub resume: bool,
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
    /// What kind of thing happened.
    pub cause: Cause,
    /// What happened.
    pub why: String,
}

/// Why a stream broke, in kinds that can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The peer could not be reached.
    Unreachable,
    /// The peer closed the connection, or it broke.
    Closed,
    /// The peer sent nothing for [`Timing::patience`].
    Silent,
    /// A block without its digest, or another one than was asked for.
    Corrupt,
    /// The peer did not want to send, or spoke otherwise than the protocol.
    Refused,
    /// What was to come has left the peer's ring.
    Behind,
    /// The file could not be read.
    File,
}

impl Cause {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Corrupt => "corrupt",
            Self::Refused => "refused",
            Self::Behind => "behind",
            Self::File => "file",
        }
    }
}

/// Where a node gets its blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// From whom.
    pub peer: Peer,
    /// That peer waits for this node when its ring is full.
    pub holds: bool,
    /// The place of this node, which is gone, is kept there and is not needed any more.
    pub instead: Option<String>,
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
    /// Most bytes per second on each connection to a peer; none: as fast as it goes.
    pub rate: Option<u64>,
    /// Opens data connections of this broadcast.
    pub pass: Secret,
    /// The nodes that will attach to this one.
    pub successors: Vec<String>,
    /// Where to get blocks.
    pub attach: Attach,
}

/// What a node has of a broadcast that it goes on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// Opens data connections between the nodes.
    pub pass: Secret,
    /// The first byte that it has not had.
    pub offset: u64,
}

/// How long something took, and how much of it there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Bytes moved.
    pub bytes: u64,
    /// While they moved, microseconds.
    pub micros: u64,
}

/// A time in microseconds.
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Pace {
    /// `bytes` in `time`.
    pub fn of(bytes: u64, time: Duration) -> Self {
        Self { bytes, micros: micros(time) }
    }

    /// One after the other.
    pub fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.micros = self.micros.saturating_add(other.micros);
    }

    /// What came since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(before.bytes),
            micros: self.micros.saturating_sub(before.micros),
        }
    }

    /// Bytes per second; none if too little is known.
    pub fn speed(self) -> Option<u64> {
        let bytes = self.bytes.checked_mul(1_000_000)?;
        bytes.checked_div(self.micros).filter(|_| self.bytes > 0)
    }
}

/// How far a node is. Everything is counted from the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes the command has taken.
    pub taken: u64,
    /// The way from the peer: blocks, from the first byte to the last of each.
    pub link: Pace,
    /// The way into the command: blocks, while it was offered bytes.
    pub command: Pace,
    /// Time for which a full ring kept this node from reading, microseconds.
    pub held: u64,
    /// Time since the command was offered bytes of which it has taken none, microseconds; not
    /// counted from the beginning.
    pub blocked: u64,
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
        /// It has begun already: the connection of before broke.
        back: bool,
        /// It has begun with a server that is gone.
        have: Option<Have>,
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
    /// Server to node: get blocks there from now on.
    Attach(Attach),
    /// Server to node: go on though the command does not keep up; it fetches what it missed.
    Loosen,
    /// Server to node: there is nothing more to do.
    Over,
    /// Node to peer, first: send blocks.
    Get {
        /// Of `Begin`.
        pass: Secret,
        /// Who asks.
        node: String,
        /// First byte wanted; a multiple of the block size.
        from: u64,
        /// The byte after the last one wanted, if not all: only the server serves a part.
        to: Option<u64>,
        /// Of `Attach`.
        holds: bool,
        /// Of `Attach`.
        instead: Option<String>,
    },
    /// Peer to node: that was all.
    End(End),
    /// Peer to node: the block that is next is not in the ring any more.
    Behind {
        /// Where the ring begins, bytes.
        oldest: u64,
    },
    /// Peer to node: there will be no more, because of this. Node to server: it gave up.
    Broken(Loss),
    /// Nothing else to say.
    Alive,
    /// Node to server: how far it is.
    Progress(Progress),
    /// Node to server: the command ended.
    Done(Done),
    /// Node to server: the stream broke; another peer is needed.
    Lost(Loss),
    /// Node to server: the command could not be run, or was killed.
    Failed {
        /// What happened.
        why: String,
    },
}

/// The end of the stream, or of the part that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Offset of the byte after the last, which is the length of the whole.
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
            Self::Attach(_) => "attach",
            Self::Loosen => "loosen",
            Self::Over => "over",
            Self::Get { .. } => "get",
            Self::End(_) => "end",
            Self::Behind { .. } => "behind",
            Self::Broken(_) => "broken",
            Self::Alive => "alive",
            Self::Progress(_) => "progress",
            Self::Done(_) => "done",
            Self::Lost(_) => "lost",
            Self::Failed { .. } => "failed",
        }
    }
}
