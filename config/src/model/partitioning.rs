//! Cluster file: the disks.

use crate::check::Check;
use crate::key::{Shape, default, mandatory, optional};
use crate::macros::section;
use crate::read::{Reader, Value};
use crate::tree::Located;
use std::{collections::BTreeMap, fmt, path::PathBuf};

section! {
    /// The disks.
    pub struct Partitioning (check = partitions_are_named) {
        /// The disk that is deployed to: a path, or an id of `disk_path` such as `disk0`.
        block_device: String => mandatory()
            .check(Check::Text(is_device, "an absolute path, or a disk id such as `disk0`")),
        /// Make no swap partition.
        disable_swap: bool => default("false"),
        /// The partitions. Mandatory without `deploy_label`.
        partitions: Option<Partitions> => optional(),
        /// Label by which the partition that is deployed to is found.
        deploy_label: Option<String> => optional()
            .check(Check::Text(is_label, "a label of letters, digits, `_`, `.` and `-`")),
        /// Disk ids and their names in `/dev/disk/by-path`.
        disk_path: BTreeMap<String, String> => optional(),
        /// Program that makes the partitions; run on the node.
        script: PathBuf => mandatory().check(Check::File),
        /// Program run on the node in place of mkfs of the deployed partition.
        formating_script: Option<PathBuf> => optional().check(Check::File),
    }
}

section! {
    /// The partitions, each by its number, its label, or disk and label such as `disk0/SWAP`. A
    /// number below 0 means that there is none.
    pub struct Partitions {
        /// Swap. Mandatory unless `disable_swap`.
        swap: Option<Part> => optional(),
        /// The one that is never written to.
        prod: Part => default("-1"),
        /// The one that is deployed to. Mandatory without `deploy_label`, which comes first.
        deploy: Option<Part> => optional(),
        /// The one for temporary files.
        tmp: Part => default("-1"),
    }
}

/// A partition as the files name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// By its number on the disk that is deployed to; there is none below 1.
    Number(i64),
    /// By its label, behind that of the disk where it says which: `SWAP`, `disk0/SWAP`.
    Label(String),
}

impl Part {
    /// Whether there is such a partition.
    pub fn exists(&self) -> bool {
        !matches!(self, Self::Number(number) if *number < 1)
    }
}

/// As it is written.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Label(text) => text.fmt(f),
        }
    }
}

impl From<i64> for Part {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl Value for Part {
    fn shape() -> Shape {
        Shape::leaf("Integer, or String: a label")
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        let Some(text) = at.text().filter(|text| text.parse::<i64>().is_err()) else {
            return i64::read(at, cx).map(Self::Number);
        };
        let (disk, label) = text.rsplit_once('/').map_or((None, text), |(d, l)| (Some(d), l));
        if disk.is_none_or(is_device) && is_label(label) {
            return Some(Self::Label(text.to_owned()));
        }
        let expected = "the number of a partition, its label, or disk and label (`disk0/SWAP`)";
        cx.mistyped(at, "Integer", expected);
        None
    }
}

/// Whether a text is the label of a partition: it goes into commands on nodes.
pub fn is_label(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn is_device(text: &str) -> bool {
    let id = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    super::values::is_absolute(text) || id(text)
}

fn partitions_are_named(disks: &Partitioning, at: &Located, cx: &mut Reader<'_>) {
    for (id, name) in &disks.disk_path {
        if !is_device(id) || !name.chars().all(|c| c.is_ascii_alphanumeric() || "/:._-".contains(c))
        {
            let at = at.get("disk_path").unwrap_or(at);
            cx.mistake(at, format!("`{id}: {name}`"), "a disk id and a name in /dev/disk/by-path");
        }
    }
    let Some(partitions) = &disks.partitions else {
        if disks.deploy_label.is_none() {
            cx.needed(at, "partitions", "`partitions`, or `deploy_label`");
        }
        return;
    };
    let at = at.get("partitions").unwrap_or(at);
    if partitions.swap.is_none() && !disks.disable_swap {
        cx.needed(at, "swap", "the swap partition, or `disable_swap: true`");
    }
    if partitions.deploy.is_none() && disks.deploy_label.is_none() {
        cx.needed(at, "deploy", "the partition that is deployed to, or `deploy_label`");
    }
    let named = [partitions.swap.as_ref(), Some(&partitions.prod), Some(&partitions.tmp)];
    for part in named.into_iter().chain([partitions.deploy.as_ref()]).flatten() {
        let Part::Label(text) = part else { continue };
        let disk = text.rsplit_once('/').map(|(disk, _)| disk);
        if disk.is_some_and(|disk| disks.disk(disk).is_none()) {
            cx.mistake(at, format!("the partition `{text}`"), "a disk id of `disk_path`");
        }
    }
}

impl Partitioning {
    /// What the nodes know a disk by: a path as it is, or a disk id, by its name in
    /// `/dev/disk/by-path` where `disk_path` has one. `disk0` and its like are known without.
    pub fn disk(&self, name: &str) -> Option<String> {
        const BY_PATH: &str = "/dev/disk/by-path/";
        if let Some(path) = self.disk_path.get(name).filter(|path| !path.is_empty()) {
            let path = path.strip_prefix(BY_PATH).unwrap_or(path);
            return Some(format!("{BY_PATH}{path}"));
        }
        let number = name.strip_prefix("disk").filter(|number| !number.is_empty());
        let counted = number.is_some_and(|number| number.chars().all(|c| c.is_ascii_digit()));
        (super::values::is_absolute(name) || counted).then(|| name.to_owned())
    }

    /// The ids of the disk that nodes know as `device`.
    pub fn ids(&self, device: &str) -> impl Iterator<Item = &str> {
        let ids = self.disk_path.keys().map(String::as_str);
        ids.filter(move |id| self.disk(id).as_deref() == Some(device))
    }
}
