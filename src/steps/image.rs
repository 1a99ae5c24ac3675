//! The image: broadcast, and what it must hold.

use super::{
    By, Run, Target, again,
    disk::{everywhere, no_target},
    gather::each,
    ledger, remote, ticket,
};
use crate::{
    environments::{Compression, ImageKind},
    platform::{
        Broken, Carrier, Errand, Input, Progress, Receiver, Torrent, TransferJob, Unpacking,
    },
};
use automata::{Context, Failures, NodeId, NodeSet, Outcome, Reason};
use futures_util::future::join_all;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Bound of asking a node whether it can go on with a broadcast.
const UNDER_WAY_LIMIT: Duration = Duration::from_secs(15);

/// Sends the image to all nodes at once, straight into the program that unpacks it.
pub(super) async fn send(run: &Run, nodes: &NodeSet, cx: &Context, by: By) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let by = match carrier(run, target, by) {
        Ok(by) => by,
        Err(why) => return Outcome::ko(nodes, why),
    };
    let began = Instant::now();
    let name = format!("{} {}", run.wid, ledger::attempt(cx));
    let (mut failed, receivers) = receivers(run, nodes, cx, (&by, &name)).await;
    if receivers.is_empty() {
        return Outcome::all_but(nodes, failed);
    }
    let (ids, receivers) = in_line(receivers);
    let (file, deadline) = (run.files().image, remote::time_left(cx));
    let suspended = run.suspended.clone();
    let broken = Broken::default();
    let job =
        TransferJob { file, receivers, deadline, by, name, suspended, broken: broken.clone() };
    let progress = |at: Progress| run.journalist.progress(ids[at.node], at.written, at.total);
    let mut results = run.ports.transfer.broadcast(&job, &progress).await;
    for stream in broken.take() {
        run.journalist.broken_stream(stream.cause, &stream.what);
    }
    for id in &ids {
        match results.remove(&run.node(*id).name) {
            Some(Ok(())) => {}
            Some(Err(error)) => drop(failed.insert(*id, error.to_string().into())),
            None => drop(failed.insert(*id, "the transfer gave no result for this node".into())),
        }
    }
    if failed.len() < nodes.len() {
        let text = format!("   * Broadcast time: {}s", began.elapsed().as_secs());
        run.journalist.message(3, text);
    }
    Outcome::all_but(nodes, failed)
}

/// Who takes the image, and who cannot.
async fn receivers(
    run: &Run,
    nodes: &NodeSet,
    cx: &Context,
    (by, name): (&Carrier, &str),
) -> (Failures, Vec<(NodeId, Receiver)>) {
    let Some(target) = &run.target else { return (Failures::new(), Vec::new()) };
    let receive = &Arc::new(receive(run, target));
    let ready = nodes.iter().map(|id| {
        let node = Arc::clone(run.node(id));
        async move {
            let resumes = is_under_way(run, cx, id, (by, name)).await;
            let errand =
                if resumes { Ok((**receive).clone()) } else { ready(run, cx, id, receive).await };
            (id, errand.map(|errand| Receiver { node, errand, resumes }))
        }
    });
    let (mut failed, mut receivers) = (Failures::new(), Vec::new());
    for (id, ready) in join_all(ready).await {
        match ready {
            Ok(receiver) => receivers.push((id, receiver)),
            Err(reason) => drop(failed.insert(id, reason)),
        }
    }
    (failed, receivers)
}

/// Was the service started again while the image came to this node, and can the node go on? The
/// command that took it is still at work there then, and has used its ticket.
async fn is_under_way(run: &Run, cx: &Context, id: NodeId, (by, name): (&Carrier, &str)) -> bool {
    if !cx.recovering() || !matches!(by, Carrier::Relay) {
        return false;
    }
    let limit = UNDER_WAY_LIMIT.min(remote::time_left(cx));
    let under_way = run.ports.transfer.under_way(run.node(id), name, limit).await;
    if under_way {
        let text = format!("   * The broadcast to {} goes on", run.node(id).name);
        run.journalist.message(3, text);
    }
    under_way
}

