mod golden;

use super::*;
use golden::TEXTS;
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn factory(method: Method, transport: Transport, firmware: Firmware) -> Factory {
    let server = match transport {
        Transport::Tftp => "",
        Transport::Http => "boot.site:8080",
        Transport::Ftp => "boot.site",
    };
    Factory { method, export: Export { transport, server: server.to_owned() }, firmware }
}

fn network(kernel: &str, initrd: Option<&str>, params: &str) -> Boot {
    let (kernel, params) = (kernel.to_owned(), params.to_owned());
    Boot::Network { kernel, initrd: initrd.map(str::to_owned), params }
}

fn local(os: OsKind) -> Boot {
    let (root, chain) = ("/dev/sda3".to_owned(), "chain.c32".to_owned());
    Boot::Local(Local { disk: 0, partition: 3, root, os, chain })
}

fn linux(initrd: Option<&str>) -> OsKind {
    let (kernel, params) = ("/boot/vmlinuz".to_owned(), "ro quiet".to_owned());
    OsKind::Linux { kernel, initrd: initrd.map(str::to_owned), params }
}

fn xen(initrd: Option<&str>) -> OsKind {
    OsKind::Xen {
        hypervisor: "/boot/xen.gz".to_owned(),
        hypervisor_params: "dom0_mem=1G".to_owned(),
        kernel: "/boot/vmlinuz".to_owned(),
        initrd: initrd.map(str::to_owned),
        params: "ro quiet".to_owned(),
    }
}

fn case(name: &str) -> Boot {
    match name {
        "network" => network("kernels/vmlinuz", Some("kernels/initrd"), "ro quiet"),
        "nfsroot" => network("kernels/vmlinuz", None, "ro quiet"),
        "chain" => Boot::Chain("loader.bin".to_owned()),
        "linux" => local(linux(Some("/boot/initrd"))),
        "linux_bare" => local(linux(None)),
        "xen" => local(xen(Some("/boot/initrd"))),
        "xen_bare" => local(xen(None)),
        "other" => local(OsKind::Other),
        other => panic!("no case {other}"),
    }
}

/// GRUB counts partitions from 1: `(hd0,0)` is none, and its boot would end in an error.
#[test]
fn grub_names_the_disk_itself_without_a_partition() {
    let Boot::Local(disk) = local(OsKind::Other) else { unreachable!() };
    let disk = Boot::Local(Local { disk: 1, partition: 0, root: String::new(), ..disk });
    let text = factory(Method::GrubPxe, Transport::Tftp, Firmware::Bios).render(&disk, "").unwrap();
    assert!(text.contains("set root=(hd1)\n\tchainloader +1"), "{text}");
}

#[test]
fn every_combination_has_its_text() {
    for (method, transport, name, header, text) in TEXTS {
        let factory = factory(*method, *transport, Firmware::Bios);
        let rendered = factory.render(&case(name), header);
        assert_eq!(rendered.as_deref(), Ok(*text), "{method} {transport} {name} {header:?}");
    }
}

#[test]
fn the_table_misses_no_combination() {
    for method in Method::ALL {
        for transport in [Transport::Tftp, Transport::Http, Transport::Ftp] {
            let export = factory(method, transport, Firmware::Bios).export;
            let rows = TEXTS.iter().filter(|row| row.0 == method && row.1 == transport);
            let mut cases: Vec<_> = rows.map(|row| (row.2, row.3.is_empty())).collect();
            cases.sort_unstable();
            cases.dedup();
            let kinds = if method == Method::GrubPxe { 8 } else { 4 };
            let expected = if export.supported_by(method).is_ok() { 2 * kinds } else { 0 };
            assert_eq!(cases.len(), expected, "{method} {transport}");
        }
    }
}

#[test]
fn an_export_that_a_loader_cannot_read_is_refused_with_what_it_can() {
    let refused = |method, transport: Transport| {
        let factory = factory(method, transport, Firmware::Bios);
        factory.render(&case("network"), "").unwrap_err().to_string()
    };
    assert_eq!(
        refused(Method::PxeLinux, Transport::Http),
        "PXElinux cannot read by http: use tftp"
    );
    assert_eq!(refused(Method::PxeLinux, Transport::Ftp), "PXElinux cannot read by ftp: use tftp");
    assert_eq!(
        refused(Method::GrubPxe, Transport::Ftp),
        "GrubPXE cannot read by ftp: use tftp, http"
    );
}

