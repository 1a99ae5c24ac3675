//! The machines of the simulator against a real one: what they are asked to do ends with the same
//! status and leaves the same disk.
//!
//! The real one is a guest of a lab that was left in the deployment system.

mod cases;

use super::guest::TestLab;
use cases::cases;
use kadence::{
    platform::{
        self, DiskId, Errand, Input, Ports,
        sim::{Hardware, Image, World},
    },
    simulation::{Place, Scenario, Stage},
};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

/// Size of both disks, MiB, and as the lab has it.
const DISK: (u64, &str) = (8192, "8G");

/// What stands on standard input.
#[derive(Clone, Copy)]
enum Given {
    Nothing,
    Garbage,
    Keys,
    PartitionScript,
    LoaderScript,
    Tree,
    Hook,
    Filesystem,
}

/// The files that are given, made anew.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = "set -e; cd \"$1\"; mkdir -p tree/root tree/etc hook
            echo kernel > tree/vmlinuz; echo ramdisk > tree/initrd.img
            printf '#!/bin/sh\\n' > hook/run; chmod 755 hook/run
            tar -C tree -czf tree.tgz .; tar -C hook -czf hook.tgz .
            mkfs.ext4 -q fs 8M; gzip fs";
        let made = Command::new("sh").args(["-c", script, "sh"]).arg(dir.path()).status().unwrap();
        assert!(made.success());
        Self(dir)
    }

    fn path(&self, given: Given) -> Option<PathBuf> {
        let example = |name| Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
        Some(match given {
            Given::Tree => self.0.path().join("tree.tgz"),
            Given::Hook => self.0.path().join("hook.tgz"),
            Given::Filesystem => self.0.path().join("fs.gz"),
            Given::PartitionScript => example("partition-gpt"),
            Given::LoaderScript => example("install-grub"),
            Given::Nothing | Given::Garbage | Given::Keys => return None,
        })
    }

    fn bytes(&self, given: Given) -> Vec<u8> {
        match (self.path(given), given) {
            (Some(path), _) => fs::read(path).unwrap(),
            (None, Given::Garbage) => vec![7; 4096],
            (None, Given::Keys) => b"ssh-ed25519 AAAA test\n".to_vec(),
            (None, _) => Vec::new(),
        }
    }
}

/// What came of an errand.
struct Came {
    status: i32,
    said: String,
    disk: Vec<String>,
}

/// A machine that is made up.
struct Simulated {
    world: Arc<World>,
    ports: Ports,
    node: Arc<kadence::nodes::Node>,
}

impl Simulated {
    const DEVICE: &str = "/dev/sda";

    fn new(files: &Files) -> Self {
        let hardware = Hardware { disk_mib: DISK.0, ..Hardware::default() };
        let scenario = Scenario { hardware, ..Scenario::new(1, 1) };
        let stage = Stage::new(&scenario, &Place::built_in().unwrap());
        let (ports, node) = (stage.plug().unwrap(), stage.site.inventory.all()[0].clone());
        for (given, unpacked_mib) in [(Given::Tree, 1), (Given::Hook, 1), (Given::Filesystem, 8)] {
            let found = ["/vmlinuz", "/initrd.img"].map(str::to_owned);
            let image = Image {
                digest: "test".into(),
                mib: 1,
                unpacked_mib,
                files: Some(found.into_iter().collect()),
                disk: None,
            };
            stage.world.describe(files.path(given).unwrap(), image);
        }
        stage.world.put_into_deployment(&node.name);
        // Its own holds a system already, that of the guest nothing.
        stage.world.swap_disk(&node.name, "EMPTY");
        Self { world: stage.world, ports, node }
    }

    async fn run(&self, errand: &Errand, files: &Files, given: Given) -> Came {
        let input = match files.path(given) {
            Some(path) => Input::File(path),
            None => Input::Bytes(files.bytes(given).into()),
        };
        let command = platform::Command {
            errand: errand.clone().into(),
            input,
            deadline: Duration::from_secs(600),
            output_limit: 1 << 20,
        };
        let output = self.ports.shell.run(&self.node, &command).await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        Came {
            status: output.status,
            said: String::from_utf8(said).unwrap(),
            disk: self.world.layout(&self.node.name),
        }
    }
}

