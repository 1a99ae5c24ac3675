//! Keys, archives with scripts, and the boot loader.

use super::{Run, disk::no_target, gather::each, image, remote, variables};
use crate::{environments::Archive, platform::Input};
use automata::{Context, NodeId, NodeSet, Outcome, Reason};
use std::path::{Path, PathBuf};
use variables::quote;

/// Lets the user into the deployment system.
pub(super) async fn key_in_deployment_system(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    add_key(run, nodes, cx, "/root/.ssh").await
}

/// Lets the user into the installed system.
pub(super) async fn key_in_installed_system(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    add_key(run, nodes, cx, &format!("{}/root/.ssh", run.settings.extraction_dir)).await
}

async fn add_key(run: &Run, nodes: &NodeSet, cx: &Context, directory: &str) -> Outcome {
    let Some(key) = &run.files().key else { return Outcome::ok(nodes.clone()) };
    let directory = quote(directory);
    let text = format!("umask 077; mkdir -p {directory} && cat - >> {directory}/authorized_keys");
    let text = &text;
    each(nodes, cx, |id| async move {
        remote::command(run, cx, id, text, Input::File(key.clone())).await.map(drop)
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
    let directory = &run.settings.rambin_dir;
    let unpack = image::unpack(run, directory, archive.compression);
    let text = format!("mkdir -p {} && {unpack}", quote(directory));
    remote::command(run, cx, id, &text, Input::File(file.to_owned())).await?;
    let Some(script) = &archive.script else { return Ok(()) };
    // The script line is the user's own shell text: it may carry arguments.
    let text = format!("env {} {directory}/{script}", variables::assignments(run));
    remote::command(run, cx, id, &text, Input::Empty).await.map(drop)
}

/// Runs the administrator's boot loader script.
pub(super) async fn bootloader(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let script = &run.settings.bootloader_script;
    each(nodes, cx, |id| async move { remote::script(run, cx, id, script, "").await.map(drop) })
        .await
}
