//! `server.conf`: the service and the servers that nodes boot from.

use super::super::{BRIDGE, Dhcp, Loader, Plan};
use std::path::Path;

/// Where the profiles of a loader are in the repository, and how they are named: where that
/// loader looks for them by itself.
pub(super) fn profiles(loader: Loader) -> (&'static str, &'static str) {
    match loader {
        Loader::Ipxe | Loader::Pxelinux | Loader::Gpxelinux => ("pxelinux.cfg", "ip_hex"),
        Loader::Grub => ("grub.cfg", "ip"),
    }
}

/// The programs that BIOS and UEFI nodes load first. The boot ROM of QEMU's BIOS nodes is iPXE
/// already; there is no PXELINUX here for UEFI.
pub(super) fn programs(loader: Loader) -> (&'static str, &'static str) {
    match loader {
        Loader::Ipxe => ("", "snponly.efi"),
        Loader::Pxelinux => ("pxelinux.0", ""),
        Loader::Gpxelinux => ("lpxelinux.0", ""),
        Loader::Grub => ("core.0", "core.efi"),
    }
}

/// What `server.conf` has besides or instead of the example's, for the service of the lab of `plan`,
/// whose files are in `dir`.
pub(super) fn text(plan: &Plan, dir: &Path) -> String {
    let (server, dir) = (plan.subnet.server(), dir.display());
    let (method, export) = match plan.loader {
        Loader::Ipxe => ("IPXE", "http"),
        Loader::Pxelinux => ("PXElinux", "tftp"),
        Loader::Gpxelinux => ("GPXElinux", "http"),
        Loader::Grub => ("GrubPXE", "tftp"),
    };
    let (directory, filename) = profiles(plan.loader);
    let (bios, uefi) = programs(plan.loader);
    let dhcp = match plan.dhcp {
        Dhcp::Full => "mode: full\n    netmask: 255.255.255.0",
        Dhcp::Proxy => "mode: proxy",
    };
    format!(
        "\
rights: {{kind: dummy, almighty_users: root}}
authentication: {{acl: {{whitelist: [127.0.0.1]}}}}
network: {{server_hostname: server.lab, ports: {{kadeploy_server: 25300}}}}
ssh_private_key: {dir}/keys/id_deploy
logs: {{logfile: {dir}/kadence.log}}
state_dir: {dir}/state
cache: {{directory: {dir}/cache, size: 4096}}
pxe:
  dhcp:
    method: {method}
    repository: {dir}/tftp
    export: {{kind: {export}, server: {server}}}
    profiles: {{directory: {directory}, filename: {filename}}}
    userfiles: {{directory: userfiles, max_size: 256}}
netboot:
  tftp: {{listen: \"{server}:69\"}}
  http: {{listen: \"{server}:80\"}}
  addresses: [{server}]
  dhcp:
    {dhcp}
    interface: {BRIDGE}
    listen: {server}
    bios_loader: '{bios}'
    uefi_loader: '{uefi}'
external:
  default_connector: ssh -l root -q -i {dir}/keys/id_deploy -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5
"
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{lab, yaml};
    use super::*;
    use crate::lab::Numbers;

    #[test]
    fn the_service_listens_where_the_lab_is() {
        let (_, plan) = lab(|_| ());
        let server = yaml(&text(&plan, Path::new("/c")));
        assert_eq!(server["netboot"]["tftp"]["listen"], "10.77.0.1:69");
        assert_eq!(server["netboot"]["dhcp"]["interface"], "br0");
        assert_eq!(server["netboot"]["dhcp"]["mode"], "full");
        assert_eq!(server["netboot"]["dhcp"]["uefi_loader"], "snponly.efi");
    }

    #[test]
    fn each_loader_has_its_method_and_its_program() {
        for (loader, method, program) in [
            (Loader::Pxelinux, "PXElinux", "pxelinux.0"),
            (Loader::Gpxelinux, "GPXElinux", "lpxelinux.0"),
            (Loader::Grub, "GrubPXE", "core.0"),
        ] {
            let (_, plan) = lab(|wishes| {
                (wishes.loader, wishes.dhcp) = (loader, Dhcp::Proxy);
                wishes.uefi = Numbers::default();
            });
            let server = yaml(&text(&plan, Path::new("/c")));
            assert_eq!(server["pxe"]["dhcp"]["method"], method);
            assert_eq!(server["netboot"]["dhcp"]["bios_loader"], program);
            assert_eq!(server["netboot"]["dhcp"]["mode"], "proxy");
        }
    }
}
