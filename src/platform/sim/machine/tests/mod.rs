mod whole;

use super::*;
use crate::{
    environments::Compression,
    platform::{
        BootChoice, Errand, LocalBoot, Unpacking,
        rendered::{Profiles, Shelf},
        sim::{net::BootFile, world::CHAIN},
    },
    simulation::{Place, Scenario},
};
use netboot::ProfileTable;

const KEY: &str = "kadence.key=a,b";
const IMAGE: &str = "the image";
/// Longer than any boot.
const LONG: Duration = Duration::from_secs(600);

/// A machine with a disk that nobody used, and what is around it.
struct Bench {
    machine: Machine,
    net: Net,
    faults: Faults,
    hardware: Hardware,
    profiles: Arc<Profiles>,
    now: Moment,
}

impl Bench {
    fn new(firmware: Firmware) -> Self {
        let place = Place::built_in().unwrap();
        let config = place.config(&Scenario::new(1, 1));
        let files = [
            ("deploy/vmlinuz", BootFile::Kernel),
            ("deploy/initrd.img", BootFile::Ramdisk),
            (CHAIN, BootFile::Chain),
        ];
        let files = files.into_iter().map(|(path, file)| (path.to_owned(), file)).collect();
        let mut net = Net::new(files, KEY.to_owned());
        let table = Arc::new(ProfileTable::default());
        let profiles = Arc::new(Profiles::new(&config, Shelf::Table(Arc::clone(&table))));
        net.plug(Some((Arc::clone(&profiles), table)));
        let (mut faults, hardware) = (Faults::default(), Hardware::default());
        let node = Arc::new(Node { firmware, cluster: "sim".into(), ..Node::example() });
        let mut around =
            Around { net: &net, faults: &mut faults, hardware: &hardware, seen: &mut Vec::new() };
        let mut machine = Machine::new(node, 1, "/dev/sda", &mut around);
        machine.disk = Disk::new("/dev/sda".into(), "S".into(), hardware.disk_mib);
        machine.state = State::Off;
        Self { machine, net, faults, hardware, profiles, now: Duration::ZERO }
    }

    /// Lets time pass; what the machine asked the boot servers for.
    fn pass(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        let mut seen = Vec::new();
        let (net, faults, hardware) = (&self.net, &mut self.faults, &self.hardware);
        self.machine.advance(self.now, &mut Around { net, faults, hardware, seen: &mut seen });
        seen.into_iter().map(|(_, request)| request.what).collect()
    }

    /// Sets what the machine boots next.
    fn boots(&self, kernel: &str, params: &str) {
        let (kernel, initrd) = (kernel.to_owned(), Some("deploy/initrd.img".to_owned()));
        let choice = BootChoice::Network { kernel, initrd, params: params.to_owned() };
        self.profiles.set(&self.machine.node, &choice).unwrap();
    }

    /// Sets that it boots that partition of its disk.
    fn boots_from(&self, partition: u32) {
        let none = String::new;
        let choice = BootChoice::Local(LocalBoot {
            os: "other",
            disk: 0,
            partition,
            root: none(),
            kernel: none(),
            initrd: none(),
            params: none(),
            hypervisor: none(),
            hypervisor_params: none(),
        });
        self.profiles.set(&self.machine.node, &choice).unwrap();
    }

    /// Switches it on and waits for whatever comes.
    fn switch_on(&mut self) -> Vec<String> {
        self.machine.later(self.now, Work::On);
        self.pass(LONG)
    }

    /// Boots into the deployment system.
    fn deployment(&mut self) {
        self.boots("deploy/vmlinuz", KEY);
        self.switch_on();
        assert!(self.machine.admits_us(), "{:?}", self.machine.state);
    }

    fn errand(&mut self, errand: &Errand) -> (i32, String) {
        match self.machine.errand(self.now, errand, Some(Arc::new(image()))) {
            Answer::Ended { status, stderr, .. } => (status, stderr),
            Answer::Gone => (255, "gone".to_owned()),
        }
    }

    /// Nothing is left of the machine but what is kept of it.
    fn keep(&mut self) {
        let text = serde_json::to_vec(&self.machine.kept()).unwrap();
        self.machine = Self::new(self.machine.node.firmware).machine;
        self.machine.restore(serde_json::from_slice(&text).unwrap());
    }

