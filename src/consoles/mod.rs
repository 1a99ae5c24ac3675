//! Consoles of nodes, handed to their users over TCP.
//!
//! A console is a port on which the address that asked for it, and nobody else, is joined to the
//! site's console command for the node: one connection at a time. `line` is such a connection.
//! Consoles end with the service. `recorder` keeps what nodes print while they are deployed.

mod line;
mod recorder;

pub use recorder::{Ear, Recorder, Shelf};

use crate::{
    operations::{Viewer, rights},
    store::RightRecord,
    types::{Code, Problem},
};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Consoles at once: each may hold a process and a terminal.
const MOST: usize = 1000;

/// A console to which nobody is attached for so long is closed.
const IDLE: Duration = Duration::from_secs(3600);

/// What is asked for.
#[derive(Debug)]
pub struct Wanted {
    /// Full name of the node.
    pub node: String,
    /// The command that is joined to it, for the shell.
    pub command: String,
    /// Whose it is to be.
    pub user: String,
    /// Whence he comes.
    pub from: IpAddr,
}

/// All consoles of the service.
pub struct Consoles {
    table: Mutex<BTreeMap<String, Arc<Console>>>,
    /// The address at which their ports are.
    bind: IpAddr,
    /// The name under which clients reach it.
    host: String,
    recorder: Option<Arc<Recorder>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// One console.
pub(crate) struct Console {
    wid: String,
    user: String,
    node: String,
    uri: String,
    from: IpAddr,
    command: String,
    recorder: Option<Arc<Recorder>>,
    begun: Instant,
    attached: AtomicBool,
    failed: Mutex<Option<String>>,
    /// Ends it.
    end: CancellationToken,
}

impl Consoles {
    /// None yet; their ports will be at `bind`, which clients know as `host`. Nodes that `recorder`
    /// records are left to whoever attaches to them.
    pub fn new(bind: IpAddr, host: String, recorder: Option<Arc<Recorder>>) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        Self { table: Mutex::default(), bind, host, recorder, tasks, stop }
    }

    /// Opens a console; the answer for old clients.
    ///
    /// # Errors
    /// There are too many, or no port can be had.
    pub async fn open(&self, wanted: Wanted) -> Result<Value, Problem> {
        if self.stop.is_cancelled() || self.table().len() >= MOST {
            let text = "no more consoles can be opened now, please try again later";
            return Err(Problem::Unavailable(text.into()));
        }
        let failed = |error: std::io::Error| Problem::new(Code::ExecuteError, error.to_string());
        let listener = TcpListener::bind(SocketAddr::new(self.bind, 0)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let wid = format!("C-{}", uuid::Uuid::new_v4());
        let Wanted { node, command, user, from } = wanted;
        let console = Arc::new(Console {
            wid: wid.clone(),
            user,
            node,
            uri: format!("tcp://{}:{port}", self.host),
            from: from.to_canonical(),
            command,
            recorder: self.recorder.clone(),
            begun: Instant::now(),
            attached: AtomicBool::new(false),
            failed: Mutex::default(),
            end: self.stop.child_token(),
        });
        tracing::info!(wid, node = console.node, user = console.user, "console opened");
        let uri = console.uri.clone();
        self.table().insert(wid.clone(), Arc::clone(&console));
        self.tasks.spawn(line::serve(console, listener, IDLE));
        let base = format!("/console/{wid}");
        let resources = json!({"resource": format!("{base}/"), "error": format!("{base}/error"), "console": uri});
        Ok(json!({"wid": wid, "resources": resources}))
    }

    /// All consoles, as `viewer` may see them.
    pub fn list(&self, viewer: &Viewer) -> Vec<Value> {
        self.table().values().map(|console| console.told(viewer)).collect()
    }

    /// One console, as `viewer` may see it.
    ///
    /// # Errors
    /// 1: there is none.
    pub fn one(&self, wid: &str, viewer: &Viewer) -> Result<Value, Problem> {
        Ok(self.get(wid)?.told(viewer))
    }

    /// Why it ended by itself, if it did.
    ///
    /// # Errors
    /// 1: there is none. 403: it is another user's.
    pub fn error(&self, wid: &str, viewer: &Viewer) -> Result<Option<Problem>, Problem> {
        let console = self.open_to(wid, viewer)?;
        let why = console.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(why.map(|why| Problem::new(Code::ExecuteError, why)))
    }

    /// Closes a console.
    ///
    /// # Errors
    /// 1: there is none. 403: it is another user's.
    pub fn close(&self, wid: &str, viewer: &Viewer, dry: bool) -> Result<(), Problem> {
        let console = self.open_to(wid, viewer)?;
        if !dry {
            console.end.cancel();
            self.table().remove(wid);
        }
        Ok(())
    }

    /// Closes the consoles of `user` on nodes on which nothing is left to him but `left`.
    pub fn withdraw(&self, user: &str, left: &[RightRecord]) {
        self.table().retain(|_, console| {
            let stays = console.user != user || rights::allows(left, &[&console.node], "");
            if !stays {
                console.end.cancel();
            }
            stays
        });
    }

    /// Closes all.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn get(&self, wid: &str) -> Result<Arc<Console>, Problem> {
        let found = self.table().get(wid).cloned();
        found.ok_or_else(|| Problem::new(Code::InvalidWorkflowId, ""))
    }

    fn open_to(&self, wid: &str, viewer: &Viewer) -> Result<Arc<Console>, Problem> {
        let console = self.get(wid)?;
        if console.is_of(viewer) {
            Ok(console)
        } else {
            Err(Problem::Forbidden("You do not the rights to perform this operation".into()))
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Console>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Console {
    fn is_of(&self, viewer: &Viewer) -> bool {
        viewer.almighty || viewer.user == self.user
    }

    /// It ended by itself.
    fn fail(&self, why: String) {
        tracing::warn!(wid = self.wid, why, "a console ended");
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    fn told(&self, viewer: &Viewer) -> Value {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let mut map = Map::new();
        map.insert("id".into(), self.wid.clone().into());
        map.insert("user".into(), self.user.clone().into());
        map.insert("node".into(), self.node.clone().into());
        map.insert("error".into(), failed.into());
        if self.is_of(viewer) {
            map.insert("attached".into(), self.attached.load(Ordering::Relaxed).into());
            map.insert("console_uri".into(), self.uri.clone().into());
        }
        let seconds = (self.begun.elapsed().as_secs_f64() * 100.0).round() / 100.0;
        map.insert("time".into(), seconds.into());
        Value::Object(map)
    }
}
