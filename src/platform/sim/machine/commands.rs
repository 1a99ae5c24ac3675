//! What the deployment system does with errands.
//!
//! Site scripts cannot be run here: the partitioning and the boot loader script are taken to
//! do what the ones in `examples/` do, with the same demands on disk and variables.

use super::{
    Answer, Content, Grub, Image, Machine, Memory, Moment, Partition, PartitionKind, State, System,
    Tree, Work, install,
};
use crate::{
    nodes::Firmware,
    platform::{DiskId, DiskTicket, Errand, Variables},
};
use litemap::LiteMap;
use std::{sync::Arc, time::Duration};

/// From an order to leave until the machine leaves: the errands' own pause.
pub(super) const LEAVE: Duration = Duration::from_millis(200);

/// Sizes of the layout, MiB: swap, production, tmp, least of deploy.
const LAYOUT: [u64; 4] = [512, 4096, 1024, 1024];

/// What the deployment system can make.
const FILESYSTEMS: [&str; 5] = ["ext2", "ext3", "ext4", "xfs", "vfat"];

/// What went wrong: exit status and complaint.
pub(super) type Failed = (i32, String);

impl Machine {
    /// Does an errand; its files come from `image`.
    pub(in crate::platform::sim) fn errand(
        &mut self,
        at: Moment,
        errand: &Errand,
        image: Option<Arc<Image>>,
    ) -> Answer {
        let mut state = std::mem::replace(&mut self.state, State::Off);
        let done = match &mut state {
            State::Running(System::Deployment(memory)) => self.obey(at, memory, errand, image),
            State::Running(System::Installed { memory, .. }) if memory.admits_us => {
                self.obey(at, memory, errand, image)
            }
            State::Running(System::Installed { .. }) => self.shut(at, errand),
            _ => return self.back(state, Answer::Gone),
        };
        let answer = match done {
            Ok(stdout) => Answer::Ended { status: 0, stdout, stderr: String::new() },
            Err((status, stderr)) => Answer::Ended { status, stdout: String::new(), stderr },
        };
        self.back(state, answer)
    }

    pub(super) fn obey(
        &mut self,
        at: Moment,
        memory: &mut Memory,
        errand: &Errand,
        image: Option<Arc<Image>>,
    ) -> Result<String, Failed> {
        match errand {
            Errand::BootId => return Ok(format!("{}\n", self.boot_id())),
            Errand::IdentifyDisk { device } => {
                return Ok(self.identity(device).unwrap_or_default());
            }
            Errand::Ticketed { ticket, errand } => {
                self.redeem(memory, ticket)?;
                if let Errand::RunArchive { variables, .. } = &**errand {
                    self.pre_install(memory, variables)?;
                }
                return self.obey(at, memory, errand, image);
            }
            Errand::Partition(variables) => self.partition(memory, variables)?,
            Errand::MakeFilesystem { filesystem, partition, .. } => {
                self.make_filesystem(memory, filesystem, partition)?;
            }
            Errand::MakeSwap { partition } => self.existing(partition)?.content = Content::Swap,
            Errand::Mount { partition, directory } => self.mount(memory, partition, directory)?,
            Errand::Unmount { partition } => {
                self.disk.sync();
                let number = self.disk.number(partition);
                memory.mounts.retain(|_, mounted| Some(*mounted) != number);
            }
            Errand::Sync => self.disk.sync(),
            Errand::AddKeys { directory } => self.add_keys(memory, directory),
            Errand::Unpack(archive) => {
                let image =
                    image.ok_or((2, "tar: this does not look like an archive".to_owned()))?;
                self.unpack(memory, &archive.directory, image)?;
            }
            Errand::WriteImage { device, .. } => {
                let image = image.ok_or((1, "unexpected end of file".to_owned()))?;
                self.write_image(device, image)?;
            }
            Errand::CheckFiles { root, files } => self.check(memory, root, files)?,
            Errand::InstallBootLoader(variables) => self.install_loader(memory, variables)?,
            Errand::Tidy { directory, unmount } => self.tidy(memory, directory, *unmount),
            Errand::Reboot => return Ok(self.leave(at)),
            Errand::Text(_) => return Err((127, "sh: not found".to_owned())),
            _ => return self.obey_about_files(at, memory, errand, image),
        }
        Ok(String::new())
    }

