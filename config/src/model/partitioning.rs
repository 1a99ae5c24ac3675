//! Cluster file: the disks.

use crate::check::Check;
use crate::key::{default, mandatory, optional};
use crate::macros::section;
use crate::read::Reader;
use crate::tree::Located;
use std::{collections::BTreeMap, path::PathBuf};

section! {
    /// The disks.
    pub struct Partitioning (check = partitions_are_named) {
        /// The disk that is deployed to: a path, or an id of `disk_path` such as `disk0`.
        block_device: String => mandatory()
            .check(Check::Text(is_device, "an absolute path, or a disk id such as `disk0`")),
        /// Make no swap partition.
        disable_swap: bool => default("false"),
        /// Numbers of the partitions. Mandatory without `deploy_label`.
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
    /// Numbers of the partitions. A number below 0 means that there is none.
    pub struct Partitions {
        /// Swap. Mandatory unless `disable_swap`.
        swap: Option<i64> => optional(),
        /// The one that is never written to.
        prod: i64 => default("-1"),
        /// The one that is deployed to.
        deploy: i64 => mandatory(),
        /// The one for temporary files.
        tmp: i64 => default("-1"),
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
    if partitions.swap.is_none() && !disks.disable_swap {
        let at = at.get("partitions").unwrap_or(at);
        cx.needed(at, "swap", "the number of the swap partition, or `disable_swap: true`");
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
}
