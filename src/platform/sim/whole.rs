//! Images of whole disks: they bring the partition table, the loaders and the system.

use super::disk::{Content, Disk, Grub, Image, Partition, PartitionKind, Tree};
use litemap::LiteMap;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// What an image of a whole disk holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The partitions, by number.
    pub partitions: BTreeMap<u32, Slice>,
    /// The disk's own boot sector starts the system.
    pub boot_sector: bool,
    /// The partition with the system: the files of the image are there.
    pub system: u32,
    /// What its loaders start, a path there.
    pub starts: String,
}

/// A partition of a [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// Its size, MiB.
    pub mib: u64,
    /// It is the EFI system partition.
    pub efi: bool,
    /// It has a loader, in its boot sector or, for EFI, among its files.
    pub loader: bool,
}

impl Layout {
    /// One that starts on every machine: of an image of which nothing is known.
    fn usual(mib: u64) -> Self {
        let partitions = BTreeMap::from([
            (1, Slice { mib: 100, efi: true, loader: true }),
            (2, Slice { mib, efi: false, loader: true }),
        ]);
        Self { partitions, boot_sector: true, system: 2, starts: "/vmlinuz".to_owned() }
    }
}

impl Image {
    /// The partitions it brings to a disk; none where it holds but one filesystem.
    fn layout(&self) -> Option<Layout> {
        let unknown = || self.files.is_none().then(|| Layout::usual(self.unpacked_mib));
        self.disk.clone().or_else(unknown)
    }
}

impl Disk {
    /// Everything on the disk is what `image` holds.
    pub(super) fn overwrite(&mut self, image: Arc<Image>) {
        (self.partitions, self.sector) = (LiteMap::new(), None);
        // A filesystem where a table of partitions should be is none to a firmware.
        let Some(layout) = image.layout() else { return };
        for (number, slice) in &layout.partitions {
            let kind = if slice.efi { PartitionKind::Efi } else { PartitionKind::Data };
            let (content, label) = (Content::Blank, String::new());
            let partition = Partition { mib: slice.mib, kind, content, loader: None, label };
            self.partitions.insert(*number, partition);
        }
        self.format(layout.system, "image", Some(Tree::new(image)));
        let filesystem = self.filesystem(layout.system).map_or(0, |filesystem| filesystem.id);
        let loader = Grub { filesystem, kernel: layout.starts, initrd: String::new() };
        self.sector = layout.boot_sector.then(|| loader.clone());
        for number in layout.partitions.iter().filter(|(_, one)| one.loader).map(|(one, _)| one) {
            if let Some(partition) = self.partitions.get_mut(number) {
                partition.loader = Some(Box::new(loader.clone()));
            }
        }
    }
}
