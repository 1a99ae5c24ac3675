//! What loads, and what it comes to.

use crate::site::Site;
use config::model::{
    DhcpMode, InstanceKind, Level, Method, RemoteAction, Timeout, partitioning::Part,
};
use config::{BmcDriver, Firmware, Platform, expand, substitute};
use std::{fmt::Write as _, time::Duration};

#[test]
fn a_small_complete_site() {
    let site = Site::new();
    let config = site.loaded().config;
    assert_eq!(config.version, "3.3.11");
    assert_eq!(config.server.network.ports.kadeploy_server, 25390);
    assert_eq!(config.server.ssh_private_key, site.path("etc/keys/id_deploy"));
    assert_eq!(config.server.cache.size.bytes(), 100 << 20);
    assert_eq!(config.server.windows.check.size, 50);
    assert_eq!(config.server.autoclean_threshold.0, Duration::from_secs(360 * 60));
    assert_eq!(config.server.rights.almighty().collect::<Vec<_>>(), ["root", "deploy"]);
    let pxe = &config.server.pxe;
    assert_eq!(pxe.networkboot, pxe.dhcp);
    assert_eq!(pxe.localboot.method, Method::GrubPxe);
    assert_eq!(pxe.localboot.profiles_dir, site.path("etc/../tftp/grub.cfg"));
    assert!(!config.server.netboot.serves_profiles());
    assert_eq!(config.server.netboot.dhcp.mode, DhcpMode::Off);

    let names: Vec<_> = config.nodes().map(|(_, node)| node.name.as_str()).collect();
    let mut expected = expand("node-[1-3].testbed.lan").unwrap();
    expected.push("beta-1.testbed.lan".into());
    assert_eq!(names, expected);
    let (cluster, node) = config.node("node-2.testbed.lan").unwrap();
    assert_eq!((cluster.name.as_str(), node.address), ("alpha", [127, 0, 1, 2].into()));
    assert_eq!(cluster.boot.kernels.deploy.vmlinuz, "kernels/vmlinuz");
    assert!(cluster.boot.kernels.deploy.supported_fs.contains("ext3"));
    assert_eq!(cluster.partitioning.script, site.path("etc/part.sh"));
    assert_eq!(cluster.automata.set_deployment_env[0].kind, InstanceKind::Dummy);
    assert_eq!(cluster.timeouts.reboot.of(7), Ok(Duration::from_secs(6)));
    assert_eq!((cluster.platform, cluster.require_reboot_proof), (Platform::Real, false));
    assert_eq!(config.cluster("beta").unwrap().prefix.as_deref(), Some("bt"));
}

#[test]
fn commands_by_action_and_level() {
    let site = Site::new();
    site.write(
        "command.conf",
        "node-2.testbed.lan: {reboot_hard: \"pdu HOSTNAME_FQDN\", console: cu}\n",
    );
    let config = site.loaded().config;
    let command = |name: &str, action, level| {
        let (cluster, node) = config.node(name).unwrap();
        cluster.command(node, action, level).map(|c| substitute(&c.text, name).unwrap())
    };
    let (one, two) = ("node-1.testbed.lan", "node-2.testbed.lan");
    let soft = command(one, RemoteAction::Reboot, Level::Soft).unwrap();
    assert!(soft.starts_with("ssh -A -l root") && soft.ends_with(" node-1.testbed.lan reboot"));
    assert_eq!(command(one, RemoteAction::Reboot, Level::Hard).unwrap(), "ipmi-cycle node-1");
    assert_eq!(command(two, RemoteAction::Reboot, Level::Hard).unwrap(), format!("pdu {two}"));
    assert_eq!(command(two, RemoteAction::Console, Level::Hard).unwrap(), "cu");
    assert_eq!(command(one, RemoteAction::Reboot, Level::VeryHard), None);
    assert_eq!(command(one, RemoteAction::PowerOn, Level::Soft), None);
    assert_eq!(command(one, RemoteAction::PowerStatus, Level::Soft).unwrap(), "ipmi-status node-1");
}

#[test]
fn commands_by_position_and_by_names_of_the_site() {
    let site = Site::new();
    site.edit(
        "alpha-cluster.conf",
        "power_on: [{name: hard,",
        "power_off: [a x, '', c y]\n  power_on: [{name: hard,",
    );
    site.edit("beta-cluster.conf", "remoteops:", "remoteops:\n  level_name: [soft, hard]");
    let config = site.loaded().config;
    let ops = &config.cluster("alpha").unwrap().remoteops;
    assert_eq!(
        ops.levels(RemoteAction::PowerOff).collect::<Vec<_>>(),
        [Level::Soft, Level::VeryHard]
    );
    assert_eq!(ops.command(RemoteAction::PowerOff, Level::VeryHard).unwrap().text, "c y");
}