    /// Starts anew from the disk.
    fn reset(&mut self) {
        self.profiles.reset(std::slice::from_ref(&self.machine.node)).unwrap();
        self.machine.later(self.now, Work::Reset);
        self.pass(LONG);
    }
}

fn image() -> Image {
    let files = ["/vmlinuz", "/initrd.img"].map(str::to_owned).into_iter().collect();
    Image { digest: IMAGE.into(), mib: 10, unpacked_mib: 30, files: Some(files), disk: None }
}

/// The errands of a deployment, in order.
fn errands() -> Vec<Errand> {
    let text = str::to_owned;
    let partition = || text("/dev/sda3");
    let variables = [
        ("KADEPLOY_BLOCK_DEVICE", text("/dev/sda")),
        ("KADEPLOY_DEPLOY_PART_NUM", text("3")),
        ("KADEPLOY_SWAP_PART_NUM", text("2")),
        ("KADEPLOY_OS_KIND", text("linux")),
        ("KADEPLOY_ENV_KERNEL", text("/vmlinuz")),
        ("KADEPLOY_ENV_INITRD", text("/initrd.img")),
        ("KADEPLOY_ENV_EXTRACTION_DIR", text("/mnt/dest")),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let (directory, options) = (text("/mnt/dest"), String::new());
    vec![
        Errand::Partition(variables.clone()),
        Errand::MakeFilesystem {
            filesystem: text("ext4"),
            options: options.clone(),
            partition: partition(),
            directory: directory.clone(),
        },
        Errand::Mount { partition: partition(), directory: directory.clone() },
        Errand::Unpack(Unpacking { directory, compression: Compression::Zstd, options }),
        Errand::InstallBootLoader(variables),
    ]
}

#[test]
fn a_machine_boots_what_its_profile_says() {
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        let mut bench = Bench::new(firmware);
        bench.boots("deploy/vmlinuz", KEY);
        let asked = bench.switch_on();
        assert!(bench.machine.admits_us());
        let kernel = asked.last().unwrap();
        assert!(kernel.ends_with("deploy/vmlinuz"), "{asked:?}");
        assert_eq!(asked[0], "discover");
        assert_eq!(
            (bench.machine.reach(false), bench.machine.reach(true)),
            (Reach::Open, Reach::Open)
        );
    }
}

#[test]
fn a_wrong_kernel_or_no_key_is_no_deployment_system() {
    let mut bench = Bench::new(Firmware::Bios);
    bench.boots("deploy/vmlinux", KEY);
    bench.switch_on();
    // iPXE hands back to the firmware, which finds nothing on the disk.
    assert_eq!(bench.machine.state, State::Stuck("No bootable device".into()));
    assert!(bench.machine.console().any(|line| line.contains("No such file")));

    let mut bench = Bench::new(Firmware::Bios);
    bench.boots("deploy/vmlinuz", "quiet");
    bench.switch_on();
    assert!(!bench.machine.admits_us());
    assert_eq!(bench.machine.reach(true), Reach::Open);

    let mut bench = Bench::new(Firmware::Bios);
    bench.boots("deploy/initrd.img", KEY);
    bench.switch_on();
    assert_eq!(bench.machine.reach(false), Reach::Silent);
}

#[test]
fn whatever_errand_is_left_out_the_image_does_not_run() {
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        for left_out in 0..=errands().len() {
            let mut bench = Bench::new(firmware);
            bench.deployment();
            for (index, errand) in errands().iter().enumerate() {
                if index != left_out {
                    bench.errand(errand);
                }
            }
            bench.reset();
            let wanted = (left_out == errands().len()).then_some(IMAGE);
            assert_eq!(bench.machine.runs(), wanted, "{firmware:?} without {left_out}");
        }
    }
}

#[test]
fn what_was_not_written_to_the_disk_is_lost() {
    for (sync, runs) in [(false, None), (true, Some(IMAGE))] {
        let mut bench = Bench::new(Firmware::Bios);
        bench.deployment();
        let mut errands = errands();
        // The loader, which writes everything, before the keys.
        errands.push(Errand::AddKeys { directory: "/mnt/dest/root/.ssh".into() });
        errands.extend(sync.then_some(Errand::Sync));
        for errand in &errands {
            assert_eq!(bench.errand(errand).0, 0, "{errand:?}");
        }
        bench.errand(&Errand::Reboot);
        bench.profiles.reset(std::slice::from_ref(&bench.machine.node)).unwrap();
        bench.pass(LONG);
        assert_eq!(bench.machine.runs(), runs);
    }
}

