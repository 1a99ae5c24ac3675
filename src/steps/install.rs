//! Keys, archives with scripts, and the boot loader.

use super::{
    Run,
    disk::{everywhere, no_target},
    gather::each,
    image, remote, ticket,
    variables::variables,
};
use crate::{
    environments::Archive,
    platform::{Errand, Input},
};
use automata::{Context, NodeId, NodeSet, Outcome, Reason};
use std::path::{Path, PathBuf};

/// Lets the user into the deployment system.
pub(super) async fn key_in_deployment_system(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    add_keys(run, nodes, cx, "/root/.ssh".to_owned()).await
}

/// Lets the user into the installed system.
pub(super) async fn key_in_installed_system(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    add_keys(run, nodes, cx, format!("{}/root/.ssh", run.settings.extraction_dir)).await
}

async fn add_keys(run: &Run, nodes: &NodeSet, cx: &Context, directory: String) -> Outcome {
    let Some(keys) = run.files().key else { return Outcome::ok(nodes.clone()) };
    everywhere(run, nodes, cx, &Errand::AddKeys { directory }, &Input::File(keys)).await
}

/// Runs the administrator's archives.
pub(super) async fn admin_post_install(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let files: Vec<PathBuf> =
        run.settings.post_installs.iter().map(|archive| PathBuf::from(&archive.file)).collect();
    archives(run, nodes, cx, &run.settings.post_installs, &files).await
}

/// Runs the environment's archives.
pub(super) async fn user_post_install(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let list = target.environment.postinstalls.as_deref().unwrap_or_default();
    archives(run, nodes, cx, list, &run.files().post_installs).await
}

async fn archives(
    run: &Run,
    nodes: &NodeSet,
    cx: &Context,
    archives: &[Archive],
    files: &[PathBuf],
) -> Outcome {
    each(nodes, cx, |id| async move {
        for (archive, file) in archives.iter().zip(files) {
            unpack_and_run(run, cx, id, archive, file).await?;
        }
        Ok(())
    })
    .await
}

async fn unpack_and_run(
    run: &Run,
    cx: &Context,
    id: NodeId,
    archive: &Archive,
    file: &Path,
) -> Result<(), Reason> {
    let directory = &run.settings.rambin_dir;
    let unpack = Errand::UnpackArchive(image::unpacking(run, directory, archive.compression));
    remote::command(run, cx, id, &unpack, Input::File(file.to_owned())).await?;
    let Some(script) = archive.script.clone() else { return Ok(()) };
    let directory = directory.clone();
    let script = Errand::RunArchive { directory, script, variables: variables(run) };
    remote::command(run, cx, id, &script, Input::Empty).await.map(drop)
}

/// Runs the administrator's boot loader script.
pub(super) async fn bootloader(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let script = Input::File(run.settings.bootloader_script.clone());
    ticket::everywhere(run, nodes, cx, &Errand::InstallBootLoader(variables(run)), &script).await
}
