//! A request's query as the values that JSON would have.

use serde_json::{Map, Value};

/// Fields that are true by being there, whatever their value.
const TOGGLES: [&str; 17] = [
    "check_destructive",
    "overwrite",
    "toggle_destructive",
    "update_image_checksum",
    "update_postinstalls_checksum",
    "update_preinstall_checksum",
    "force",
    "debug",
    "hook",
    "dry_run",
    "keep",
    "failed",
    "list",
    "last",
    "disable_kexec",
    "disable_bootloader_install",
    "disable_disk_partitioning",
];

/// Fields that hold a list even when they occur once.
const LISTS: [&str; 6] = ["nodes", "fields", "partitions", "sort", "step_retries", "scope"];

/// Fields that hold a number.
const NUMBERS: [&str; 6] =
    ["verbose_level", "since", "version", "limit", "min_retries", "boot_partition"];

/// Reads `a=1&nodes=x&nodes=y`. A field that occurs several times is a list.
pub(super) fn query(text: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, value) in form(text) {
        if TOGGLES.contains(&name.as_str()) {
            // However often it is there.
            fields.insert(name, Value::Bool(true));
            continue;
        }
        let value =
            if let (true, Ok(number)) = (NUMBERS.contains(&name.as_str()), value.parse::<i64>()) {
                Value::from(number)
            } else {
                Value::String(value)
            };
        match fields.get_mut(&name) {
            Some(Value::Array(list)) => list.push(value),
            Some(first) => {
                let first = first.take();
                fields.insert(name, Value::Array(vec![first, value]));
            }
            None if LISTS.contains(&name.as_str()) => {
                fields.insert(name, Value::Array(vec![value]));
            }
            None => drop(fields.insert(name, value)),
        }
    }
    fields
}

/// Decodes a path segment; `+` is a blank, as in forms.
pub(super) fn decode(text: &str) -> String {
    form(&format!("x={}", text.replace('&', "%26")))
        .pop()
        .map(|(_, value)| value)
        .unwrap_or_default()
}

fn form(text: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .filter(|(name, _)| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn repeated_fields_are_lists_and_toggles_are_true_by_being_there() {
        let fields = query("nodes=a&nodes=b&force=false&user=x+y&list&list=1");
        assert_eq!(
            Value::Object(fields),
            json!({"nodes": ["a", "b"], "force": true, "user": "x y", "list": true})
        );
        assert_eq!(query("nodes=a")["nodes"], json!(["a"]));
    }

    #[test]
    fn a_segment_is_decoded_like_a_form() {
        assert_eq!(decode("debian%2Btest"), "debian+test");
        assert_eq!(decode("a+b&c"), "a b&c");
    }
}