#[test]
fn commands_of_groups_of_nodes() {
    let site = Site::new();
    std::fs::write(site.path("etc/groups"), "# by chassis\nnode-1,node-2\n\nnode-3\n").unwrap();
    let hard = "{name: hard, cmd: \"ipmi-on HOSTNAME_SHORT\"";
    site.edit("alpha-cluster.conf", hard, &format!("{hard}, group: groups"));
    let config = site.loaded().config;
    let ops = &config.cluster("alpha").unwrap().remoteops;
    let groups = &ops.command(RemoteAction::PowerOn, Level::Hard).unwrap().groups;
    assert_eq!(groups, &[vec!["node-1", "node-2"], vec!["node-3"]]);
    std::fs::write(site.path("etc/groups"), "node-1,$(reboot)\n").unwrap();
    assert!(site.told().contains("the name \"$(reboot)\""), "{}", site.told());
}

#[test]
fn a_site_of_our_own() {
    let site = Site::new();
    let server = r"
authentication: {acl: {whitelist: [127.0.0.1, 10.77.0.0/24, /lab$/]}}
cache: {directory: ROOT/cache, size: 100}
state_dir: ROOT/state
pxe: {dhcp: {method: IPXE, repository: ROOT/tftp, userfiles: {directory: userfiles, max_size: 50}, profiles: {directory: none}}}
netboot:
  tftp: 10.77.0.1:69
  http: on
  dhcp: {mode: full, interface: br0, listen: 10.77.0.1, netmask: 255.255.255.0, bios_loader: ''}
";
    site.write("server.conf", server);
    let clusters = r"
clusters:
- name: lab
  conf_file: alpha-cluster.conf
  platform: sim
  require_reboot_proof: true
  sim: {seed: 7, faults: 20}
  nodes:
  - &first {name: 'n-[1-2].lab', address: '10.77.0.[11-12]', mac: ['52:54:00:00:00:01', 52-54-00-00-00-0A],
     bmc: {driver: ipmi, address: '10.77.1.[1-2]', user: admin, password_file: keys/id_deploy}}
  - {<<: *first, name: n-3.lab, address: 10.77.0.13, mac: [52:54:00:00:00:03, 52:54:00:00:00:04],
     firmware: uefi, rack: r1, bmc: {driver: redfish, address: bmc-3.lab, port: 8443, user: admin, password_file: keys/id_deploy}}
";
    site.write("clusters.conf", clusters);
    let config = site.loaded().config;
    let netboot = &config.server.netboot;
    assert!(config.server.database.is_none() && netboot.serves_profiles());
    assert_eq!(netboot.tftp.as_ref().unwrap().listen, "10.77.0.1:69".parse().unwrap());
    assert_eq!(netboot.http.as_ref().unwrap().listen.port(), 80);
    assert_eq!(
        (netboot.dhcp.mode, netboot.dhcp.lease),
        (DhcpMode::Full, Duration::from_secs(3600))
    );
    assert_eq!(
        (netboot.dhcp.bios_loader.as_deref(), netboot.dhcp.uefi_loader.as_deref()),
        (None, Some("snponly.efi"))
    );
    let cluster = config.cluster("lab").unwrap();
    assert_eq!((cluster.platform, cluster.sim.seed, cluster.nodes.len()), (Platform::Sim, 7, 3));
    assert!(cluster.require_reboot_proof);
    let (_, second) = config.node("n-2.lab").unwrap();
    assert_eq!(second.macs, ["52:54:00:00:00:0a"]);
    assert_eq!(second.bmc.as_ref().unwrap().address, "10.77.1.2");
    let (_, third) = config.node("n-3.lab").unwrap();
    assert_eq!((third.firmware, third.macs.len()), (Firmware::Uefi, 2));
    assert_eq!(third.bmc.as_ref().unwrap().driver, BmcDriver::Redfish);
    assert_eq!(third.bmc.as_ref().unwrap().port, Some(8443));
}

#[test]
fn files_by_their_old_names() {
    let site = Site::new();
    for (new, old) in [
        ("server.conf", "server_conf.yml"),
        ("clusters.conf", "clusters.yml"),
        ("command.conf", "cmd.yml"),
    ] {
        std::fs::rename(site.path("etc").join(new), site.path("etc").join(old)).unwrap();
    }
    let old: Vec<_> = site
        .loaded()
        .notices
        .iter()
        .filter(|n| n.text.starts_with("old name"))
        .map(|n| n.text.clone())
        .collect();
    assert_eq!(
        old,
        ["old name of `server.conf`", "old name of `clusters.conf`", "old name of `command.conf`"]
    );
}

