//! Cluster file: what nodes boot.

use super::values::LONGEST;
use crate::check::Check;
use crate::key::{Shape, default, mandatory, optional};
use crate::macros::section;
use crate::read::{Reader, Value};
use crate::tree::{Data, Located};
use std::{path::PathBuf, time::Duration};

section! {
    /// What nodes boot.
    pub struct Boot {
        /// How long a node that is back may stay without a proof that it was away; nobody waits for it otherwise.
        sleep_time_before_ping: Duration => default("20").check(Check::Range(0, LONGEST)),
        /// Program that installs the boot loader; run on the node.
        install_bootloader: PathBuf => mandatory().check(Check::File),
        /// The kernels.
        kernels: Kernels => mandatory(),
        /// Program run on each node of the deployment system right after it answered.
        startup_script: Option<PathBuf> => optional().check(Check::File),
    }
}

section! {
    /// The kernels.
    pub struct Kernels {
        /// Of deployed systems.
        user: UserKernel => optional(),
        /// Of the deployment system.
        deploy: DeployKernel => mandatory(),
        /// Of a system whose root is on a file server.
        nfsroot: NfsrootKernel => optional(),
    }
}

section! {
    /// The kernel of deployed systems.
    pub struct UserKernel {
        /// Its parameters.
        params: String => default("''"),
    }
}

section! {
    /// The deployment system.
    pub struct DeployKernel {
        /// Its kernel, relative to the network-boot repository.
        vmlinuz: String => mandatory(),
        /// Its ramdisk, relative to the network-boot repository.
        initrd: String => mandatory(),
        /// Its kernel parameters.
        params: String => default("''"),
        /// Our key follows on them as `kadence.key=...`, which lets us into a deployment system of
        /// ours. `false` for one that knows the key, or whose loader takes no such long line.
        key_parameter: bool => default("true"),
        /// Modules that it loads.
        drivers: Words => optional(),
        /// File systems that it can make.
        supported_fs: Words => default("ext2, ext3, ext4, vfat"),
    }
}

section! {
    /// A system whose root is on a file server.
    pub struct NfsrootKernel {
        /// Its kernel, relative to the network-boot repository.
        vmlinuz: Option<String> => default("''"),
        /// Its parameters.
        params: String => default("''"),
    }
}

/// Words written as one text with commas, or as a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl Words {
    /// Whether a word is one of them.
    pub fn contains(&self, word: &str) -> bool {
        self.0.iter().any(|known| known == word)
    }
}

impl Value for Words {
    fn shape() -> Shape {
        Shape::leaf("String with commas, or list of String")
    }

    fn read(at: &Located, cx: &mut Reader<'_>) -> Option<Self> {
        let Data::Text(text) = &at.data else { return Vec::read(at, cx).map(Self) };
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        Some(Self(words.map(str::to_owned).collect()))
    }
}