/// Those of one switch beside each other, and of one rack.
fn in_line(mut line: Vec<(NodeId, Receiver)>) -> (Vec<NodeId>, Vec<Receiver>) {
    line.sort_by(|(_, one), (_, other)| one.node.way().cmp(&other.node.way()));
    line.into_iter().unzip()
}

/// What carries the image.
fn carrier(run: &Run, target: &Target, by: By) -> Result<Carrier, &'static str> {
    match by {
        By::Relay => Ok(Carrier::Relay),
        By::Site if run.settings.broadcast.command.trim().is_empty() => Err(
            "there is no command for the broadcast: set localops/broadcastenv/cmd of the cluster, or \
             take another instance of BroadcastEnv",
        ),
        By::Site => Ok(Carrier::Site(run.settings.broadcast.clone())),
        By::Torrent => {
            let torrent = run.settings.torrent.clone().ok_or(
                "torrents are not configured: set external/bittorrent of the server, or take another \
                 instance of BroadcastEnv",
            )?;
            // The tmp partition that was made for this is mounted there.
            let on_disk = target.reformat_tmp.as_ref().map(|_| "/tmp".to_owned());
            Ok(Carrier::Torrent(Torrent {
                directory: on_disk.unwrap_or(torrent.directory),
                ..torrent
            }))
        }
    }
}

/// The errand of one node with its ticket. What an attempt before left at work there is ended:
/// it must not write beside this one.
async fn ready(
    run: &Run,
    cx: &Context,
    id: NodeId,
    receive: &Arc<Errand>,
) -> Result<Errand, Reason> {
    // A command of the site's and what it began on nodes outlive a service that is killed.
    if cx.attempt() > 0 || cx.macro_attempt() > 0 || cx.recovering() {
        mounted_again(run, cx, id, receive).await?;
    }
    // What goes into the memory of the node needs no ticket.
    if matches!(**receive, Errand::Store { .. }) {
        return Ok((**receive).clone());
    }
    ticket::ticketed(run, cx, id, receive).await
}

/// Nothing of an attempt before is at work on a node any more, and its filesystem is mounted. What
/// a pre-install script mounted only that knows: it stays.
async fn mounted_again(
    run: &Run,
    cx: &Context,
    id: NodeId,
    receive: &Errand,
) -> Result<(), Reason> {
    if run.target.as_ref().is_some_and(|target| is_prepared(run, target)) {
        return again::quiet(run, id).await;
    }
    again::tidy(run, id).await?;
    mounted(run, cx, id, receive).await
}

/// Whether a pre-install script may have made and mounted the filesystem that the image comes onto:
/// other images than archives bring theirs.
fn is_prepared(run: &Run, target: &Target) -> bool {
    target.environment.image.kind == ImageKind::Tar
        && (target.environment.preinstall.is_some() || !run.settings.pre_installs.is_empty())
}

/// An archive has its filesystem mounted, whatever was tidied away.
async fn mounted(run: &Run, cx: &Context, id: NodeId, receive: &Errand) -> Result<(), Reason> {
    let (Errand::Unpack(Unpacking { directory, .. }), Some(target)) = (receive, &run.target) else {
        return Ok(());
    };
    let (partition, directory) = (target.partition.clone(), directory.clone());
    let mount = Errand::Mount { partition, directory };
    remote::command(run, cx, id, mount, Input::Empty).await.map(drop)
}

/// Whether the image is stored on the nodes before it is unpacked: fsarchiver reads no stream.
fn is_stored(run: &Run, target: &Target) -> bool {
    run.settings.store_first || target.environment.image.kind == ImageKind::Fsa
}

