//! One operation carried out: files, then one automaton per cluster, then the books.

use super::{
    Inner, archive,
    create::{Asked, Installed},
    feed::Feed,
    operation::Operation,
    reservation::Reservation,
    watch::Watch,
};
use crate::{
    environments::FileRef,
    files::{Grabber, What},
    steps::Files,
    types::{Code, EventBody, Kind, Problem},
};
use automata::{Automaton, NodeSet, Options, RunError, SetId, SetIds, Status, TaskManager};
use cache::{Lease, Priority};
use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};
use tokio::task::JoinSet;

/// One cluster's part.
pub(super) struct Part {
    pub(super) watch: Arc<Watch>,
    pub(super) automaton: Arc<Automaton>,
    pub(super) files: Arc<OnceLock<Files>>,
}

/// What is to be done.
pub(super) struct Job {
    pub(super) parts: Vec<Part>,
    pub(super) grabber: Grabber,
    pub(super) files: Vec<What>,
    pub(super) keep: bool,
    pub(super) reservation: Reservation,
}

/// The files an operation needs, in the order in which they are grabbed.
pub(super) fn files(
    asked: &Asked,
    wid: &str,
    installed: Option<&Installed>,
) -> Result<Vec<What>, Problem> {
    let mut files = Vec::new();
    if let Some(key) = asked.key() {
        files.push(What {
            tag: "key",
            file: FileRef::parse(key)?,
            version: wid.to_owned(),
            priority: Priority::Anonymous,
            sha256: None,
            most: None,
        });
    }
    let Some(Installed { environment, recorded, .. }) = installed else { return Ok(files) };
    let (version, priority) = if *recorded {
        (format!("{}/{}", environment.name, environment.version), Priority::Recorded)
    } else {
        (wid.to_owned(), Priority::Anonymous)
    };
    let what = |tag, file: &str, sha256| {
        let (version, file) = (version.clone(), FileRef::parse(file)?);
        Ok::<_, Problem>(What { tag, file, version, priority, sha256, most: None })
    };
    files.push(what("tarball", &environment.image.file, environment.image.sha256.clone())?);
    for archive in environment.postinstalls.iter().flatten() {
        files.push(what("postinstall", &archive.file, None)?);
    }
    Ok(files)
}

/// Carries an operation out to its end, and writes the end down.
pub(super) async fn run(inner: &Arc<Inner>, operation: &Arc<Operation>, job: Job) {
    let Job { parts, grabber, files, keep, reservation } = job;
    let feed = inner.means.stream.of(&operation.wid, operation.kind, &operation.user);
    let grabbed = tokio::select! {
        grabbed = grab(operation, &feed, &grabber, &files) => grabbed,
        () = operation.cancel.cancelled() => Err(Problem::Unavailable("cancelled".into())),
    };
    let error = match grabbed {
        Ok((leases, files)) => {
            let error = drive(inner, operation, &feed, parts, (&files, keep)).await;
            drop(leases);
            error
        }
        Err(problem) => {
            operation.say(&feed, 0, &problem.to_string());
            for part in &parts {
                part.watch.give_up(&problem.to_string());
            }
            Some(problem)
        }
    };
    grabber.cache.release(&operation.wid);
    leave(inner, operation).await;
    let broken_off = inner.stop.is_cancelled() && !operation.with(Status::Ko).is_empty();
    operation.end(if broken_off { Some(archive::broken_off()) } else { error });
    if let Err(problem) = archive::end(&*inner.means.store, operation).await {
        tracing::error!(wid = operation.wid, %problem, "the end of the operation was not recorded");
    }
    let (ok, ko) = (operation.with(Status::Ok), operation.with(Status::Ko));
    tracing::info!(wid = operation.wid, kind = %operation.kind, ok = ok.len(), ko = ko.len(), "ended");
    drop(reservation);
    operation.close();
    feed.tell("", SetId(-1), EventBody::Ended { ok, ko });
}

