//! Operations of administrators and users, before, after or in place of a micro-step.

use super::{Micro, Run, gather::each, remote, variables::variables};
use crate::platform::{Errand, Input};
use automata::{Context, NodeId, NodeSet, Outcome, Reason, Recovery, Task};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// Such an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomOperation {
    /// Its name.
    pub name: String,
    /// What it does.
    pub action: CustomAction,
    /// Bound of an attempt.
    pub timeout: Option<Duration>,
    /// Further attempts.
    pub retries: u32,
}

/// What it does on each node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustomAction {
    /// Runs shell text.
    Exec {
        /// The text.
        command: String,
    },
    /// Puts a file into a directory.
    Send {
        /// The file.
        file: CustomFile,
        /// The directory; `$KADEPLOY_...` in it is replaced.
        destination: String,
    },
    /// Runs a file.
    Run {
        /// The file.
        file: CustomFile,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

/// A file of such an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustomFile {
    /// On the server: an administrator's.
    Server(PathBuf),
    /// Grabbed with the other files of the operation: a user's, by its reference.
    Grabbed(String),
}

impl CustomFile {
    /// The last part of its path.
    fn base_name(&self) -> String {
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        match self {
            Self::Server(path) => name(&path.to_string_lossy()),
            Self::Grabbed(reference) => {
                name(reference.split(['?', '#']).next().unwrap_or_default())
            }
        }
    }

    fn path(&self, run: &Run) -> Result<PathBuf, Reason> {
        match self {
            Self::Server(path) => Ok(path.clone()),
            Self::Grabbed(reference) => run
                .files()
                .custom
                .get(reference)
                .cloned()
                .ok_or_else(|| format!("the file {reference} was not grabbed").into()),
        }
    }
}

/// Such an operation as a step.
pub struct CustomStep {
    operation: CustomOperation,
    /// The micro-step beside which it stands.
    beside: Micro,
    run: Arc<Run>,
}

impl CustomStep {
    /// `operation`, beside `beside`, done with what `run` knows.
    pub fn new(operation: CustomOperation, beside: Micro, run: Arc<Run>) -> Self {
        Self { operation, beside, run }
    }

    async fn one(&self, id: NodeId, cx: &Context) -> Result<(), Reason> {
        let run = &*self.run;
        let (errand, input) = match &self.operation.action {
            CustomAction::Exec { command } => {
                let (variables, command) = (variables(run), command.clone());
                (Errand::Exec { variables, command }, Input::Empty)
            }
            CustomAction::Send { file, destination } => {
                let directory = filled(run, destination);
                let path = format!("{}/{}", directory.trim_end_matches('/'), file.base_name());
                (Errand::Store { path }, Input::File(file.path(run)?))
            }
            CustomAction::Run { file, arguments } => {
                let (variables, arguments) = (variables(run), arguments.clone());
                (Errand::RunScript { variables, arguments }, Input::File(file.path(run)?))
            }
        };
        remote::command(run, cx, id, errand, input).await.map(drop)
    }
}

/// `text` with the values of variables where `$KADEPLOY_...` stands, longest names first.
fn filled(run: &Run, text: &str) -> String {
    let mut variables = variables(run);
    variables.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        let known = variables.iter().find(|(name, _)| after.starts_with(name.as_str()));
        filled.push_str(known.map_or("$", |(_, value)| value));
        rest = known.map_or(after, |(name, _)| &after[name.len()..]);
    }
    filled + rest
}

#[async_trait::async_trait]
impl Task for CustomStep {
    fn recovery(&self) -> Recovery {
        Recovery::Rerun
    }

    async fn run(&self, nodes: NodeSet, cx: Context) -> Outcome {
        let run = &*self.run;
        let lost = run.lost_of(&nodes);
        let nodes = nodes.difference(&lost.keys().copied().collect());
        if !lost.is_empty() {
            cx.raise_ko(lost);
        }
        let passed = run.passes(&nodes, &self.beside, &cx);
        let nodes = nodes.difference(&passed);
        if !passed.is_empty() {
            cx.raise_ok(passed);
        }
        if nodes.is_empty() {
            return Outcome::default();
        }
        tokio::select! {
            biased;
            outcome = each(&nodes, &cx, |id| self.one(id, &cx)) => outcome,
            () = cx.cancelled() => Outcome::default(),
        }
    }
}
