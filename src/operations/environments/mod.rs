//! Recorded environments: kept, found, listed, changed, deleted.
//!
//! `form` tells them, `pattern` finds them by their names, `checksums` says what their files
//! are, `update` changes them.

mod checksums;
mod form;
mod pattern;
mod update;

pub use checksums::Which;
pub use update::{Changes, move_files, update};

use super::{Viewer, create::Installed, rights::Rights};
use crate::{
    environments::{Environment, Visibility},
    store::{
        Change, EnvironmentQuery, EnvironmentRecord, EnvironmentRef as InstalledRef, Store,
        StoreError, Version,
    },
    types::{Code, EnvironmentChoice, EnvironmentRef, Problem},
};
use serde_json::{Map, Value};

/// Which recorded environments are meant.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this owner.
    pub user: Option<String>,
    /// With this name.
    pub name: Option<String>,
    /// In this version.
    pub version: Option<i64>,
    /// In the newest version of each.
    pub last: bool,
}

impl Wanted {
    /// The same without what may be a pattern.
    fn pattern(&self) -> Self {
        Self { user: None, name: None, ..self.clone() }
    }

    fn query(&self) -> Result<EnvironmentQuery, Problem> {
        let version = match self.version {
            Some(number) => Version::Exactly(number.try_into().map_err(|_| {
                Problem::parameter(Code::InvalidOption, "version", "must be a version, from 1")
            })?),
            None if self.last => Version::Latest,
            None => Version::All,
        };
        Ok(EnvironmentQuery { user: self.user.clone(), name: self.name.clone(), version })
    }
}

/// The environments `viewer` may see, each with its user: public ones first, then by name, the
/// newest version first. Names and users may be patterns.
pub async fn list(
    store: &dyn Store,
    viewer: &Viewer,
    wanted: &Wanted,
) -> Result<Vec<Value>, Problem> {
    let mut found = visible(store, viewer, wanted).await?;
    let rank = |record: &EnvironmentRecord| match visibility(record) {
        Visibility::Public => 0,
        Visibility::Private => 1,
        Visibility::Shared => 2,
    };
    found.sort_by(|a, b| (rank(a), &a.name, b.version).cmp(&(rank(b), &b.name, a.version)));
    Ok(found.iter().map(|record| form::told(record, true)).collect())
}

async fn visible(
    store: &dyn Store,
    viewer: &Viewer,
    wanted: &Wanted,
) -> Result<Vec<EnvironmentRecord>, Problem> {
    let mut found = store.environments(&wanted.pattern().query()?).await?;
    let fits = |pattern: &Option<String>, text: &str| {
        pattern.as_ref().is_none_or(|pattern| pattern::fits(pattern, text))
    };
    found.retain(|one| fits(&wanted.user, &one.user) && fits(&wanted.name, &one.name));
    // With one's own name only one's own, however much it looks like a pattern.
    if wanted.user.as_deref() == Some(viewer.user.as_str()) {
        found.retain(|record| record.user == viewer.user);
    }
    let asked_for = |owner: &str| fits(&wanted.user, owner) && wanted.user.is_some();
    found.retain(|record| {
        viewer.almighty
            || record.user == viewer.user
            || match visibility(record) {
                Visibility::Public => true,
                Visibility::Shared => asked_for(&record.user),
                Visibility::Private => false,
            }
    });
    Ok(found)
}

/// Records what `description` says, for the viewer or, if he is almighty, for its `user`,
/// with the checksums that its files have now: a later deployment of others is refused. Error 3 where
/// a file is on the client's machine and nobody serves it, 5 where it cannot be read.
pub async fn record(
    store: &dyn Store,
    rights: &Rights,
    viewer: &Viewer,
    mut description: Map<String, Value>,
    (client, dry): (Option<&str>, bool),
) -> Result<Value, Problem> {
    let environment = Environment::parse(&description)
        .map_err(|invalid| Problem::new(Code::InvalidEnvironment, invalid.told()))?;
    let owner = match description.shift_remove("user") {
        Some(Value::String(owner)) if viewer.almighty => owner,
        _ => viewer.user.clone(),
    };
    if environment.visibility == Visibility::Public {
        public_by(rights, viewer, &owner)?;
    }
    let version = u32::try_from(environment.version).map_err(|_| {
        Problem::new(Code::InvalidEnvironment, "must be a version, from 1 [field: version]")
    })?;
    let checksums = checksums::now(&environment, Which::ALL, client).await?;
    description.shift_remove("name");
    description.shift_remove("version");
    let record = EnvironmentRecord {
        id: store.new_environment_id(),
        user: owner,
        name: environment.name,
        version,
        description: Value::Object(description),
        checksums,
    };
    if dry {
        return Ok(form::told(&record, false));
    }
    match store.commit(Change::new().add_environment(record.clone())).await {
        Ok(()) => Ok(form::told(&record, false)),
        Err(StoreError::Exists { .. }) => Err(Problem::new(
            Code::ExistingElement,
            format!(
                "An environment with the name '{}' and the version {} has already been recorded for the user {}",
                record.name, record.version, record.user
            ),
        )),
        Err(error) => Err(error.into()),
    }
}