#[test]
fn a_machine_that_is_kept_goes_on_from_any_moment() {
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        let mut bench = Bench::new(firmware);
        bench.deployment();
        for errand in errands() {
            bench.keep();
            assert_eq!(bench.errand(&errand).0, 0, "{errand:?}");
        }
        bench.profiles.reset(std::slice::from_ref(&bench.machine.node)).unwrap();
        let boots = bench.machine.boots;
        bench.errand(&Errand::Reboot);
        // The order to leave, then every phase of the boot; a loader begins anew.
        for _ in 0..30 {
            bench.keep();
            bench.pass(Duration::from_secs(20));
        }
        assert_eq!((bench.machine.runs(), bench.machine.boots), (Some(IMAGE), boots + 1));
    }
}

#[test]
fn kexec_starts_the_kernel_of_the_image_and_only_with_its_root() {
    for (root, runs) in [("/dev/sda3", Some(IMAGE)), ("/dev/sda2", None), ("/dev/sdb3", None)] {
        let mut bench = Bench::new(Firmware::Uefi);
        bench.deployment();
        for errand in errands() {
            bench.errand(&errand);
        }
        let kexec = |kernel: &str| Errand::Kexec {
            root: "/mnt/dest".into(),
            kernel: kernel.into(),
            initrd: "/initrd.img".into(),
            params: format!("root={root} ro"),
            root_device: None,
            mounted: true,
            script: None,
        };
        assert_eq!(bench.errand(&kexec("/vmlinux")).0, 1);
        assert_eq!(bench.errand(&kexec("/vmlinuz")).0, 0);
        bench.pass(LONG);
        assert_eq!(bench.machine.runs(), runs, "{root}");
        assert_eq!(bench.machine.reach(true) == Reach::Refused, runs.is_some());
    }
}

#[test]
fn the_disk_is_as_large_as_it_is() {
    let mut bench = Bench::new(Firmware::Bios);
    bench.machine.disk.mib = 1000;
    bench.deployment();
    let (status, said) = bench.errand(&errands()[0]);
    assert!(status == 1 && said.contains("has 1000 MiB, this layout needs"), "{said}");
}

#[test]
fn a_retry_does_everything_again() {
    let mut bench = Bench::new(Firmware::Uefi);
    for _ in 0..2 {
        bench.deployment();
        for errand in errands() {
            assert_eq!(bench.errand(&errand).0, 0, "{errand:?}");
        }
        assert_eq!(bench.errand(&errands()[0]).0, 1, "a mounted disk was partitioned");
        bench.machine.later(bench.now, Work::Off);
        bench.pass(LONG);
    }
}

#[test]
fn an_answer_nobody_waits_for_is_not_kept_and_the_errand_is_done() {
    let mut bench = Bench::new(Firmware::Bios);
    bench.deployment();
    let boot = bench.machine.boot().unwrap();
    let work = |errand| Work::Errand { boot, errand: Arc::new(errand), image: None };
    let id = bench.machine.later(bench.now + LONG, work(errands().remove(0)));
    bench.machine.abandon(id);
    bench.pass(LONG);
    assert_eq!(bench.machine.answer(id), None);
    assert!(bench.machine.disk.partitions.contains_key(&3));
    assert!(bench.machine.unwanted.is_empty() && bench.machine.answers.is_empty());
}

#[test]
fn each_fault_of_a_boot_shows() {
    let cases = [
        (FaultKind::BootLost, "no post"),
        (FaultKind::BootStuck, "Press F1"),
        (FaultKind::BootPanic, "Kernel panic"),
        (FaultKind::DhcpLost, "PXE-E51"),
        (FaultKind::TftpLost, "PXE-E32"),
    ];
    for (fault, line) in cases {
        let mut bench = Bench::new(Firmware::Bios);
        bench.faults.set_rate(fault, 1.0);
        bench.boots("deploy/vmlinuz", KEY);
        bench.switch_on();
        assert_eq!(bench.machine.boot(), None, "{fault:?}");
        assert!(bench.machine.console().any(|said| said.contains(line)), "{fault:?}");
    }
}
