//! Broadcast of one stream through a pipeline of nodes.
//!
//! The server ([`source`]) reads a file once and sends it once, to the first node. Each
//! node runs `kadence-relay` ([`node`]): it checks each block's digest, keeps the last
//! blocks in a ring, writes them into the standard input of a command and hands them to
//! the node after it. What the server learns, it learns over one small TCP connection
//! per node; nothing else is held open per node.
//!
//! ```text
//!            control: Join, Progress, Lost, Done        (one per node)
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
//! 3. *Begun*: when every node has joined or failed, or some time after the first has, the
//!    server sends each `Begin` (the command, sizes, the pass for data connections) with the
//!    peer to attach to: the one before it *among those that joined*. The node sends
//!    `Get { from }` there.
//! 4. *Flowing*: blocks in order, at last `End` with the length of the whole, or `Broken`
//!    when the file itself cannot be read. A full ring holds the reading back, and so the
//!    peer before.
//! 5. *Settled*: `Done` (exit status, end of stderr, count and digest of what the command
//!    took), `Broken` (which peer, which block) or `Failed`. The node goes on forwarding.
//! 6. *Over*: the server says so. The relay kills what is left of its command's process
//!    group and exits. It does the same when the server stays away for
//!    [`Timing::orphan`](message::Timing), or for `resume` where another one may come.
//!
//! # Healing
//!
//! The server alone decides who gets blocks from whom; a node can be told of another peer at
//! any time (`Attach`), and goes on at the offset where it is.
//!
//! - *A peer dies*, or sends no byte for [`Timing::patience`](message::Timing), or a block
//!   without its digest: the node says `Lost`. It gets the next living peer up the line, in
//!   the end the server. The peer before keeps the place of the one that is gone in its ring
//!   until the new one comes, and a few blocks behind it. What has left that ring all the same
//!   (`Behind`) comes from the server, up to where the ring begins (`Get` with an upper bound).
//! - *The one that was left* is perhaps only slow, or cut off for a while: it goes to the end
//!   of the line, where nobody waits for it. Its control connection may break and be made
//!   anew (`Join` with `back`) within [`Timing::orphan`](message::Timing).
//! - *A node comes late*: it is put at the end of the line as well, and gets what it missed.
//! - *A command is slow*: each node tells how fast its command takes what it is offered, by
//!   itself. One that is much slower than those of most others, or takes nothing while others
//!   do, is `Loosen`ed: it does not hold its ring back any more, and what it has missed comes
//!   from the server at its own pace. Commands that are all equally slow hold the stream
//!   back: then nobody falls behind.
//! - *A link is slow*: each node tells how long blocks take from their first byte to their
//!   last. Who is much slower than most others goes to the end of the line. The first of a line
//!   is compared with the one behind it, which gets the stream from the server as well for a
//!   moment.
//!
//! The server sends the file about once: only what was missed is sent again.
//!
//! A relay that is killed outright (signal 9) cannot kill its command, which then sees its
//! input end early and may end well. Its node has failed all the same: what counts is a
//! `Done` with the right digest.
//!
//! # Another server
//!
//! A broadcast may have a name ([`Ticket::run`](message::Ticket)), by which another server goes on
//! with it when the first is killed. Its nodes then wait for [`Timing::resume`](message::Timing);
//! blocks go on among them. The next server starts a relay on each node as ever. That one finds
//! the relay of that name ([`node::rendezvous`]), hands it the ticket and ends; the first joins the
//! new server and tells which block it lacks (`Join` with `have`). The server begins as ever, and
//! sends what nobody has; what was sent before it reads from the file only to judge what a `Done`
//! proves. A server that gives a broadcast up says that it is over.
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

mod chain;
mod forward;
pub mod frame;
pub mod message;
pub mod node;
mod ring;
pub mod source;
pub mod start;
