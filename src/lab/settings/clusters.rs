//! The nodes and, for each kind of machine, its cluster's file.

use super::{
    super::{BMC_USER, BmcKind, BootWay, Guest, Hardware, Label, Place, Plan, REDFISH_PORT},
    BOOTLOADER_SCRIPT,
};
use crate::nodes::Firmware;
use std::{fmt::Write, path::Path};

/// What the nodes of one cluster have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    hardware: Hardware,
    boot: BootWay,
    label: Label,
}

impl Kind {
    /// The kinds of nodes that the lab of `plan` has.
    pub(super) fn all(plan: &Plan) -> impl Iterator<Item = Self> {
        let kinds = [Hardware::Virtio, Hardware::Ahci].into_iter().flat_map(|hardware| {
            [BootWay::Classical, BootWay::Kexec].into_iter().flat_map(move |boot| {
                [Label::Gpt, Label::Msdos].map(|label| Self { hardware, boot, label })
            })
        });
        kinds.filter(|kind| plan.guests.iter().any(|guest| kind.has(guest)))
    }

    /// The name of its cluster.
    pub(super) fn name(self) -> String {
        let parts = [
            ("-ahci", self.hardware == Hardware::Ahci),
            ("-kexec", self.boot == BootWay::Kexec),
            ("-msdos", self.label == Label::Msdos),
        ];
        let parts = parts.iter().filter(|(_, has)| *has).map(|(part, _)| *part);
        std::iter::once("lab").chain(parts).collect()
    }

    fn has(self, guest: &Guest) -> bool {
        (guest.hardware, guest.boot, guest.label) == (self.hardware, self.boot, self.label)
    }
}

/// `clusters.conf`.
pub(super) fn list(place: &Place, plan: &Plan) -> String {
    let mut text = "clusters:\n".to_owned();
    for kind in Kind::all(plan) {
        let name = kind.name();
        let _ = writeln!(text, "- name: {name}\n  conf_file: {name}.conf\n  nodes:");
        for guest in plan.guests.iter().filter(|guest| kind.has(guest)) {
            text += &node(place, guest);
        }
    }
    text
}

fn node(place: &Place, guest: &Guest) -> String {
    let firmware = match guest.firmware {
        Firmware::Bios => "bios",
        Firmware::Uefi => "uefi",
    };
    let bmc = match guest.bmc {
        BmcKind::Ipmi => format!("ipmi, address: {}", guest.bmc_address),
        BmcKind::Redfish => {
            format!("redfish, address: \"http://{}\", port: {REDFISH_PORT}", guest.bmc_address)
        }
    };
    format!(
        "  - name: {}\n    address: {}\n    mac: \"{}\"\n    firmware: {firmware}\n    bmc: {{driver: {bmc}, user: {BMC_USER}, password_file: {}}}\n",
        guest.fqdn(),
        guest.address,
        guest.mac(),
        place.bmc_password().display(),
    )
}

