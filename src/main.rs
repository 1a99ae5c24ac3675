//! The `kadence` binary.

use clap::Parser;
use kadence::{
    cli::{Kadence, Logging},
    kadeploy::Called,
};
use std::{io::stderr, process::ExitCode, time::Duration};
use tracing_subscriber::EnvFilter;

/// How long threads that are still at something may take to end with the program.
const LEFT: Duration = Duration::from_millis(250);

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let zeroth = words.next().unwrap_or_default();
    match Called::by(&zeroth) {
        Some(called) => called.run(words.map(|word| word.to_string_lossy().into_owned()).collect()),
        None => kadence(),
    }
}

fn kadence() -> ExitCode {
    let command_line = match Kadence::try_parse() {
        Ok(command_line) => command_line,
        Err(error) => {
            // Help goes to standard output, mistakes to standard error; both may be closed.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    log(command_line.logging());
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot make a runtime");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(Box::pin(command_line.run()));
    // A thread that waits for a name server or a file system would hold the end for as long.
    runtime.shutdown_timeout(LEFT);
    code
}

/// The log goes to standard error: standard output is for data.
fn log(Logging { json, default }: Logging) {
    let filter = ["KADENCE_LOG", "RUST_LOG"]
        .iter()
        .find_map(|name| EnvFilter::try_from_env(name).ok())
        .unwrap_or_else(|| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    // It would be told on standard error, and the program ended, where nobody reads that any more.
    let log = log.log_internal_errors(false);
    if json { log.json().init() } else { log.init() }
}