#[test]
fn what_has_no_effect_is_said_once_per_key() {
    let site = Site::new();
    site.edit(
        "server.conf",
        "windows: {reboot: {size: 50, sleep_time: 2}}",
        "windows: {rebot: {size: 50}}",
    );
    let expected = [
        "1:11: database: has no effect: replaced by the embedded store",
        "5:15: authentication/http_basic: passwords travel in the clear: set security/secure_server to true",
        "10:11: windows/rebot: unknown key, ignored, did you mean `reboot`?",
        "20:37: external/taktuk/auto_propagate: has no effect: replaced by our own ssh sessions",
    ];
    let told = site.notices("server.conf");
    assert_eq!(told, expected.map(|text| format!("ROOT/etc/server.conf:{text}")));
}

#[test]
fn a_timeout_that_is_an_expression_is_one_of_the_number_of_nodes() {
    let site = Site::new();
    site.edit("alpha-cluster.conf", "reboot: 6, kexec: 5", "reboot: 100 + n, kexec: '45'");
    let config = site.loaded().config;
    let timeouts = &config.cluster("alpha").unwrap().timeouts;
    let of = |timeout: &Timeout, n| timeout.of(n).unwrap().as_secs();
    assert_eq!([1, 30].map(|n| of(&timeouts.reboot, n)), [101, 130]);
    assert_eq!(of(&timeouts.kexec, 30), 45);
    assert_eq!(site.notices("alpha-cluster.conf"), [""; 0]);
    // What it would do in another language, it does not.
    site.edit("alpha-cluster.conf", "100 + n", "'100 + `reboot`'");
    let told = site.told();
    assert!(told.contains("'100 + `reboot`', character 7: '`' has no meaning here"), "{told}");
}

#[test]
fn newer_keys_of_generated_files() {
    let site = Site::new();
    let disks = "block_device: disk0, disk_path: {disk1: 'pci-0000:18:00.0-nvme-1', disk0: ''}, deploy_label: PROD, disable_swap: true, script: part.sh";
    let old = "block_device: /dev/sda, partitions: {swap: 1, prod: 2, deploy: 3, tmp: 5}, script: part.sh";
    site.edit("alpha-cluster.conf", old, disks);
    site.edit(
        "alpha-cluster.conf",
        "automata:",
        "custom_variables: {SITE_PROXY: http://p}\nkexec: {disable_swap: true}\ntrusted_deployment: {partition: PROD, envs: [{name: std, user: root}]}\narch: {default: x86_64, supported: 'x86_64, aarch64'}\nautomata:",
    );
    let config = site.loaded().config;
    let cluster = config.cluster("alpha").unwrap();
    let disk = |name: &str| cluster.partitioning.disk(name);
    assert_eq!(disk("disk0").as_deref(), Some("disk0"));
    assert_eq!(disk("disk1").as_deref(), Some("/dev/disk/by-path/pci-0000:18:00.0-nvme-1"));
    assert_eq!((disk("/dev/sdb").as_deref(), disk("system")), (Some("/dev/sdb"), None));
    assert!(cluster.disables_swap() && cluster.arch.supported.contains("aarch64"));
    let told = site.notices("alpha-cluster.conf");
    assert!(
        told.len() == 1
            && told[0].ends_with("taken for `partitioning/disable_swap`, where it belongs"),
        "{told:?}"
    );
    site.edit("alpha-cluster.conf", "SITE_PROXY", "'A=$(reboot)'");
    assert!(site.told().contains("the variable `A=$(reboot)`"), "{}", site.told());
}

#[test]
fn a_new_root_under_the_old_kernel_is_refused_with_the_reason() {
    let site = Site::new();
    let dummy = "BootNewEnv: [{type: Dummy";
    site.edit("alpha-cluster.conf", dummy, "BootNewEnv: [{type: PivotRoot");
    let told = site.told();
    assert!(told.contains("`PivotRoot`") && told.contains("without its own kernel"), "{told}");
}

