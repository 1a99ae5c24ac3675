//! What `kadeploy3`, `kareboot3` and `kapower3` have in common: an operation is asked for,
//! followed to its end, and its end told.
//!
//! `follow` is the conversation with one server, `result` what is told and written at the end,
//! `status` what Enter shows. [`Workflow`] is what tells the three apart.

mod follow;
mod result;
mod status;

use super::{
    channels::{say, warn},
    export::Export,
    failure::Failure,
    http::Server,
    nodes,
    options::{Line, Mistake, Opt},
    session::Session,
    terminal,
};
use follow::{Running, follow};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::{
    fs,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

/// Options of the three.
pub(super) const OPTIONS: &[Opt] = &[
    Opt::switch("debug-mode", "Show what commands print, on descriptor 3 where that is open")
        .short('d'),
    Opt::value("output-ko-nodes", "FILENAME", "Write the nodes that failed to this file")
        .short('n'),
    Opt::value("output-ok-nodes", "FILENAME", "Write the nodes that are well to this file")
        .short('o'),
    Opt::value("script", "FILE", "Run this program at the end").short('s'),
    Opt::value("verbose-level", "VALUE", "How much is told, 1 to 5").short('V'),
    Opt::value("write-workflow-id", "FILE", "Write the id of the operation to this file"),
    Opt::switch("wait", "Wait for the end of the operation"),
    Opt::switch("force", "Take nodes over that another operation holds"),
    Opt::value("breakpoint", "STEP", "Stop before this step: Macro or Macro:micro"),
    Opt::value("custom-steps", "FILE", "Operations before, after or instead of micro-steps"),
    Opt::value("set-custom-operations", "FILE", "The same"),
    Opt::switch("hook", "Run the hook of the server at the end"),
];

/// One kind of operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workflow {
    /// `Deployment`.
    pub(super) title: &'static str,
    pub(super) method: fn() -> Method,
    pub(super) path: &'static str,
}

/// What is the same for every server.
pub(super) struct Order {
    pub(super) workflow: Workflow,
    pub(super) session: Session,
    pub(super) export: Export,
    /// Whether nodes are asked for their power: what they say is told.
    pub(super) power_status: bool,
    running: Mutex<Vec<Running>>,
    ids: Mutex<Vec<String>>,
}

/// Fields of a request between those that all have, for one server. Local files are exported
/// on the way.
pub(super) type Fields<'a> =
    futures_util::future::BoxFuture<'a, Result<Map<String, Value>, Failure>>;

/// What can be said without a server: the options of all three.
pub(super) fn check(line: &Line) -> Result<(), Failure> {
    let level = |value: &str| value.parse::<u8>().is_ok_and(|level| level <= 5);
    if line.checked("verbose-level", level)? == Some("0") {
        return Err(Failure::usage("The verbose level must be in the range 1..5"));
    }
    for name in ["output-ko-nodes", "output-ok-nodes"] {
        if let Some(path) = line.value(name) {
            fs::write(path, "").map_err(|error| Failure::file(path, error))?;
        }
    }
    if !nodes::asked_for(line) {
        return Err(nodes::none());
    }
    let [ko, ok] = ["output-ko-nodes", "output-ok-nodes"].map(|name| line.value(name));
    if ko.is_some() && ko == ok {
        return Err(Failure::usage(
            "The files of the nodes that are well and of those that failed must differ",
        ));
    }
    if line.off("wait") && (ko.is_some() || ok.is_some()) {
        return Err(Failure::usage("-o and -n cannot be used with --no-wait"));
    }
    if let Some(script) = line.value("script") {
        executable(script)?;
    }
    Ok(())
}

fn executable(path: &str) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    let meta = fs::metadata(path).map_err(|error| Failure::file(path, error))?;
    if meta.is_file() && meta.permissions().mode() & 0o111 != 0 {
        Ok(())
    } else {
        Err(Failure::file(path, "it is not executable"))
    }
}

/// A value that is one or several words of letters, digits and what else is allowed.
pub(super) fn word<'a>(
    line: &'a Line,
    long: &'a str,
    also: &str,
) -> Result<Option<&'a str>, Mistake> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || also.contains(c);
    line.checked(long, |value| !value.is_empty() && value.chars().all(fits))
}

impl Order {
    /// An operation of `session`.
    pub(super) fn new(workflow: Workflow, session: Session) -> Self {
        let export = Export::new(session.line.on("secure"));
        let (running, ids) = (Mutex::default(), Mutex::default());
        Self { workflow, session, export, power_status: false, running, ids }
    }

    /// Asks every server that has nodes of the operation, and sees it through. `fields` makes
    /// what only this kind of operation has.
    ///
    /// # Errors
    /// A server refuses, or Ctrl-C.
    pub(super) async fn run(
        self,
        fields: impl Fn(Arc<Self>, Server) -> Fields<'static> + Copy + Send + 'static,
    ) -> Result<(), Failure> {
        let order = Arc::new(self);
        let mut interrupts =
            signal(SignalKind::interrupt()).map_err(|error| Failure::usage(error.to_string()))?;
        let ended = {
            let work = order.clone().on_all(fields);
            tokio::pin!(work);
            tokio::select! {
                ended = &mut work => Some(ended),
                _ = interrupts.recv() => None,
            }
        };
        match ended {
            Some(ended) => ended?,
            None => return Err(order.interrupted().await),
        }
        let line = &order.session.line;
        // After a dry run nothing has come to its end.
        if let (Some(script), false) = (line.value("script"), line.on("dry-run")) {
            result::run_script(script);
        }
        Ok(())
    }

