//! Keys, archives with scripts, and the boot loader.

use super::{
    Run, again,
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
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

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
    everywhere(run, nodes, cx, Errand::AddKeys { directory }, &Input::File(keys)).await
}

/// Runs the environment's archive or, where it has none, the administrator's: it makes the
/// partitions and the filesystem, and mounts it.
pub(super) async fn pre_install(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let own = run.target.as_ref().and_then(|target| target.environment.preinstall.clone());
    let Some(own) = own.zip(run.files().pre_install) else {
        let list = &run.settings.pre_installs;
        let files: Vec<PathBuf> = list.iter().map(|one| PathBuf::from(&one.file)).collect();
        return writing(run, nodes, cx, list, &files).await;
    };
    writing(run, nodes, cx, &[own.0], &[own.1]).await
}

/// The same as [`archives`] with scripts that write to the disk: each attempt needs a ticket, and
/// what an attempt before left at work is ended.
async fn writing(
    run: &Run,
    nodes: &NodeSet,
    cx: &Context,
    archives: &[Archive],
    files: &[PathBuf],
) -> Outcome {
    if run.target.is_none() {
        return no_target(nodes);
    }
    each(nodes, cx, |id| async move {
        if cx.attempt() > 0 || cx.macro_attempt() > 0 || cx.recovering() {
            again::tidy(run, id).await?;
        }
        let mut has_ticket = false;
        for (archive, file) in archives.iter().zip(files) {
            unpack(run, cx, id, archive, file).await?;
            let Some(script) = script(run, archive) else { continue };
            let mut script = Arc::new(script);
            // One ticket for all the scripts of an attempt.
            if !has_ticket {
                has_ticket = true;
                script = ticket::ticketed(run, cx, id, &script).await?.into();
            }
            remote::command(run, cx, id, script, Input::Empty).await?;
        }
        Ok(())
    })
    .await
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
    unpack(run, cx, id, archive, file).await?;
    let Some(script) = script(run, archive) else { return Ok(()) };
    remote::command(run, cx, id, script, Input::Empty).await.map(drop)
}

async fn unpack(
    run: &Run,
    cx: &Context,
    id: NodeId,
    archive: &Archive,
    file: &Path,
) -> Result<(), Reason> {
    let unpacking = image::unpacking(run, &run.settings.rambin_dir, archive.compression);
    let (unpack, input) = (Errand::UnpackArchive(unpacking), Input::File(file.to_owned()));
    remote::command(run, cx, id, unpack, input).await.map(drop)
}

fn script(run: &Run, archive: &Archive) -> Option<Errand> {
    let (script, directory) = (archive.script.clone()?, run.settings.rambin_dir.clone());
    Some(Errand::RunArchive { directory, script, variables: variables(run) })
}

/// Runs the administrator's boot loader script.
pub(super) async fn bootloader(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let script = Input::File(run.settings.bootloader_script.clone());
    ticket::everywhere(run, nodes, cx, Errand::InstallBootLoader(variables(run)), &script).await
}
