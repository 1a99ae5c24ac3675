//! The `kadence` binary.

use clap::Parser;
use std::{path::PathBuf, process::ExitCode};

#[derive(Parser)]
enum Kadence {
    /// A lab of virtual machines with BMCs.
    Lab(kadence::lab::cli::LabArgs),
    /// The service.
    Serve {
        #[arg(long)]
        config_dir: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Kadence::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let ended = match command {
        Kadence::Lab(args) => kadence::lab::cli::run(args).await.map_err(anyhow::Error::from),
        Kadence::Serve { config_dir } => {
            kadence::server::run(&config_dir).await.map(|()| ExitCode::SUCCESS)
        }
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