    /// What is under way ends without effect, and nothing is mounted there.
    fn tidy(&mut self, memory: &mut Memory, directory: &str, unmount: bool) {
        self.pending.retain(|_, work| !matches!(work, Work::Errand { .. } | Work::Orphan { .. }));
        if !unmount {
            return;
        }
        self.disk.sync();
        let below = format!("{directory}/");
        memory.mounts.retain(|place, _| place != directory && !place.starts_with(&below));
    }

    pub(super) fn leave(&mut self, at: Moment) -> String {
        let boot = self.boots;
        self.later(at + LEAVE, Work::Leave { boot, clean: false });
        String::new()
    }

    /// What the system tells of a disk; nothing of one that is not there.
    fn identity(&self, device: &str) -> Option<String> {
        self.disk.is(device).then(|| format!("{}\n", self.disk.identity()))
    }

    /// Uses a ticket up; fails where it is not good.
    fn redeem(&self, memory: &mut Memory, ticket: &DiskTicket) -> Result<(), Failed> {
        let found = DiskId::told(&self.identity(&ticket.device).unwrap_or_default());
        if found != ticket.disk {
            return Err((1, ticket.other_disk(&found)));
        }
        let first = memory.tickets.insert(ticket.id.clone());
        if first { Ok(()) } else { Err((1, ticket.used())) }
    }

    fn existing(&mut self, name: &str) -> Result<&mut Partition, Failed> {
        self.disk.partition(name).ok_or_else(|| (1, format!("{name}: No such file or directory")))
    }

    /// What `examples/partition-gpt` does.
    pub(super) fn partition(
        &mut self,
        memory: &Memory,
        variables: &Variables,
    ) -> Result<(), Failed> {
        let device = value(variables, "KADEPLOY_BLOCK_DEVICE");
        let own = &self.disk.device;
        if !self.disk.is(device) {
            return fail(
                "partitioning",
                &format!("there is no disk {device} on this node; it has: {own}"),
            );
        }
        if !memory.mounts.is_empty() {
            return fail("partitioning", &format!("{device}: Device or resource busy"));
        }
        self.disk.partitions = layout(variables, self.disk.mib, self.node.firmware)
            .map_err(|why| (1, format!("partitioning: disk {device}: {why}")))?;
        self.disk.sector = None;
        if let Some(number) = self.disk.efi() {
            self.disk.format(number, "vfat", None);
        }
        Ok(())
    }

    pub(super) fn make_filesystem(
        &mut self,
        memory: &mut Memory,
        kind: &str,
        name: &str,
    ) -> Result<(), Failed> {
        self.existing(name)?;
        if !FILESYSTEMS.contains(&kind) {
            return Err((1, format!("mkfs: failed to execute mkfs.{kind}")));
        }
        if let Some(number) = self.disk.number(name) {
            memory.mounts.retain(|_, mounted| *mounted != number);
            self.disk.format(number, kind, None);
        }
        Ok(())
    }

    pub(super) fn mount(
        &mut self,
        memory: &mut Memory,
        name: &str,
        directory: &str,
    ) -> Result<(), Failed> {
        if memory.mounts.contains_key(directory) {
            return Ok(());
        }
        let fail = |why: &str| Err((32, format!("mount: {directory}: {why} {name}")));
        let Some(partition) = self.disk.partition(name) else {
            return fail("special device does not exist:");
        };
        if !matches!(partition.content, Content::Filesystem(_)) {
            return fail("wrong fs type, bad option, bad superblock on");
        }
        memory.mounts.extend(self.disk.number(name).map(|number| (directory.to_owned(), number)));
        Ok(())
    }

