//! What simulated machines are like.

use super::dice::Span;
use serde::{Deserialize, Serialize};

/// Hardware and its times; a description may name any of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hardware {
    /// Power-on self-test.
    pub firmware: Span,
    /// Address and loader.
    pub dhcp: Span,
    /// Loader, profile, and the kernel with its ramdisk.
    pub loader: Span,
    /// Kernel until ssh answers.
    pub kernel: Span,
    /// Shutdown of a system that is asked to leave.
    pub shutdown: Span,
    /// An order to the BMC.
    pub bmc: Span,
    /// Connection and command that does next to nothing.
    pub command: Span,
    /// Partition table.
    pub partitioning: Span,
    /// Filesystem.
    pub mkfs: Span,
    /// Boot loader.
    pub boot_loader: Span,
    /// Seconds that a MiB of the image takes from node to node and to the disk.
    pub mebibyte: Span,
    /// Start of a relay.
    pub relay: Span,
    /// Size of the disk, MiB.
    pub disk_mib: u64,
    /// Memory, MiB: what can be unpacked where nothing is mounted.
    pub memory_mib: u64,
    /// The systems on the disks let the service in, as a site's production system does; the disk
    /// has a partition beside that of the one it comes with.
    pub open: bool,
}

impl Default for Hardware {
    /// A rack server of some years ago: a minute or two from power to ssh.
    fn default() -> Self {
        Self {
            firmware: Span::new(35.0, 90.0),
            dhcp: Span::new(2.0, 6.0),
            loader: Span::new(3.0, 9.0),
            kernel: Span::new(8.0, 20.0),
            shutdown: Span::new(2.0, 10.0),
            bmc: Span::new(0.3, 3.0),
            command: Span::new(0.05, 0.4),
            partitioning: Span::new(1.0, 4.0),
            mkfs: Span::new(1.0, 8.0),
            boot_loader: Span::new(2.0, 6.0),
            mebibyte: Span::new(0.008, 0.02),
            relay: Span::new(0.1, 1.0),
            disk_mib: 100 * 1024,
            memory_mib: 4096,
            open: false,
        }
    }
}

impl Hardware {
    /// The same with boots that typically take `seconds`.
    #[must_use]
    pub fn booting_in(self, seconds: f64) -> Self {
        let phases = [self.firmware, self.dhcp, self.loader, self.kernel];
        // Half of the draws lie below an eighth of the span.
        let typical: f64 =
            phases.iter().map(|span| span.least + (span.most - span.least) / 8.0).sum();
        let factor = seconds / typical;
        Self {
            firmware: self.firmware.times(factor),
            dhcp: self.dhcp.times(factor),
            loader: self.loader.times(factor),
            kernel: self.kernel.times(factor),
            ..self
        }
    }
}
