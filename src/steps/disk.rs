//! Partition table, filesystems, mounts.

use super::{Run, Target, gather::each, remote, variables::quote};
use crate::platform::Input;
use automata::{Context, NodeSet, Outcome};

/// Runs the administrator's partitioning script.
pub(super) async fn partition(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let script = &run.settings.partition_script;
    each(nodes, cx, |id| async move { remote::script(run, cx, id, script, "").await.map(drop) })
        .await
}

/// Makes the filesystem of the deploy partition.
pub(super) async fn format_deploy(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let filesystem = &target.environment.filesystem;
    let directory = quote(&run.settings.extraction_dir);
    let text = format!("mkdir -p {directory}; {}", mkfs(run, filesystem, &target.partition));
    everywhere(run, nodes, cx, &text).await
}

/// Makes the filesystem of the tmp partition.
pub(super) async fn format_tmp(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let filesystem = target.reformat_tmp.as_deref().unwrap_or("ext2");
    let partition = Target::partition_of(&target.device, &run.settings.tmp);
    let text = format!("mkdir -p /tmp; {}", mkfs(run, filesystem, &partition));
    everywhere(run, nodes, cx, &text).await
}

/// Makes the swap space.
pub(super) async fn format_swap(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let partition = Target::partition_of(&target.device, &run.settings.swap);
    everywhere(run, nodes, cx, &format!("mkswap {}", quote(&partition))).await
}

/// Mounts the deploy partition.
pub(super) async fn mount_deploy(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let (partition, directory) = (quote(&target.partition), quote(&run.settings.extraction_dir));
    // A second run finds it mounted already.
    let text = format!(
        "mkdir -p {directory} && {{ mountpoint -q {directory} || mount {partition} {directory}; }}"
    );
    everywhere(run, nodes, cx, &text).await
}

/// Unmounts the deploy partition; everything is on the disk afterwards.
pub(super) async fn umount_deploy(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let partition = quote(&target.partition);
    let text = format!(
        "sync; ! grep -q ^{partition}' ' /proc/mounts || umount {partition} || umount -l {partition}"
    );
    everywhere(run, nodes, cx, &text).await
}

/// Writes everything to the disks.
pub(super) async fn sync(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    everywhere(run, nodes, cx, "sync").await
}

/// Runs one command on every node.
async fn everywhere(run: &Run, nodes: &NodeSet, cx: &Context, text: &str) -> Outcome {
    each(
        nodes,
        cx,
        |id| async move { remote::command(run, cx, id, text, Input::Empty).await.map(drop) },
    )
    .await
}

/// Shell text that makes `filesystem` on `partition`, whatever is mounted there now.
fn mkfs(run: &Run, filesystem: &str, partition: &str) -> String {
    let options = run.settings.mkfs_options.get(filesystem).map_or("", String::as_str);
    let (filesystem, partition) = (quote(filesystem), quote(partition));
    format!("umount {partition} 2>/dev/null; mkfs -t {filesystem} {options} {partition}")
}

pub(super) fn no_target(nodes: &NodeSet) -> Outcome {
    Outcome::ko(nodes, "the operation installs nothing")
}