/// Lets go of the nodes: no connection is kept, and one that was not deployed boots its
/// disk again rather than the deployment system for ever.
async fn leave(inner: &Inner, operation: &Operation) {
    let ports = &inner.means.ports;
    for watch in &operation.watches {
        for node in &watch.nodes {
            ports.shell.forget(node).await;
        }
        if operation.kind != Kind::Deploy {
            continue;
        }
        let failed = watch.ended_with(Status::Ko);
        if let Err(error) = ports.profiles.clear(&failed).await {
            tracing::error!(wid = operation.wid, %error, "a boot profile stays behind");
        }
    }
}

/// All files, leased, and where they lie.
async fn grab(
    operation: &Operation,
    feed: &Feed,
    grabber: &Grabber,
    files: &[What],
) -> Result<(Vec<Lease>, Files), Problem> {
    let mut leases = Vec::new();
    let mut paths = Files::default();
    for what in files {
        operation.say(feed, 3, &format!("Grab the {} file {}", what.tag, what.file));
        let lease = grabber.grab(what).await?;
        let path = lease.path().to_owned();
        match what.tag {
            "key" => paths.key = Some(path),
            "tarball" => paths.image = path,
            _ => paths.post_installs.push(path),
        }
        leases.push(lease);
    }
    Ok((leases, paths))
}

/// Runs all clusters' automata side by side; the error of one that could not go on.
async fn drive(
    inner: &Arc<Inner>,
    operation: &Arc<Operation>,
    feed: &Feed,
    parts: Vec<Part>,
    (files, keep): (&Files, bool),
) -> Option<Problem> {
    introduce(operation, feed, &parts);
    let mut running = JoinSet::new();
    for part in parts {
        // Set once for all parts: they share it.
        part.files.get_or_init(|| files.clone());
        running.spawn(begin(inner, operation, part, keep));
    }
    let mut error = None;
    while let Some(ended) = running.join_next().await {
        error = match ended {
            Ok(None) => continue,
            Ok(Some(failed @ RunError::Journal(_))) => {
                Some(Problem::new(Code::DatabaseError, with_causes(&failed)))
            }
            Ok(Some(failed)) => Some(Problem::internal(with_causes(&failed))),
            Err(panic) => Some(Problem::internal(panic)),
        };
    }
    error
}

/// Says which clusters take part and how their messages begin, where there are several.
fn introduce(operation: &Operation, feed: &Feed, parts: &[Part]) {
    if parts.len() > 1 {
        let clusters = parts.iter().map(|Part { watch, .. }| (&watch.prefix, &watch.cluster));
        let clusters: String =
            clusters.map(|(prefix, cluster)| format!("  [{prefix}] : {cluster}\n")).collect();
        let text = format!("---\nClusters involved in the operation:\n{clusters}---");
        operation.say(feed, 0, &text);
    }
}

/// One cluster's automaton, ready to be run to its end.
fn begin(
    inner: &Arc<Inner>,
    operation: &Arc<Operation>,
    part: Part,
    keep: bool,
) -> impl Future<Output = Option<RunError>> + Send + use<> {
    let Part { watch, automaton, .. } = part;
    let journal = archive::Journal::new(Arc::clone(&inner.means.store), operation, &watch.cluster);
    let options = Options {
        journal: Arc::new(journal),
        observer: Arc::clone(&watch) as _,
        keep,
        set_ids: SetIds::default(),
    };
    let nodes: NodeSet = watch.ids().collect();
    let (manager, control) = TaskManager::new(automaton, nodes, options);
    operation.control(control.clone());
    if operation.cancel.is_cancelled() {
        control.kill("cancelled".to_owned());
    }
    async move {
        let began = Instant::now();
        let ended = manager.run().await;
        let (kind, cluster, seconds) = (watch.kind, &watch.cluster, began.elapsed().as_secs());
        watch.say(0, &format!("End of {kind} on cluster {cluster} after {seconds}s"));
        ended.err()
    }
}

fn with_causes(error: &RunError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text += &format!(": {next}");
        cause = next.source();
    }
    text
}
