//! Descriptions as they are told: every field in its place, and those that old clients need
//! there in any case.

use crate::store::EnvironmentRecord;
use serde_json::{Map, Value, json};

/// Fields in the order in which they are told, with what is told where a description has none.
const FIELDS: [(&str, Absent); 17] = [
    ("name", Absent::Nothing),
    ("version", Absent::Nothing),
    ("description", Absent::Text("")),
    ("author", Absent::Nothing),
    ("visibility", Absent::Text("private")),
    ("destructive", Absent::False),
    ("os", Absent::Nothing),
    ("image", Absent::Nothing),
    ("preinstall", Absent::Nothing),
    ("postinstalls", Absent::Nothing),
    ("boot", Absent::Nothing),
    ("filesystem", Absent::Nothing),
    ("partition_type", Absent::Zero),
    ("multipart", Absent::False),
    ("options", Absent::Nothing),
    ("arch", Absent::Nothing),
    ("alias", Absent::Nothing),
];

/// What stands for a field that is not there.
#[derive(Clone, Copy)]
enum Absent {
    Nothing,
    Text(&'static str),
    False,
    Zero,
}

impl Absent {
    fn value(self) -> Option<Value> {
        match self {
            Self::Nothing => None,
            Self::Text(text) => Some(text.into()),
            Self::False => Some(false.into()),
            Self::Zero => Some(0.into()),
        }
    }
}

/// A record as its description, the owner last if wanted.
pub(super) fn told(record: &EnvironmentRecord, with_user: bool) -> Value {
    let mut given = super::fields(record.clone());
    let mut map = Map::new();
    for (name, absent) in FIELDS {
        let value = given.shift_remove(name).filter(|value| !is_empty(value));
        // Of a part nothing may be left.
        let value = value.map(|value| part(name, value)).filter(|value| !is_empty(value));
        let value = value.or_else(|| absent.value());
        map.extend(value.map(|value| (name.to_owned(), value)));
    }
    if with_user {
        map.insert("user".into(), record.user.clone().into());
    }
    Value::Object(map)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// A field that has fields of its own.
fn part(name: &str, value: Value) -> Value {
    const ARCHIVE: [&str; 3] = ["archive", "compression", "script"];
    const BOOT: [&str; 7] = [
        "kernel",
        "initrd",
        "kernel_params",
        "hypervisor",
        "hypervisor_params",
        "block_device",
        "partition",
    ];
    let archive = |value| {
        let mut archive = ordered(value, &ARCHIVE);
        if archive.get("script").is_none() {
            archive["script"] = "none".into();
        }
        archive
    };
    match (name, value) {
        ("image", value) => {
            let mut image = ordered(value, &["file", "kind", "compression"]);
            if image["kind"] == "fsa" && image.get("compression").is_none() {
                image["compression"] = json!(0);
            }
            image
        }
        ("preinstall", value) => archive(value),
        ("postinstalls", Value::Array(list)) => list.into_iter().map(archive).collect(),
        ("boot", value) => ordered(value, &BOOT),
        (_, value) => value,
    }
}

fn ordered(value: Value, names: &[&str]) -> Value {
    let Value::Object(mut given) = value else { return value };
    let mut map = Map::new();
    for name in names {
        let value = given.shift_remove(*name).filter(|value| !is_empty(value));
        map.extend(value.map(|value| ((*name).to_owned(), value)));
    }
    map.extend(given.into_iter().filter(|(_, value)| !is_empty(value)));
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(description: Value) -> EnvironmentRecord {
        EnvironmentRecord {
            id: 1,
            user: "anna".into(),
            name: "deb".into(),
            version: 2,
            description,
            checksums: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn fields_have_their_places_and_old_clients_find_what_they_need() {
        let least = json!({"image": {"compression": "gzip", "kind": "dd", "file": "/i"}, "os": "other", "boot": {"kernel_params": ""}});
        let text = r#"{"name":"deb","version":2,"description":"","visibility":"private","destructive":false,"os":"other","image":{"file":"/i","kind":"dd","compression":"gzip"},"partition_type":0,"multipart":false}"#;
        assert_eq!(told(&record(least), false).to_string(), text);
        let more = json!({
            "alias": "d", "author": "", "description": "x", "odd": 1, "user": "ben",
            "boot": {"initrd": "/i", "kernel": "/k", "kernel_params": ""},
            "image": {"kind": "fsa", "file": "/i"},
            "postinstalls": [{"compression": "gzip", "archive": "/p"}],
            "filesystem": "ext4", "partition_type": 131, "os": "linux",
        });
        let text = r#"{"name":"deb","version":2,"description":"x","visibility":"private","destructive":false,"os":"linux","image":{"file":"/i","kind":"fsa","compression":0},"postinstalls":[{"archive":"/p","compression":"gzip","script":"none"}],"boot":{"kernel":"/k","initrd":"/i"},"filesystem":"ext4","partition_type":131,"multipart":false,"alias":"d","user":"anna"}"#;
        assert_eq!(told(&record(more), true).to_string(), text);
    }
}
