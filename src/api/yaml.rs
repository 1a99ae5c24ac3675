//! YAML as old clients print it: block style, lists not indented, nothing where there is
//! nothing, and Ruby's symbols as keys where the original has them. They show the body as it
//! is, so its form is part of the interface.

use serde_json::{Map, Value};

/// Which keys are written as symbols (`:wid:`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// None.
    Plain,
    /// Those of the outermost hash.
    Outer,
    /// Those that name a field of an operation, and none that names a node, a cluster or a step.
    Fields,
}

/// Fields of operations and consoles.
const FIELDS: [&str; 33] = [
    "wid",
    "id",
    "user",
    "done",
    "error",
    "start_time",
    "environment",
    "name",
    "version",
    "logs",
    "debugs",
    "nodes",
    "ok",
    "ko",
    "processing",
    "time",
    "macro",
    "micro",
    "state",
    "out",
    "seconds",
    "resources",
    "resource",
    "log",
    "status",
    "debug",
    "node",
    "attached",
    "console",
    "console_uri",
    "OK",
    "KO",
    "**",
];

/// Words that are no texts to readers of YAML 1.1.
const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"];

/// The document.
pub(super) fn document(value: &Value, keys: Keys) -> String {
    let mut text = String::from("---");
    let writer = Writer { keys };
    writer.after(&mut text, value, 0, true);
    text
}

struct Writer {
    keys: Keys,
}

impl Writer {
    /// What follows a key, or the start of the document.
    fn after(&self, text: &mut String, value: &Value, indent: usize, outer: bool) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                text.push('\n');
                self.map(text, map, if outer { 0 } else { indent + 2 }, outer, false);
            }
            Value::Array(list) if !list.is_empty() => {
                text.push('\n');
                self.list(text, list, indent, false);
            }
            Value::Null => text.push('\n'),
            other => {
                text.push(' ');
                text.push_str(&scalar(other));
                text.push('\n');
            }
        }
    }

    /// The entries; `begun` where the first line has its dash.
    fn map(
        &self,
        text: &mut String,
        map: &Map<String, Value>,
        indent: usize,
        outer: bool,
        mut begun: bool,
    ) {
        for (key, value) in map {
            pad(text, indent, &mut begun);
            text.push_str(&self.key(key, outer));
            text.push(':');
            self.after(text, value, indent, false);
        }
    }

    fn list(&self, text: &mut String, list: &[Value], indent: usize, mut begun: bool) {
        for value in list {
            pad(text, indent, &mut begun);
            text.push('-');
            match value {
                Value::Object(map) if !map.is_empty() => {
                    text.push(' ');
                    self.map(text, map, indent + 2, false, true);
                }
                Value::Array(inner) if !inner.is_empty() => {
                    text.push(' ');
                    self.list(text, inner, indent + 2, true);
                }
                other => self.after(text, other, indent, false),
            }
        }
    }

    fn key(&self, key: &str, outer: bool) -> String {
        let symbol = match self.keys {
            Keys::Plain => false,
            Keys::Outer => outer,
            Keys::Fields => FIELDS.contains(&key),
        };
        match (symbol, is_plain(key)) {
            (false, _) => quoted(key),
            (true, true) => format!(":{key}"),
            (true, false) => format!(":\"{key}\""),
        }
    }
}

fn pad(text: &mut String, indent: usize, begun: &mut bool) {
    if !std::mem::take(begun) {
        text.extend(std::iter::repeat_n(' ', indent));
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(_) => "[]".into(),
        Value::Object(_) => "{}".into(),
        other => other.to_string(),
    }
}

/// A text, in quotes where it would be read as something else without.
fn quoted(text: &str) -> String {
    if text.chars().any(|c| c.is_control() || ('\u{2028}'..='\u{2029}').contains(&c)) {
        // A JSON text is one of YAML as well.
        return serde_json::to_string(text).unwrap_or_default();
    }
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

fn is_plain(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_alphabetic() || c == '/');
    let ends = !text.ends_with([' ', ':']);
    let word = WORDS.contains(&text.to_lowercase().as_str());
    starts && ends && !word && !text.contains(": ") && !text.contains(" #")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn lists_of_operations_look_as_old_clients_print_them() {
        let list = json!([{
            "wid": "P-c75056b4", "user": "root", "done": false, "start_time": 1_795_205_661,
            "nodes": {"ok": [], "ko": [], "processing": ["node-1.testbed.lan"]}, "time": 0.2,
        }]);
        let text = "---
- :wid: P-c75056b4
  :user: root
  :done: false
  :start_time: 1795205661
  :nodes:
    :ok: []
    :ko: []
    :processing:
    - node-1.testbed.lan
  :time: 0.2
";
        assert_eq!(document(&list, Keys::Fields), text);
        assert_eq!(document(&json!([]), Keys::Fields), "--- []\n");
    }

    #[test]
    fn a_node_without_a_past_is_a_key_without_a_value() {
        let nodes = json!({"node-1.lan": {"state": "deployed", "user": null}, "node-3.lan": null});
        let text = "---\nnode-1.lan:\n  state: deployed\n  user:\nnode-3.lan:\n";
        assert_eq!(document(&nodes, Keys::Plain), text);
    }

    #[test]
    fn only_the_outermost_keys_of_the_description_of_the_service_are_symbols() {
        let info = json!({"pxe": "PXElinux", "automata": {"a": [{"name": "x"}]}});
        let text = "---\n:pxe: PXElinux\n:automata:\n  a:\n  - name: x\n";
        assert_eq!(document(&info, Keys::Outer), text);
    }

    #[test]
    fn texts_that_look_like_something_else_are_quoted() {
        for (text, written) in [
            ("yes", "'yes'"),
            ("", "''"),
            ("12", "'12'"),
            ("it's: so", "'it''s: so'"),
            ("a #b", "'a #b'"),
            ("- a", "'- a'"),
            (":wid", "':wid'"),
            ("tcp://host:22", "tcp://host:22"),
            ("a\nb", "\"a\\nb\""),
        ] {
            assert_eq!(quoted(text), written);
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(|number| json!(number)),
            "[ -~é\n]{0,8}".prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                proptest::collection::btree_map("[ -~é]{1,6}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in values()) {
            let text = document(&value, Keys::Plain);
            let read: Value = serde_saphyr::from_str(&text).map_err(|error| {
                TestCaseError::fail(format!("{error}: {text}"))
            })?;
            prop_assert_eq!(read, value, "{}", text);
        }
    }
}
