//! Which environment is deployed.

use super::super::{Failure, recorded::RecordedArgs};
use crate::{
    client::{Client, ClientError, Export, tell},
    environments::legacy,
    types::EnvironmentChoice,
};
use clap::Args;
use serde_json::{Map, Value};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A description, or the name of a recorded one.
#[derive(Debug, Args)]
pub(super) struct EnvironmentArgs {
    /// A description (YAML) of what to install.
    #[arg(
        short = 'a',
        long,
        value_name = "ENVFILE",
        required_unless_present = "env_name",
        conflicts_with = "env_name"
    )]
    env_file: Option<PathBuf>,
    #[command(flatten)]
    recorded: RecordedArgs,
}

impl EnvironmentArgs {
    /// As the request says it. Local files that it names are added to `export`.
    pub(super) async fn choice(
        &self,
        client: &Client,
        export: &mut Export,
    ) -> Result<EnvironmentChoice, Failure> {
        if let Some(path) = &self.env_file {
            let mut fields = description(path)?;
            export.add_all(&mut fields)?;
            return Ok(EnvironmentChoice { kind: Some("anonymous".into()), user: None, fields });
        }
        if let Some(Value::Object(mut recorded)) = self.recorded(client).await? {
            // Recorded paths are absolute already; they only have to be within reach.
            export.add_all(&mut recorded)?;
        }
        Ok(self.recorded.choice().unwrap_or_default())
    }

    /// The recorded description; none if there is none: the service words that error best.
    async fn recorded(&self, client: &Client) -> Result<Option<Value>, ClientError> {
        let RecordedArgs { env_name, env_version, env_user } = &self.recorded;
        let version = env_version.map(|version| version.to_string());
        let mut query = vec![("name", env_name.as_deref().unwrap_or_default())];
        match &version {
            Some(version) => query.push(("version", version)),
            None => query.push(("last", "true")),
        }
        if let Some(user) = env_user {
            query.push(("username", user));
        }
        match client.get::<Vec<Value>>("/environments", &query).await {
            Ok(found) => Ok(found.into_iter().next()),
            Err(ClientError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Reads a description.
pub(in crate::cli) fn description(path: &Path) -> Result<Map<String, Value>, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|source| ClientError::File { path: path.to_owned(), source })?;
    let wrong = |why: String| {
        let hint = "a description is a YAML hash with name, image, os, ...";
        Failure::usage(format!("{} is not a description: {why}", path.display()), hint)
    };
    if let Some(old) = legacy(&text) {
        let fields = old.map_err(wrong)?;
        tell(&format!(
            "note: {} has the form of before 3.1.7, and is taken as one of today",
            path.display()
        ));
        return Ok(fields);
    }
    match serde_saphyr::from_str(&text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(wrong("it is not a hash".into())),
        Err(error) => Err(wrong(error.to_string())),
    }
}
