//! Accepts connections and bounds them.

use crate::BootService;
use std::{io, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What one client, and all of them, may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections; more wait in the kernel's queue.
    pub connections: usize,
    /// Most connections of one address; more are closed. Boot loaders use one or two.
    pub per_client: usize,
    /// A request must arrive, or the next one begin, within this time.
    pub headers: Duration,
    /// A client that takes nothing for this long is cut off.
    pub stall: Duration,
    /// Longest life of a connection.
    pub connection: Duration,
    /// How long running answers may go on after the server was stopped.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            per_client: 64,
            headers: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            connection: Duration::from_secs(3600),
            drain: Duration::from_secs(5),
        }
    }
}

/// Serves boot files on `listener` until `stop`; running answers then have
/// `limits.drain` to end.
///
/// # Errors
/// The listener is broken.
pub async fn serve(
    listener: TcpListener,
    service: BootService,
    limits: Limits,
    stop: CancellationToken,
) -> io::Result<()> {
    let _ = (listener, service, limits, stop);
    todo!()
}