#[test]
fn uefi_nodes() {
    let render = |method, name: &str| {
        factory(method, Transport::Http, Firmware::Uefi).render(&case(name), "echo hello")
    };
    let url = "http://boot.site:8080";
    for (name, text) in [
        ("linux", "#!ipxe\necho hello\nexit 1".to_owned()),
        ("other", "#!ipxe\necho hello\nexit 1".to_owned()),
        (
            "network",
            format!(
                "#!ipxe\necho hello\ninitrd {url}/kernels/initrd\n\
                 chain {url}/kernels/vmlinuz initrd=initrd ro quiet"
            ),
        ),
        ("nfsroot", format!("#!ipxe\necho hello\nchain {url}/kernels/vmlinuz ro quiet")),
        ("chain", format!("#!ipxe\necho hello\nchain {url}/loader.bin")),
    ] {
        assert_eq!(render(Method::Ipxe, name), Ok(text), "{name}");
    }
    let search = "echo hello\n\ntimeout=0\ndefault=0\nmenuentry local {\n\
        \tif search --no-floppy --file --set=root /EFI/BOOT/BOOTX64.EFI; then\n\
        \t\tchainloader /EFI/BOOT/BOOTX64.EFI\n\
        \telif search --no-floppy --file --set=root /EFI/debian/grubx64.efi; then\n\
        \t\tchainloader /EFI/debian/grubx64.efi\n\
        \telse\n\t\texit 1\n\tfi\n}";
    assert_eq!(render(Method::GrubPxe, "linux").as_deref(), Ok(search));
    for method in [Method::PxeLinux, Method::GPxeLinux] {
        let refused = factory(method, Transport::Tftp, Firmware::Uefi).render(&case("network"), "");
        assert_eq!(refused, Err(ProfileError::Uefi(method)));
    }
}

#[test]
fn names() {
    let address = Ipv4Addr::new(10, 0, 0, 12);
    for (naming, name) in [
        ("ip", "10.0.0.12"),
        ("ip_hex", "0A00000C"),
        ("hostname", "node-12.site.example.org"),
        ("hostname_short", "node-12"),
    ] {
        let naming: Naming = naming.parse().unwrap();
        assert_eq!(naming.file_name(address, "node-12.site.example.org").as_deref(), Ok(name));
    }
    for hostile in ["", "..", "../x", "a/b", "a\nb", ".hidden", "a\0"] {
        let refused = Naming::Hostname.file_name(address, hostile);
        assert_eq!(refused, Err(ProfileError::Name(hostile.to_owned())));
    }
}

#[test]
fn a_loader_that_is_not_the_first_is_chained_to() {
    let loader = |method, binary: &str| Loader { method, binary: binary.to_owned() };
    let first = loader(Method::PxeLinux, "pxelinux.0");
    assert!(!first.needs_chain_from(&first.clone()));
    assert!(loader(Method::Ipxe, "pxelinux.0").needs_chain_from(&first));
    assert!(loader(Method::PxeLinux, "lpxelinux.0").needs_chain_from(&first));
}

#[test]
fn custom_text_is_used_as_it_is_after_substitution() {
    let prefix =
        factory(Method::Ipxe, Transport::Http, Firmware::Bios).exported("userfiles/pxe-ann");
    let text = "chain FILES_PREFIX--k id=NODE_SINGULARITY NODE_SINGULARITY\n\n";
    let chain = "chain http://boot.site:8080/userfiles/pxe-ann--k";
    let given = substitute(text, Some("7"), &prefix);
    assert_eq!(given, format!("{chain} id=7 7\n\n"));
    assert_eq!(substitute(text, Some(""), &prefix), format!("{chain} id= \n\n"));
    assert_eq!(
        substitute(text, None, &prefix),
        format!("{chain} id=NODE_SINGULARITY NODE_SINGULARITY\n\n")
    );
    for method in Method::ALL {
        let factory = factory(method, Transport::Tftp, Firmware::Uefi);
        assert_eq!(factory.render(&Boot::Custom(given.clone()), "unused"), Ok(given.clone()));
    }
}