/// Error 403 unless `owner` may have public environments, and `viewer` speaks for him.
fn public_by(rights: &Rights, viewer: &Viewer, owner: &str) -> Result<(), Problem> {
    if rights.is_almighty(owner) && viewer.almighty {
        return Ok(());
    }
    Err(Problem::Forbidden("Only administrators can use the \"public\" tag".into()))
}

/// Deletes the environments that are meant; returns their descriptions.
pub async fn remove(
    store: &dyn Store,
    viewer: &Viewer,
    wanted: &Wanted,
    dry: bool,
) -> Result<Vec<Value>, Problem> {
    if wanted.user.as_deref() != Some(viewer.user.as_str()) && !viewer.almighty {
        return Err(Problem::Forbidden("this environment belongs to another user".into()));
    }
    let found = store.environments(&wanted.query()?).await?;
    if found.is_empty() {
        return Err(Problem::NotFound("no such environment".into()));
    }
    let forget = |change: Change, record: &EnvironmentRecord| {
        change.forget_environment(&record.user, &record.name, record.version)
    };
    if !dry {
        store.commit(found.iter().fold(Change::new(), forget)).await?;
    }
    Ok(found.iter().map(|record| form::told(record, false)).collect())
}

/// The recorded environment that a request names: own ones win over public ones.
pub(super) async fn find(
    store: &dyn Store,
    user: &str,
    choice: &EnvironmentChoice,
) -> Result<Installed, Problem> {
    let Some(name) = choice.fields.get("name").and_then(Value::as_str) else {
        return Err(Problem::parameter(Code::InvalidEnvironment, "environment/name", "mandatory"));
    };
    let number = |version: &Value| match version {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    let version = match choice.fields.get("version") {
        None | Some(Value::Null) => None,
        Some(version) => Some(number(version).ok_or_else(|| {
            let (name, why) = ("environment/version", "should be a Integer");
            Problem::parameter(Code::InvalidEnvironment, name, why)
        })?),
    };
    let viewer = Viewer { user: user.to_owned(), from: String::new(), almighty: false };
    let wanted = Wanted {
        user: choice.user.clone(),
        name: Some(name.to_owned()),
        version,
        last: version.is_none(),
    };
    let mut all = visible(store, &viewer, &wanted).await?;
    // What is named so rather than what a pattern finds.
    all.sort_by_key(|record| (record.name != name, record.user != user));
    let Some(found) = all.into_iter().next() else {
        let version = version.map_or("latest".to_owned(), |version| version.to_string());
        let owner = choice.user.as_deref().unwrap_or(user);
        let text = format!("the environment {name},{version} of {owner} does not exist");
        return Err(Problem::new(Code::InvalidEnvironment, text)
            .hint("`kadence env list` shows what there is"));
    };
    let (id, owner, checksums) = (found.id, found.user.clone(), found.checksums.clone());
    let mut environment = Environment::parse(&fields(found))
        .map_err(|invalid| Problem::new(Code::InvalidEnvironment, invalid.to_string()))?;
    for (reference, digest) in environment.digests() {
        // What the description itself says counts.
        *digest = digest.take().or_else(|| checksums.get(reference).cloned());
    }
    let reference = EnvironmentRef {
        id: i64::try_from(id).ok(),
        user: Some(owner),
        name: Some(environment.name.clone()),
        version: Some(environment.version),
    };
    Ok(Installed { environment, reference, recorded: true })
}

/// Whether the environment that a node carries must not be booted again, as it is recorded now.
pub(super) async fn is_destructive(
    store: &dyn Store,
    installed: &InstalledRef,
) -> Result<bool, Problem> {
    let query = EnvironmentQuery {
        user: Some(installed.user.clone()),
        name: Some(installed.name.clone()),
        version: Version::Exactly(installed.version),
    };
    let found = store.environments(&query).await?;
    let flag =
        |record: &EnvironmentRecord| record.description.get("destructive") == Some(&true.into());
    Ok(found.iter().any(flag))
}

fn visibility(record: &EnvironmentRecord) -> Visibility {
    match record.description.get("visibility").and_then(Value::as_str) {
        Some("public") => Visibility::Public,
        Some("shared") => Visibility::Shared,
        _ => Visibility::Private,
    }
}

/// The fields of a record as they were given, name and version first.
fn fields(record: EnvironmentRecord) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("name".into(), record.name.into());
    map.insert("version".into(), record.version.into());
    if let Value::Object(description) = record.description {
        map.extend(description);
    }
    map
}