    fn add_keys(&mut self, memory: &mut Memory, directory: &str) {
        match directory.strip_suffix("/root/.ssh") {
            Some("") => memory.keys = true,
            Some(root) => {
                if let Some(tree) = self.image_at(memory, root) {
                    (tree.keys, tree.synced) = (true, false);
                }
            }
            None => {}
        }
    }

    /// The image that is unpacked in a directory, on a partition or in memory.
    fn image_at<'m>(&'m mut self, memory: &'m mut Memory, root: &str) -> Option<&'m mut Tree> {
        match memory.mounts.get(root) {
            Some(number) => self.disk.tree(*number),
            None => memory.loose.get_mut(root),
        }
    }

    fn unpack(
        &mut self,
        memory: &mut Memory,
        directory: &str,
        image: Arc<Image>,
    ) -> Result<(), Failed> {
        let mounted = memory.mounts.get(directory).copied();
        let room = match mounted {
            Some(number) => self.disk.partitions.get(&number).map_or(0, |partition| partition.mib),
            None => self.memory_mib,
        };
        if image.unpacked_mib > room {
            return Err((2, "tar: Cannot write: No space left on device".to_owned()));
        }
        let tree = Tree::new(image);
        match mounted.and_then(|number| self.disk.filesystem(number)) {
            Some(filesystem) => filesystem.tree = Some(tree),
            None => drop(memory.loose.insert(directory.to_owned(), tree)),
        }
        Ok(())
    }

    pub(super) fn write_image(&mut self, device: &str, image: Arc<Image>) -> Result<(), Failed> {
        let whole = self.disk.is(device);
        let room = if whole { self.disk.mib } else { self.existing(device)?.mib };
        if image.unpacked_mib > room {
            return Err((1, "write error: No space left on device".to_owned()));
        }
        match self.disk.number(device) {
            _ if whole => self.disk.overwrite(image),
            // A table of partitions inside of one is nothing that could be mounted.
            Some(number) if image.disk.is_some() => self.disk.wipe(number),
            Some(number) => self.disk.format(number, "image", Some(Tree::new(image))),
            None => {}
        }
        Ok(())
    }

    fn check(
        &mut self,
        memory: &mut Memory,
        root: &str,
        files: &[(&'static str, String)],
    ) -> Result<(), Failed> {
        let tree = self.image_at(memory, root);
        let missing = |(_, path): &&(_, String)| tree.as_ref().is_none_or(|tree| !tree.has(path));
        match files.iter().find(missing) {
            None => Ok(()),
            Some((what, path)) => Err((
                1,
                format!("Environment {what} file {path} not found in tarball ({root}{path})"),
            )),
        }
    }

    /// What `examples/install-grub` does, and a loader in the partition's own sector, which is
    /// where `chain.c32` looks for one.
    fn install_loader(&mut self, memory: &mut Memory, variables: &Variables) -> Result<(), Failed> {
        let root = value(variables, "KADEPLOY_ENV_EXTRACTION_DIR");
        let hypervisor = match value(variables, "KADEPLOY_OS_KIND") {
            "linux" => "",
            "xen" => value(variables, "KADEPLOY_ENV_HYPERVISOR"),
            _ => return Ok(()),
        };
        let Some(number) = memory.mounts.get(root).copied() else {
            return fail("boot loader", &format!("nothing is mounted on {root}"));
        };
        let (kernel, initrd) =
            (value(variables, "KADEPLOY_ENV_KERNEL"), value(variables, "KADEPLOY_ENV_INITRD"));
        for file in [hypervisor, kernel, initrd].into_iter().filter(|file| !file.is_empty()) {
            if !self.disk.tree(number).is_some_and(|tree| tree.has(file)) {
                return fail("boot loader", &format!("the image has no file {file}"));
            }
        }
        let filesystem = self.disk.filesystem(number).map_or(0, |filesystem| filesystem.id);
        let grub = Grub { filesystem, kernel: kernel.to_owned(), initrd: initrd.to_owned() };
        let firmware = self.node.firmware;
        if !install(&mut self.disk, number, &grub, firmware) {
            return fail(
                "boot loader",
                &format!("disk {} has no EFI system partition", self.disk.device),
            );
        }
        self.disk.sync();
        Ok(())
    }

    pub(super) fn kexec(
        &mut self,
        at: Moment,
        memory: &mut Memory,
        root: &str,
        [kernel, initrd]: [&String; 2],
        params: &str,
    ) -> Result<(), Failed> {
        let mounted = memory.mounts.get(root).copied();
        let mut files = vec![kernel.clone()];
        files.extend((!initrd.is_empty()).then(|| initrd.clone()));
        let tree = mounted.and_then(|number| self.disk.tree(number));
        let Some((partition, _)) =
            mounted.zip(tree).filter(|(_, tree)| files.iter().all(|file| tree.has(file)))
        else {
            return Err((1, format!("kernel not found: {root}{kernel}")));
        };
        memory.mounts.remove(root);
        self.disk.sync();
        let (boot, params) = (self.boots, params.to_owned());
        self.later(at + LEAVE, Work::Kexec { boot, partition, files, params });
        Ok(())
    }
}

pub(super) fn value<'v>(variables: &'v Variables, name: &str) -> &'v str {
    let found = variables.iter().find(|(known, _)| known == name);
    found.map_or("", |(_, value)| value.as_str())
}

