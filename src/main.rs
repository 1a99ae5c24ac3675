//! The `kadence` binary.

use clap::Parser;
use std::{io::IsTerminal, process::ExitCode};

#[derive(Parser)]
enum Kadence {
    /// A lab of virtual machines with BMCs.
    Lab(kadence::lab::cli::LabArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Kadence::Lab(args) = Kadence::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match kadence::lab::cli::run(args).await {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