/// Where it is stored there.
fn stored(run: &Run) -> String {
    let image = run.files().image;
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    format!("{}/_KATMP_{name}", run.settings.rambin_dir.trim_end_matches('/'))
}

/// Unpacks the image that was stored.
pub(super) async fn decompress(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let receive = unpacked(run, target);
    let path = stored(run);
    let errand = match &receive {
        Errand::Restore { .. } => receive.clone(),
        other => Errand::FromFile { path, errand: other.clone().into() },
    };
    let (receive, errand) = (&receive, &Arc::new(errand));
    each(nodes, cx, |id| async move {
        match (is_prepared(run, target), cx.attempt()) {
            (true, 0) => {}
            (true, _) => again::quiet(run, id).await?,
            (false, 0) => mounted(run, cx, id, receive).await?,
            (false, _) => mounted_again(run, cx, id, receive).await?,
        }
        let errand = ticket::ticketed(run, cx, id, errand).await?;
        remote::command(run, cx, id, errand, Input::Empty).await.map(drop)
    })
    .await
}

/// What takes the image on its standard input.
fn receive(run: &Run, target: &Target) -> Errand {
    if is_stored(run, target) { Errand::Store { path: stored(run) } } else { unpacked(run, target) }
}

/// What brings the image to the disk.
fn unpacked(run: &Run, target: &Target) -> Errand {
    let image = &target.environment.image;
    match image.kind {
        ImageKind::Tar => {
            Errand::Unpack(unpacking(run, &run.settings.extraction_dir, image.compression))
        }
        ImageKind::Dd => {
            let (compression, device) = (image.compression, target.partition.clone());
            Errand::WriteImage { compression, device }
        }
        ImageKind::Fsa => {
            let level = if let Compression::Level(level) = image.compression { level } else { 0 };
            Errand::Restore { path: stored(run), level, parts: target.parts() }
        }
    }
}

/// How a compressed tar gets into `directory`.
pub(super) fn unpacking(run: &Run, directory: &str, compression: Compression) -> Unpacking {
    let (directory, options) = (directory.to_owned(), run.settings.tar_options.clone());
    Unpacking { directory, compression, options }
}

/// Fails where the kernel or the initial ramdisk is not in the image.
pub(super) async fn check_kernel_files(run: &Run, nodes: &NodeSet, cx: &Context) -> Outcome {
    let Some(target) = &run.target else { return no_target(nodes) };
    let boot = &target.environment.boot;
    let files = [("kernel", &boot.kernel), ("initrd", &boot.initrd)];
    let files = files.into_iter().filter(|(_, path)| !path.is_empty());
    let files = files.map(|(what, path)| (what, path.clone())).collect();
    let errand = Errand::CheckFiles { root: run.settings.extraction_dir.clone(), files };
    everywhere(run, nodes, cx, errand, &Input::Empty).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::Node;

    #[test]
    fn those_of_one_switch_and_of_one_rack_stand_beside_each_other_else_by_their_names() {
        let place = |id: u32, switch: Option<&str>, rack: Option<&str>| {
            let node = Node {
                name: format!("node-{id}.site"),
                switch: switch.map(str::to_owned),
                rack: rack.map(str::to_owned),
                ..Node::example()
            };
            (NodeId(id), Receiver { node: Arc::new(node), errand: Errand::BootId, resumes: false })
        };
        let line = |line: Vec<_>| in_line(line).0.into_iter().map(|id| id.0).collect::<Vec<_>>();
        let nowhere = (1..=11).map(|id| place(id, None, None)).collect();
        assert_eq!(line(nowhere), (1..=11).collect::<Vec<_>>());
        let mixed = vec![
            place(1, Some("b"), Some("r2")),
            place(2, Some("a"), Some("r1")),
            place(3, Some("b"), Some("r1")),
            place(4, Some("a"), Some("r1")),
            place(5, Some("b"), Some("r2")),
        ];
        assert_eq!(line(mixed), [2, 4, 3, 1, 5]);
    }
}