/// A script gives up.
fn fail(script: &str, why: &str) -> Result<(), Failed> {
    Err((1, format!("{script}: {why}")))
}

/// The partitions that a cluster wants on a disk of so many MiB.
fn layout(
    variables: &Variables,
    disk: u64,
    firmware: Firmware,
) -> Result<LiteMap<u32, Partition>, String> {
    let [swap, prod, tmp, least] = LAYOUT;
    let (boot, kind) = match firmware {
        Firmware::Bios => (2, PartitionKind::BiosBoot),
        Firmware::Uefi => (128, PartitionKind::Efi),
    };
    let number = |name| value(variables, name).parse::<u32>().ok().filter(|number| *number > 0);
    let blank = |mib, kind| Partition {
        mib,
        kind,
        content: Content::Blank,
        loader: None,
        label: String::new(),
    };
    // A script of a site with labels gives them; where the partition is, is its own business.
    let label = value(variables, "KADEPLOY_DEPLOY_PART");
    let label = (!label.starts_with('/') && !label.contains('#'))
        .then(|| label.split('@').next().unwrap_or_default().to_owned());
    let deploy = number("KADEPLOY_DEPLOY_PART_NUM").or_else(|| label.as_ref().map(|_| 3));
    let deploy = deploy.ok_or("no deploy partition is named")?;
    let wanted = [
        ("KADEPLOY_SWAP_PART_NUM", swap),
        ("KADEPLOY_PROD_PART_NUM", prod),
        ("KADEPLOY_TMP_PART_NUM", tmp),
    ];
    let numbered = wanted.iter().filter_map(|(name, mib)| Some((number(name)?, *mib)));
    let mut partitions: LiteMap<u32, Partition> =
        numbered.map(|(number, mib)| (number, blank(mib, PartitionKind::Data))).collect();
    for (name, mib) in wanted {
        let label = value(variables, name);
        if label.starts_with(|first: char| first.is_ascii_alphabetic()) && label != "none" {
            let mut free = (1..=128).filter(|one| *one != deploy && !partitions.contains_key(one));
            let (free, label) = (free.next().unwrap_or_default(), label.to_owned());
            partitions.insert(free, Partition { label, ..blank(mib, PartitionKind::Data) });
        }
    }
    // Two for the label, as the script has it.
    let taken = boot + 2 + partitions.values().map(|partition| partition.mib).sum::<u64>();
    let need = taken + least;
    if disk < need {
        return Err(format!("it has {disk} MiB, this layout needs {need} MiB"));
    }
    let label = label.unwrap_or_default();
    partitions.insert(deploy, Partition { label, ..blank(disk - taken, PartitionKind::Data) });
    let first = (1..=128).find(|number| !partitions.contains_key(number)).unwrap_or_default();
    partitions.insert(first, blank(boot, kind));
    Ok(partitions)
}
