//! Recorded environments changed: `env update` and `env move`.

use super::{Wanted, coded, title};
use crate::{
    cli::{Failure, table::lines},
    client::{Client, Export, Printer},
};
use clap::{Args, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value, json};

/// Arguments of `env update`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  kadence env update debian --image-checksum\n  kadence env update debian --env-version 2 --visibility shared"
)]
#[group(skip)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    wanted: Wanted,
    /// Its name.
    name: String,
    #[command(flatten)]
    what: What,
    /// Check everything and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What is changed; at least one of it.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[group(required = true, multiple = true)]
struct What {
    /// Who sees it from now on.
    #[arg(long, value_enum)]
    visibility: Option<Visibility>,
    /// Say that nodes must not be rebooted into it, or, if that is said, that they may.
    #[arg(long)]
    toggle_destructive: bool,
    /// Its image is right as it is now.
    #[arg(long)]
    image_checksum: bool,
    /// The archive of its preinstall is right as it is now.
    #[arg(long)]
    preinstall_checksum: bool,
    /// The archives of its postinstalls are right as they are now.
    #[arg(long)]
    postinstalls_checksum: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Visibility {
    /// Its owner.
    Private,
    /// Those who name its owner.
    Shared,
    /// Everyone; for administrators.
    Public,
}

impl Visibility {
    fn word(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Shared => "shared",
            Self::Public => "public",
        }
    }
}

impl UpdateArgs {
    pub(super) async fn run(self, client: &Client, printer: Printer) -> Result<(), Failure> {
        let Self { wanted, name, what, dry_run } = self;
        if wanted.all_versions {
            let text = "one version is changed at a time";
            return Err(Failure::usage(text, "leave -s out, or name one with --env-version"));
        }
        let mut body = wanted.last();
        for (field, on) in [
            ("toggle_destructive", what.toggle_destructive),
            ("update_image_checksum", what.image_checksum),
            ("update_preinstall_checksum", what.preinstall_checksum),
            ("update_postinstalls_checksum", what.postinstalls_checksum),
            ("dry_run", dry_run),
        ] {
            if on {
                body[field] = true.into();
            }
        }
        if let Some(visibility) = what.visibility {
            body["visibility"] = visibility.word().into();
        }
        // Files of this machine are within reach of the service until this function ends.
        let mut serving = None;
        if what.image_checksum || what.preinstall_checksum || what.postinstalls_checksum {
            let mut local = Export::default();
            for mut one in wanted.ask(client, Some(&name)).await? {
                if let Some(fields) = one.as_object_mut() {
                    local.add_all(fields)?;
                }
            }
            if !local.is_empty() {
                let export = serving.insert(local.serve().await?);
                body["client"] = export.url.clone().into();
            }
        }
        put(client, printer, &wanted.path(client, &name), &body, dry_run).await
    }
}

/// Arguments of `env move`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  kadence env move server:///srv/images/=server:///data/images/ -u root\n\n\
        For administrators."
)]
pub(super) struct MoveArgs {
    /// What the references of files begin with, and what they begin with from now on.
    #[arg(value_name = "OLD=NEW", required = true, value_parser = prefixes)]
    prefixes: Vec<(String, String)>,
    /// Only the environments of this user; without it those of everyone.
    #[arg(short = 'u', long, value_name = "USER")]
    env_user: Option<String>,
    /// Check everything and change nothing.
    #[arg(long)]
    dry_run: bool,
}

fn prefixes(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() => Ok((old.to_owned(), new.to_owned())),
        _ => Err("write OLD=NEW, such as server:///srv/=server:///data/".to_owned()),
    }
}

impl MoveArgs {
    pub(super) async fn run(self, client: &Client, printer: Printer) -> Result<(), Failure> {
        let pairs = self.prefixes.into_iter().map(|(old, new)| (old, Value::from(new)));
        let mut body = json!({"update_files": pairs.collect::<Map<_, _>>()});
        if self.dry_run {
            body["dry_run"] = true.into();
        }
        let path = match &self.env_user {
            Some(user) => format!("/environments/{}", coded(user)),
            None => "/environments".to_owned(),
        };
        put(client, printer, &path, &body, self.dry_run).await
    }
}

/// Changes what is at `path`, and tells what it is now.
async fn put(
    client: &Client,
    printer: Printer,
    path: &str,
    body: &Value,
    dry_run: bool,
) -> Result<(), Failure> {
    if dry_run {
        client.send_text(Method::PUT, path, body).await?;
        let text = || "nothing was changed: all is in order\n".to_owned();
        return Ok(printer.answer(&json!({"dry_run": true}), text)?);
    }
    let changed: Value = client.send(Method::PUT, path, body).await?;
    let all = changed.as_array().cloned().unwrap_or_else(|| vec![changed.clone()]);
    printer.answer(&changed, || lines(all.iter().map(|one| format!("changed {}", title(one)))))?;
    Ok(())
}
