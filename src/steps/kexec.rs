//! `send_deployment_kernel` and `kexec`: from a running kernel straight into another.

use super::{
    Run,
    disk::no_target,
    gather::{Gather, each},
    power, remote,
    variables::{self, variables},
};
use crate::{
    environments::OsKind,
    platform::{Errand, Input, rounded},
};
use automata::{Context, Failures, NodeSet, Outcome, Reason};
use std::{path::Path, time::Duration};

/// Bound of the site's command on the server before.
const BEFORE_LIMIT: Duration = Duration::from_secs(60);

/// Puts kernel and initial ramdisk of the deployment system on the nodes.
pub(super) async fn send_kernel(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let files = &run.settings.deploy_files;
    each(nodes, cx, |id| async move {
        for file in files {
            let path = format!("{}/{}", run.settings.kexec.repository, name(file));
            let input = Input::File(file.clone());
            remote::command(run, cx, id, Errand::Store { path }, input).await?;
        }
        Ok(())
    })
    .await
}

/// Jumps into the kernel of the deployment system.
pub(super) async fn deployment(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let settings = &run.settings;
    let [kernel, initrd] = [0, 1].map(|index| name(&settings.deploy_files[index]));
    let errand = Errand::Kexec {
        root: settings.kexec.repository.clone(),
        kernel,
        initrd,
        params: settings.deploy_params.clone(),
        root_device: None,
        mounted: false,
        script: settings.kexec.script.is_some().then(|| variables(run)),
    };
    jump(run, nodes, cx, &errand).await
}

/// Jumps into the installed kernel.
pub(super) async fn installed(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    if target.environment.os != OsKind::Linux {
        return Outcome::ko(nodes, "kexec starts Linux only: take another instance of BootNewEnv");
    }
    let boot = &target.environment.boot;
    let params = variables::kernel_params(run);
    let errand = Errand::Kexec {
        root: run.settings.extraction_dir.clone(),
        kernel: boot.kernel.clone(),
        initrd: boot.initrd.clone(),
        root_device: (!params.contains("root=")).then(|| target.partition.clone()),
        params,
        mounted: true,
        script: run.settings.kexec.script.is_some().then(|| variables(run)),
    };
    jump(run, nodes, cx, &errand).await
}

async fn jump(run: &Run, nodes: &NodeSet, cx: &Context, errand: &Errand) -> Outcome {
    let mut gather = Gather::new(cx);
    // After a restart the nodes may have jumped already: each is looked at first.
    let look = |id| async move {
        if power::has_left(run, cx, id).await { Ok(()) } else { Err("it stays".into()) }
    };
    let stay: NodeSet = gather.each(nodes, look).await.into_keys().collect();
    if stay.is_empty() {
        return gather.outcome(Failures::new());
    }
    // Whether it had ended before the restart is not known.
    if let Err(why) = before(run).await {
        return gather.outcome(stay.iter().map(|id| (id, why.clone())).collect());
    }
    let script = run.settings.kexec.script.clone().map_or(Input::Empty, Input::File);
    let script = &script;
    let order = |id| power::send_off(run, cx, id, errand.clone(), script.clone());
    let failed = gather.each(&stay, order).await;
    gather.outcome(failed)
}

/// The site's own command on the server.
async fn before(run: &Run) -> Result<(), Reason> {
    let command = run.settings.kexec.before.trim();
    if command.is_empty() || command == "true" {
        return Ok(());
    }
    let failed = |why: String| Reason::from(format!("kexec/server_precmd {why}"));
    match run.ports.server.run(command, BEFORE_LIMIT).await {
        Ok(Some(ended)) if ended.status == 0 => Ok(()),
        Ok(Some(ended)) => {
            Err(failed(format!("ended with status {}: {}", ended.status, ended.stderr)))
        }
        Ok(None) => Err(failed(format!("did not end within {}", rounded(BEFORE_LIMIT)))),
        Err(error) => Err(failed(format!("did not start: {error}"))),
    }
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
