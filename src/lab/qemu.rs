//! The command line of a node.
//!
//! The node connects its monitor and its serial port to sockets on which the
//! keeper already listens, so its readiness is an event. A second monitor
//! socket, `qmp`, is for people and tools.

use super::{Accel, Guest, Hardware, Plan};
use crate::nodes::Firmware;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// An emulated processor without AVX: programs choose their wide-vector code by what the
/// processor offers, and emulated that is two to three times slower than the plain one
/// (64 MiB in a guest: sha256sum 2.2 s instead of 5.5, zstd -1 1.2 s instead of 3.7).
const EMULATED_CPU: &str = "Nehalem";

/// UEFI firmware of Debian's `ovmf`, and its empty variables.
pub(super) const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
pub(super) const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
/// Code cache of an emulated guest, MiB: taken as it fills. With 128 it is full and emptied a dozen times until
/// a node runs its image, and all code is translated again.
const TCG_CACHE_MB: u32 = 512;

/// Where a node boots from first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootDevice {
    /// The network, then the disk.
    #[default]
    Pxe,
    /// The disk, then the network.
    Disk,
}

/// Files of one node.
#[derive(Clone, Debug)]
pub(super) struct NodeFiles(pub(super) PathBuf);

impl NodeFiles {
    pub(super) fn disk(&self) -> PathBuf {
        self.0.join("disk.qcow2")
    }
    pub(super) fn vars(&self) -> PathBuf {
        self.0.join("vars.fd")
    }
    pub(super) fn console_log(&self) -> PathBuf {
        self.0.join("console.log")
    }
    /// The keeper listens here for the node's serial port.
    pub(super) fn serial(&self) -> PathBuf {
        self.0.join("serial")
    }
    /// The keeper listens here for whoever wants to see the serial port.
    pub(super) fn console(&self) -> PathBuf {
        self.0.join("console")
    }
    /// The keeper listens here for the node's monitor.
    pub(super) fn monitor(&self) -> PathBuf {
        self.0.join("monitor")
    }
    /// The node listens here for other users of its monitor.
    pub(super) fn qmp(&self) -> PathBuf {
        self.0.join("qmp")
    }
}

/// The arguments of `qemu-system-x86_64` for `guest`, which starts with `first`.
pub(super) fn qemu_args(plan: &Plan, guest: &Guest, dir: &Path, first: BootDevice) -> Vec<String> {
    let files = NodeFiles(dir.into());
    let mut args = Arguments::default();
    args.add("-name", &guest.name()).add("-uuid", &guest.uuid());
    match plan.accel {
        Accel::Kvm => args.add("-accel", "kvm").add("-cpu", "host"),
        Accel::Tcg => args
            .add("-accel", &format!("tcg,thread=multi,tb-size={TCG_CACHE_MB}"))
            .add("-cpu", EMULATED_CPU),
    };
    // Without graphics the BIOS and boot ROMs write to the serial port.
    args.add("-machine", "pc,graphics=off").add("-smp", "1").add("-m", &plan.memory.to_string());
    args.flag("-nodefaults").flag("-no-user-config").add("-display", "none").add("-vga", "none");
    sockets(&mut args, &files);
    firmware(&mut args, guest, &files);
    devices(&mut args, guest, &files, first);
    args.0
}

fn sockets(args: &mut Arguments, files: &NodeFiles) {
    let (serial, log) = (files.serial(), files.console_log());
    args.add(
        "-chardev",
        &format!(
            "socket,id=serial,path={},reconnect=1,logfile={}",
            serial.display(),
            log.display()
        ),
    );
    args.add("-serial", "chardev:serial");
    args.add("-chardev", &format!("socket,id=monitor,path={}", files.monitor().display()));
    args.add("-mon", "chardev=monitor,mode=control");
    args.add("-qmp", &format!("unix:{},server=on,wait=off", files.qmp().display()));
}

fn firmware(args: &mut Arguments, guest: &Guest, files: &NodeFiles) {
    if guest.firmware == Firmware::Bios {
        return;
    }
    args.add("-drive", &format!("if=pflash,format=raw,readonly=on,file={OVMF_CODE}"));
    args.add("-drive", &format!("if=pflash,format=raw,file={}", files.vars().display()));
    // PXE over IPv4 alone: with kept variables it else waits for IPv6 first.
    args.add("-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n");
}

