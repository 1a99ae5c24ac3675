//! Images of whole disks, and writers that are not waited for.

use super::*;
use crate::platform::{
    DiskTicket,
    sim::whole::{Layout, Slice},
};

/// A small partition with the loader, and the system beside it.
fn windows(boot_sector: bool) -> Image {
    let slice = |mib, boots| Slice { mib, efi: boots, loader: boots };
    let partitions = [(1, slice(100, true)), (2, slice(1000, false))].into_iter().collect();
    let layout = Layout { partitions, boot_sector, system: 2, starts: "/vmlinuz".into() };
    Image { disk: Some(layout), ..image() }
}

/// Writes an image to the whole disk and starts anew from that partition; what it runs then.
fn whole_disk(bench: &mut Bench, image: Image, partition: u32) -> Option<String> {
    bench.deployment();
    let write = Errand::WriteImage { compression: Compression::Zstd, device: "/dev/sda".into() };
    let done = bench.machine.errand(bench.now, &write, Some(Arc::new(image)));
    let ended =
        |stdout: &str| Answer::Ended { status: 0, stdout: stdout.into(), stderr: String::new() };
    assert_eq!(done, ended(""));
    assert_eq!(bench.errand(&Errand::Sync).0, 0);
    bench.boots_from(partition);
    bench.machine.later(bench.now, Work::Reset);
    bench.pass(LONG);
    bench.machine.runs().map(str::to_owned)
}

#[test]
fn an_image_of_a_whole_disk_brings_partitions_loaders_and_system() {
    for (firmware, boot_sector, partition, runs) in [
        (Firmware::Bios, false, 1, true),
        // Nothing starts there: the firmware goes on to the disk, which has a sector or not.
        (Firmware::Bios, false, 2, false),
        (Firmware::Bios, true, 2, true),
        (Firmware::Bios, false, 0, false),
        (Firmware::Bios, true, 0, true),
        // Its firmware looks for the EFI system partition, whatever is named.
        (Firmware::Uefi, false, 2, true),
    ] {
        let mut bench = Bench::new(firmware);
        let found = whole_disk(&mut bench, windows(boot_sector), partition);
        let wanted = runs.then(|| IMAGE.to_owned());
        assert_eq!(found, wanted, "{firmware:?} {boot_sector} {partition}");
        assert_eq!(bench.machine.layout(), ["1 efi 100 blank", "2 data 1000 image"]);
    }
}

#[test]
fn a_disk_without_a_table_of_partitions_does_not_boot() {
    let mut bench = Bench::new(Firmware::Bios);
    assert_eq!(whole_disk(&mut bench, image(), 0), None);
    assert_eq!(bench.machine.state, State::Stuck("No bootable device".into()));
    // Nor is there a filesystem in a partition into which a whole disk was written.
    bench.machine.later(bench.now, Work::Off);
    bench.pass(LONG);
    bench.deployment();
    bench.errand(&errands()[0]);
    let write = Errand::WriteImage { compression: Compression::Zstd, device: "/dev/sda3".into() };
    bench.machine.errand(bench.now, &write, Some(Arc::new(windows(true))));
    assert_eq!(bench.errand(&errands()[2]).0, 32, "it was mounted");
    // What is too large for the disk is not written.
    bench.machine.disk.mib = 20;
    let write = Errand::WriteImage { compression: Compression::Zstd, device: "/dev/sda".into() };
    let (status, said) = bench.errand(&write);
    assert!(status == 1 && said.contains("No space left"), "{said}");
}

#[test]
fn what_a_command_of_before_still_writes_spoils_what_comes_after_it() {
    for tidied in [false, true] {
        let mut bench = Bench::new(Firmware::Bios);
        bench.deployment();
        let (boot, image) = (bench.machine.boot().unwrap(), Arc::new(image()));
        errands()[..3].iter().for_each(|errand| assert_eq!(bench.errand(errand).0, 0));
        let errand = Arc::new(errands()[3].clone());
        let after = bench.machine.tickets();
        bench.machine.later(bench.now + LONG, Work::Orphan { boot, errand, image, after });
        if tidied {
            let directory = "/mnt/dest".into();
            bench.errand(&Errand::Tidy { directory, unmount: true });
            bench.errand(&errands()[2]);
        }
        let (id, device) = ("1".to_owned(), "/dev/sda".to_owned());
        let ticket = DiskTicket { id, device, disk: bench.machine.disk.identity() };
        let unpack = Errand::Ticketed { ticket, errand: Arc::new(errands()[3].clone()) };
        assert_eq!(bench.errand(&unpack).0, 0);
        bench.pass(LONG);
        let check = Errand::CheckFiles {
            root: "/mnt/dest".into(),
            files: vec![("kernel", "/vmlinuz".into())],
        };
        assert_eq!(bench.errand(&check).0 == 0, tidied);
    }
}
