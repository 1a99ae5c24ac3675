//! The ways through each macro-step: those of the cluster's file, or those of the request.

use super::custom;
use crate::{
    types::{AutomataOverride, Code, Problem},
    workflows::{Beside, Instance, Limits, MACRO_STEPS, canonical, known_instance},
};
use config::Cluster;
use std::time::Duration;

/// What a macro-step gets beyond the boot's own bound when kexec is replaced by a reboot.
const CLASSICAL_MARGIN: Duration = Duration::from_secs(200);

/// The way on which an archive makes the partitions and the filesystem, and mounts it.
pub(super) const PREINSTALL: &str = "SetDeploymentEnvUntrustedCustomPreInstall";

/// The only instance of an operation that is no deployment.
pub(super) fn single(name: &str) -> Instance {
    Instance { name: name.into(), raisable: true, ..Instance::default() }
}

/// The instances of the cluster's file.
pub(super) fn configured(cluster: &Cluster) -> Vec<Vec<Instance>> {
    let instance = |name: &str, one: &config::model::Instance| Instance {
        name: format!("{name}{}", one.kind),
        retries: one.retries,
        timeout: (!one.timeout.is_zero()).then_some(one.timeout),
        raisable: one.raisable,
        breakpoint: one.breakpoint,
        micro: one.microsteps.iter().map(|micro| (micro.name.clone(), limits(micro))).collect(),
    };
    let steps = cluster.automata.macrosteps();
    steps.map(|(name, list)| list.iter().map(|one| instance(name, one)).collect()).to_vec()
}

fn limits(micro: &config::model::Microstep) -> Limits {
    Limits {
        timeout: (!micro.timeout.is_zero()).then_some(micro.timeout),
        retries: micro.retries,
        raisable: micro.raisable,
        breakpoint: micro.breakpoint,
        beside: Beside {
            before: custom::configured(&micro.pre_ops),
            instead: custom::configured(&micro.substitute),
            after: custom::configured(&micro.post_ops),
        },
    }
}

/// The instances of the request.
pub(super) fn overridden(wanted: &AutomataOverride) -> Result<Vec<Vec<Instance>>, Problem> {
    let lists = [&wanted.set_deployment_env, &wanted.broadcast_env, &wanted.boot_new_env];
    let wrong = |why: String| Problem::parameter(Code::InvalidOption, "automata", why);
    let mut positions = Vec::new();
    for (macro_step, list) in MACRO_STEPS.into_iter().zip(lists) {
        if list.is_empty() {
            return Err(wrong(format!("{macro_step} is mandatory")));
        }
        let instance = |one: &crate::types::InstanceOverride| {
            let name = canonical(&one.name);
            let short = name.strip_prefix(macro_step).unwrap_or(&name);
            let name = format!("{macro_step}{short}");
            if name == "BootNewEnvPivotRoot" {
                let why = config::model::automata::PIVOT_ROOT;
                return Err(wrong(format!("PivotRoot is not supported: take {why}")));
            }
            if known_instance(&name) {
                let timeout = (one.timeout > 0).then(|| Duration::from_secs(one.timeout));
                Ok(Instance { retries: one.retries, timeout, ..single(&name) })
            } else {
                Err(wrong(format!("Unknown macrostep name '{}'", one.name)))
            }
        };
        positions.push(list.iter().map(instance).collect::<Result<_, _>>()?);
    }
    Ok(positions)
}

/// An environment that makes partitions and filesystems itself is the only way to its
/// deployment system, with the limits of the first that is configured.
pub(super) fn by_preinstall(positions: &mut [Vec<Instance>]) {
    let Some(ways) = positions.first_mut() else { return };
    let first = ways.first().cloned().unwrap_or_default();
    *ways = vec![Instance { name: PREINSTALL.into(), ..first }];
}

/// Boots through the firmware in place of jumps from kernel to kernel: into what is installed,
/// and where the user wants no such jumps at all into the deployment system as well.
pub(super) fn without_kexec(positions: &mut [Vec<Instance>], everywhere: bool, reboot: Duration) {
    for instance in positions.iter_mut().flatten() {
        let name = match instance.name.as_str() {
            "BootNewEnvKexec" => "BootNewEnvClassical",
            "SetDeploymentEnvKexec" | "SetDeploymentEnvTrusted" if everywhere => {
                "SetDeploymentEnvUntrusted"
            }
            _ => continue,
        };
        instance.name = name.into();
        (instance.retries, instance.timeout) = (0, Some(reboot + CLASSICAL_MARGIN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(names: &[&str]) -> Vec<Vec<Instance>> {
        let one = |name: &&str| Instance {
            retries: 3,
            timeout: Some(Duration::from_secs(7)),
            ..single(name)
        };
        vec![names.iter().map(one).collect()]
    }

    fn names(positions: &[Vec<Instance>]) -> Vec<&str> {
        positions.iter().flatten().map(|one| one.name.as_str()).collect()
    }

    #[test]
    fn kexec_is_replaced_where_it_cannot_be_and_where_nobody_wants_it() {
        let all = [
            "SetDeploymentEnvKexec",
            "SetDeploymentEnvTrusted",
            "BootNewEnvKexec",
            "BootNewEnvHardReboot",
        ];
        let minute = Duration::from_secs(60);
        let mut some = ways(&all);
        without_kexec(&mut some, false, minute);
        assert_eq!(names(&some), [all[0], all[1], "BootNewEnvClassical", all[3]]);
        let replaced = &some[0][2];
        assert_eq!((replaced.retries, replaced.timeout), (0, Some(Duration::from_secs(260))));
        assert_eq!(some[0][0].retries, 3, "what stays is as it was");
        let mut none = ways(&all);
        without_kexec(&mut none, true, minute);
        let first = "SetDeploymentEnvUntrusted";
        assert_eq!(names(&none), [first, first, "BootNewEnvClassical", all[3]]);
    }

    #[test]
    fn a_preinstall_is_the_only_way_with_the_limits_of_the_first() {
        let mut positions = ways(&["SetDeploymentEnvKexec", "SetDeploymentEnvUntrusted"]);
        by_preinstall(&mut positions);
        assert_eq!(names(&positions), ["SetDeploymentEnvUntrustedCustomPreInstall"]);
        assert_eq!(positions[0][0].retries, 3);
    }
}
