//! Recorded environments, changed.

use super::{
    Wanted,
    checksums::{self, Which},
    fields, form, public_by,
};
use crate::{
    environments::Environment,
    operations::{Viewer, rights::Rights},
    store::{Change, EnvironmentRecord, Store},
    types::{Code, Problem},
};
use serde_json::{Map, Value, json};

/// What is to be changed of one environment.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Who sees it from now on.
    pub visibility: Option<String>,
    /// The flag that nodes which run it must not be rebooted into it, the other way round.
    pub toggle_destructive: bool,
    /// Files whose checksums are what they are now.
    pub checksums: Which,
    /// Address of the client's file server.
    pub client: Option<String>,
    /// Only to be checked.
    pub dry: bool,
}

/// Changes the one environment that `wanted` names: user, name, and a version or the newest.
///
/// # Errors
/// 403: it is another user's, or may not be public. 404: there is none. 14: it is so already.
pub async fn update(
    store: &dyn Store,
    rights: &Rights,
    viewer: &Viewer,
    wanted: &Wanted,
    changes: &Changes,
) -> Result<Value, Problem> {
    let owner = wanted.user.as_deref().unwrap_or_default();
    if owner != viewer.user && !viewer.almighty {
        return Err(Problem::Forbidden("this environment belongs to another user".into()));
    }
    if !wanted.last && wanted.version.is_none() {
        return Err(Problem::NotFound("name a version, or ask for the last one".into()));
    }
    let found = store.environments(&wanted.query()?).await?.into_iter().next();
    let Some(mut record) = found else {
        return Err(Problem::NotFound("no such environment".into()));
    };
    let before = record.clone();
    if let Some(visibility) = &changes.visibility {
        if !["public", "private", "shared"].contains(&visibility.as_str()) {
            let why = "must have a value in (public,private,shared)";
            return Err(Problem::parameter(Code::InvalidOption, "visibility", why));
        }
        if visibility == "public" {
            public_by(rights, viewer, owner)?;
        }
        if form::told(&record, false)["visibility"] != visibility.as_str() {
            record.description["visibility"] = visibility.as_str().into();
        }
    }
    if changes.toggle_destructive {
        let destructive = record.description["destructive"] == true;
        record.description["destructive"] = (!destructive).into();
    }
    if !changes.checksums.none() {
        renew(&mut record, changes).await?;
    }
    if record == before {
        return Err(Problem::new(Code::NothingModified, ""));
    }
    let told = form::told(&record, false);
    if !changes.dry {
        store.commit(Change::new().put_environment(record)).await?;
    }
    Ok(told)
}

/// Takes the files as they are now.
async fn renew(record: &mut EnvironmentRecord, changes: &Changes) -> Result<(), Problem> {
    let environment = Environment::parse(&fields(record.clone()))
        .map_err(|invalid| Problem::new(Code::InvalidEnvironment, invalid.to_string()))?;
    let client = changes.client.as_deref();
    record.checksums.extend(checksums::now(&environment, changes.checksums, client).await?);
    // What the description itself says is not true any more either.
    if changes.checksums.image && record.description["image"]["sha256"].is_string() {
        match record.checksums.get(&environment.image.file).filter(|sum| sum.len() == 64) {
            Some(digest) => record.description["image"]["sha256"] = json!(digest),
            None => {
                if let Some(image) = record.description["image"].as_object_mut() {
                    image.shift_remove("sha256");
                }
            }
        }
    }
    Ok(())
}

/// Puts other prefixes before the files of all environments, or of those of `owner`; what was
/// changed.
///
/// # Errors
/// 403: only for administrators. 4: no prefixes. 14: no file begins so.
pub async fn move_files(
    store: &dyn Store,
    viewer: &Viewer,
    owner: Option<&str>,
    prefixes: &Map<String, Value>,
    dry: bool,
) -> Result<Vec<Value>, Problem> {
    let wrong = |why: &str| Problem::parameter(Code::InvalidOption, "update_files", why);
    let mut pairs = Vec::new();
    for (old, new) in prefixes {
        let new = new.as_str().ok_or_else(|| wrong("should be a Hash of Strings"))?;
        pairs.push((old.as_str(), new));
    }
    if pairs.is_empty() || pairs.iter().any(|(old, _)| old.is_empty()) {
        return Err(wrong("cannot be empty"));
    }
    if !viewer.almighty {
        return Err(Problem::Forbidden("Only administrators are allowed to move the files".into()));
    }
    let wanted = Wanted { user: owner.map(str::to_owned), ..Wanted::default() };
    let (mut change, mut told) = (Change::new(), Vec::new());
    for mut record in store.environments(&wanted.query()?).await? {
        if relocate(&mut record, &pairs) {
            told.push(form::told(&record, true));
            change = change.put_environment(record);
        }
    }
    if told.is_empty() {
        return Err(Problem::new(Code::NothingModified, "no file begins so"));
    }
    if !dry {
        store.commit(change).await?;
    }
    Ok(told)
}

fn relocate(record: &mut EnvironmentRecord, pairs: &[(&str, &str)]) -> bool {
    let moved = |text: &str| {
        let found = pairs.iter().find(|(old, _)| text.starts_with(old));
        found.map(|(old, new)| format!("{new}{}", &text[old.len()..]))
    };
    let mut changed = false;
    let mut apply = |place: Option<&mut Value>| {
        let Some(place) = place else { return };
        if let Some(new) = place.as_str().and_then(moved) {
            *place = new.into();
            changed = true;
        }
    };
    let description = &mut record.description;
    apply(description.pointer_mut("/image/file"));
    apply(description.pointer_mut("/preinstall/archive"));
    let archives = description.get_mut("postinstalls").and_then(Value::as_array_mut);
    for archive in archives.into_iter().flatten() {
        apply(archive.get_mut("archive"));
    }
    let checksums = std::mem::take(&mut record.checksums).into_iter();
    record.checksums = checksums.map(|(file, sum)| (moved(&file).unwrap_or(file), sum)).collect();
    changed
}
