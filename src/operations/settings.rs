//! What the steps of one cluster take from the configuration.

use super::around::Around;
use crate::{
    environments::{Archive, Compression},
    platform::{SiteCommand, Torrent},
    steps::{KexecSettings, Settings, Target},
};
use config::{
    Cluster, Config,
    model::{
        cluster::{AfterCancel, ArchiveFormat, Install},
        partitioning::Part,
    },
};
use std::{collections::BTreeMap, path::Path, time::Duration};

/// What the steps take from the configuration.
pub(super) fn settings(
    config: &Config,
    cluster: &Cluster,
    around: &Around,
    boot_limit: Duration,
) -> Settings {
    let (server, boot) = (&config.server, &cluster.boot);
    let partitions = cluster.partitioning.partitions.as_ref();
    let named = |part: Option<&Part>| {
        part.map_or_else(|| "none".to_owned(), |part| partition(cluster, part))
    };
    let swap = partitions.and_then(|all| all.swap.as_ref()).filter(|_| !cluster.disables_swap());
    let path = |path: &Path| path.display().to_string();
    Settings {
        cluster: cluster.name.clone(),
        ssh_port: server.network.ports.ssh,
        marker_port: server.network.ports.test_deploy_env,
        require_reboot_proof: cluster.require_reboot_proof,
        sleep_before_ping: boot.sleep_time_before_ping,
        extraction_dir: path(&server.environments.deployment.extraction_dir),
        rambin_dir: path(&server.environments.deployment.rambin_dir),
        tar_options: server.external.tar.clone(),
        mkfs_options: server
            .external
            .mkfs
            .iter()
            .map(|one| (one.fstype.clone(), one.args.clone()))
            .collect(),
        output_limit: match server.external.taktuk.outputs_size {
            0 => usize::MAX,
            bytes => usize::try_from(bytes).unwrap_or(usize::MAX),
        },
        partition_script: cluster.partitioning.script.clone(),
        bootloader_script: boot.install_bootloader.clone(),
        post_installs: cluster.postinstall.files.iter().map(archive).collect(),
        swap: named(swap),
        prod: named(partitions.map(|all| &all.prod)),
        tmp: named(partitions.map(|all| &all.tmp)),
        boot_limit,
        off_after_cancel: cluster.after_cancel == AfterCancel::Off,
        ..systems(config, cluster, around)
    }
}

/// What nodes boot, and what is run on them.
fn systems(config: &Config, cluster: &Cluster, around: &Around) -> Settings {
    let (boot, partitioning) = (&cluster.boot, &cluster.partitioning);
    let deploy = &boot.kernels.deploy;
    let repository = &config.server.pxe.networkboot.repository;
    let below = |file: &str| repository.join(file.trim_start_matches('/'));
    let prod = partitioning.partitions.as_ref().map(|all| partition(cluster, &all.prod));
    let device = partitioning.disk(&partitioning.block_device).unwrap_or_default();
    let key = Some(around.deploy_key.as_str()).filter(|_| deploy.key_parameter);
    let params = [Some(deploy.params.as_str()), key].into_iter().flatten();
    Settings {
        deploy_kernel: deploy.vmlinuz.clone(),
        deploy_initrd: deploy.initrd.clone(),
        deploy_params: params.collect::<Vec<_>>().join(" ").trim().to_owned(),
        user_params: boot.kernels.user.params.clone(),
        pre_installs: cluster.preinstall.files.iter().map(archive).collect(),
        format_script: partitioning.formating_script.clone(),
        startup_script: boot.startup_script.clone(),
        drivers: deploy.drivers.0.clone(),
        store_first: !cluster.localops.broadcastenv.decompress,
        broadcast: SiteCommand {
            command: cluster.localops.broadcastenv.cmd.clone().unwrap_or_default(),
            connector: config.server.external.connector_text(),
            by_address: cluster.hooks.use_ip_to_deploy,
        },
        torrent: torrent(config),
        variables: cluster.custom_variables.clone(),
        deploy_files: [&deploy.vmlinuz, &deploy.initrd].map(|file| below(file)),
        nfsroot_kernel: boot.kernels.nfsroot.vmlinuz.clone().unwrap_or_default(),
        nfsroot_params: boot.kernels.nfsroot.params.clone(),
        kexec: KexecSettings {
            repository: cluster.kexec.repository.display().to_string(),
            script: cluster.kexec.script.clone(),
            before: cluster.kexec.server_precmd.clone(),
        },
        trusted: around.trusted.clone(),
        prod_partition: prod.map_or_else(String::new, |prod| Target::partition_of(&device, prod)),
        disk_numbers: disk_numbers(cluster),
        ..Settings::default()
    }
}

/// A partition as the steps take it: its number, its label, or the label on a disk of its own as
/// nodes know that.
pub(super) fn partition(cluster: &Cluster, part: &Part) -> String {
    let text = part.to_string();
    match text.rsplit_once('/') {
        None => text,
        Some((disk, label)) => {
            let known = cluster.partitioning.disk(disk);
            format!("{label}@{}", known.as_deref().unwrap_or(disk))
        }
    }
}

/// The numbers that loaders know the disks by which nodes know by their places: those of their
/// ids, as `disk1` has it.
fn disk_numbers(cluster: &Cluster) -> BTreeMap<String, u32> {
    let number = |id: &String| {
        let number = id.strip_prefix("disk")?.parse().ok()?;
        Some((cluster.partitioning.disk(id)?, number))
    };
    cluster.partitioning.disk_path.keys().filter_map(number).collect()
}

fn torrent(config: &Config) -> Option<Torrent> {
    let torrent = config.server.external.bittorrent.as_ref()?;
    Some(Torrent {
        tracker: torrent.tracker_ip,
        limit: torrent.download_timeout,
        directory: config.server.environments.deployment.rambin_dir.display().to_string(),
    })
}

fn archive(install: &Install) -> Archive {
    let compression = match install.format {
        ArchiveFormat::Tgz => Compression::Gzip,
        ArchiveFormat::Tbz2 => Compression::Bzip2,
        ArchiveFormat::Txz => Compression::Xz,
    };
    Archive {
        file: install.file.display().to_string(),
        compression,
        script: (install.script != "none").then(|| install.script.clone()),
        sha256: None,
    }
}