fn devices(args: &mut Arguments, guest: &Guest, files: &NodeFiles, first: BootDevice) {
    let (net, disk) = match first {
        BootDevice::Pxe => (1, 2),
        BootDevice::Disk => (2, 1),
    };
    let serial = format!("LAB{:03}", guest.number);
    let drive = format!(
        "if=none,id=hd,format=qcow2,cache=unsafe,discard=unmap,file={}",
        files.disk().display()
    );
    args.add("-drive", &drive);
    let (disk_device, card) = match guest.hardware {
        Hardware::Virtio => ("virtio-blk-pci", "virtio-net-pci"),
        Hardware::Ahci => {
            args.add("-device", "ahci,id=ahci");
            ("ide-hd,bus=ahci.0", "e1000e")
        }
    };
    args.add("-device", &format!("{disk_device},drive=hd,serial={serial},bootindex={disk}"));
    // OVMF has a driver of its own for virtio, which works where the card's boot ROM does not.
    let rom = match (guest.firmware, guest.hardware) {
        (Firmware::Uefi, Hardware::Virtio) => ",romfile=",
        _ => "",
    };
    args.add("-netdev", &format!("tap,id=net,ifname={},script=no,downscript=no", guest.tap()));
    args.add(
        "-device",
        &format!("{card},netdev=net,id=nic,mac={},bootindex={net}{rom}", guest.mac()),
    );
    args.add("-device", "virtio-rng-pci");
}

#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    fn add(&mut self, option: &str, value: &str) -> &mut Self {
        self.0.extend([option.into(), value.into()]);
        self
    }

    fn flag(&mut self, option: &str) -> &mut Self {
        self.0.push(option.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Numbers, Wishes, plan::tests::wishes};

    fn line(accel: Accel, uefi: &str, ahci: &str, first: BootDevice) -> String {
        let wishes = Wishes {
            uefi: uefi.parse().unwrap(),
            ahci: ahci.parse().unwrap(),
            redfish: Numbers::default(),
            memory: 640,
            ..wishes(1)
        };
        let plan = Plan::new("x", &wishes, accel).unwrap();
        qemu_args(&plan, &plan.guests[0], Path::new("/s/node-1"), first).join(" ")
    }

    #[test]
    fn a_bios_node_has_a_boot_rom_and_boots_the_network_first() {
        let line = line(Accel::Tcg, "", "", BootDevice::Pxe);
        assert!(line.contains("-accel tcg,thread=multi,tb-size=512 -cpu Nehalem"), "{line}");
        assert!(line.contains("-m 640"), "{line}");
        assert!(
            line.contains("virtio-net-pci,netdev=net,id=nic,mac=52:54:00:77:00:01,bootindex=1 ")
        );
        assert!(line.contains("virtio-blk-pci,drive=hd,serial=LAB001,bootindex=2"), "{line}");
        assert!(line.contains("path=/s/node-1/serial,reconnect=1,logfile=/s/node-1/console.log"));
        assert!(!line.contains("romfile") && !line.contains("pflash"), "{line}");
    }

    #[test]
    fn a_uefi_node_has_its_own_variables_and_no_boot_rom() {
        let line = line(Accel::Kvm, "1", "", BootDevice::Pxe);
        assert!(line.contains("-accel kvm -cpu host"), "{line}");
        assert!(line.contains("readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"), "{line}");
        assert!(line.contains("format=raw,file=/s/node-1/vars.fd"), "{line}");
        assert!(line.contains("IPv6PXESupport,string=n") && line.contains("bootindex=1,romfile= "));
    }

    #[test]
    fn an_override_puts_the_disk_first() {
        let line = line(Accel::Tcg, "1", "1", BootDevice::Disk);
        assert!(line.contains("ahci,id=ahci"), "{line}");
        assert!(line.contains("ide-hd,bus=ahci.0,drive=hd,serial=LAB001,bootindex=1"), "{line}");
        assert!(line.contains("e1000e,netdev=net,id=nic,mac=52:54:00:77:00:01,bootindex=2 "));
        assert!(!line.contains("romfile"), "the firmware has no driver of its own for this card");
    }
}