/// What the file of the cluster of one `kind` has besides or instead of the example's; `keys` are the public keys that may log in to the
/// deployment system.
pub(super) fn file(place: &Place, dir: &Path, kind: Kind, keys: &[String]) -> String {
    let keys: Vec<String> = keys.iter().filter_map(|key| kernel_word(key)).collect();
    let (dir, keys) = (dir.display(), keys.join(" "));
    let lab = format!("{} lab --name {}", place.program().display(), place.name());
    let state = place.dir().display();
    let kexec = match kind.boot {
        BootWay::Classical => "",
        BootWay::Kexec => "{type: Kexec, timeout: 900, retries: 0}, ",
    };
    format!(
        "\
partitioning:
  block_device: {}
  disable_swap: false
  script: {dir}/scripts/{}
boot:
  install_bootloader: {dir}/scripts/{BOOTLOADER_SCRIPT}
  kernels:
    user: {{params: \"console=ttyS0,115200\"}}
    deploy:
      vmlinuz: vmlinuz
      initrd: initrd.img
      params: console=ttyS0,115200 panic=10 {keys}
remoteops:
  reboot: [{{name: soft, cmd: DEFAULT_CONNECTOR HOSTNAME_FQDN reboot}}]
  power_off: [{{name: soft, cmd: DEFAULT_CONNECTOR HOSTNAME_FQDN poweroff}}]
  console: [{{name: soft, cmd: {lab} --state-dir {state} console HOSTNAME_SHORT}}]
pxe:
  headers:
    # The boot ROM of QEMU knows no COMBOOT and hangs in chain.c32: BIOS nodes boot their disk by
    # its number, and whoever cannot goes on to the firmware's next device.
    localboot: |
      iseq ${{platform}} pcbios && sanboot --no-describe --drive 0x80 ||
      exit 1
# Emulated processors are about ten times slower than real ones, and may be many on few real ones.
timeouts: {{reboot: 800, kexec: 800}}
automata:
  macrosteps:
    SetDeploymentEnv: [{{type: Untrusted, timeout: 1200, retries: 1}}]
    BroadcastEnv: [{{type: Kascade, timeout: 1800, retries: 1}}]
    BootNewEnv: [{kexec}{{type: Classical, timeout: 900, retries: 0}}, {{type: HardReboot, timeout: 900, retries: 1}}]
",
        kind.hardware.disk(),
        kind.label.script(),
    )
}

/// A public key as the deployment system takes it on its kernel command line: `kadence.key=TYPE,BASE64`.
fn kernel_word(public: &str) -> Option<String> {
    let mut words = public.split_whitespace();
    Some(format!("kadence.key={},{}", words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{lab, yaml};
    use super::*;

    #[test]
    fn each_node_is_told_with_its_bmc() {
        let (place, plan) = lab(|_| ());
        let clusters = &yaml(&list(&place, &plan))["clusters"];
        let first = &clusters[0]["nodes"][0];
        assert_eq!(first["name"], "node-1.lab");
        assert_eq!(first["mac"], "52:54:00:77:00:01");
        assert_eq!(first["bmc"]["driver"], "ipmi");
        assert_eq!(first["bmc"]["password_file"], "/s/secrets/bmc");
        let second = &clusters[0]["nodes"][1];
        assert_eq!(
            (&second["firmware"], &second["bmc"]["driver"]),
            (&"uefi".into(), &"redfish".into())
        );
        assert_eq!(second["bmc"]["port"], 8000);
        assert_eq!(clusters[1]["name"], "lab-ahci-kexec");
        assert_eq!(clusters[1]["nodes"][0]["name"], "node-3.lab");
    }

    #[test]
    fn each_kind_has_its_disk_and_its_way_to_boot() {
        let (place, plan) = lab(|_| ());
        let keys = ["ssh-ed25519 AAAA kadence\n".to_owned()];
        let files: Vec<_> = Kind::all(&plan)
            .map(|kind| yaml(&file(&place, Path::new("/c"), kind, &keys)))
            .collect();
        let disks = ["/dev/vda", "/dev/sda"];
        assert_eq!(
            files.iter().map(|f| &f["partitioning"]["block_device"]).collect::<Vec<_>>(),
            disks
        );
        let first = |file: &serde_json::Value| {
            file["automata"]["macrosteps"]["BootNewEnv"][0]["type"].clone()
        };
        assert_eq!(files.iter().map(first).collect::<Vec<_>>(), ["Classical", "Kexec"]);
        let params = files[1]["boot"]["kernels"]["deploy"]["params"].as_str().unwrap();
        assert!(params.ends_with(" kadence.key=ssh-ed25519,AAAA"), "{params}");
        assert_eq!(
            files[1]["remoteops"]["console"][0]["cmd"],
            "/opt/kadence lab --name x --state-dir /s console HOSTNAME_SHORT"
        );
    }
}
