//! `kadence env`: recorded environments.

mod change;

use super::{
    Failure,
    deploy::environment::description,
    table::{lines, table},
};
use crate::client::{Client, Export, Printer, tell};
use change::{MoveArgs, UpdateArgs};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use std::{path::PathBuf, process::ExitCode};

/// Arguments of `env`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence env add debian.yaml\n  kadence env list")]
pub(super) struct EnvArgs {
    #[command(subcommand)]
    verb: EnvVerb,
    /// Print one JSON document.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum EnvVerb {
    /// List environments: yours and public ones.
    #[command(after_help = "Example:\n  kadence env list -s debian")]
    List {
        #[command(flatten)]
        wanted: Wanted,
        /// Only those of that name.
        name: Option<String>,
    },
    /// Show the description of an environment.
    #[command(after_help = "Example:\n  kadence env show debian")]
    Show {
        #[command(flatten)]
        wanted: Wanted,
        /// Its name.
        name: String,
    },
    /// Record a description.
    #[command(after_help = "Example:\n  kadence env add debian.yaml")]
    Add {
        /// A file with it (YAML).
        file: PathBuf,
    },
    /// Change an environment: who sees it, whether it may be booted again, its checksums.
    Update(UpdateArgs),
    /// Tell where the files of environments are from now on.
    Move(MoveArgs),
    /// Delete an environment: its newest version, unless said otherwise.
    #[command(after_help = "Example:\n  kadence env delete debian --env-version 2")]
    Delete {
        #[command(flatten)]
        wanted: Wanted,
        /// Its name.
        name: String,
    },
}

/// Which versions, and whose.
#[derive(Debug, Args)]
struct Wanted {
    /// That version.
    #[arg(long, value_name = "N", conflicts_with = "all_versions")]
    env_version: Option<u32>,
    /// All versions, not only the newest.
    #[arg(short = 's', long)]
    all_versions: bool,
    /// Its owner.
    #[arg(short = 'u', long, value_name = "USER")]
    env_user: Option<String>,
}

impl EnvArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        let printer = Printer { json: self.json };
        match self.verb {
            EnvVerb::List { wanted, name } => {
                let found = wanted.ask(client, name.as_deref()).await?;
                printer.answer(&found, || list(&found))?;
            }
            EnvVerb::Show { wanted, name } => {
                let found = wanted.ask(client, Some(&name)).await?;
                printer.answer(&found, || found.iter().map(yaml).collect())?;
            }
            EnvVerb::Add { file } => {
                let mut fields = description(&file)?;
                // The service keeps paths, not files: they must mean the same from anywhere.
                let mut local = Export::default();
                local.add_all(&mut fields)?;
                let mut body = json!({"environment": fields});
                // Within reach of the service while it looks what they are.
                let mut serving = None;
                if !local.is_empty() {
                    tell(
                        "note: files of this machine are named; they must be here whenever it is deployed",
                    );
                    let export = serving.insert(local.serve().await?);
                    body["client"] = export.url.clone().into();
                }
                let made: Value = client.send(Method::POST, "/environments", &body).await?;
                printer.answer(&made, || format!("recorded {}\n", title(&made)))?;
            }
            EnvVerb::Update(args) => args.run(client, printer).await?,
            EnvVerb::Move(args) => args.run(client, printer).await?,
            EnvVerb::Delete { wanted, name } => {
                let path = wanted.path(client, &name);
                let body = wanted.last();
                let gone: Vec<Value> = client.send(Method::DELETE, &path, &body).await?;
                let text = || lines(gone.iter().map(|one| format!("deleted {}", title(one))));
                printer.answer(&gone, text)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Wanted {
    async fn ask(&self, client: &Client, name: Option<&str>) -> Result<Vec<Value>, Failure> {
        let version = self.env_version.map(|version| version.to_string());
        let mut query = Vec::new();
        query.extend(name.map(|name| ("name", name)));
        query.extend(self.env_user.as_deref().map(|user| ("username", user)));
        match &version {
            Some(version) => query.push(("version", version)),
            None if !self.all_versions => query.push(("last", "true")),
            None => {}
        }
        Ok(client.get("/environments", &query).await?)
    }

    /// Where the environments of that name are.
    fn path(&self, client: &Client, name: &str) -> String {
        let user = self.env_user.as_deref().unwrap_or(client.user());
        let path = format!("/environments/{}/{}", coded(user), coded(name));
        match self.env_version {
            Some(version) => format!("{path}/{version}"),
            None => path,
        }
    }

    fn last(&self) -> Value {
        if self.all_versions || self.env_version.is_some() {
            json!({})
        } else {
            json!({"last": true})
        }
    }
}

/// A name as a segment of a path.
fn coded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn text<'a>(one: &'a Value, field: &str) -> &'a str {
    one.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn title(one: &Value) -> String {
    format!("{} version {}", text(one, "name"), one["version"])
}

fn list(found: &[Value]) -> String {
    if found.is_empty() {
        return "No environment has been found\n".into();
    }
    let mut rows = vec![["NAME", "VERSION", "USER", "DESCRIPTION"].map(str::to_owned).to_vec()];
    for one in found {
        let [name, user, about] = ["name", "user", "description"].map(|f| text(one, f).to_owned());
        rows.push(vec![name, one["version"].to_string(), user, about]);
    }
    table(&rows)
}

fn yaml(one: &Value) -> String {
    // What came as JSON can be written as YAML.
    format!("---\n{}", serde_saphyr::to_string(one).unwrap_or_default())
}
