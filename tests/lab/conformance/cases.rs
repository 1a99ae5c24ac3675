//! What both machines are asked to do, in an order in which each errand meets what the ones before
//! it left.

use super::Given::{self, *};
use kadence::{
    environments::Compression,
    platform::{DiskId, DiskTicket, Errand, Unpacking, Variables},
};

/// Where images are mounted.
const ROOT: &str = "/mnt/dest";
/// Where an archive is unpacked.
const ARCHIVE: &str = "/rambin";

/// What it is about, the errand, and what stands on its standard input.
type Case = (&'static str, Errand, Given);

/// All of them, for the disk `device` of which the machine tells `disk`.
pub(super) fn cases(device: &str, disk: &DiskId) -> Vec<Case> {
    [disks(device), images(), loaders(device), tickets(device, disk)].concat()
}

fn disks(device: &str) -> Vec<Case> {
    let partition = |device: &str| Errand::Partition(layout(device));
    vec![
        ("the boot id", Errand::BootId, Nothing),
        ("mount a partition that is not there", mount(device), Nothing),
        ("format a partition that is not there", format("ext4", device, 3), Nothing),
        ("swap on a partition that is not there", swap(device), Nothing),
        ("an image for a partition that is not there", write(device), Filesystem),
        ("unmount what is not there", unmount(device), Nothing),
        ("partition a disk that is not there", partition("/dev/nodisk"), PartitionScript),
        ("partition", partition(device), PartitionScript),
        ("mount a blank partition", mount(device), Nothing),
        ("a filesystem that nobody knows", format("nosuchfs", device, 3), Nothing),
        ("format", format("ext4", device, 3), Nothing),
        ("format another", format("xfs", device, 4), Nothing),
        ("swap", swap(device), Nothing),
        ("mount", mount(device), Nothing),
        ("mount again", mount(device), Nothing),
        ("partition a disk in use", partition(device), PartitionScript),
    ]
}

fn images() -> Vec<Case> {
    let check = |kernel: &str| Errand::CheckFiles {
        root: ROOT.into(),
        files: vec![("kernel", kernel.into()), ("initrd", "/initrd.img".into())],
    };
    let run = || Errand::RunArchive {
        directory: ARCHIVE.into(),
        script: "run".into(),
        variables: Vec::new(),
    };
    vec![
        ("files that are not there yet", check("/vmlinuz"), Nothing),
        ("unpack what is no archive", Errand::Unpack(unpack(ROOT)), Garbage),
        ("unpack", Errand::Unpack(unpack(ROOT)), Tree),
        ("files that are there", check("/vmlinuz"), Nothing),
        ("a kernel that is not there", check("/no-kernel"), Nothing),
        ("keys", Errand::AddKeys { directory: format!("{ROOT}/root/.ssh") }, Keys),
        ("run an archive that was not unpacked", run(), Nothing),
        ("unpack an archive", Errand::UnpackArchive(unpack(ARCHIVE)), Hook),
        ("run an archive", run(), Nothing),
    ]
}

fn loaders(device: &str) -> Vec<Case> {
    let loader = |kernel: &str| Errand::InstallBootLoader(boot(device, kernel));
    let kexec = Errand::Kexec {
        root: ROOT.into(),
        kernel: "/no-kernel".into(),
        initrd: String::new(),
        params: String::new(),
        root_device: None,
        mounted: true,
        script: None,
    };
    vec![
        ("a loader for no kernel", loader("/no-kernel"), LoaderScript),
        ("a loader", loader("/vmlinuz"), LoaderScript),
        ("jump into no kernel", kexec, Nothing),
        ("sync", Errand::Sync, Nothing),
        ("unmount", unmount(device), Nothing),
        ("unmount again", unmount(device), Nothing),
        ("a loader without an image", loader("/vmlinuz"), LoaderScript),
    ]
}

fn tickets(device: &str, disk: &DiskId) -> Vec<Case> {
    let ticketed = |id: &str, disk: &DiskId| Errand::Ticketed {
        ticket: DiskTicket { id: id.into(), device: device.into(), disk: disk.clone() },
        errand: swap(device).into(),
    };
    vec![
        ("a ticket for another disk", ticketed("t1", &DiskId::told("serial none")), Nothing),
        ("a ticket", ticketed("t2", disk), Nothing),
        ("the same ticket", ticketed("t2", disk), Nothing),
        ("an image", write(device), Filesystem),
        ("partition anew", Errand::Partition(layout(device)), PartitionScript),
    ]
}

fn format(filesystem: &str, device: &str, number: u8) -> Errand {
    Errand::MakeFilesystem {
        filesystem: filesystem.into(),
        options: String::new(),
        partition: format!("{device}{number}"),
        directory: ROOT.into(),
    }
}

fn swap(device: &str) -> Errand {
    Errand::MakeSwap { partition: format!("{device}2") }
}

fn mount(device: &str) -> Errand {
    Errand::Mount { partition: format!("{device}3"), directory: ROOT.into() }
}

fn unmount(device: &str) -> Errand {
    Errand::Unmount { partition: format!("{device}3") }
}

fn write(device: &str) -> Errand {
    Errand::WriteImage { compression: Compression::Gzip, device: format!("{device}3") }
}

fn unpack(directory: &str) -> Unpacking {
    Unpacking {
        directory: directory.into(),
        compression: Compression::Gzip,
        options: String::new(),
    }
}

/// What the partitioning script is told.
fn layout(device: &str) -> Variables {
    let variables = [
        ("KADEPLOY_BLOCK_DEVICE", device.to_owned()),
        ("KADEPLOY_SWAP_PART_NUM", "2".to_owned()),
        ("KADEPLOY_DEPLOY_PART_NUM", "3".to_owned()),
        ("KADEPLOY_TMP_PART_NUM", "4".to_owned()),
    ];
    variables.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

/// What the boot loader script is told.
fn boot(device: &str, kernel: &str) -> Variables {
    let mut variables = layout(device);
    let more = [
        ("KADEPLOY_DEPLOY_PART", format!("{device}3")),
        ("KADEPLOY_ENV_EXTRACTION_DIR", ROOT.to_owned()),
        ("KADEPLOY_ENV_KERNEL", kernel.to_owned()),
        ("KADEPLOY_ENV_INITRD", "/initrd.img".to_owned()),
        ("KADEPLOY_OS_KIND", "linux".to_owned()),
        ("KADEPLOY_FS_TYPE", "ext4".to_owned()),
    ];
    variables.extend(more.map(|(name, value)| (name.to_owned(), value)));
    variables
}