#[test]
fn a_value_that_a_loader_would_read_as_a_command_is_refused() {
    for (method, params) in [(Method::PxeLinux, "ro\nLABEL x"), (Method::GPxeLinux, "ro\r")] {
        let boot = network("vmlinuz", None, params);
        let refused = factory(method, Transport::Tftp, Firmware::Bios).render(&boot, "");
        assert!(matches!(refused, Err(ProfileError::Value { .. })), "{method} {params:?}");
    }
    // What GRUB loads from a disk is a user's.
    for params in ["ro; reboot", "ro }", "ro \"x", "ro $x"] {
        let OsKind::Linux { kernel, initrd, .. } = linux(None) else { unreachable!() };
        let boot = local(OsKind::Linux { kernel, initrd, params: params.to_owned() });
        let refused = factory(Method::GrubPxe, Transport::Tftp, Firmware::Bios).render(&boot, "");
        assert!(matches!(refused, Err(ProfileError::Value { .. })), "{params:?}");
    }
    let bios = factory(Method::Ipxe, Transport::Tftp, Firmware::Bios);
    assert!(bios.render(&network("vm linuz", None, ""), "").is_err());
    assert!(bios.render(&network("", None, ""), "").is_err());
    assert!(bios.render(&network("vmlinuz", None, ""), "echo\0").is_err());
    let server = Export { transport: Transport::Http, server: "a/b\n".to_owned() };
    assert!(Factory { export: server, ..bios }.render(&case("network"), "").is_err());
}

/// The administrator knows the loader, and may use what it can do.
#[test]
fn what_the_site_says_is_written_as_it_is() {
    for (method, params) in [
        (Method::Ipxe, "ro BOOTIF=${net0/mac} x=1 || shell"),
        (Method::GrubPxe, "ro BOOTIF=$net_default_mac x=\"a;b\" {}"),
    ] {
        let boot = network("kernels/vmlinuz", None, params);
        let text = factory(method, Transport::Tftp, Firmware::Bios).render(&boot, "").unwrap();
        assert!(text.contains(&format!("kernels/vmlinuz {params}")), "{text}");
    }
}

#[test]
fn ordinary_parameters_are_accepted_by_every_loader() {
    let params =
        "console=tty0 console=ttyS0,115200n8 ip=dhcp nfsroot=10.0.0.1:/srv,vers=3 x=\"a b\"";
    for method in Method::ALL {
        let boot = network("kernels/vmlinuz-6.1+deb12~1", Some("kernels/initrd.img"), params);
        factory(method, Transport::Tftp, Firmware::Bios).render(&boot, "").unwrap();
    }
}

proptest! {
    /// Whatever is put in, a profile that comes out has the lines of its kind and
    /// no control character; all other values are refused.
    #[test]
    fn no_value_adds_a_line(
        kernel in "\\PC{1,6}|[a-z/\\n\\r\\t \\x00-\\x1f\u{85}\u{2028}]{0,8}",
        params in "\\PC{0,6}|[a-z =;$\\n\\r\\x00\\x0b\\x0c\u{85}\u{2028}\\-]{0,8}",
        method in prop::sample::select(Method::ALL.to_vec()),
    ) {
        let factory = factory(method, Transport::Tftp, Firmware::Bios);
        let plain = factory.render(&network("k", None, "p"), "").unwrap();
        let hostile = |text: &str| text.contains(|c: char| c.is_control() || c == '\u{2028}');
        match factory.render(&network(&kernel, None, &params), "") {
            Ok(text) => {
                prop_assert_eq!(text.lines().count(), plain.lines().count());
                prop_assert!(!hostile(&kernel) && !hostile(&params));
                prop_assert!(!text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
            }
            Err(error) => prop_assert!(matches!(error, ProfileError::Value { .. }), "{}", error),
        }
    }
}
