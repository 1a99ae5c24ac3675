//! Broadcast of one stream through a pipeline of nodes.
//!
//! The server ([`source`]) reads a file once and sends it once, to the first node. Each
//! node runs `kadence-relay` ([`node`]): it checks each block's digest, keeps the last
//! blocks in a ring, writes them into the standard input of a command and hands them to
//! the node after it. What the server learns, it learns over one small TCP connection
//! per node; nothing else is held open per node.
//!
//! ```text
//!            control: Join, Progress, Done, Lost        (one per node)
//!   server <------------------------------------------- every node
//!     ^ Get        ^ Get        ^ Get
//!     |            |            |
//!   node1 <------ node2 <----- node3       a node asks the peer before it, blocks flow back
//! ```
//!
//! # Frames
//!
//! Each side of each connection opens with the 16 bytes of [`frame::PREAMBLE`], which
//! carry the protocol's version. Then frames: kind (1 byte), length of the body (4 bytes,
//! big-endian), body.
//!
//! | kind | body |
//! |---|---|
//! | 1 | a [`Message`](message::Message) as JSON, at most [`frame::MAX_MESSAGE`] bytes |
//! | 2 | a [`Block`](frame::Block): offset in the file (8 bytes), BLAKE3 digest (32 bytes), the bytes |
//!
//! The side that connects speaks first: `Join` makes it a control connection (only the
//! server takes those), `Get` a data connection (server and relays take those).
//!
//! # States of a node
//!
//! 1. *Started*: `kadence-relay start` reads its [`Ticket`](message::Ticket) from standard
//!    input, listens on a port of its own and sends `Join` with the one-use token. The
//!    server answers `Welcome` or `Refused`; only then does `start` return.
//! 2. *Joined*: both sides send `Alive` when they have nothing else to say. A side that
//!    hears nothing for [`Timing::silence`](message::Timing) takes the other for dead.
//! 3. *Begun*: when every node has joined or failed, the server sends each `Begin` (the
//!    command, sizes, the pass for data connections) with the peer to attach to: the one
//!    before it *among those that joined*. The node sends `Get { from }` there.
//! 4. *Flowing*: blocks in order, at last `End` with the length of the whole, or `Broken`
//!    with the cause. A full ring holds the reading back, and so the peer before.
//! 5. *Settled*: `Done` (exit status, end of stderr, count and digest of what the command
//!    took), `Lost` (which peer, which block) or `Failed`. The node goes on forwarding.
//! 6. *Over*: the server closes the control connection. The relay kills what is left of
//!    its command's process group and exits. Losing the server has the same effect.
//!
//! A relay that is killed outright (signal 9) cannot kill its command, which then sees its
//! input end early and may end well. Its node has failed all the same: what counts is a
//! `Done` with the right digest.
//!
//! # What a `Done` proves
//!
//! A block is checked against its digest once, in the memory from which it is then
//! written and forwarded. The digest of a `Done` is the BLAKE3 of the offsets, lengths and
//! digests of the blocks in the order in which the command took them (8, 8 and 32 bytes
//! each, numbers big-endian). The server computes the same while it reads the file and
//! compares it, and the count of bytes. So a node hashes no byte twice, and what was
//! corrupted, left out, doubled or reordered on the way is seen. What the command does
//! with the bytes is its own affair: its exit status speaks for that.
//!
//! # What is trusted
//!
//! Tokens and the pass travel in the clear, as the image does: the network between the
//! server and the nodes is the deployment network. They keep strangers and runs of
//! another broadcast out; they do not hide anything from who listens on the wire.
//!
//! # What healing will add
//!
//! Today a broken peer fails the nodes behind it. The pieces for more are in place: a
//! node can be given another peer at any time (attaching is its own step, and `Get`
//! carries the offset to go on from), rings keep blocks after all have taken them, a ring
//! says `Refused` with its oldest offset when asked for less, and the server serves any
//! offset of the file. Healing is then: on `Lost` the server answers with another peer
//! in place of settling the node, and a node that misses blocks older than its new peer's
//! ring gets those from the server (`Get` with an upper bound, an optional field). A late
//! node is a node that has lost everything. A policy for slow commands belongs where
//! [`Timing::stall`](message::Timing) is applied today.

mod chain;
mod forward;
pub mod frame;
pub mod message;
pub mod node;
mod ring;
pub mod source;
pub mod start;
