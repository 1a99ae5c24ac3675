//! Ports that cannot be had: why, and the way out.

use std::{io, net::SocketAddr};

/// Ports below this one are not for everyone.
const PRIVILEGED: u16 = 1024;

/// For `map_err`: `what` cannot listen on `address`, which `key` of the configuration chooses.
pub(super) fn refused(
    what: &str,
    address: SocketAddr,
    key: &str,
) -> impl FnOnce(io::Error) -> anyhow::Error {
    let text = text(what, address, key);
    move |error| {
        let text = text(error.raw_os_error());
        anyhow::Error::new(error).context(text)
    }
}

/// What is told, by the number of the error.
fn text(what: &str, address: SocketAddr, key: &str) -> impl FnOnce(Option<i32>) -> String {
    use rustix::io::Errno;
    let (cannot, key) = (format!("{what} cannot listen on {address}"), key.to_owned());
    let low = address.port() < PRIVILEGED;
    move |number| match number.map(Errno::from_raw_os_error) {
        Some(Errno::ADDRINUSE) => {
            format!("{cannot}: is another one running there? ({key} chooses another port)")
        }
        Some(Errno::ACCESS) if low => format!(
            "{cannot}: a port below {PRIVILEGED} needs the capability CAP_NET_BIND_SERVICE: start the service by its unit of systemd, \
             which gives it that, or as root, or give it to the program with `setcap cap_net_bind_service=+ep`, \
             or choose another port ({key})"
        ),
        Some(Errno::PERM) => format!(
            "{cannot}: to be bound to one interface needs the capability CAP_NET_RAW on this kernel: \
             give it that (AmbientCapabilities of its unit), or leave netboot/dhcp/interface out"
        ),
        Some(Errno::ADDRNOTAVAIL) => {
            format!("{cannot}: this machine has no such address ({key} chooses another one)")
        }
        _ => format!("{cannot} ({key})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capability_is_named_where_it_is_missing() {
        let told = |port: u16, errno: rustix::io::Errno| {
            let address = SocketAddr::from(([0, 0, 0, 0], port));
            text("the TFTP server", address, "netboot/tftp/listen")(Some(errno.raw_os_error()))
        };
        assert!(told(69, rustix::io::Errno::ACCESS).contains("CAP_NET_BIND_SERVICE"));
        assert!(!told(6969, rustix::io::Errno::ACCESS).contains("CAP_"));
        assert!(told(67, rustix::io::Errno::PERM).contains("CAP_NET_RAW"));
        assert!(told(69, rustix::io::Errno::ADDRINUSE).contains("another one running"));
        assert!(told(69, rustix::io::Errno::ADDRINUSE).contains("netboot/tftp/listen"));
    }
}
