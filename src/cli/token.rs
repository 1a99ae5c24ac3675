//! `kadence token`: secrets that stand for a user.

use super::{Failure, table::table};
use crate::client::{Client, Printer, tell};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    process::ExitCode,
    time::{Duration, SystemTime},
};

/// Arguments of `token`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  kadence token create --scope read,deployment --expires-in 30d --name ci\n\n\
        A token is used with --token-file, or in KADENCE_TOKEN. It cannot make or revoke others."
)]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    verb: TokenVerb,
    /// Print one JSON document.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum TokenVerb {
    /// Make a token. It is shown once and not kept.
    #[command(
        after_help = "Example:\n  kadence token create --scope read --expires-in 90d > token"
    )]
    Create {
        /// What it is good for: read (all that only tells), deployment, reboot, power, console,
        /// environments, rights, admin (what administrators may do beyond others).
        #[arg(long, value_delimiter = ',', required = true, value_name = "WORDS")]
        scope: Vec<String>,
        /// How long it is good.
        #[arg(long, value_name = "TIME", default_value = "30d")]
        expires_in: humantime::Duration,
        /// What it is for.
        #[arg(long, default_value = "", hide_default_value = true)]
        name: String,
    },
    /// List tokens, without their secrets.
    #[command(after_help = "Example:\n  kadence token list")]
    List,
    /// Revoke a token, at once.
    #[command(after_help = "Example:\n  kadence token revoke 0b6e7c4f29f24c5f9f6d1d2b2a3a0c11")]
    Revoke {
        /// Its id, as the list shows it.
        id: String,
    },
}

impl TokenArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        let printer = Printer { json: self.json };
        match self.verb {
            TokenVerb::Create { scope, expires_in, name } => {
                let lifetime = expires_in.as_secs();
                let body = json!({"scope": scope, "lifetime": lifetime, "name": name});
                let made: Value = client.send(Method::POST, "/tokens", &body).await?;
                printer.answer(&made, || format!("{}\n", text(&made, "token")))?;
                tell("note: this is the only time that the token is shown");
            }
            TokenVerb::List => {
                let all: Vec<Value> = client.get("/tokens", &[]).await?;
                printer.answer(&all, || list(&all))?;
            }
            TokenVerb::Revoke { id } => {
                let coded: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
                let path = format!("/tokens/{coded}");
                let gone: Value = client.send(Method::DELETE, &path, &json!({})).await?;
                printer.answer(&gone, || format!("revoked {}\n", text(&gone, "id")))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn text<'a>(one: &'a Value, field: &str) -> &'a str {
    one.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list(all: &[Value]) -> String {
    let mut rows = vec![["ID", "USER", "EXPIRES", "SCOPE", "NAME"].map(str::to_owned).to_vec()];
    for one in all {
        let expires = Duration::from_secs(one["expires"].as_u64().unwrap_or_default());
        let expires = SystemTime::UNIX_EPOCH + expires;
        let scope = one["scope"].as_array().into_iter().flatten().filter_map(Value::as_str);
        rows.push(vec![
            text(one, "id").into(),
            text(one, "user").into(),
            humantime::format_rfc3339_seconds(expires).to_string(),
            scope.collect::<Vec<_>>().join(","),
            text(one, "name").into(),
        ]);
    }
    table(&rows)
}
