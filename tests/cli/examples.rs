//! The boot loader script of the examples, among programs that only say what they were told.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};
use tempfile::TempDir;

/// What stands in for the programs of a deployment system; `said` in the directory is what they
/// were told.
const PROGRAMS: [(&str, &str); 9] = [
    ("mountpoint", ""),
    ("mount", ""),
    ("umount", ""),
    ("sync", ""),
    ("blkid", "echo 5e55"),
    ("sfdisk", "echo '/dev/x1 : type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B'"),
    ("grub-install", ""),
    ("grub-mkimage", ""),
    ("grub-bios-setup", ""),
];

struct Node(TempDir);

impl Node {
    /// A node with an image that has these files.
    fn new(files: &[&str]) -> Self {
        let node = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(node.path("bin")).unwrap();
        for (name, more) in PROGRAMS {
            let said = node.path("said");
            let text = format!("#!/bin/sh\necho \"{name} $*\" >> {}\n{more}\n", said.display());
            fs::write(node.path("bin").join(name), text).unwrap();
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(node.path("bin").join(name), mode).unwrap();
        }
        for file in files {
            let path = node.path("image").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::create_dir_all(node.path("image/etc")).unwrap();
        node
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// Runs the script; what it says where it fails.
    fn run(&self, kind: &str, variables: &[(&str, &str)]) -> Result<(), String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/install-grub");
        let text = fs::read_to_string(script).unwrap();
        let efi = self.path("efi").display().to_string();
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.path("bin").display());
        let mut shell = Command::new("sh");
        // Not this machine's own, which would write to a disk: one that is there only if a test makes it.
        let setup = self.path("grub-bios-setup").display().to_string();
        let text = text.replace("/usr/lib/grub/i386-pc/grub-bios-setup", &setup);
        shell.args(["-c", &text.replace("/sys/firmware/efi", &efi)]).env("PATH", path);
        let usual = [
            ("KADEPLOY_OS_KIND", kind),
            ("KADEPLOY_BLOCK_DEVICE", "/dev/x"),
            ("KADEPLOY_DEPLOY_PART", "/dev/x3"),
            ("KADEPLOY_ENV_KERNEL", "/vmlinuz"),
            ("KADEPLOY_ENV_INITRD", "/initrd.img"),
            ("KADEPLOY_ENV_KERNEL_PARAMS", "quiet"),
            ("KADEPLOY_FS_TYPE", "ext4"),
        ];
        shell.env("KADEPLOY_ENV_EXTRACTION_DIR", self.path("image"));
        shell.envs(usual).envs(variables.iter().copied());
        let ran = shell.output().unwrap();
        if ran.status.success() {
            return Ok(());
        }
        Err(String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap())
    }

    /// The entry of the menu.
    fn entry(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("image/boot/grub/grub.cfg")).unwrap();
        let lines = text.lines().skip_while(|line| !line.contains("search "));
        lines.map(|line| line.trim().to_owned()).collect()
    }
}

const SEARCH: &str = "search --no-floppy --fs-uuid --set=root 5e55";
const ROOT: &str = "root=UUID=5e55 ro quiet";

#[test]
fn a_linux_system_has_its_kernel_in_the_menu() {
    let node = Node::new(&["vmlinuz", "initrd.img"]);
    node.run("linux", &[]).unwrap();
    let kernel = format!("linux /vmlinuz {ROOT}");
    assert_eq!(node.entry(), [SEARCH, &kernel, "initrd /initrd.img", "}"]);
    let said = fs::read_to_string(node.path("said")).unwrap();
    assert!(
        said.contains("grub-install --target=i386-pc ") && said.contains(" /dev/x\n"),
        "{said}"
    );
    assert!(!said.contains("grub-mkimage"), "{said}");
}

#[test]
fn the_sector_of_the_partition_is_written_without_installing_again() {
    let sectors = |node: &Node| {
        node.run("linux", &[]).unwrap();
        let said = fs::read_to_string(node.path("said")).unwrap();
        let programs = said.lines().filter(|line| line.starts_with("grub-"));
        programs
            .map(|line| {
                let mut words = line.split(' ');
                format!("{} {}", words.next().unwrap(), words.next_back().unwrap())
            })
            .collect::<Vec<_>>()
    };
    let node = Node::new(&["vmlinuz", "initrd.img"]);
    assert_eq!(sectors(&node), ["grub-install /dev/x", "grub-install /dev/x3"]);
    let node = Node::new(&["vmlinuz", "initrd.img"]);
    fs::rename(node.path("bin/grub-bios-setup"), node.path("grub-bios-setup")).unwrap();
    assert_eq!(sectors(&node), ["grub-install /dev/x", "grub-bios-setup /dev/x3"]);
}

#[test]
fn a_hypervisor_is_loaded_before_its_first_domain_by_bios_and_by_uefi() {
    for efi in [false, true] {
        let node = Node::new(&["vmlinuz", "initrd.img", "boot/xen.gz"]);
        if efi {
            fs::create_dir(node.path("efi")).unwrap();
        }
        let params = ("KADEPLOY_ENV_HYPERVISOR_PARAMS", "dom0_mem=1G");
        let why = node.run("xen", &[params]).unwrap_err();
        assert_eq!(why, "boot loader: the environment names no hypervisor\n");
        let why = node.run("xen", &[params, ("KADEPLOY_ENV_HYPERVISOR", "/xen")]).unwrap_err();
        assert_eq!(why, "boot loader: the image has no file /xen\n");
        node.run("xen", &[params, ("KADEPLOY_ENV_HYPERVISOR", "/boot/xen.gz")]).unwrap();
        let kernel = format!("module2 /vmlinuz {ROOT}");
        let hypervisor = "multiboot2 /boot/xen.gz dom0_mem=1G";
        assert_eq!(node.entry(), [SEARCH, hypervisor, &kernel, "module2 /initrd.img", "}"]);
        let said = fs::read_to_string(node.path("said")).unwrap();
        let loader =
            if efi { "grub-mkimage -O x86_64-efi" } else { "grub-install --target=i386-pc" };
        assert!(said.contains(loader), "{said}");
        assert!(!efi || said.contains(" multiboot2 "), "{said}");
    }
}

#[test]
fn a_system_of_another_kind_has_its_own_loader() {
    let node = Node::new(&[]);
    node.run("windows", &[]).unwrap();
    assert!(!node.path("said").exists());
}
