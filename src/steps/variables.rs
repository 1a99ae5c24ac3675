//! What administrators' and users' scripts are told.

use super::Run;
use crate::platform::Variables;

/// The variables and their values, in Kadeploy's order.
pub(super) fn variables(run: &Run) -> Variables {
    let settings = &run.settings;
    let mut list = vec![("KADEPLOY_CLUSTER", settings.cluster.clone())];
    if let Some(target) = &run.target {
        let number = target.partition_number;
        list.extend([
            ("KADEPLOY_DEPLOY_PART", target.partition.clone()),
            ("KADEPLOY_BLOCK_DEVICE", target.device.clone()),
            // None is known of one that is found by its label.
            (
                "KADEPLOY_DEPLOY_PART_NUM",
                if number == 0 { String::new() } else { number.to_string() },
            ),
        ]);
    }
    // Of one that has a label, the label.
    let part = |name: &str| name.split('@').next().unwrap_or_default().to_owned();
    list.extend([
        ("KADEPLOY_SWAP_PART_NUM", part(&settings.swap)),
        ("KADEPLOY_PROD_PART_NUM", part(&settings.prod)),
        ("KADEPLOY_TMP_PART_NUM", part(&settings.tmp)),
        ("KADEPLOY_PREPOST_EXTRACTION_DIR", settings.rambin_dir.clone()),
        ("KADEPLOY_TMP_DIR", "/tmp".to_owned()),
    ]);
    let Some(target) = &run.target else { return with_own(run, list) };
    let environment = &target.environment;
    list.extend([
        ("KADEPLOY_ENV", environment.name.clone()),
        ("KADEPLOY_ENV_KERNEL", environment.boot.kernel.clone()),
        ("KADEPLOY_ENV_INITRD", environment.boot.initrd.clone()),
        ("KADEPLOY_ENV_KERNEL_PARAMS", kernel_params(run)),
        ("KADEPLOY_ENV_HYPERVISOR", environment.boot.hypervisor.clone()),
        ("KADEPLOY_ENV_HYPERVISOR_PARAMS", environment.boot.hypervisor_params.clone()),
        ("KADEPLOY_OS_KIND", environment.os.word().to_owned()),
        ("KADEPLOY_PART_TYPE", format!("{:x}", environment.partition_type)),
        ("KADEPLOY_FS_TYPE", environment.filesystem.clone()),
        ("KADEPLOY_ENV_EXTRACTION_DIR", settings.extraction_dir.clone()),
    ]);
    if let Some(filesystem) = &target.reformat_tmp {
        list.push(("KADEPLOY_FS_TYPE_TMP", filesystem.clone()));
    }
    with_own(run, list)
}

/// The same with the site's own; ours win.
fn with_own(run: &Run, list: Vec<(&str, String)>) -> Variables {
    let own = run.settings.variables.iter();
    let own = own.filter(|(name, _)| list.iter().all(|(known, _)| known != name));
    let own: Variables = own.map(|(name, value)| (name.clone(), value.clone())).collect();
    list.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(own).collect()
}

/// Command line of the installed system: the cluster's, then the environment's.
pub(super) fn kernel_params(run: &Run) -> String {
    let own = run.target.as_ref().map_or("", |target| &target.environment.boot.kernel_params);
    [run.settings.user_params.as_str(), own]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
