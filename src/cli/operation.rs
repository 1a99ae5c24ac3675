//! What the verbs that start an operation have in common: nodes and options, the request,
//! following it to its end, Ctrl-C.

use super::Failure;
use crate::{
    client::{
        Client, ClientError, Export, Followed, Lines, Outcome, Printer, Screen, Serving, follow,
        follow_from, tell,
    },
    types::{Common, Created, Kind, Poll},
};
use clap::Args;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    fs,
    io::{IsTerminal, Read, stderr, stdin},
    path::{Path, PathBuf},
    process::ExitCode,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Which nodes.
#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    /// Nodes: names and ranges such as 'node-[1-3]'.
    #[arg(short = 'm', long = "machine", value_name = "NODES", num_args = 1.., required_unless_present = "file")]
    machines: Vec<String>,
    /// A file with a node or a range on each line; - reads standard input.
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Vec<PathBuf>,
}

impl NodeArgs {
    /// As typed: the service expands ranges.
    pub(super) fn names(&self) -> Result<Vec<String>, Failure> {
        let mut names = self.machines.clone();
        for path in &self.file {
            let mut text = String::new();
            let read = if path.as_os_str() == "-" {
                stdin().read_to_string(&mut text).map(|_| ())
            } else {
                fs::read_to_string(path).map(|read| text = read)
            };
            read.map_err(|source| ClientError::File { path: path.clone(), source })?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            names.extend(lines.map(str::to_owned));
        }
        Ok(names)
    }
}

/// How it is started and followed.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct RunArgs {
    /// Take nodes over that another operation holds.
    #[arg(long)]
    force: bool,
    /// Show what every command on the nodes printed.
    #[arg(long)]
    debug: bool,
    /// How much is told: 1 (little) to 5 (every detail).
    #[arg(short = 'V', long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(1..=5))]
    verbose_level: Option<u8>,
    /// Operations of your own before, after or instead of micro-steps: a file (YAML) with macro-steps,
    /// in them micro-steps, and there pre-ops, post-ops or substitute.
    #[arg(long, value_name = "FILE")]
    custom_operations: Option<PathBuf>,
    /// Run the site's hook at the end.
    #[arg(long)]
    hook: bool,
    /// Start it and leave.
    #[arg(long, conflicts_with = "dry_run")]
    no_wait: bool,
    /// Check everything and start nothing.
    #[arg(long)]
    dry_run: bool,
    /// Delete it on the service when it has ended.
    #[arg(long, conflicts_with = "no_wait")]
    forget: bool,
    /// Print one JSON document on standard output.
    #[arg(long)]
    json: bool,
}

impl RunArgs {
    /// The fields that every request has. Local files that they name are added to `export`.
    pub(super) fn common(&self, nodes: &NodeArgs, export: &mut Export) -> Result<Common, Failure> {
        let custom = self.custom_operations.as_deref();
        Ok(Common {
            nodes: nodes.names()?,
            force: self.force,
            verbose_level: self.verbose_level,
            debug: self.debug,
            hook: self.hook,
            dry_run: self.dry_run,
            custom_operations: custom.map(|path| custom_operations(path, export)).transpose()?,
            ..Common::default()
        })
    }

    /// Serves the local files of a request, if it has any, until what is returned is dropped.
    pub(super) async fn serve(
        &self,
        export: Export,
        common: &mut Common,
    ) -> Result<Option<Serving>, Failure> {
        if export.is_empty() {
            return Ok(None);
        }
        if self.no_wait {
            return Err(Failure::usage(
                "--no-wait cannot be used with files of this machine: they are served while this command runs",
                "leave --no-wait out, or name the files with server:// or http://",
            ));
        }
        let serving = export.serve().await?;
        common.client = Some(serving.url.clone());
        Ok(Some(serving))
    }
}

/// The operations in a file, the local files that they send within reach of the service.
fn custom_operations(path: &Path, export: &mut Export) -> Result<Value, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|source| ClientError::File { path: path.to_owned(), source })?;
    let wrong = |why: &str| {
        let hint = "write them as MACRO-STEP: {MICRO-STEP: {pre-ops: [{name: ..., action: exec, command: ...}]}}";
        Failure::usage(format!("{} has no operations: {why}", path.display()), hint)
    };
    let mut operations: Value =
        serde_saphyr::from_str(&text).map_err(|error| wrong(&error.to_string()))?;
    if !operations.is_object() {
        return Err(wrong("it is not a hash"));
    }
    export.add_operations(&mut operations)?;
    Ok(operations)
}

/// A request on its way.
pub(super) struct Started<'a, R> {
    pub(super) client: &'a Client,
    pub(super) args: &'a RunArgs,
    pub(super) kind: Kind,
    pub(super) method: Method,
    pub(super) request: &'a R,
}

