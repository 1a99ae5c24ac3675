//! The disk of a simulated machine.

use super::whole::Layout;
use crate::platform::DiskId;
use litemap::LiteMap;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};

/// What an image holds, as far as machines care.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// What it is known by: whoever runs this image runs this digest.
    pub digest: String,
    /// Size of the file, MiB.
    pub mib: u64,
    /// Size when it is unpacked, MiB.
    pub unpacked_mib: u64,
    /// Paths of the files in it that matter; with none given every path is taken to exist.
    pub files: Option<BTreeSet<String>>,
    /// What it brings to a disk, where it is one of a whole disk.
    pub disk: Option<Layout>,
}

impl Image {
    /// A file of which little is known; archives of systems shrink to a third or so.
    pub(crate) fn unknown(digest: String, mib: u64) -> Self {
        Self { digest, mib, unpacked_mib: mib * 3, files: None, disk: None }
    }

    fn has(&self, path: &str) -> bool {
        let plain = |path: &str| path.trim_start_matches('/').to_owned();
        let path = plain(path);
        self.files.as_ref().is_none_or(|files| files.iter().any(|file| plain(file) == path))
    }
}

/// A disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Disk {
    /// `/dev/sda`.
    pub(super) device: String,
    /// Its serial number.
    serial: String,
    pub(super) mib: u64,
    #[serde(with = "table")]
    pub(super) partitions: LiteMap<u32, Partition>,
    /// The loader in the disk's own boot sector.
    pub(super) sector: Option<Grub>,
    /// Filesystems made so far: each gets another id.
    made: u64,
}

/// A table of partitions in a file.
mod table {
    use super::{LiteMap, Partition};
    use serde::{Deserialize, Deserializer, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<S: Serializer>(
        table: &LiteMap<u32, Partition>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_map(table.iter())
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(
        from: D,
    ) -> Result<LiteMap<u32, Partition>, D::Error> {
        Ok(BTreeMap::deserialize(from)?.into_iter().collect())
    }
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Partition {
    pub(super) mib: u64,
    pub(super) kind: PartitionKind,
    pub(super) content: Content,
    /// The loader in its boot sector, or among its files where it is for EFI.
    pub(super) loader: Option<Box<Grub>>,
    /// Its label in the table; may be empty.
    pub(super) label: String,
}

/// What a partition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PartitionKind {
    /// Room for a loader of BIOS machines.
    BiosBoot,
    /// EFI system partition.
    Efi,
    /// Anything.
    Data,
}

/// What is on a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Content {
    Blank,
    Swap,
    Filesystem(Filesystem),
}

/// A filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Filesystem {
    pub(super) kind: String,
    pub(super) id: u64,
    pub(super) tree: Option<Tree>,
}

/// An unpacked image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tree {
    pub(super) image: Arc<Image>,
    /// The user's keys are in it.
    pub(super) keys: bool,
    /// All of it is on the disk.
    pub(super) synced: bool,
}

impl Tree {
    /// `image`, freshly unpacked.
    pub(super) fn new(image: Arc<Image>) -> Self {
        Self { image, keys: false, synced: false }
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.image.has(path)
    }
}

/// A boot loader with its menu of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Grub {
    /// Id of the filesystem with the kernel, which is the root as well.
    pub(super) filesystem: u64,
    pub(super) kernel: String,
    pub(super) initrd: String,
}

impl Disk {
    /// An empty disk.
    pub(super) fn new(device: String, serial: String, mib: u64) -> Self {
        Self { device, serial, mib, partitions: LiteMap::new(), sector: None, made: 0 }
    }

    /// Which disk it is, as the system tells.
    pub(super) fn identity(&self) -> DiskId {
        // Sectors of 512 bytes.
        DiskId::told(&format!("serial {}, size {}", self.serial, self.mib * 2048))
    }

    /// A line for each partition.
    pub(super) fn layout(&self) -> Vec<String> {
        let line = |(number, partition): (&u32, &Partition)| {
            let kind = match partition.kind {
                PartitionKind::BiosBoot => "bios-boot",
                PartitionKind::Efi => "efi",
                PartitionKind::Data => "data",
            };
            let content = match &partition.content {
                Content::Blank => "blank",
                Content::Swap => "swap",
                Content::Filesystem(filesystem) => &filesystem.kind,
            };
            format!("{number} {kind} {} {content}", partition.mib)
        };
        self.partitions.iter().map(line).collect()
    }

    /// Whether `name` is that of this disk, the only one that there is.
    pub(super) fn is(&self, name: &str) -> bool {
        name == self.device || name == "disk0" || name.starts_with("/dev/disk/by-path/")
    }

