//! One operation carried out: files, then one automaton per cluster, then the books.

use super::{
    Inner, archive,
    asked::Asked,
    create::Installed,
    hook,
    journal::{self, Entry, Pen},
    logfiles,
    operation::Operation,
    part::Part,
    reservation::Reservation,
    undo::Ground,
    userfiles::{self, Userfiles},
    watch::Watch,
};
use crate::{
    environments::FileRef,
    files::{Grabbed, Grabber, Tag, What},
    platform::{Ports, ProfileError},
    steps::Files,
    types::{Code, EventBody, Kind, Problem},
};
use automata::{ManagerPath, RunError, SetId, Status};
use cache::{Digest, Priority};
use config::model::server::Environments;
use std::{sync::Arc, time::Duration};
use tokio::{sync::oneshot, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

/// Pause between two attempts to write the end of an operation down.
const END_PAUSE: Duration = Duration::from_secs(5);

/// What is to be done.
pub(super) struct Job {
    pub(super) parts: Vec<Part>,
    pub(super) grabber: Grabber,
    pub(super) files: Wanted,
    pub(super) keep: bool,
    pub(super) reservation: Reservation,
}

/// The files an operation needs, in the order in which they are grabbed.
pub(super) fn files(
    asked: &Asked,
    wid: &str,
    installed: Option<&Installed>,
    limits: &Environments,
) -> Result<Vec<What>, Problem> {
    let own = |tag, reference: &str| {
        let (file, version) = (FileRef::parse(reference)?, wid.to_owned());
        let priority = Priority::Anonymous;
        Ok::<_, Problem>(What { tag, file, version, priority, sha256: None, most: None })
    };
    let mut files = Vec::new();
    files.extend(asked.key().map(|key| own(Tag::Key, key)).transpose()?);
    for reference in asked.custom_files()? {
        files.push(own(Tag::CustomFile, &reference)?);
    }
    for reference in asked.profile_files() {
        userfiles::name(&asked.user, reference)?;
        files.push(own(Tag::Pxe, reference)?);
    }
    // A reboot takes nothing of an environment but what it says.
    let installed = installed.filter(|_| asked.request.kind() == Kind::Deploy);
    let Some(Installed { environment, recorded, .. }) = installed else { return Ok(files) };
    let (version, priority) = if *recorded {
        (format!("{}/{}", environment.name, environment.version), Priority::Recorded)
    } else {
        (wid.to_owned(), Priority::Anonymous)
    };
    let what = |tag, (file, sha256): (&str, &Option<String>), most| {
        let (version, file) = (version.clone(), FileRef::parse(file)?);
        Ok::<_, Problem>(What { tag, file, version, priority, sha256: sha256.clone(), most })
    };
    let image = &environment.image;
    files.push(what(Tag::Tarball, (&image.file, &image.sha256), None)?);
    if let Some(archive) = &environment.preinstall {
        let most = Some(limits.max_preinstall_size.bytes());
        files.push(what(Tag::Preinstall, (&archive.file, &archive.sha256), most)?);
    }
    for archive in environment.postinstalls.iter().flatten() {
        let most = Some(limits.max_postinstall_size.bytes());
        files.push(what(Tag::Postinstall, (&archive.file, &archive.sha256), most)?);
    }
    Ok(files)
}

/// The files of an operation.
pub(super) struct Wanted {
    /// In the order in which they are grabbed.
    files: Vec<What>,
    /// What was in them before a restart; empty if they were not all grabbed then.
    pub(super) had: Vec<Digest>,
    /// Dropped when all are there, or never will be.
    grabbed: Option<oneshot::Sender<()>>,
}

impl Wanted {
    /// Files that were not grabbed before.
    pub(super) fn new(files: Vec<What>) -> Self {
        Self { files, had: Vec::new(), grabbed: None }
    }

    /// Ends when they have been grabbed, or will not be.
    pub(super) fn wait(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.grabbed = Some(sender);
        receiver
    }
}

/// How far an operation was carried out.
enum Carried {
    /// To its end; the problem if it broke off.
    Out(Option<Problem>),
    /// To where it goes on when the service is started again.
    Suspended,
}

/// Carries an operation out to its end, and writes the end down.
pub(super) async fn run(inner: &Arc<Inner>, operation: &Arc<Operation>, job: Job) {
    let feed = inner.means.stream.of(&operation.wid, operation.kind, &operation.user);
    let pen = Pen::new(Arc::clone(&inner.means.store), &operation.wid);
    let done = CancellationToken::new();
    let Job { parts, grabber, files, keep, reservation } = job;
    let keep = (keep, inner.means.site().config.server.breakpoint_limit);
    let work = async {
        let carried = carry_out(inner, operation, &pen, (parts, keep), (&grabber, files)).await;
        done.cancel();
        carried
    };
    let site = inner.means.site();
    let server = &site.config.server;
    let scribe = journal::scribe(&pen, operation, &feed, server, &done);
    let error = match Box::pin(async { tokio::join!(work, scribe).0 }).await {
        Carried::Out(error) => error,
        Carried::Suspended => {
            tracing::info!(wid = operation.wid, "goes on when the service is started again");
            return operation.close();
        }
    };
    let broken_off = inner.abort.is_cancelled() && !operation.with(Status::Ko).is_empty();
    hook::intend(operation);
    operation.end(if broken_off { Some(archive::broken_off()) } else { error });
    if !write_end(inner, operation).await {
        return operation.close();
    }
    let (ok, ko) = (operation.with(Status::Ok), operation.with(Status::Ko));
    tracing::info!(wid = operation.wid, kind = %operation.kind, ok = ok.len(), ko = ko.len(), "ended");
    drop(reservation);
    operation.close();
    feed.tell("", SetId(-1), EventBody::Ended { ok, ko });
    logfiles::rows(server, operation).await;
    hook::run(inner, operation).await;
}

/// Writes the end of an operation down. While the disk does not let us, the operation keeps its
/// nodes: after a restart it would go on, and must not meet another one there. False if the
/// service is stopped first; it does go on then.
async fn write_end(inner: &Inner, operation: &Operation) -> bool {
    let mut told = false;
    let rows = inner.means.site().config.server.logs.database;
    loop {
        let Err(problem) = archive::end(&*inner.means.store, operation, rows).await else {
            return true;
        };
        if !told {
            tracing::error!(wid = operation.wid, %problem, "the end of the operation cannot be recorded: tried again until it can");
            told = true;
        }
        tokio::select! {
            biased;
            () = inner.stop.cancelled() => return false,
            () = sleep(END_PAUSE) => {}
        }
    }
}

async fn carry_out(
    inner: &Arc<Inner>,
    operation: &Arc<Operation>,
    pen: &Pen,
    (parts, keep): (Vec<Part>, (bool, Duration)),
    (grabber, wanted): (&Grabber, Wanted),
) -> Carried {
    let ground = Ground::of(&parts);
    // Those it began with.
    let ports = parts.first().map_or_else(|| inner.means.ports(), |part| part.run.ports.clone());
    let grabbed = tokio::select! {
        biased;
        grabbed = grab(operation, pen, (grabber, &inner.userfiles), wanted) => grabbed,
        () = operation.cancel.cancelled() => Err(Problem::Unavailable("cancelled".into())),
        () = operation.suspend.cancelled() => return suspended(operation, Vec::new()),
    };
    let carried = match grabbed {
        Ok((leases, files)) => match drive(operation, parts, &files, keep).await {
            Carried::Suspended => return suspended(operation, leases),
            carried @ Carried::Out(_) => carried,
        },
        Err(problem) => {
            operation.say(0, &problem.to_string());
            for part in &parts {
                part.watch.give_up(&problem.to_string());
            }
            Carried::Out(Some(problem))
        }
    };
    if !inner.abort.is_cancelled() {
        tokio::select! {
            biased;
            () = async { tokio::join!(ground.undo(operation), ground.tidy(operation)); } => {}
            () = operation.suspend.cancelled() => return suspended(operation, Vec::new()),
            () = inner.abort.cancelled() => {
                operation.say(0, "The service is stopped: nothing more is done to the nodes");
            }
        }
    }
    grabber.depot.release(&operation.wid);
    inner.userfiles.release(&operation.wid);
    // Another operation may be at work on nodes that were only asked for something.
    if operation.only_asks() {
        return carried;
    }
    if let Err(error) = leave(&ports, operation.kind, &operation.watches).await {
        tracing::error!(wid = operation.wid, %error, "a boot profile stays behind");
    }
    carried
}

fn suspended(operation: &Operation, leases: Vec<Grabbed>) -> Carried {
    let kind = operation.kind;
    operation.say(0, &format!("The service is stopped: the {kind} goes on when it is back"));
    // The files stay in the cache for then, though the process ends.
    leases.into_iter().for_each(std::mem::forget);
    Carried::Suspended
}

/// Lets go of the nodes: no connection is kept, and one that was not deployed boots its
/// disk again rather than the deployment system for ever.
pub(super) async fn leave(
    ports: &Ports,
    kind: Kind,
    watches: &[Arc<Watch>],
) -> Result<(), ProfileError> {
    let mut left = Ok(());
    for watch in watches {
        for node in &watch.nodes {
            ports.shell.forget(node).await;
        }
        if kind == Kind::Deploy {
            let failed = watch.ended_with(Status::Ko);
            left = left.and(ports.profiles.clear(&failed).await);
        }
    }
    left
}

/// All files, leased, and where they lie. What is in them is written down: after a restart
/// the operation goes on with the same.
async fn grab(
    operation: &Operation,
    pen: &Pen,
    (grabber, userfiles): (&Grabber, &Userfiles),
    wanted: Wanted,
) -> Result<(Vec<Grabbed>, Files), Problem> {
    let Wanted { files, had, grabbed: _held } = wanted;
    let mut leases: Vec<Grabbed> = Vec::new();
    let mut paths = Files::default();
    for (index, what) in files.iter().enumerate() {
        let lease = if let Some(had) = had.get(index) {
            grabber.grab_again(what, had).await?
        } else {
            operation.say(3, &format!("Grab the {} file {}", what.tag, what.file));
            grabber.grab(what).await?
        };
        let path = lease.path().to_owned();
        match what.tag {
            Tag::Key => paths.key = Some(path),
            Tag::Tarball => paths.image = path,
            Tag::Preinstall => paths.pre_install = Some(path),
            Tag::CustomFile => {
                paths.custom.insert(String::from(what.file.clone()), path);
            }
            Tag::Pxe => {
                let name = userfiles::name(&operation.user, &String::from(what.file.clone()))?;
                userfiles.put(&operation.wid, name, &path).await?;
            }
            Tag::Postinstall => paths.post_installs.push(path),
        }
        leases.push(lease);
    }
    if had.is_empty() && !leases.is_empty() {
        let entry = Entry::Files(leases.iter().map(Grabbed::digest).collect());
        let written = pen.write([entry]).await;
        written.map_err(|error| Problem::new(Code::DatabaseError, error.to_string()))?;
    }
    Ok((leases, paths))
}

/// Runs all clusters' automata side by side.
async fn drive(
    operation: &Arc<Operation>,
    parts: Vec<Part>,
    files: &Files,
    keep: (bool, Duration),
) -> Carried {
    introduce(operation, &parts);
    let mut running = JoinSet::new();
    for part in parts {
        // Set once for all parts: they share it.
        part.files.get_or_init(|| files.clone());
        running.spawn(begin(operation, part, keep));
    }
    let (mut error, mut suspended) = (None, false);
    while let Some(ended) = running.join_next().await {
        error = match ended {
            Ok(None) => continue,
            Ok(Some(RunError::Suspended)) => {
                suspended = true;
                continue;
            }
            Ok(Some(failed)) => Some(stopped(&failed)),
            Err(panic) => Some(Problem::internal(panic)),
        };
    }
    if suspended { Carried::Suspended } else { Carried::Out(error) }
}

/// Says which clusters take part and how their messages begin, where there are several.
fn introduce(operation: &Operation, parts: &[Part]) {
    let fresh = parts.iter().all(|part| part.replay.walk(&ManagerPath::default()).is_none());
    if parts.len() > 1 && fresh {
        let clusters = parts.iter().map(|Part { watch, .. }| (&watch.prefix, &watch.cluster));
        let clusters: String =
            clusters.map(|(prefix, cluster)| format!("  [{prefix}] : {cluster}\n")).collect();
        let text = format!("---\nClusters involved in the operation:\n{clusters}---");
        operation.say(0, &text);
    }
}

/// One cluster's automaton, ready to be run to its end from wherever it is.
fn begin(
    operation: &Arc<Operation>,
    part: Part,
    keep: (bool, Duration),
) -> impl Future<Output = Option<RunError>> + Send + use<> {
    let watch = Arc::clone(&part.watch);
    let (manager, control) = part.manager(Arc::clone(&watch) as _, keep, operation.age());
    operation.control(control.clone());
    if operation.cancel.is_cancelled() {
        control.kill("cancelled".to_owned());
    }
    let operation = Arc::clone(operation);
    async move {
        if operation.suspend.is_cancelled() {
            control.suspend(Duration::ZERO).await;
        }
        let ended = manager.run().await;
        if ended.as_ref().is_ok_and(|ended| ended.killed.is_some()) {
            // It may have been cancelled before a restart.
            operation.cancel.cancel();
        }
        if let Err(failed) = &ended
            && !matches!(failed, RunError::Suspended)
        {
            // Nothing more is done to its nodes: each ends, and does not boot the deployment
            // system for ever.
            watch.give_up(&stopped(failed).to_string());
        }
        if !matches!(ended, Err(RunError::Suspended)) {
            let (kind, cluster, seconds) = (watch.kind, &watch.cluster, operation.age().as_secs());
            watch.say(0, &format!("End of {kind} on cluster {cluster} after {seconds}s"));
        }
        ended.err()
    }
}

/// The error of a run that could not be brought to its end.
pub(super) fn stopped(error: &RunError) -> Problem {
    match error {
        RunError::Journal(_) => Problem::new(Code::DatabaseError, with_causes(error)),
        RunError::Suspended | RunError::Illegal(_) => Problem::internal(with_causes(error)),
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
