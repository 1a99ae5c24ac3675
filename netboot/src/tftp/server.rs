//! Takes requests and starts transfers.

use super::Limits;
use crate::BootService;
use std::{io, net::SocketAddr};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

/// A socket for [`serve`]: bound to `address`, with a receive buffer that holds
/// the requests of a whole site that is switched on at once.
///
/// # Errors
/// The address is taken or not ours, or the port needs a privilege.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    todo!("{address}")
}

/// Serves read requests on `socket` until `stop`; running transfers are then given up.
///
/// # Errors
/// The socket has no local address.
pub async fn serve(
    socket: UdpSocket,
    service: BootService,
    limits: Limits,
    stop: CancellationToken,
) -> io::Result<()> {
    let _ = (socket, service, limits, stop);
    todo!()
}