    /// The number of the partition called `name`, if that could be one of this disk.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        let by_label = |label: &str| {
            self.partitions.iter().find(|(_, one)| one.label == label).map(|(number, _)| *number)
        };
        if let Some((label, disk)) = name.split_once('@') {
            return by_label(label).filter(|_| self.is(disk));
        }
        if let Some((disk, number)) = name.rsplit_once('#').or_else(|| name.rsplit_once("-part")) {
            return number.parse().ok().filter(|_| self.is(disk));
        }
        let Some(rest) = name.strip_prefix(&self.device) else { return by_label(name) };
        rest.strip_prefix('p').unwrap_or(rest).parse().ok()
    }

    /// The partition called `name`.
    pub(super) fn partition(&mut self, name: &str) -> Option<&mut Partition> {
        let number = self.number(name)?;
        self.partitions.get_mut(&number)
    }

    /// Makes a filesystem in place of what is there.
    pub(super) fn format(&mut self, number: u32, kind: &str, tree: Option<Tree>) {
        self.made += 1;
        let filesystem = Filesystem { kind: kind.to_owned(), id: self.made, tree };
        if let Some(partition) = self.partitions.get_mut(&number) {
            partition.content = Content::Filesystem(filesystem);
            partition.loader = None;
        }
    }

    /// What was on a partition is nothing that anybody knows any more.
    pub(super) fn wipe(&mut self, number: u32) {
        if let Some(partition) = self.partitions.get_mut(&number) {
            (partition.content, partition.loader) = (Content::Blank, None);
        }
    }

    /// Whether the user's keys are in a tree, for good.
    pub(super) fn has_keys(&mut self) -> bool {
        let mut trees = self.filesystems().filter_map(|filesystem| filesystem.tree.as_ref());
        trees.any(|tree| tree.keys && tree.synced)
    }

    /// Two have written to it at once: there is no file in what it holds.
    pub(super) fn garble(&mut self) {
        let image = Image { files: Some(BTreeSet::new()), ..Image::unknown("garbled".into(), 0) };
        let image = Arc::new(image);
        for tree in self.filesystems().filter_map(|filesystem| filesystem.tree.as_mut()) {
            tree.image = Arc::clone(&image);
        }
    }

    /// The tree on a partition.
    pub(super) fn tree(&mut self, number: u32) -> Option<&mut Tree> {
        self.filesystem(number)?.tree.as_mut()
    }

    /// The filesystem on a partition.
    pub(super) fn filesystem(&mut self, number: u32) -> Option<&mut Filesystem> {
        match &mut self.partitions.get_mut(&number)?.content {
            Content::Filesystem(filesystem) => Some(filesystem),
            _ => None,
        }
    }

    /// The partition whose filesystem has this id.
    pub(super) fn by_id(&self, id: u64) -> Option<u32> {
        let has = |partition: &Partition| matches!(&partition.content, Content::Filesystem(filesystem) if filesystem.id == id);
        self.partitions.iter().find(|(_, partition)| has(partition)).map(|(number, _)| *number)
    }

    /// Number of the EFI system partition.
    pub(super) fn efi(&self) -> Option<u32> {
        let mut partitions = self.partitions.iter();
        partitions.find(|(_, one)| one.kind == PartitionKind::Efi).map(|(number, _)| *number)
    }

    /// The loader on the EFI system partition.
    pub(super) fn efi_loader(&self) -> Option<&Grub> {
        self.partitions.get(&self.efi()?)?.loader.as_deref()
    }

    /// The partition that a `root=` of a kernel's command line means.
    pub(super) fn root(&self, params: &str) -> Option<u32> {
        // Of several the last counts, as for the kernel.
        let root = params.split_whitespace().rev().find_map(|word| word.strip_prefix("root="))?;
        match root.strip_prefix("UUID=") {
            Some(id) => self.by_id(id.parse().ok()?),
            None => self.number(root).filter(|number| self.partitions.contains_key(number)),
        }
    }

    /// Everything that was written is on the disk.
    pub(super) fn sync(&mut self) {
        for tree in self.filesystems().filter_map(|filesystem| filesystem.tree.as_mut()) {
            tree.synced = true;
        }
    }

    /// What was not on the disk yet never comes there.
    pub(super) fn drop_unwritten(&mut self) {
        for filesystem in self.filesystems() {
            filesystem.tree = filesystem.tree.take().filter(|tree| tree.synced);
        }
    }

    fn filesystems(&mut self) -> impl Iterator<Item = &mut Filesystem> {
        self.partitions.iter_mut().filter_map(|(_, partition)| match &mut partition.content {
            Content::Filesystem(filesystem) => Some(filesystem),
            _ => None,
        })
    }
}