    async fn on_all(
        self: Arc<Self>,
        fields: impl Fn(Arc<Self>, Server) -> Fields<'static> + Copy + Send + 'static,
    ) -> Result<(), Failure> {
        let presses = terminal::presses();
        let mut servers = JoinSet::new();
        for (server, nodes) in self.session.dealt().await? {
            let (order, presses) = (Arc::clone(&self), presses.clone());
            servers.spawn(async move {
                let made = fields(Arc::clone(&order), server.clone()).await;
                let done = match made {
                    Ok(made) => Box::pin(follow(&order, &server, (made, &nodes), presses)).await,
                    Err(failure) => Err(failure),
                };
                done.map_err(|failure| order.of(&server, &failure))
            });
        }
        let mut first = Ok(());
        while let Some(done) = servers.join_next().await {
            let done = done.unwrap_or_else(|error| Err(Failure::usage(error.to_string())));
            match (done, &first) {
                (Err(failure), Ok(())) => first = Err(failure),
                // Only one can be told at the end.
                (Err(failure), Err(_)) => warn(&failure.text),
                (Ok(()), _) => {}
            }
        }
        first
    }

    /// A failure of one of several servers says which.
    fn of(&self, server: &Server, failure: &Failure) -> Failure {
        let prefix = self.session.prefix(server);
        let lines = failure.text.lines().map(|line| format!("{prefix}{line}"));
        Failure { text: lines.collect::<Vec<_>>().join("\n"), code: failure.code }
    }

    /// Ctrl-C: what runs is deleted.
    async fn interrupted(&self) -> Failure {
        say("SIGINT trapped");
        let running =
            std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for Running { server, resource } in running {
            if let Err(failure) = server.send(Method::DELETE, &resource, Map::new()).await {
                warn(&failure.text);
            }
        }
        Failure { text: String::new(), code: 1 }
    }

    /// A line about this server.
    fn say(&self, server: &Server, text: &str) {
        let prefix = self.session.prefix(server);
        for line in text.split('\n') {
            say(&format!("{prefix}{line}"));
        }
    }

    /// The request for `server`: fields that all operations have around those of this one.
    async fn body(
        &self,
        middle: Map<String, Value>,
        nodes: &[String],
    ) -> Result<Map<String, Value>, Failure> {
        let line = &self.session.line;
        let mut body = Map::new();
        if line.on("debug-mode") {
            body.insert("debug".into(), true.into());
        }
        if let Some(level) = line.value("verbose-level").and_then(|level| level.parse::<u8>().ok())
        {
            body.insert("verbose_level".into(), level.into());
        }
        // In whatever form: so it was.
        if line.has("force") {
            body.insert("force".into(), true.into());
        }
        if let Some(step) = line.value("breakpoint") {
            body.insert("breakpoint".into(), step.into());
        }
        let custom = ["custom-steps", "set-custom-operations"];
        if let Some(path) = custom.into_iter().find_map(|name| line.value(name)) {
            body.insert("custom_operations".into(), self.custom_operations(path)?);
        }
        if line.on("hook") {
            body.insert("hook".into(), true.into());
        }
        body.extend(middle);
        if line.off("wait") && !self.export.is_empty() {
            return Err(Failure::usage(
                "--no-wait cannot be used with files of this machine: they are served while the operation runs",
            ));
        }
        if let Some(url) = self.export.url().await? {
            body.insert("client".into(), url.into());
        }
        body.insert("nodes".into(), json!(nodes));
        Ok(body)
    }

    /// The operations in a file. The local files that they name are exported.
    fn custom_operations(&self, path: &str) -> Result<Value, Failure> {
        let parsed: Value = serde_saphyr::from_str(&nodes::read(path)?).map_err(|error| {
            Failure::usage(format!("Invalid YAML in the file '{path}': {error}"))
        })?;
        if !parsed.is_object() {
            return Err(Failure::file(path, "it does not hold operations by macro-step"));
        }
        self.refer_all(&parsed)?;
        Ok(parsed)
    }

    fn refer_all(&self, value: &Value) -> Result<(), Failure> {
        match value {
            Value::Array(list) => list.iter().try_for_each(|value| self.refer_all(value)),
            Value::Object(map) => map.iter().try_for_each(|(name, value)| match value {
                Value::String(file) if name == "file" => self.export.refer(file),
                other => self.refer_all(other),
            }),
            _ => Ok(()),
        }
    }

    /// Tells that an operation was created, and keeps it for Ctrl-C.
    fn created(&self, running: Running, wid: &str) -> Result<(), Failure> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(running);
        let Some(path) = self.session.line.value("write-workflow-id") else { return Ok(()) };
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.push(wid.to_owned());
        fs::write(path, ids.join("\n")).map_err(|error| Failure::file(path, error))
    }

    fn ended(&self, resource: &str) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|running| running.resource != resource);
    }
}
