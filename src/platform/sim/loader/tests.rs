use super::*;
use netboot::profile::{Boot, Export, Factory, Local, OsKind, Transport};

fn factory(method: Method, firmware: Firmware) -> Factory {
    let transport = if method == Method::PxeLinux { Transport::Tftp } else { Transport::Http };
    let firmware = match firmware {
        Firmware::Bios => netboot::Firmware::Bios,
        Firmware::Uefi => netboot::Firmware::Uefi,
    };
    Factory { method, export: Export { transport, server: "10.0.0.1".into() }, firmware }
}

fn rendered(method: Method, firmware: Firmware, boot: &Boot) -> Verdict {
    let header = match method {
        Method::Ipxe => "echo hello\n",
        Method::GrubPxe => "serial --unit=0\n",
        Method::PxeLinux | Method::GPxeLinux => "SERIAL 0 115200\nPROMPT 0\n",
    };
    read(method, &factory(method, firmware).render(boot, header).unwrap(), firmware)
}

fn local(partition: u32) -> Local {
    Local {
        disk: 0,
        partition,
        root: "/dev/sda3".into(),
        os: OsKind::Linux {
            kernel: "/vmlinuz".into(),
            initrd: Some("/initrd".into()),
            params: "ro".into(),
        },
        chain: "chain.c32".into(),
    }
}

#[test]
fn every_loader_reads_the_profiles_that_are_made_for_it() {
    let boot = Boot::Network {
        kernel: "k/vm".into(),
        initrd: Some("k/rd".into()),
        params: "ro x=1".into(),
    };
    for method in Method::ALL {
        let Ok(Decision::Start { program, ramdisk, arguments }) =
            rendered(method, Firmware::Bios, &boot)
        else {
            panic!("{method}");
        };
        assert!(program.ends_with("/k/vm"), "{method}: {program}");
        assert!(ramdisk.unwrap().ends_with("/k/rd"), "{method}");
        assert!(arguments.ends_with("ro x=1"), "{method}: {arguments}");
        let Ok(Decision::Start { program, .. }) =
            rendered(method, Firmware::Bios, &Boot::Chain("b.0".into()))
        else {
            panic!("{method}");
        };
        assert!(program.ends_with("/b.0"), "{method}: {program}");
    }
}

#[test]
fn what_is_installed_is_started_from_its_partition() {
    let boot = Boot::Local(local(3));
    for method in [Method::PxeLinux, Method::GPxeLinux, Method::Ipxe] {
        let Ok(Decision::Start { program, arguments, .. }) =
            rendered(method, Firmware::Bios, &boot)
        else {
            panic!("{method}");
        };
        assert!(program.ends_with("/chain.c32"));
        assert_eq!(chain(&arguments), Ok(Decision::BootSector(3)));
    }
    let kernel = Decision::Kernel {
        partition: 3,
        files: vec!["/vmlinuz".into(), "/initrd".into()],
        params: "ro root=/dev/sda3".into(),
    };
    assert_eq!(rendered(Method::GrubPxe, Firmware::Bios, &boot), Ok(kernel));
    assert_eq!(rendered(Method::GrubPxe, Firmware::Uefi, &boot), Ok(Decision::EfiLoader));
    assert_eq!(rendered(Method::Ipxe, Firmware::Uefi, &boot), Ok(Decision::NextDevice));
}

#[test]
fn the_whole_disk_can_be_started_by_every_loader() {
    let disk = Boot::Local(Local { os: OsKind::Other, ..local(0) });
    for method in [Method::PxeLinux, Method::GPxeLinux, Method::Ipxe] {
        let Ok(Decision::Start { arguments, .. }) = rendered(method, Firmware::Bios, &disk) else {
            panic!("{method}");
        };
        assert_eq!(chain(&arguments), Ok(Decision::BootSector(0)));
    }
    assert_eq!(rendered(Method::GrubPxe, Firmware::Bios, &disk), Ok(Decision::BootSector(0)));
}

#[test]
fn under_efi_a_kernel_gets_the_ramdisk_that_it_names() {
    let boot =
        Boot::Network { kernel: "k/vm".into(), initrd: Some("k/rd".into()), params: "ro".into() };
    let Ok(Decision::Start { ramdisk, .. }) = rendered(Method::Ipxe, Firmware::Uefi, &boot) else {
        panic!()
    };
    assert!(ramdisk.is_some());
    let unnamed = "#!ipxe\ninitrd http://10.0.0.1/k/rd\nchain http://10.0.0.1/k/vm ro";
    let Ok(Decision::Start { ramdisk, .. }) = read(Method::Ipxe, unnamed, Firmware::Uefi) else {
        panic!()
    };
    assert_eq!(ramdisk, None);
}

#[test]
fn a_broken_profile_is_found_out() {
    let cases = [
        (Method::Ipxe, "chain http://x/y", "not a script"),
        (Method::Ipxe, "#!ipxe\nboot-me", "command not found"),
        (Method::PxeLinux, "LABEL a\nKERNEL b", "DEFAULT"),
        (Method::PxeLinux, "DEFAULT a\nLABEL b\nKERNEL c", "Could not find kernel image: a"),
        (Method::GrubPxe, "default=0", "no menu entry"),
        (
            Method::GrubPxe,
            "menuentry a {\n\tset root=(hd0,0)\n\tchainloader +1\n}",
            "no such partition",
        ),
        (Method::GrubPxe, "menuentry a {\n\tset root=(hd7,1)\n\tchainloader +1\n}", "not found"),
        (Method::GrubPxe, "menuentry a {\n\tlinus /x\n}", "can't find command"),
    ];
    for (method, text, words) in cases {
        let verdict = read(method, text, Firmware::Bios);
        assert!(verdict.as_ref().is_err_and(|why| why.contains(words)), "{text}: {verdict:?}");
    }
    assert!(chain("hd1 3").is_err() && chain("3").is_err());
}
