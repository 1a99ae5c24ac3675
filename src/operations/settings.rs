//! What the steps of one cluster take from the configuration.

use crate::{
    environments::{Archive, Compression},
    steps::Settings,
};
use config::{
    Cluster, Config,
    model::cluster::{AfterCancel, ArchiveFormat, Install},
};
use std::path::Path;

/// What the steps take from the configuration.
pub(super) fn settings(config: &Config, cluster: &Cluster, deploy_key: &str) -> Settings {
    let (server, boot) = (&config.server, &cluster.boot);
    let partitions = cluster.partitioning.partitions.as_ref();
    let number = |number: Option<i64>| number.map_or_else(|| "none".to_owned(), |n| n.to_string());
    let swap = partitions.and_then(|all| all.swap).filter(|_| !cluster.partitioning.disable_swap);
    let path = |path: &Path| path.display().to_string();
    let params = [boot.kernels.deploy.params.as_str(), deploy_key].join(" ");
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
        deploy_kernel: boot.kernels.deploy.vmlinuz.clone(),
        deploy_initrd: boot.kernels.deploy.initrd.clone(),
        deploy_params: params.trim().to_owned(),
        user_params: boot.kernels.user.params.clone(),
        swap: number(swap),
        prod: number(partitions.map(|all| all.prod)),
        tmp: number(partitions.map(|all| all.tmp)),
        boot_limit: cluster.timeouts.reboot(),
        off_after_cancel: cluster.after_cancel == AfterCancel::Off,
    }
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