#[test]
fn defaults_of_the_macrosteps() {
    let site = Site::new();
    let text = std::fs::read_to_string(site.path("etc/beta-cluster.conf")).unwrap();
    site.write("beta-cluster.conf", text.split("automata:").next().unwrap());
    let config = site.loaded().config;
    let automata = &config.cluster("beta").unwrap().automata;
    let ways: Vec<_> = automata
        .boot_new_env
        .iter()
        .map(|way| (way.kind, way.timeout.as_secs(), way.retries))
        .collect();
    assert_eq!(ways, [(InstanceKind::Classical, 150, 0), (InstanceKind::HardReboot, 120, 1)]);
    assert_eq!(automata.set_deployment_env[0].retries, 2);
}

#[test]
fn a_client() {
    let site = Site::new();
    site.write(
        "client.conf",
        "default: lab\nservers:\n- {name: lab, hostname: localhost, port: 25300}\n",
    );
    let client = config::load_client(&site.path("etc")).unwrap().client;
    let server = client.server(None).unwrap();
    assert_eq!((server.hostname.as_str(), server.port, server.secure), ("localhost", 25300, true));
    assert_eq!(client.server(Some("other")), None);
}

#[test]
fn secrets_are_not_shown() {
    let site = Site::new();
    let loaded = site.loaded();
    assert_eq!(loaded.config.server.database.as_ref().unwrap().passwd.expose(), "hunter2");
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn ten_thousand_nodes() {
    let site = Site::new();
    let mut clusters =
        String::from("clusters:\n- name: big\n  conf_file: alpha-cluster.conf\n  nodes:\n");
    let mut commands = String::new();
    for n in 0..10_000 {
        let (high, low) = (n / 200, n % 200);
        let _ = writeln!(
            clusters,
            "  - {{name: n-{n}.lan, address: 10.0.{high}.{low}, mac: '52:54:00:00:{high:02x}:{low:02x}'}}"
        );
        let _ = writeln!(commands, "n-{n}.lan: {{reboot_hard: pdu {n}}}");
    }
    site.write("clusters.conf", &clusters);
    site.write("command.conf", &commands);
    let config = site.loaded().config;
    let last = config.clusters[0].nodes.last().unwrap();
    assert_eq!(config.nodes().count(), 10_000);
    let own = last.commands.command(RemoteAction::Reboot, Level::Hard).unwrap();
    assert_eq!(own.text, "pdu 9999");
}

#[test]
fn an_ident_method_may_have_nothing_to_it_on_the_loopback_address() {
    let site = Site::new();
    site.edit("server.conf", "  acl: {whitelist: [localhost]}\n", "  ident:\n");
    site.edit("server.conf", "  http_basic: {dbfile: htpasswd, whitelist: []}\n", "");
    site.edit("server.conf", "secure_server: false", "secure_server: false, local_only: true");
    let config = site.loaded().config;
    assert!(config.server.authentication.ident.unwrap().whitelist.is_empty());
    site.edit("server.conf", "  ident:\n", "  ident: {whitelist: [10.0.0.1]}\n");
    let config = site.loaded().config;
    assert_eq!(config.server.authentication.ident.unwrap().whitelist.len(), 1);
}

#[test]
fn partitions_may_be_named_by_labels() {
    let site = Site::new();
    let old = "block_device: /dev/sda, partitions: {swap: 1, prod: 2, deploy: 3, tmp: 5}";
    let new = "block_device: disk0, disk_path: {disk0: pci-1, data: pci-2}, partitions: {swap: SWAP, prod: PROD, deploy: disk0/DEPLOY, tmp: data/TMP}";
    site.edit("alpha-cluster.conf", old, new);
    let config = site.loaded().config;
    let partitioning = &config.cluster("alpha").unwrap().partitioning;
    let partitions = partitioning.partitions.as_ref().unwrap();
    assert_eq!(partitions.deploy, Some(Part::Label("disk0/DEPLOY".into())));
    assert_eq!(partitions.tmp.to_string(), "data/TMP");
    assert!(partitions.prod.exists() && !Part::Number(-1).exists());
    let place = "/dev/disk/by-path/pci-2";
    assert_eq!(partitioning.ids(place).collect::<Vec<_>>(), ["data"]);
    // The one that is deployed to may be the one with the label.
    site.edit("alpha-cluster.conf", "deploy: disk0/DEPLOY, ", "");
    assert!(site.told().contains("The field is mandatory [field: partitioning/partitions/deploy]"));
    site.edit(
        "alpha-cluster.conf",
        "block_device: disk0",
        "deploy_label: PROD, block_device: disk0",
    );
    site.loaded();
}

#[test]
fn paths_below_the_repository_may_begin_with_a_slash() {
    let site = Site::new();
    site.edit("server.conf", "binary: grubpxe.0", "binary: /grubpxe.0");
    site.edit("server.conf", "directory: userfiles", "directory: /userfiles");
    let pxe = site.loaded().config.server.pxe;
    assert_eq!(pxe.localboot.binary.as_deref(), Some("grubpxe.0"));
    assert_eq!(pxe.userfiles.directory, "userfiles");
}

#[test]
fn only_the_macrosteps_that_kexec_had_must_have_the_time_of_a_kexec() {
    let site = Site::new();
    let dummy = "SetDeploymentEnv: [{type: Dummy, timeout: 20}]";
    site.edit("alpha-cluster.conf", dummy, "SetDeploymentEnv: [{type: Trusted}]");
    site.loaded();
    site.edit("alpha-cluster.conf", "type: Trusted", "type: Kexec");
    let words =
        "Global kexec timeout is greater than the timeout of the macrostep SetDeploymentEnvKexec";
    assert!(site.told().contains(words), "{}", site.told());
}

/// As the old parser took it, but said.
#[test]
fn what_is_there_twice_is_told_and_counts_as_it_did() {
    let site = Site::new();
    site.edit("server.conf", "size: 100", "size: 100, size: 0200");
    site.edit(
        "clusters.conf",
        "name: beta-1.testbed.lan, address: 127.0.2.1",
        "name: 'node-[3-5].testbed.lan', address: '127.0.1.[3-5]'",
    );
    site.edit("clusters.conf", "- {name: beta", "- {name: gamma, conf_file: beta-cluster.conf, nodes: [{name: other, address: 127.0.1.1}]}\n- {name: beta");
    site.edit(
        "clusters.conf",
        "clusters:",
        "clusters:\n- {name: beta, conf_file: none, nodes: [{name: more, address: 127.0.9.1}]}",
    );
    site.write(
        "command.conf",
        "node-1.testbed.lan: {console: a}\nnode-1.testbed.lan: {console: b}\n",
    );
    let config = site.loaded().config;
    assert_eq!(config.server.cache.size.0, 128, "octal, and the last one");
    let nodes: Vec<_> = config
        .nodes()
        .map(|(cluster, node)| format!("{} {}", cluster.name, node.short()))
        .collect();
    assert_eq!(
        nodes,
        [
            "alpha node-1",
            "alpha node-2",
            "alpha node-3",
            "gamma other",
            "beta node-4",
            "beta node-5"
        ]
    );
    let (_, node) = config.node("node-1.testbed.lan").unwrap();
    assert_eq!(node.commands.command(RemoteAction::Console, Level::Soft).unwrap().text, "b");
    let told = site.notices("clusters.conf").join("\n");
    for text in [
        "clusters/0: the cluster `beta` is there once more, at ROOT/etc/clusters.conf:5:3: this one does not count",
        "clusters/2/nodes/0/address: the address `127.0.1.1` a second time, after ROOT/etc/clusters.conf:3:",
        "clusters/3/nodes/0/name: the node name `node-3.testbed.lan` a second time, after ROOT/etc/clusters.conf:3:",
    ] {
        assert!(told.contains(text), "{text}: {told}");
    }
    let told = site.notices("server.conf").join("\n");
    let text = "cache/size: does not count: it is there once more, at ROOT/etc/server.conf:8:";
    assert!(told.contains(text), "{told}");
    let told = site.notices("command.conf").join("\n");
    assert!(told.contains("command.conf:1:1: node-1.testbed.lan: does not count"), "{told}");
}

#[test]
fn keys_without_an_effect_are_told() {
    let site = Site::new();
    site.edit("server.conf", "max_size: 50}", "max_size: 50, concurrency_level: 3}");
    site.edit("server.conf", "state_dir:", "relay: {port: 4000}\nstate_dir:");
    let told = site.notices("server.conf").join("\n");
    for text in [
        "pxe/dhcp/userfiles/concurrency_level: has no effect: replaced by `cache/concurrency_level`",
        "relay/port: without effect: each node takes a port that is free there",
    ] {
        assert!(told.contains(text), "{text}: {told}");
    }
}

#[test]
fn a_place_that_is_open_already_needs_a_restart() {
    let site = Site::new();
    let before = site.loaded().config;
    std::fs::rename(site.path("tftp"), site.path("boot")).unwrap();
    std::fs::create_dir(site.path("tftp")).unwrap();
    site.edit("server.conf", "repository: ../tftp\n", "repository: ../boot\n");
    site.edit("server.conf", "repository: ../tftp,", "repository: ../boot,");
    let changed = before.fixed_changes(&site.loaded().config);
    assert_eq!(changed, ["server.conf: pxe/dhcp/repository"]);
}
