//! A deployment by itself: planned and carried out as any other, without interface and
//! cache.

use super::{
    around::Around,
    feed::Stream,
    journal::{self, Chapter, Clock, Entry, Pen},
    order,
    part::{Common, Part},
    run::{leave, stopped},
    undo,
    watch::Watch,
};
use crate::{
    environments::Environment,
    nodes::Node,
    platform::Ports,
    steps::{self, Files, Windows},
    store::Store,
    types::{Code, DeployRequest, Kind, Problem},
};
use automata::{Automaton, Event, Observer, Status};
use config::{Cluster, Config};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Records of the journal that are read at once.
const PAGES: usize = 1024;

/// What is deployed on which nodes of one cluster, and with what.
pub struct Solo<'a> {
    /// The site.
    pub config: &'a Config,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Its nodes.
    pub nodes: Vec<Arc<Node>>,
    /// What a user would ask for; its nodes and environment are not looked at.
    pub request: &'a DeployRequest,
    /// What is installed.
    pub environment: &'a Environment,
    /// Kernel parameter that lets us into the deployment system.
    pub deploy_key: &'a str,
    /// Files on the server.
    pub files: Files,
    /// The machines.
    pub ports: Ports,
    /// Limits on what happens at once.
    pub windows: Arc<Windows>,
    /// Where it is written down, and may have been begun.
    pub store: Arc<dyn Store>,
    /// The clock by which it is written down: Unix time.
    pub clock: Clock,
    /// Who watches, besides the operation itself.
    pub observer: Arc<dyn Observer>,
}

/// How it ended.
pub struct End {
    /// What was walked.
    pub automaton: Arc<Automaton>,
    /// How the walk ended.
    pub ended: automata::Ended,
    /// By node: its way through the macro-steps.
    pub columns: Vec<Vec<Column>>,
    /// By node: how it ended, and for one that failed why, as users are told.
    pub nodes: Vec<(Option<Status>, Option<String>)>,
}

/// One macro-step of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The instance that served it last.
    pub step: Arc<str>,
    /// Retries and fallbacks.
    pub retries: u32,
    /// Seconds of the last attempt.
    pub seconds: f64,
}

/// The id under which it is written down.
const WID: &str = "D-solo";

impl Solo<'_> {
    /// Carries it out, from wherever its journal ends.
    ///
    /// # Errors
    /// What a request would be refused with; a run that could not be brought to its end,
    /// [`Code::DatabaseError`] if for its journal; a boot profile that stays behind.
    pub async fn deploy(self) -> Result<End, Problem> {
        let order = order::deploy(
            self.config,
            self.cluster,
            self.nodes,
            self.request,
            self.environment,
            &Around::with_key(self.deploy_key),
        )?;
        let files = Arc::new(OnceLock::from(self.files));
        let common = Common {
            wid: WID,
            kind: Kind::Deploy,
            log: &Arc::default(),
            debug: None,
            files: &files,
            ports: &self.ports,
            windows: &self.windows,
            suspended: &CancellationToken::new(),
            muted: false,
        };
        // Nobody listens.
        let feed = Stream::keeping(1).of(common.wid, common.kind, "");
        let pen = Pen::new(Arc::clone(&self.store), WID).by(self.clock);
        let chapter = Arc::new(Chapter { pen, cluster: order.cluster.clone() });
        let kept = (Arc::clone(&chapter) as _, chapter as _);
        let mut part = Part::new(&common, order, String::new(), feed, kept)?;
        recall(&*self.store, &mut part).await?;
        let (watch, automaton) = (Arc::clone(&part.watch), Arc::clone(&part.automaton));
        let run = Arc::clone(&part.run);
        let observer = Arc::new(Both(Arc::clone(&watch) as _, self.observer));
        let (manager, _control) = part.manager(observer, (false, Duration::ZERO), Duration::ZERO);
        let ended = manager.run().await.map_err(|error| stopped(&error))?;
        undo::tidy(&watch, &run).await;
        leave(&self.ports, Kind::Deploy, std::slice::from_ref(&watch))
            .await
            .map_err(|error| Problem::new(Code::ExecuteError, error.to_string()))?;
        Ok(end(&watch, automaton, ended))
    }
}

fn end(watch: &Watch, automaton: Arc<Automaton>, ended: automata::Ended) -> End {
    let board = watch.board();
    let column = |column: &super::board::Column| {
        let step = column.step.clone()?;
        Some(Column { step, retries: column.retries, seconds: column.seconds })
    };
    let (mut columns, mut nodes) = (Vec::new(), Vec::new());
    for (_, place) in board.iter() {
        columns.push(place.columns.iter().filter_map(column).collect());
        nodes.push((place.ended, place.error.clone()));
    }
    End { automaton, ended, columns, nodes }
}

/// Tells `part` what its journal says. Times are left out: those of the wall clock say nothing
/// about the run's own.
async fn recall(store: &dyn Store, part: &mut Part) -> Result<(), Problem> {
    let read = read(store, |_, entry| match entry {
        Entry::Run { record, .. } => part.recall(&record, Duration::ZERO),
        Entry::Note { note, .. } => {
            part.run.recall(note);
            Ok(())
        }
        _ => Ok(()),
    });
    read.await?;
    let restored = steps::restore_profiles(&part.run, &part.watch.failed()).await;
    restored.map_err(|error| Problem::new(Code::ExecuteError, error.to_string()))
}

/// What the automaton was told, in the order in which `store` has it: `each` gets when that was
/// written, Unix time, and the record.
///
/// # Errors
/// The journal cannot be read.
pub(crate) async fn tell(
    store: &dyn Store,
    mut each: impl FnMut(Duration, automata::Record),
) -> Result<(), Problem> {
    let read = read(store, |at, entry| {
        if let Entry::Run { record, .. } = entry {
            each(at, record);
        }
        Ok(())
    });
    read.await
}

async fn read(
    store: &dyn Store,
    each: impl FnMut(Duration, Entry) -> Result<(), String>,
) -> Result<(), Problem> {
    let read = journal::read(store, WID, 0.0, each).await;
    read.map_err(|why| Problem::new(Code::DatabaseError, why))
}

/// The journal as `store` has it: `each` gets the text of every record, in order.
///
/// # Errors
/// It cannot be read.
pub(crate) async fn pages(store: &dyn Store, mut each: impl FnMut(&str)) -> Result<(), Problem> {
    let mut since = 0;
    loop {
        let some = store.journal(WID, since, PAGES).await?;
        let Some(last) = some.last() else { return Ok(()) };
        since = last.seq;
        for record in &some {
            each(record.body.get());
        }
    }
}

/// Two observers of one run.
struct Both(Arc<dyn Observer>, Arc<dyn Observer>);

impl Observer for Both {
    fn event(&self, event: &Event) {
        self.0.event(event);
        self.1.event(event);
    }
}