impl<R: Serialize> Started<'_, R> {
    /// Sends the request and, unless told otherwise, sees it through to its end.
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        // From now on Ctrl-C is a question, not the end.
        let mut interrupts = signal(SignalKind::interrupt())?;
        let printer = Printer { json: self.args.json };
        let path = format!("/{}", self.kind.path());
        if self.args.dry_run {
            self.client.send_text(self.method.clone(), &path, self.request).await?;
            printer.answer(&json!({"dry_run": true}), || {
                "nothing was started: all is in order\n".into()
            })?;
            return Ok(ExitCode::SUCCESS);
        }
        let created: Created = self.client.send(self.method.clone(), &path, self.request).await?;
        created.notes.iter().for_each(|note| tell(&format!("note: {note}")));
        if self.args.no_wait {
            printer
                .answer(&created, || format!("{} {}\n", created.wid, created.resources.resource))?;
            return Ok(ExitCode::SUCCESS);
        }
        self.see_through(created, printer, &mut interrupts).await
    }

    async fn see_through(
        self,
        created: Created,
        printer: Printer,
        interrupts: &mut Signal,
    ) -> Result<ExitCode, Failure> {
        let Created { wid, notes, .. } = created;
        let followed = Followed { kind: self.kind, wid };
        tell(&format!("{} started", title(&followed)));
        let screen = Screen::new();
        let mut view = screen.view();
        let ended = {
            let following = follow(self.client, &followed, &mut *view);
            tokio::pin!(following);
            loop {
                tokio::select! {
                    poll = &mut following => break Ok(poll?),
                    _ = interrupts.recv() => match ask(self.kind, &screen, interrupts).await {
                        Choice::Watch => {}
                        choice => break Err(choice),
                    },
                }
            }
        };
        view.end();
        drop(view);
        match ended {
            Ok(poll) => self.conclude(&followed, &poll, notes, printer).await,
            Err(Choice::Cancel) => {
                cancel(self.client, &followed).await?;
                tell(&format!("{} was cancelled", title(&followed)));
                if printer.json {
                    printer.document(&json!({"wid": followed.wid, "cancelled": true}))?;
                }
                Ok(ExitCode::FAILURE)
            }
            Err(_) => {
                tell(&format!(
                    "{0} goes on: kadence logs {1} --follow",
                    title(&followed),
                    followed.wid
                ));
                if printer.json {
                    printer.document(&json!({"wid": followed.wid, "left_running": true}))?;
                }
                Ok(ExitCode::FAILURE)
            }
        }
    }

    /// Tells how it ended.
    async fn conclude(
        &self,
        followed: &Followed,
        poll: &Poll,
        notes: Vec<String>,
        printer: Printer,
    ) -> Result<ExitCode, Failure> {
        let mut outcome = Outcome::ask(self.client, followed, notes).await?;
        let failure = if poll.error { why(self.client, followed).await? } else { None };
        outcome.error = failure.as_ref().map(ToString::to_string);
        if self.args.forget {
            cancel(self.client, followed).await?;
        }
        tell(&format!("{} done\n", title(followed)));
        printer.text(&outcome.text(self.kind))?;
        if printer.json {
            printer.document(&outcome)?;
        }
        match failure {
            Some(failure) => Err(failure.into()),
            None if outcome.is_well() => Ok(ExitCode::SUCCESS),
            None => Ok(ExitCode::FAILURE),
        }
    }
}

/// `Deployment D-…`.
fn title(followed: &Followed) -> String {
    let kind = match followed.kind {
        Kind::Deploy => "Deployment",
        Kind::Reboot => "Reboot",
        Kind::Power => "Power operation",
    };
    format!("{kind} {}", followed.wid)
}

/// Ends an operation that runs, forgets one that has ended. One that is kept until its nodes are in a
/// state that is known is watched until then, and forgotten.
pub(super) async fn cancel(client: &Client, followed: &Followed) -> Result<(), ClientError> {
    let Followed { kind, wid } = followed;
    let cursor = client.logs(*kind, wid, 0).await?.next;
    let path = format!("/{}/{wid}", kind.path());
    let nothing = json!({});
    let delete = || client.send_text(Method::DELETE, &path, &nothing);
    delete().await?;
    match follow_from(client, followed, &mut Lines, cursor).await {
        Ok(_) => delete().await.map(drop),
        // It was not kept.
        Err(ClientError::Refused { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Why an operation broke off: the service answers the question with the error itself.
async fn why(client: &Client, followed: &Followed) -> Result<Option<ClientError>, ClientError> {
    let path = format!("/{}/{}/error", followed.kind.path(), followed.wid);
    match client.text(&path).await {
        Ok(_) => Ok(None),
        Err(error @ ClientError::Refused { .. }) => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

/// What becomes of an operation after Ctrl-C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Cancel,
    Leave,
    Watch,
}

/// Asks the person; without one the operation is cancelled.
async fn ask(kind: Kind, screen: &Screen, interrupts: &mut Signal) -> Choice {
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Choice::Cancel;
    }
    screen.hide();
    tell(&format!(
        "\nCancel the {kind} (c), leave it running and go (l), or go on watching (Enter)?"
    ));
    let (sender, answer) = tokio::sync::oneshot::channel();
    // A thread of its own: a read of standard input cannot be taken back.
    std::thread::spawn(move || {
        let mut text = String::new();
        // Nobody waits for it any more after a second Ctrl-C.
        let _ = stdin().read_line(&mut text).map(|_| sender.send(text));
    });
    let choice = tokio::select! {
        answer = answer => answer.map_or(Choice::Cancel, |text| understood(&text)),
        _ = interrupts.recv() => Choice::Cancel,
    };
    screen.show();
    choice
}

fn understood(text: &str) -> Choice {
    match text.trim().to_ascii_lowercase().as_str() {
        "c" | "cancel" => Choice::Cancel,
        "l" | "leave" => Choice::Leave,
        _ => Choice::Watch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_answer_ends_the_watching() {
        assert_eq!(understood("c\n"), Choice::Cancel);
        assert_eq!(understood(" L \n"), Choice::Leave);
        assert_eq!(understood("\n"), Choice::Watch);
        assert_eq!(understood("what?\n"), Choice::Watch);
    }
}
