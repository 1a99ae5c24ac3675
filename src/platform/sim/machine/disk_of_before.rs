//! What is on the disk of a machine at the beginning, and where loaders go.

use super::{Content, Disk, Filesystem, Firmware, Grub, Image, Partition, PartitionKind, Tree};
use std::sync::Arc;

/// The partition with the system that a machine has at the beginning.
pub(super) const OLD_ROOT: u32 = 3;
/// The partition beside it, where there is one.
const SECOND: u32 = 5;
/// The digest of its image.
pub(super) const OLD_DIGEST: &str = "an older image";

/// A disk with the system of before.
pub(super) fn factory_disk(mut disk: Disk, firmware: Firmware, shared: bool) -> Disk {
    let kind = match firmware {
        Firmware::Bios => PartitionKind::BiosBoot,
        Firmware::Uefi => PartitionKind::Efi,
    };
    let partition = |mib, kind, label: &str| {
        let label = label.to_owned();
        Partition { mib, kind, content: Content::Blank, loader: None, label }
    };
    disk.partitions.insert(1, partition(128, kind, "BOOT"));
    let mut room = disk.mib.saturating_sub(130);
    if shared {
        room /= 2;
        disk.partitions.insert(SECOND, partition(room, PartitionKind::Data, "DEPLOY"));
    }
    disk.partitions.insert(OLD_ROOT, partition(room, PartitionKind::Data, "PROD"));
    let image = Arc::new(Image::unknown(OLD_DIGEST.to_owned(), 0));
    let tree = Tree { synced: true, ..Tree::new(image) };
    disk.format(OLD_ROOT, "ext4", Some(tree));
    let id = disk.filesystem(OLD_ROOT).map_or(0, |filesystem: &mut Filesystem| filesystem.id);
    let grub = Grub { filesystem: id, kernel: "/vmlinuz".into(), initrd: "/initrd".into() };
    install(&mut disk, OLD_ROOT, &grub, firmware);
    disk
}

/// Puts a loader where firmware and `chain.c32` look for it; fails where there is no place.
pub(super) fn install(disk: &mut Disk, root: u32, grub: &Grub, firmware: Firmware) -> bool {
    let efi =
        disk.partitions.iter_mut().map(|(_, one)| one).find(|one| one.kind == PartitionKind::Efi);
    match (firmware, efi) {
        (Firmware::Uefi, None) => return false,
        (Firmware::Uefi, Some(efi)) => efi.loader = Some(Box::new(grub.clone())),
        (Firmware::Bios, _) => {
            disk.sector = Some(grub.clone());
            if let Some(partition) = disk.partitions.get_mut(&root) {
                partition.loader = Some(Box::new(grub.clone()));
            }
        }
    }
    true
}
