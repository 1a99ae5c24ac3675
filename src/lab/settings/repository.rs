//! The files that nodes load over the network.

use super::{
    super::{LabError, Loader, Plan, cache_dir, error::Context, process::run},
    copy,
    server::programs,
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// `grub-mkimage` takes well under a second.
const MKIMAGE_LIMIT: Duration = Duration::from_secs(30);
/// What GRUB does once it runs: it reads the profile of the node whose address it has.
const GRUB_FIRST: &str = "configfile (pxe)/grub.cfg/$net_default_ip\n";
/// The modules of both GRUB programs: the network, kernels, and what is on disks.
const GRUB_MODULES: [&str; 18] = [
    "tftp",
    "http",
    "normal",
    "configfile",
    "linux",
    "echo",
    "test",
    "search",
    "search_fs_file",
    "search_fs_uuid",
    "part_gpt",
    "part_msdos",
    "fat",
    "ext2",
    "xfs",
    "chain",
    "boot",
    "reboot",
];

/// A file of a Debian package: its name, its folder, its package.
type Packaged = (&'static str, &'static str, &'static str);

const SYSLINUX: &str = "/usr/lib/syslinux/modules/bios";
const SYSLINUX_MODULES: &str = "package syslinux-common";
const PXELINUX: &str = "/usr/lib/PXELINUX";
/// The program that starts what is on a partition.
const CHAIN: Packaged = ("chain.c32", SYSLINUX, SYSLINUX_MODULES);
/// What PXELINUX and `chain.c32` load besides.
const LIBRARIES: [Packaged; 3] = [
    ("ldlinux.c32", SYSLINUX, SYSLINUX_MODULES),
    ("libcom32.c32", SYSLINUX, SYSLINUX_MODULES),
    ("libutil.c32", SYSLINUX, SYSLINUX_MODULES),
];

/// Puts into `repository` the deployment system and the loaders that the lab of `plan` needs.
pub(super) async fn fill(plan: &Plan, repository: &Path) -> Result<(), LabError> {
    let system = plan.deployment_system.clone().unwrap_or_else(|| cache_dir().join("deploy"));
    for file in ["vmlinuz", "initrd.img"] {
        copy(&system.join(file), &repository.join(file), "made by ramdisk/build")?;
    }
    for (name, folder, package) in packaged(plan) {
        copy(&Path::new(folder).join(name), &repository.join(name), package)?;
    }
    if plan.loader == Loader::Grub {
        let (bios, uefi) = programs(Loader::Grub);
        grub(&repository.join(bios), "i386-pc-pxe", &["pxe", "biosdisk"]).await?;
        if plan.has_uefi() {
            grub(&repository.join(uefi), "x86_64-efi", &["efinet", "efi_gop"]).await?;
        }
    }
    Ok(())
}

fn packaged(plan: &Plan) -> Vec<Packaged> {
    let (bios, uefi) = programs(plan.loader);
    let mut files = vec![CHAIN];
    match plan.loader {
        Loader::Ipxe if plan.has_uefi() => files.push((uefi, "/usr/lib/ipxe", "package ipxe")),
        Loader::Pxelinux | Loader::Gpxelinux => {
            files.push((bios, PXELINUX, "package pxelinux"));
            files.extend(LIBRARIES);
        }
        Loader::Ipxe | Loader::Grub => {}
    }
    files
}

/// Makes the GRUB program `to` for a platform.
async fn grub(to: &Path, platform: &str, modules: &[&str]) -> Result<(), LabError> {
    let first: PathBuf = to.with_extension("first.cfg");
    std::fs::write(&first, GRUB_FIRST).context(|| format!("writing {}", first.display()))?;
    let [first_text, to] = [&first, &to.to_owned()].map(|path| path.to_string_lossy().into_owned());
    let mut args = vec!["-O", platform, "-p", "(pxe)/grub", "-c", &first_text, "-o", &to, "--"];
    args.extend(modules);
    args.extend(GRUB_MODULES);
    run("grub-mkimage", &args, "", MKIMAGE_LIMIT).await.map(drop)
}
