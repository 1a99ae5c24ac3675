//! `kadence install-links`: the names of the old programs.

use super::Failure;
use crate::{client::Printer, kadeploy::Called};
use clap::Args;
use serde_json::json;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Arguments of `install-links`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence install-links /usr/local/bin")]
pub(super) struct LinksArgs {
    /// Where the links are made.
    dir: PathBuf,
    /// Replace what has one of the names and is not a link to this program.
    #[arg(long)]
    force: bool,
    /// Print one JSON document on standard output.
    #[arg(long)]
    json: bool,
}

impl LinksArgs {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let program = std::env::current_exe()?;
        let links: Vec<_> = Called::names().map(|name| self.dir.join(name)).collect();
        // All or nothing: half of the old programs would be worse than none.
        let mut missing = Vec::new();
        for link in &links {
            match there(link, &program) {
                There::Ours => {}
                There::Other if !self.force => {
                    let text = format!(
                        "{} is there and is no link to {}",
                        link.display(),
                        program.display()
                    );
                    return Err(Failure::usage(text, "move it away, or replace it with --force"));
                }
                There::Nothing | There::Other => missing.push(link),
            }
        }
        for link in missing {
            make(&program, link).map_err(|why| {
                let text = format!("{} cannot be made: {why}", link.display());
                Failure::usage(text, "name a directory that is there and that you may write to")
            })?;
        }
        let printer = Printer { json: self.json };
        printer.answer(&json!({"program": program, "links": links}), || {
            links
                .iter()
                .map(|link| format!("{} -> {}\n", link.display(), program.display()))
                .collect()
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What has the name of a link.
enum There {
    Nothing,
    Ours,
    Other,
}

fn there(link: &Path, program: &Path) -> There {
    match fs::read_link(link) {
        Ok(target) if target == program => There::Ours,
        Err(error) if error.kind() == io::ErrorKind::NotFound => There::Nothing,
        // No link at all is an invalid argument.
        Ok(_) | Err(_) => There::Other,
    }
}

/// The name never stands for nothing in between.
fn make(program: &Path, link: &Path) -> io::Result<()> {
    let mut name = link.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = link.with_file_name(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(program, &new)?;
    fs::rename(new, link)
}
