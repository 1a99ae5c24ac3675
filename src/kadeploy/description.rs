//! Descriptions of environments: read from files, checked, their local files exported, and
//! printed.

use super::{channels::warn, export::Export, failure::Failure, nodes};
use crate::{
    environments::{Environment, legacy},
    types::Code,
};
use serde_json::{Map, Value};

/// The order of the fields that a description is printed in; all others follow.
const ORDER: [&str; 16] = [
    "name",
    "version",
    "description",
    "author",
    "visibility",
    "destructive",
    "os",
    "image",
    "preinstall",
    "postinstalls",
    "boot",
    "filesystem",
    "partition_type",
    "multipart",
    "options",
    "user",
];

/// The description in a file of this machine or of the web, checked.
///
/// # Errors
/// The file cannot be read, is no text, or no description.
pub(super) async fn read(path: &str) -> Result<Map<String, Value>, Failure> {
    let text = match path.split_once("://") {
        Some(("http" | "https", _)) => fetch(path).await?,
        Some(("server" | "local", path)) => nodes::read(path)?,
        Some((scheme, _)) => {
            let text = format!("Unable to grab the file '{path}', unknown protocol {scheme}");
            return Err(Failure::numbered(Code::InvalidFile.number(), text));
        }
        None => nodes::read(path)?,
    };
    if text.contains('\0') {
        return Err(Failure::usage(format!("The file '{path}' should be in plain text")));
    }
    if let Some(old) = legacy(&text) {
        let map = old.map_err(|why| {
            Failure::usage(format!("The file '{path}' cannot be understood: {why}"))
        })?;
        warn(&format!(
            "The file '{path}' has the form of before 3.1.7, and is taken as one of today"
        ));
        check(&map)?;
        return Ok(map);
    }
    let parsed: Value = serde_saphyr::from_str(&text)
        .map_err(|error| Failure::usage(format!("Invalid YAML in the file '{path}': {error}")))?;
    let Value::Object(map) = parsed else {
        return Err(Failure::usage(format!(
            "The file '{path}' is no description of an environment"
        )));
    };
    check(&map)?;
    Ok(map)
}

/// What the service would refuse is not sent.
pub(super) fn check(map: &Map<String, Value>) -> Result<(), Failure> {
    let environment = Environment::parse(map).map_err(|invalid| {
        let general = Code::InvalidEnvironment.text();
        let text = format!("{general} -- {}", invalid.told());
        Failure::numbered(Code::InvalidEnvironment.number(), text)
    })?;
    if !environment.multipart && environment.partitions.len() > 1 {
        warn(
            "Warning[env_desc]: Several partitions are listed, and without 'multipart' none of them counts",
        );
    }
    for field in &environment.unused {
        warn(&format!("Warning[env_desc]: Unused field '{field}'"));
    }
    Ok(())
}

async fn fetch(url: &str) -> Result<String, Failure> {
    crate::platform::crypto();
    let wrong = |error: reqwest::Error| Failure::file(url, error.without_url());
    let answer = reqwest::get(url).await.and_then(reqwest::Response::error_for_status);
    answer.map_err(wrong)?.text().await.map_err(wrong)
}

/// The references of the files of a description.
pub(super) fn references(description: &Map<String, Value>) -> Vec<&str> {
    let archives = description.get("postinstalls").and_then(Value::as_array);
    let archives = archives.into_iter().flatten().chain(description.get("preinstall"));
    let archives = archives.filter_map(|part| part["archive"].as_str());
    let image = description.get("image").and_then(|image| image["file"].as_str());
    image.into_iter().chain(archives).collect()
}

/// The same, to be changed.
pub(super) fn references_mut(description: &mut Map<String, Value>) -> Vec<&mut String> {
    let mut found = Vec::new();
    for (field, value) in description {
        let parts: Vec<&mut Value> = match (field.as_str(), value) {
            ("image", image) => image.get_mut("file").into_iter().collect(),
            ("preinstall", archive) => archive.get_mut("archive").into_iter().collect(),
            ("postinstalls", Value::Array(list)) => {
                list.iter_mut().filter_map(|archive| archive.get_mut("archive")).collect()
            }
            _ => Vec::new(),
        };
        found.extend(parts.into_iter().filter_map(|part| match part {
            Value::String(text) => Some(text),
            _ => None,
        }));
    }
    found
}

/// Exports the local files of a description.
///
/// # Errors
/// One of them cannot be read.
pub(super) fn export(description: &Map<String, Value>, export: &Export) -> Result<(), Failure> {
    references(description).into_iter().try_for_each(|reference| export.refer(reference))
}

/// The description as YAML, its fields in order.
pub(super) fn print(description: &Value) -> String {
    let Some(map) = description.as_object() else { return String::new() };
    let mut ordered = Map::new();
    let known = ORDER.iter().filter_map(|name| Some(((*name).to_owned(), map.get(*name)?.clone())));
    ordered.extend(known);
    let others = map.iter().filter(|(name, _)| !ORDER.contains(&name.as_str()));
    ordered.extend(others.map(|(name, value)| (name.clone(), value.clone())));
    for (name, inner) in [
        ("image", &["file", "kind", "compression"][..]),
        ("preinstall", &["archive", "compression", "script"]),
    ] {
        if let Some(part) = ordered.get_mut(name) {
            *part = sorted(part, inner);
        }
    }
    yaml(&Value::Object(ordered))
}

/// The same hash with the fields of `order` first.
fn sorted(value: &Value, order: &[&str]) -> Value {
    let Some(map) = value.as_object() else { return value.clone() };
    let known = order.iter().filter_map(|name| Some(((*name).to_owned(), map.get(*name)?.clone())));
    let mut ordered: Map<_, _> = known.collect();
    for (name, value) in map {
        if !ordered.contains_key(name) {
            ordered.insert(name.clone(), value.clone());
        }
    }
    Value::Object(ordered)
}

/// A document of YAML, one line per value.
pub(super) fn yaml(value: &Value) -> String {
    let mut options = serde_saphyr::SerializerOptions::default();
    options.compact_list_indent = true;
    options.prefer_block_scalars = false;
    match serde_saphyr::to_string_with_options(value, options) {
        // What has no lines of its own stands beside the dashes.
        Ok(text) if text.starts_with(['[', '{']) => format!("--- {text}"),
        Ok(text) => format!("---\n{text}"),
        Err(error) => format!("--- # {error}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_have_their_order() {
        let text = print(&json!({
            "user": "root", "partition_type": 131, "multipart": false,
            "image": {"compression": "gzip", "kind": "tar", "file": "/a"},
            "description": "", "version": 1, "os": "linux", "name": "deb",
            "postinstalls": [{"archive": "/p", "compression": "gzip", "script": "x"}],
        }));
        assert_eq!(
            text,
            "---\nname: deb\nversion: 1\ndescription: \"\"\nos: linux\nimage:\n  file: /a\n  \
             kind: tar\n  compression: gzip\npostinstalls:\n- archive: /p\n  compression: gzip\n  \
             script: x\npartition_type: 131\nmultipart: false\nuser: root\n"
        );
    }

    #[test]
    fn every_file_is_found() {
        let description = json!({
            "image": {"file": "a"}, "preinstall": {"archive": "b"},
            "postinstalls": [{"archive": "c"}, {"archive": "http://d"}],
        });
        let found = references(description.as_object().unwrap());
        assert_eq!(found, ["a", "c", "http://d", "b"]);
    }
}
