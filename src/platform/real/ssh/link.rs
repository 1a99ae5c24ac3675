//! One ssh connection: dialled, pinned, logged in, kept.

use super::{keys::Keys, known::KnownHosts};
use rustix::net::{RecvFlags, recv, sockopt};
use ssh2::{ErrorCode, HashType, MethodType, Session};
use std::{
    fmt, io,
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

/// A connection that is silent this long is probed by TCP, ...
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
/// ... every so often, ...
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// ... and given up after so many probes: a node that lost power is noticed in 30 s,
/// in the middle of a command as well as while the connection is only kept.
const KEEPALIVE_PROBES: u32 = 3;
/// Bytes that are not acknowledged for this long break the connection (milliseconds).
const UNACKNOWLEDGED: u32 = 30_000;

/// libssh2: the server refused the log-in.
const AUTHENTICATION_FAILED: i32 = -18;
/// libssh2: the server did not take the signature.
const PUBLICKEY_UNVERIFIED: i32 = -19;
/// libssh2: the private key cannot be read.
const FILE: i32 = -16;

/// Why there is no connection.
pub(super) enum LoginError {
    /// The network or the protocol failed.
    Connection(String),
    /// The server accepts none of these keys.
    Key(String),
    /// A file has no key that can be used.
    KeyFile { path: String, why: String },
    /// Another host key than at first contact.
    HostKey { was: String, now: String },
    /// A host key that the files of known hosts do not vouch for.
    UnknownHost { now: String, why: String },
}

impl From<ssh2::Error> for LoginError {
    fn from(error: ssh2::Error) -> Self {
        match error.code() {
            ErrorCode::Session(AUTHENTICATION_FAILED | PUBLICKEY_UNVERIFIED) => {
                Self::Key(String::new())
            }
            ErrorCode::Session(FILE) => {
                Self::KeyFile { path: String::new(), why: error.message().into() }
            }
            _ => Self::Connection(error.message().into()),
        }
    }
}

/// Connects to `address`. The caller sets the deadline. `alive` is for how long the other side may be
/// silent, and how many probes it may leave unanswered then.
pub(super) async fn dial(
    address: SocketAddr,
    alive: Option<(Duration, u32)>,
) -> io::Result<tokio::net::TcpStream> {
    let usual = (KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES);
    let (idle, interval, probes) = alive.map_or(usual, |(every, count)| (every, every, count));
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, idle)?;
    sockopt::set_tcp_keepintvl(&stream, interval)?;
    sockopt::set_tcp_keepcnt(&stream, probes.clamp(1, 127))?;
    sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED)?;
    Ok(stream)
}

/// Waits for the first byte of the server. It speaks without being asked (RFC 4253 section 4.2), so a
/// listener that says nothing is waited for here, where no thread is held.
pub(super) async fn greeted(stream: tokio::net::TcpStream) -> io::Result<TcpStream> {
    stream.readable().await?;
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// A connection that is logged in. Dropping it closes the socket without a word:
/// a polite end would wait for a peer that may be gone.
pub(super) struct Link {
    pub(super) session: Session,
    socket: TcpStream,
    address: SocketAddr,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Link {
    /// Shakes hands over `socket`, lets the host key be judged, and logs in by `keys`. Where the
    /// host must be known, `known` says who knows it; otherwise `pin` judges the fingerprint (its
    /// error is the one pinned before). Blocks until the socket is shut down.
    pub(super) fn login(
        socket: TcpStream,
        address: SocketAddr,
        keys: &Keys,
        known: Option<&KnownHosts>,
        pin: impl FnOnce(&str) -> Result<(), String>,
    ) -> Result<Self, LoginError> {
        let copy = socket.try_clone().map_err(|e| LoginError::Connection(e.to_string()))?;
        let mut session = Session::new()?;
        session.set_tcp_stream(copy);
        // From here on `Link` shuts the socket down, so that freeing the session does not wait.
        let mut link = Self { session, socket, address };
        if let Some(algorithms) = known.and_then(KnownHosts::algorithms) {
            // One that the library does not have is left out; without any it says so.
            link.session.method_pref(MethodType::HostKey, &algorithms)?;
        }
        link.session.handshake()?;
        let hash = link.session.host_key_hash(HashType::Sha256).unwrap_or_default();
        let now = fingerprint(hash);
        match known {
            Some(known) => {
                let key = link.session.host_key().map(|(key, _)| key).unwrap_or_default();
                known.judge(key).map_err(|why| LoginError::UnknownHost { now, why })?;
            }
            None => pin(&now).map_err(|was| LoginError::HostKey { was, now })?,
        }
        keys.log_in(&link.session)?;
        Ok(link)
    }

    /// Another handle of its socket, to shut it down by.
    pub(super) fn socket(&self) -> io::Result<TcpStream> {
        self.socket.try_clone()
    }

    /// Where to wait for events.
    pub(super) fn events(&self) -> &TcpStream {
        &self.socket
    }

    /// Ends the connection at once.
    pub(super) fn cut(&self) {
        // It fails where the peer has closed already: just as well.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Whether it leads to `address` and the peer has not closed it.
    pub(super) fn usable(&self, address: SocketAddr) -> bool {
        // Not by the socket's own mode, which is libssh2's business.
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        self.address == address
            && match recv(&self.socket, &mut [0; 1], flags) {
                Ok((bytes, _)) => bytes > 0,
                Err(error) => error == rustix::io::Errno::AGAIN,
            }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
    }
}

/// As OpenSSH shows it: `SHA256:` and unpadded base64.
fn fingerprint(hash: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
    format!("SHA256:{}", STANDARD_NO_PAD.encode(hash))
}
