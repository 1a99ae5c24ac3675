//! `kexec`: from the deployment system straight into the installed kernel.

use super::{Run, disk::no_target, gather::each, power::leave, variables};
use crate::platform::Errand;
use automata::{Context, NodeSet, Outcome};

/// Loads the installed kernel and jumps into it.
pub(super) async fn kexec(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let boot = &target.environment.boot;
    let mut params = variables::kernel_params(run);
    if !params.contains("root=") {
        params = format!("root={} {params}", target.partition);
    }
    let errand = Errand::Kexec {
        root: run.settings.extraction_dir.clone(),
        kernel: boot.kernel.clone(),
        initrd: boot.initrd.clone(),
        params: params.trim().to_owned(),
    };
    let errand = &errand;
    each(nodes, cx, |id| leave(run, cx, id, errand)).await
}
