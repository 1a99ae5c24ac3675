//! Partition table, filesystems, mounts.

use super::{Run, Target, gather::each, remote, ticket, variables::variables};
use crate::platform::{Errand, Input};
use automata::{Context, NodeSet, Outcome};
use std::sync::Arc;

/// Runs the administrator's partitioning script.
pub(super) async fn partition(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let script = Input::File(run.settings.partition_script.clone());
    ticket::everywhere(run, nodes, cx, Errand::Partition(variables(run)), &script).await
}

/// Makes the filesystem of the deploy partition.
pub(super) async fn format_deploy(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let filesystem = target.environment.filesystem.clone();
    let directory = run.settings.extraction_dir.clone();
    if let Some(script) = &run.settings.format_script {
        let input = Input::File(script.clone());
        return ticket::everywhere(run, nodes, cx, Errand::Format(variables(run)), &input).await;
    }
    let errand = mkfs(run, filesystem, target.partition.clone(), directory);
    ticket::everywhere(run, nodes, cx, errand, &Input::Empty).await
}

/// Makes the filesystem of the tmp partition.
pub(super) async fn format_tmp(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let filesystem = target.reformat_tmp.clone().unwrap_or_else(|| "ext2".to_owned());
    let partition = Target::partition_of(&target.device, &run.settings.tmp);
    let errand = mkfs(run, filesystem, partition, "/tmp".to_owned());
    ticket::everywhere(run, nodes, cx, errand, &Input::Empty).await
}

/// Makes the swap space.
pub(super) async fn format_swap(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let partition = Target::partition_of(&target.device, &run.settings.swap);
    ticket::everywhere(run, nodes, cx, Errand::MakeSwap { partition }, &Input::Empty).await
}

/// Mounts the deploy partition.
pub(super) async fn mount_deploy(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let (partition, directory) = (target.partition.clone(), run.settings.extraction_dir.clone());
    everywhere(run, nodes, cx, Errand::Mount { partition, directory }, &Input::Empty).await
}

/// Mounts the tmp partition.
pub(super) async fn mount_tmp(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let partition = Target::partition_of(&target.device, &run.settings.tmp);
    let errand = Errand::Mount { partition, directory: "/tmp".to_owned() };
    everywhere(run, nodes, cx, errand, &Input::Empty).await
}

/// Unmounts the deploy partition; everything is on the disk afterwards.
pub(super) async fn umount_deploy(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let partition = target.partition.clone();
    everywhere(run, nodes, cx, Errand::Unmount { partition }, &Input::Empty).await
}

/// Writes everything to the disks.
pub(super) async fn sync(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    everywhere(run, nodes, cx, Errand::Sync, &Input::Empty).await
}

/// Does one errand on every node.
pub(super) async fn everywhere(
    run: &Run,
    nodes: &NodeSet,
    cx: &Context,
    errand: Errand,
    input: &Input,
) -> Outcome {
    let errand = &Arc::new(errand);
    each(nodes, cx, |id| async move {
        remote::command(run, cx, id, Arc::clone(errand), input.clone()).await.map(drop)
    })
    .await
}

fn mkfs(run: &Run, filesystem: String, partition: String, directory: String) -> Errand {
    let options = run.settings.mkfs_options.get(&filesystem).cloned().unwrap_or_default();
    Errand::MakeFilesystem { filesystem, options, partition, directory }
}

pub(super) fn no_target(nodes: &NodeSet) -> Outcome {
    Outcome::ko(nodes, "the operation installs nothing")
}
