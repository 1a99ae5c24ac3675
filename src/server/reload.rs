//! The configuration is loaded anew: when somebody asks for it, on SIGHUP, and when a file of it
//! has changed. Either all of it takes effect or nothing does; what runs keeps what it began with.

use super::{boot::Guests, changes::Changes, site::Full, workshop::Workshop};
use crate::{
    api::{Reload, ReloadRequests},
    operations::Operations,
    types::{Code, Problem, Reloaded},
};
use config::Config;
use std::{
    collections::BTreeSet,
    fmt::Display,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Loads the configuration anew.
pub(super) struct Reloader {
    dir: PathBuf,
    operations: Operations,
    workshop: Workshop,
    guests: Guests,
    requests: ReloadRequests,
    hangups: Signal,
    changes: Changes,
}

impl Reloader {
    /// Of the configuration in `dir`; the handle asks it.
    ///
    /// # Errors
    /// SIGHUP cannot be caught.
    pub(super) fn new(
        dir: &Path,
        operations: &Operations,
        workshop: Workshop,
        guests: Guests,
    ) -> io::Result<(Self, Reload)> {
        let (reload, requests) = Reload::new();
        let mut reloader = Self {
            dir: dir.to_owned(),
            operations: operations.clone(),
            workshop,
            guests,
            requests,
            hangups: signal(SignalKind::hangup())?,
            changes: Changes::new(),
        };
        reloader.watch(&operations.means().site().config);
        Ok((reloader, reload))
    }

    /// Reloads whenever there is a reason, until `stop`.
    pub(super) async fn serve(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(answer) = self.requests.recv() => {
                    let done = self.reload("asked for").await;
                    // Who asked may have left.
                    let _ = answer.send(done);
                }
                _ = self.hangups.recv() => drop(self.reload("SIGHUP").await),
                () = self.changes.next() => drop(self.reload("a file has changed").await),
            }
        }
    }

    async fn reload(&mut self, why: &str) -> Result<Reloaded, Problem> {
        let done = self.load().await;
        let metrics = self.operations.means().stream.metrics();
        metrics.reloaded(done.is_ok());
        match &done {
            Ok(Reloaded { changed: false, .. }) => {
                tracing::debug!(why, "the configuration is the one that is in effect");
            }
            Ok(Reloaded { nodes, added, removed, .. }) => {
                let (added, removed) = (added.len(), removed.len());
                tracing::info!(why, nodes, added, removed, "the configuration was loaded anew");
            }
            Err(problem) => {
                tracing::error!(why, %problem, "the configuration stays as it was");
            }
        }
        done
    }

    async fn load(&mut self) -> Result<Reloaded, Problem> {
        let dir = self.dir.clone();
        let loaded = tokio::task::spawn_blocking(move || config::load(&dir)).await;
        let loaded = loaded.map_err(Problem::internal)?.map_err(|why| refused(&why))?;
        let notices: Vec<_> = loaded.notices.iter().map(ToString::to_string).collect();
        let before = self.operations.means().site();
        if loaded.config == before.config {
            return Ok(told(false, &before, &before, notices));
        }
        let fixed = before.config.fixed_changes(&loaded.config);
        if !fixed.is_empty() {
            let text = "Some static parameters were modified, please restart the server";
            return Err(refused(&format!("{text}: {}", fixed.join(", "))));
        }
        let made = self
            .workshop
            .make(loaded.config, Some(&before))
            .map_err(|error| refused(&format!("{error:#}")))?;
        self.guests
            .change(&made.site, &made.profiles)
            .map_err(|error| refused(&format!("{error:#}")))?;
        for notice in &notices {
            tracing::warn!("{notice}");
        }
        self.operations.means().premises.change(Arc::clone(&made.site), made.ports);
        self.watch(&made.site.config);
        Ok(told(true, &before, &made.site, notices))
    }

    /// Sees to it that a change of any file of `config` is noticed.
    fn watch(&mut self, config: &Config) {
        let files = config.clusters.iter().filter_map(|cluster| cluster.conf_file.parent());
        let directories: BTreeSet<&Path> = files.chain([&*self.dir]).collect();
        for directory in directories {
            self.changes.watch(directory);
        }
    }
}

fn refused(why: &dyn Display) -> Problem {
    Problem::new(Code::BadConfiguration, why.to_string().trim_end())
}

fn told(changed: bool, before: &Full, now: &Full, notices: Vec<String>) -> Reloaded {
    let names = |site: &Full| -> BTreeSet<String> {
        site.inventory.all().iter().map(|node| node.name.clone()).collect()
    };
    let (was, is) = (names(before), names(now));
    Reloaded {
        changed,
        nodes: is.len(),
        added: is.difference(&was).cloned().collect(),
        removed: was.difference(&is).cloned().collect(),
        notices,
    }
}
