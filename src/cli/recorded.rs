//! The name of a recorded environment, for the verbs that take one.

use crate::types::EnvironmentChoice;
use clap::Args;
use serde_json::{Map, Value};

/// A recorded environment.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "they are the names of the options")]
pub(super) struct RecordedArgs {
    /// A recorded environment.
    #[arg(short = 'e', long, value_name = "NAME")]
    pub(super) env_name: Option<String>,
    /// Its version; without it the newest.
    #[arg(long, value_name = "N", requires = "env_name")]
    pub(super) env_version: Option<u32>,
    /// Its owner; without it you, or anybody who made it public.
    #[arg(short = 'u', long, value_name = "USER", requires = "env_name")]
    pub(super) env_user: Option<String>,
}

impl RecordedArgs {
    /// As the request says it; none if none was named.
    pub(super) fn choice(&self) -> Option<EnvironmentChoice> {
        let name = self.env_name.clone()?;
        let mut fields = Map::from_iter([("name".to_owned(), Value::from(name))]);
        fields.extend(self.env_version.map(|version| ("version".to_owned(), version.into())));
        let (kind, user) = (Some("database".into()), self.env_user.clone());
        Some(EnvironmentChoice { kind, user, fields })
    }
}
