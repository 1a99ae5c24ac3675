//! One operation carried out: files, then one automaton per cluster, then the books.

use super::{
    Inner, archive,
    create::{Asked, Installed},
    operation::Operation,
    reservation::Reservation,
    watch::Watch,
};
use crate::{
    environments::FileRef,
    files::{Grabber, What},
    steps::Files,
    types::{Code, EventBody, Problem},
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
    let grabbed = tokio::select! {
        grabbed = grab(operation, &grabber, &files) => grabbed,
        () = operation.cancel.cancelled() => Err(Problem::Unavailable("cancelled".into())),
    };
    let error = match grabbed {
        Ok((leases, files)) => {
            let error = drive(inner, operation, parts, &files, keep).await;
            drop(leases);
            error
        }
        Err(problem) => {
            operation.log.add(0, None, &problem.to_string());
            for part in &parts {
                part.watch.give_up(&problem.to_string());
            }
            Some(problem)
        }
    };
    grabber.cache.release(&operation.wid);
    let broken_off = inner.stop.is_cancelled() && !operation.with(Status::Ko).is_empty();
    operation.end(if broken_off { Some(archive::broken_off()) } else { error });
    if let Err(problem) = archive::end(&*inner.means.store, operation).await {
        tracing::error!(wid = operation.wid, %problem, "the end of the operation was not recorded");
    }
    let (ok, ko) = (operation.with(Status::Ok), operation.with(Status::Ko));
    tracing::info!(wid = operation.wid, kind = %operation.kind, ok = ok.len(), ko = ko.len(), "ended");
    drop(reservation);
    operation.close();
    let feed = inner.means.stream.of(&operation.wid, operation.kind, &operation.user);
    feed.tell("", SetId(-1), EventBody::Ended { ok, ko });
}

/// All files, leased, and where they lie.
async fn grab(
    operation: &Operation,
    grabber: &Grabber,
    files: &[What],
) -> Result<(Vec<Lease>, Files), Problem> {
    let mut leases = Vec::new();
    let mut paths = Files::default();
    for what in files {
        operation.log.add(3, None, &format!("Grab the {} file {}", what.tag, what.file));
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
    parts: Vec<Part>,
    files: &Files,
    keep: bool,
) -> Option<Problem> {
    if parts.len() > 1 {
        operation.log.add(0, None, &involved(&parts));
    }
    let mut running = JoinSet::new();
    for part in parts {
        // Set once for all parts: they share it.
        part.files.get_or_init(|| files.clone());
        let journal =
            archive::Journal::new(Arc::clone(&inner.means.store), operation, &part.watch.cluster);
        let options = Options {
            journal: Arc::new(journal),
            observer: Arc::clone(&part.watch) as _,
            keep,
            set_ids: SetIds::default(),
        };
        let nodes: NodeSet = part.watch.ids().collect();
        let (manager, control) = TaskManager::new(part.automaton, nodes, options);
        operation.control(control.clone());
        if operation.cancel.is_cancelled() {
            control.kill("cancelled".to_owned());
        }
        let watch = part.watch;
        running.spawn(async move {
            let began = Instant::now();
            let ended = manager.run().await;
            watch.say(
                0,
                &format!(
                    "End of {} on cluster {} after {}s",
                    watch.kind,
                    watch.cluster,
                    began.elapsed().as_secs()
                ),
            );
            ended.err()
        });
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

/// Which prefix of the messages stands for which cluster.
fn involved(parts: &[Part]) -> String {
    let mut text = "---\nClusters involved in the operation:\n".to_owned();
    for Part { watch, .. } in parts {
        text.extend(["  [", &watch.prefix, "] : ", &watch.cluster, "\n"]);
    }
    text + "---"
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
