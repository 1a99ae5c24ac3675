//! `kadeploy3d`: the service, started and stopped as init scripts do it.
//!
//! It writes log files instead of standard output and error (`logs`), can leave its terminal
//! (`detach`) and writes its process id down. SIGTERM ends what runs, as the old daemon did it;
//! `kadence serve` lets it go on at the next start.

mod detach;
mod dump;
mod logs;

use super::{
    channels::{say, warn},
    failure::Failure,
    options::{Line, Opt, help, parse},
    terminal,
};
use crate::server::{self, AtStop};
use jiff::Zoned;
use logs::Logs;
use std::{env, fs, io, path::PathBuf, process::ExitCode, sync::Arc};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};

/// What it is called.
pub(super) const NAME: &str = "kadeploy3d";

const OPTIONS: &[Opt] = &[
    Opt::flag("help", "Show this help").short('h'),
    Opt::flag("version", "Show the version").short('v'),
    Opt::value("pidfile", "FILE", "Write the process id to this file").short('p'),
    Opt::flag("detach", "Leave the terminal").short('d'),
    Opt::flag("no-stdin-pipe", "Without effect: standard input is not read").short('I'),
    Opt::flag("no-stdout-redirect", "Leave standard output as it is").short('O'),
    Opt::flag("no-stderr-redirect", "Leave standard error as it is").short('E'),
    Opt::flag("no-dh-seeds", "Without effect: TLS needs no seeds any more").short('S'),
    Opt::flag("ruby-debug", "Log every detail"),
];

/// A directory that the environment may name.
fn directory(variable: &str, otherwise: &str) -> PathBuf {
    env::var_os(variable).map_or_else(|| otherwise.into(), PathBuf::from)
}

fn config_dir() -> PathBuf {
    directory("KADEPLOY3_CONFIG_DIR", "/etc/kadeploy3")
}

/// Runs it with the words after its name.
pub(super) fn run(words: &[String]) -> ExitCode {
    match begin(words) {
        Ok(code) => code,
        Err(failure) => {
            warn(&failure.text);
            ExitCode::from(failure.code)
        }
    }
}

fn begin(words: &[String]) -> Result<ExitCode, Failure> {
    let line = parse(OPTIONS, words.to_owned())?;
    if line.has("help") {
        say(help(NAME, OPTIONS, terminal::columns()).trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    if line.has("version") {
        say(version()?.trim());
        return Ok(ExitCode::SUCCESS);
    }
    if line.has("detach") && !detach::is_detached() {
        return detach::start(words).map_err(|error| Failure::usage(error.to_string()));
    }
    let wrong = |error: io::Error| Failure::usage(error.to_string());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(wrong)?.block_on(Box::pin(serve(&line)))
}

fn version() -> Result<String, Failure> {
    if let Ok(version) = env::var("KADEPLOY3_VERSION") {
        return Ok(version);
    }
    let path = config_dir().join("version");
    fs::read_to_string(&path).map_err(|error| Failure::file(path.display(), error))
}

/// Serves until a signal ends it.
async fn serve(line: &Line) -> Result<ExitCode, Failure> {
    detach::leave();
    let ready = Arc::new(Notify::new());
    let dir = directory("KADEPLOY3_LOG_DIR", "/var/log/kadeploy3");
    let logs = Logs::open(&dir, line).map_err(|error| Failure::file(dir.display(), error))?;
    let run_dir = directory("KADEPLOY3_RUN_DIR", "/var/run/kadeploy3d");
    logs.install(Arc::clone(&ready), run_dir.join("reload"), line.has("ruby-debug"));
    let mut signals = Signals::new().map_err(|error| Failure::usage(error.to_string()))?;
    let config = config_dir();
    let serving = server::run(&config, AtStop::Abort);
    tokio::pin!(serving);
    let mut pid_file = None;
    // Whether standard error is something else than the log.
    let mut apart = !line.has("no-stderr-redirect");
    let ended = loop {
        tokio::select! {
            ended = &mut serving => break ended,
            () = ready.notified() => {
                pid_file = write_pid(line)?;
                // Before its standard output is something else.
                detach::tell_ready();
                logs.redirect().map_err(|error| Failure::file(dir.display(), error))?;
                apart = false;
                say("Configuration files loaded");
                say(&format!("[{}] Launching service", Zoned::now().strftime("%F %T %z")));
            }
            _ = signals.reopen.recv() => {
                // The old files are kept where the new ones cannot be made.
                if let Err(error) = logs.reopen().and_then(|()| logs.redirect()) {
                    tracing::warn!(%error, "the log files could not be opened anew");
                }
            }
            _ = signals.dump.recv() => logs.tell(&dump::process()),
            _ = signals.threads.recv() => logs.tell(&dump::threads()),
        }
    };
    if let Some(path) = pid_file {
        // It may have been taken away.
        let _ = fs::remove_file(path);
    }
    match ended {
        // So the old daemon ended when it was told to.
        Ok(_) => Ok(ExitCode::FAILURE),
        Err(error) => {
            if apart {
                tracing::error!("{error:#}");
            }
            Err(Failure::usage(why(&error)))
        }
    }
}

/// Why it could not serve, as init scripts know it where they do.
fn why(error: &anyhow::Error) -> String {
    let busy = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    if busy.into_iter().any(|error| error.kind() == io::ErrorKind::AddrInUse)
        && let Ok(loaded) = config::load(&config_dir())
    {
        let port = loaded.config.server.network.ports.kadeploy_server;
        return format!("Another service is listening on the port {port}");
    }
    format!("{error:#}").trim_end().to_owned()
}

fn write_pid(line: &Line) -> Result<Option<PathBuf>, Failure> {
    let Some(path) = line.value("pidfile") else { return Ok(None) };
    fs::write(path, format!("{}\n", std::process::id()))
        .map_err(|error| Failure::file(path, error))?;
    Ok(Some(path.into()))
}

/// Signals of init scripts beside those that end the service.
struct Signals {
    reopen: Signal,
    dump: Signal,
    threads: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            reopen: signal(SignalKind::hangup())?,
            dump: signal(SignalKind::user_defined1())?,
            threads: signal(SignalKind::user_defined2())?,
        })
    }
}
