//! GRUB.

use super::{Boot, Factory, Local, OsKind, words};
use crate::Firmware;

/// Where an installed system leaves its EFI loader, most general first.
const EFI_LOADERS: [&str; 2] = ["/EFI/BOOT/BOOTX64.EFI", "/EFI/debian/grubx64.efi"];

pub(super) fn render(factory: &Factory, boot: &Boot, header: &str) -> String {
    let (label, body) = match boot {
        Boot::Network { kernel, initrd, params } => {
            let line = words(&["\tlinux", &factory.exported(kernel), params]);
            let initrd = initrd.as_ref().map(|path| factory.exported(path));
            ("network", line + &initrd_line(initrd.as_deref(), "initrd"))
        }
        Boot::Local(_) if factory.firmware == Firmware::Uefi => ("local", efi_loader()),
        Boot::Local(local) => ("local", partition(local)),
        Boot::Chain(binary) => {
            let binary = factory.exported(binary);
            ("chain", format!("\tpxechainloader {binary}\n\tboot"))
        }
        Boot::Custom(text) => return text.clone(),
    };
    let timeout = if header.contains("timeout") { "" } else { "\ntimeout=0\n" };
    format!("{header}{timeout}default=0\nmenuentry {label} {{\n{body}\n}}")
}

fn initrd_line(path: Option<&str>, command: &str) -> String {
    path.map(|path| format!("\n\t{command} {path}")).unwrap_or_default()
}

fn partition(local: &Local) -> String {
    let Local { disk, partition, root, os, .. } = local;
    let root = format!("root={root}");
    let entry = match os {
        OsKind::Linux { kernel, initrd, params } => {
            let line = words(&["\tlinux", kernel, params, &root]);
            line + &initrd_line(initrd.as_deref(), "initrd")
        }
        OsKind::Xen { hypervisor, hypervisor_params, kernel, initrd, params } => {
            let multiboot = words(&["\tmultiboot", hypervisor, hypervisor_params]);
            let module = words(&["\tmodule", kernel, params, &root]);
            format!("{multiboot}\n{module}{}", initrd_line(initrd.as_deref(), "module"))
        }
        OsKind::Other => "\tchainloader +1".to_owned(),
    };
    // GRUB counts partitions from 1; the disk itself has no number.
    let place = if *partition == 0 { format!("hd{disk}") } else { format!("hd{disk},{partition}") };
    format!("\tset root=({place})\n{entry}")
}

/// Looks on every disk: the number of the disk that GRUB sees under UEFI is not
/// the one that the system sees.
fn efi_loader() -> String {
    let tried = EFI_LOADERS.map(|path| {
        let search = format!("if search --no-floppy --file --set=root {path}; then");
        format!("{search}\n\t\tchainloader {path}\n")
    });
    format!("\t{}\telse\n\t\texit 1\n\tfi", tried.join("\tel"))
}