/// A guest in its deployment system.
struct Real(TestLab);

impl Real {
    const DEVICE: &str = "/dev/vda";

    /// The demonstration makes it: it fails, as it must where nothing was installed.
    fn new() -> Self {
        let lab = TestLab::new("like");
        let words = ["demo", "--nodes", "1", "--leave-in-deployment", "1", "--keep"];
        let left = lab.try_lab(&[&words[..], &["--subnet", "10.93", "--disk", DISK.1]].concat());
        let said = String::from_utf8_lossy(&left.stderr);
        assert!(!left.status.success() && said.contains("it runs the deployment system"), "{said}");
        Self(lab)
    }

    fn ssh(&self, text: &str, input: &[u8]) -> (i32, String) {
        let mut child = self
            .0
            .command(&["ssh", "node-1", text])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Little enough for the pipe, and what ends early does not read it.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Does an errand and looks at the disk, in one go: a log-in to an emulated machine takes long.
    fn run(&self, errand: &Errand, files: &Files, given: Given) -> Came {
        let text = format!(
            "bash -c {} 2>&1; s=$?; echo; echo {MARK}; {}; exit $s",
            quoted(&errand.text()),
            layout_of(Self::DEVICE)
        );
        let (status, said) = self.ssh(&text, &files.bytes(given));
        let (said, disk) = said.split_once(MARK).unwrap_or_else(|| panic!("{status}: {said}"));
        let disk = disk.lines().filter(|line| !line.is_empty()).map(partition_line).collect();
        Came { status, said: said.trim().to_owned(), disk }
    }
}

/// Between what an errand said and what is on the disk.
const MARK: &str = "==== disk";

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Prints a line for each partition: number, type, sectors, content.
fn layout_of(device: &str) -> String {
    format!(
        "for p in {device}?*; do [ -b $p ] || continue; n=${{p#{device}}} t=$(blkid -p -s TYPE -o value $p)
         echo $n $(sfdisk --part-type {device} $n) $(blockdev --getsz $p) ${{t:-blank}}; done"
    )
}

/// A line of [`layout_of`] as the simulator writes it.
fn partition_line(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [number, kind, sectors, content] = words[..] else { panic!("{line:?}") };
    let kind = match kind.to_uppercase().as_str() {
        "21686148-6449-6E6F-744E-656564454649" => "bios-boot",
        "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" => "efi",
        _ => "data",
    };
    format!("{number} {kind} {} {content}", sectors.parse::<u64>().unwrap() / 2048)
}

/// Whether two disks are the same; what an image brings the simulator does not know.
fn same(simulated: &[String], real: &[String]) -> bool {
    let like = |(simulated, real): (&String, &String)| match simulated.strip_suffix("image") {
        Some(partition) => real.starts_with(partition) && !real.ends_with("blank"),
        None => simulated == real,
    };
    simulated.len() == real.len() && simulated.iter().zip(real).all(like)
}

#[tokio::test(start_paused = true)]
async fn a_simulated_machine_does_what_a_real_one_does() {
    let files = Files::new();
    let (simulated, real) = (Simulated::new(&files), Real::new());
    let identify = |device: &str| Errand::IdentifyDisk { device: device.into() };
    let made_up = simulated.run(&identify(Simulated::DEVICE), &files, Given::Nothing).await;
    let true_one = real.run(&identify(Real::DEVICE), &files, Given::Nothing);
    assert_eq!((made_up.status, true_one.status), (0, 0));
    let told = |came: &Came| DiskId::told(&came.said);
    let (ours, theirs) =
        (cases(Simulated::DEVICE, &told(&made_up)), cases(Real::DEVICE, &told(&true_one)));
    let mut differ = Vec::new();
    for ((name, ours, given), (_, theirs, _)) in ours.into_iter().zip(theirs) {
        let (ours, theirs) =
            (simulated.run(&ours, &files, given).await, real.run(&theirs, &files, given));
        if ours.status != theirs.status || !same(&ours.disk, &theirs.disk) {
            let came = |came: Came| format!("{} {:?} {:?}", came.status, came.disk, came.said);
            differ.push(format!("{name}:\n  simulated {}\n  real {}", came(ours), came(theirs)));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
