//! What a manager lends to a running task.

use crate::{
    Failures, Location, ManagerPath, NodeSet, Path, Raise, RunId, SetId,
    manager::{Shared, Upward},
};
use std::{fmt, sync::Arc};
use tokio::{sync::mpsc::UnboundedSender, time::Instant};
use tokio_util::sync::CancellationToken;

/// What a running task knows, and how it speaks to its manager. Cheap to clone.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) run: RunId,
    pub(crate) set: SetId,
    pub(crate) path: Path,
    /// Path of the manager that a macro-step here would be.
    pub(crate) inside: ManagerPath,
    pub(crate) attempt: u32,
    pub(crate) macro_attempt: u32,
    pub(crate) recovering: bool,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancel: CancellationToken,
    pub(crate) queue: UnboundedSender<Box<Upward>>,
    pub(crate) shared: Arc<Shared>,
}

impl Context {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// A context of no manager, to try a task by itself: what it raises is dropped.
    pub fn detached(step: &str) -> Self {
        Self::of_no_manager(step, false)
    }

    /// The same, for a task that was in flight when the service was stopped.
    pub fn detached_recovery(step: &str) -> Self {
        Self::of_no_manager(step, true)
    }

    fn of_no_manager(step: &str, recovering: bool) -> Self {
        let (queue, _) = tokio::sync::mpsc::unbounded_channel();
        let location = Location { name: step.into(), position: 0, alternative: 0 };
        Self::new(Inner {
            run: RunId(0),
            set: SetId::FIRST,
            path: Path::default().child(location),
            inside: ManagerPath::default(),
            attempt: 0,
            macro_attempt: 0,
            recovering,
            deadline: None,
            cancel: CancellationToken::new(),
            queue,
            shared: Arc::default(),
        })
    }

    /// Hands nodes over with success; they go on at once. Nodes the run does not hold
    /// are ignored.
    pub fn raise_ok(&self, nodes: NodeSet) {
        self.raise(Raise::Ok(nodes), None);
    }

    /// Hands nodes over with failure; they are retried or fall back at once.
    pub fn raise_ko(&self, nodes: Failures) {
        self.raise(Raise::Ko(nodes), None);
    }

    pub(crate) fn raise(&self, nodes: Raise, set: Option<SetId>) {
        // The manager is gone only when its run has been given up: nobody wants the nodes.
        self.0.queue.send(Box::new(Upward::Raise { run: self.0.run, nodes, set })).ok();
    }

    /// Says that nodes inside are paused, or no longer: meanwhile the deadline rests.
    pub(crate) fn hold(&self, held: bool) {
        self.0.queue.send(Box::new(Upward::Hold { run: self.0.run, held })).ok();
    }

    /// Ends when the run is to stop: killed, or over its deadline.
    pub async fn cancelled(&self) {
        self.0.cancel.cancelled().await;
    }

    /// Cancelled when the run is to stop; for what the task starts itself.
    pub fn token(&self) -> &CancellationToken {
        &self.0.cancel
    }

    /// When the run will be stopped: its own limit or that of the macro-step around it.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// Which attempt of this step this is for these nodes, from 0.
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// Which attempt of the macro-step around this step this is for these nodes, from 0;
    /// a step starts harder when it is not the first.
    pub fn macro_attempt(&self) -> u32 {
        self.0.macro_attempt
    }

    /// Whether this attempt was in flight when the service was stopped: what it set off may
    /// have happened. A task whose rule is [`Recovery::Observe`] looks before it acts.
    ///
    /// [`Recovery::Observe`]: crate::Recovery::Observe
    pub fn recovering(&self) -> bool {
        self.0.recovering
    }

    /// The macro-step and the micro-step.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Id of the node set.
    pub fn set_id(&self) -> SetId {
        self.0.set
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("path", &self.0.path.to_string())
            .field("set", &self.0.set)
            .field("attempt", &self.0.attempt)
            .finish_non_exhaustive()
    }
}
