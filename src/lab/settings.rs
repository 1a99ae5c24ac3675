//! The files with which the service runs in the lab, as an administrator would write them.

use super::{
    BMC_USER, BRIDGE, BmcKind, Guest, Hardware, LabError, Place, Plan, REDFISH_PORT, cache_dir,
    error::Context, place::write_private, process::run,
};
use crate::nodes::Firmware;
use std::{
    fmt::Write,
    path::{Path, PathBuf},
    time::Duration,
};

/// `ssh-keygen` takes well under a second.
const KEYGEN_LIMIT: Duration = Duration::from_secs(30);
/// Name of the folder with the scripts that an administrator may start from.
const EXAMPLES: &str = "examples";
/// The two scripts of a cluster, in that folder.
const PARTITION_SCRIPT: &str = "partition-gpt";
const BOOTLOADER_SCRIPT: &str = "install-grub";
/// Files that nodes boot from: their name in the repository, where they are from, who makes them.
const CHAIN: (&str, &str, &str) =
    ("chain.c32", "/usr/lib/syslinux/modules/bios/chain.c32", "package syslinux-common");
const UEFI_LOADER: (&str, &str, &str) =
    ("snponly.efi", "/usr/lib/ipxe/snponly.efi", "package ipxe");

/// Writes to `dir` what `kadence serve --config-dir DIR` needs inside the lab: its files, its
/// keys, and the repository that nodes boot from.
pub async fn write_config(place: &Place, plan: &Plan, dir: &Path) -> Result<(), LabError> {
    let dir = std::path::absolute(dir).context(|| format!("finding {}", dir.display()))?;
    for folder in ["keys", "scripts", "tftp/userfiles", "tftp/pxelinux.cfg", "state", "cache"] {
        let folder = dir.join(folder);
        std::fs::create_dir_all(&folder).context(|| format!("making {}", folder.display()))?;
    }
    let key = dir.join("keys/id_deploy");
    make_key(&key).await?;
    fill_repository(plan, &dir.join("tftp"))?;
    let examples = examples()?;
    for script in [PARTITION_SCRIPT, BOOTLOADER_SCRIPT] {
        copy(&examples.join(script), &dir.join("scripts").join(script), "of the examples")?;
    }
    write(&dir.join("version"), concat!(env!("CARGO_PKG_VERSION"), "\n"))?;
    write(&dir.join("command.conf"), "{}\n")?;
    write(&dir.join("client.conf"), CLIENT_CONF)?;
    write_private(&dir.join("server.conf"), &server_conf(plan, &dir))?;
    write(&dir.join("clusters.conf"), &clusters_conf(place, plan))?;
    let keys = [read(&key.with_extension("pub"))?, read(&place.user_key().with_extension("pub"))?];
    for hardware in kinds(plan) {
        let path = dir.join(format!("{}.conf", cluster(hardware)));
        write(&path, &cluster_conf(place, &dir, hardware, &keys))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, LabError> {
    std::fs::read_to_string(path).context(|| format!("reading {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), LabError> {
    std::fs::write(path, text).context(|| format!("writing {}", path.display()))
}

/// Copies `from`, by a link where that is possible: the ramdisk is large.
fn copy(from: &Path, to: &Path, origin: &'static str) -> Result<(), LabError> {
    if !from.is_file() {
        return Err(LabError::MissingFile { path: from.into(), origin });
    }
    let _ = std::fs::remove_file(to);
    std::fs::hard_link(from, to)
        .or_else(|_| std::fs::copy(from, to).map(drop))
        .context(|| format!("copying {} to {}", from.display(), to.display()))
}

/// The key with which the service logs in; kept if it is there.
async fn make_key(key: &Path) -> Result<(), LabError> {
    if key.exists() {
        return Ok(());
    }
    let path = key.to_string_lossy();
    let args = ["-q", "-t", "ed25519", "-N", "", "-C", "kadence", "-f", &path];
    run("ssh-keygen", &args, "", KEYGEN_LIMIT).await.map(drop)
}

fn fill_repository(plan: &Plan, repository: &Path) -> Result<(), LabError> {
    for file in ["vmlinuz", "initrd.img"] {
        let from = cache_dir().join("deploy").join(file);
        copy(&from, &repository.join(file), "made by ramdisk/build")?;
    }
    let uefi = plan.guests.iter().any(|guest| guest.firmware == Firmware::Uefi);
    for (name, from, origin) in std::iter::once(CHAIN).chain(uefi.then_some(UEFI_LOADER)) {
        copy(Path::new(from), &repository.join(name), origin)?;
    }
    Ok(())
}

/// The examples beside the installed program, or of the source tree it was built in.
fn examples() -> Result<PathBuf, LabError> {
    let program = std::env::current_exe().context(|| "finding this program".into())?;
    let installed =
        program.ancestors().nth(2).map(|prefix| prefix.join("share/kadence").join(EXAMPLES));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(EXAMPLES);
    Ok(installed.filter(|dir| dir.is_dir()).unwrap_or(source))
}

/// The clusters of the lab: machines of one kind each.
fn kinds(plan: &Plan) -> impl Iterator<Item = Hardware> {
    let has = |kind| plan.guests.iter().any(|guest| guest.hardware == kind);
    [Hardware::Virtio, Hardware::Ahci].into_iter().filter(move |kind| has(*kind))
}

fn cluster(hardware: Hardware) -> &'static str {
    match hardware {
        Hardware::Virtio => "lab",
        Hardware::Ahci => "lab-ahci",
    }
}

const CLIENT_CONF: &str = "\
default: lab
servers:
- {name: lab, hostname: 127.0.0.1, port: 25300, secure: false}
";

fn server_conf(plan: &Plan, dir: &Path) -> String {
    let (server, dir) = (plan.subnet.server(), dir.display());
    format!(
        "\
# The service of a lab. Its API is on the loopback address of the lab's namespace alone.
rights: {{kind: dummy, almighty_users: root}}
authentication: {{acl: {{whitelist: [127.0.0.1]}}}}
security: {{secure_server: false, local_only: true}}
network: {{server_hostname: server.lab, ports: {{kadeploy_server: 25300}}}}
state_dir: {dir}/state
cache: {{directory: {dir}/cache, size: 4096}}
windows: {{reboot: {{size: 50, sleep_time: 2}}}}
pxe:
  dhcp:
    method: IPXE
    repository: {dir}/tftp
    export: {{kind: http, server: {server}}}
    profiles: {{directory: pxelinux.cfg, filename: ip_hex}}
    userfiles: {{directory: userfiles, max_size: 256}}
netboot:
  tftp: {{listen: \"{server}:69\"}}
  http: {{listen: \"{server}:80\"}}
  addresses: [{server}]
  dhcp:
    mode: full
    interface: {BRIDGE}
    listen: {server}
    netmask: 255.255.255.0
    # The boot ROM of BIOS nodes is iPXE already.
    bios_loader: ''
    uefi_loader: {}
external:
  default_connector: ssh -l root -q -i {dir}/keys/id_deploy -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5
",
        UEFI_LOADER.0
    )
}

fn clusters_conf(place: &Place, plan: &Plan) -> String {
    let mut text = "clusters:\n".to_owned();
    for kind in kinds(plan) {
        let name = cluster(kind);
        let _ = writeln!(text, "- name: {name}\n  conf_file: {name}.conf\n  nodes:");
        for guest in plan.guests.iter().filter(|guest| guest.hardware == kind) {
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

/// `keys` are the public keys that may log in to the deployment system.
fn cluster_conf(place: &Place, dir: &Path, hardware: Hardware, keys: &[String]) -> String {
    let keys: Vec<String> = keys.iter().filter_map(|key| kernel_word(key)).collect();
    let (dir, keys) = (dir.display(), keys.join(" "));
    let lab = format!("{} lab --name {}", place.program().display(), place.name());
    let state = place.dir().display();
    format!(
        "\
partitioning:
  block_device: {}
  disable_swap: false
  # Number 1 is the boot partition that the script makes.
  partitions: {{swap: 2, deploy: 3}}
  script: {dir}/scripts/{PARTITION_SCRIPT}
boot:
  sleep_time_before_ping: 5
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
# Emulated processors are about ten times slower than real ones.
timeouts: {{reboot: 400, kexec: 300}}
automata:
  macrosteps:
    SetDeploymentEnv: [{{type: Untrusted, timeout: 600, retries: 1}}]
    BroadcastEnv: [{{type: Kascade, timeout: 900, retries: 1}}]
    BootNewEnv: [{{type: Classical, timeout: 600, retries: 0}}, {{type: HardReboot, timeout: 600, retries: 1}}]
",
        hardware.disk()
    )
}

/// A public key as the deployment system takes it on its kernel command line: `kadence.key=TYPE,BASE64`.
fn kernel_word(public: &str) -> Option<String> {
    let mut words = public.split_whitespace();
    Some(format!("kadence.key={},{}", words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Accel, Wishes, plan::tests::wishes};

    fn lab() -> (Place, Plan) {
        let place = Place::new("x", Some("/s".into()), "/opt/kadence".into()).unwrap();
        let wishes = Wishes { ahci: "3".parse().unwrap(), ..wishes(3) };
        (place, Plan::new("x", &wishes, Accel::Tcg).unwrap())
    }

    fn yaml(text: &str) -> serde_json::Value {
        serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    #[test]
    fn each_node_is_told_with_its_bmc() {
        let (place, plan) = lab();
        let text = clusters_conf(&place, &plan);
        let clusters = &yaml(&text)["clusters"];
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
        assert_eq!(clusters[1]["name"], "lab-ahci");
        assert_eq!(clusters[1]["nodes"][0]["name"], "node-3.lab");
    }

    #[test]
    fn the_service_listens_where_the_lab_is() {
        let (place, plan) = lab();
        let server = yaml(&server_conf(&plan, Path::new("/c")));
        assert_eq!(server["netboot"]["tftp"]["listen"], "10.77.0.1:69");
        assert_eq!(server["netboot"]["dhcp"]["interface"], "br0");
        assert_eq!(server["security"]["local_only"], true);
        let keys = ["ssh-ed25519 AAAA kadence\n".to_owned()];
        let file = yaml(&cluster_conf(&place, Path::new("/c"), Hardware::Ahci, &keys));
        assert_eq!(file["partitioning"]["block_device"], "/dev/sda");
        let params = file["boot"]["kernels"]["deploy"]["params"].as_str().unwrap();
        assert!(params.ends_with(" kadence.key=ssh-ed25519,AAAA"), "{params}");
        assert_eq!(
            file["remoteops"]["console"][0]["cmd"],
            "/opt/kadence lab --name x --state-dir /s console HOSTNAME_SHORT"
        );
    }
}
