//! The documentation of every key, from the same declarations that read it.

use crate::key::{Effect, Key, Need, Shape};
use crate::model::{
    client::Client, cluster::ClusterFile, clusters::ClustersKeys, command::NodeCommands,
    server::Server,
};
use crate::read::Value;
use std::{collections::BTreeMap, fmt::Write as _};

/// What there is to know about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDoc {
    /// The file it belongs to.
    pub file: &'static str,
    /// Its path; `*` stands for a position in a list or a name of the site's own.
    pub path: String,
    /// Its type.
    pub kind: String,
    /// What is taken in its absence, as YAML; `none` for nothing, empty for a section, whose
    /// keys take their own defaults. `None` for a mandatory key.
    pub default: Option<String>,
    /// What its value must satisfy beyond its type.
    pub check: Option<String>,
    /// What it means.
    pub meaning: String,
    /// Whether it works; if not, why.
    pub effect: String,
    /// Whether a change needs no restart.
    pub reloadable: bool,
}

/// The files and their forms.
fn files() -> [(&'static str, Shape); 5] {
    [
        ("server.conf", Server::shape()),
        ("clusters.conf", ClustersKeys::shape()),
        ("cluster file", ClusterFile::shape()),
        ("command.conf", BTreeMap::<String, NodeCommands>::shape()),
        ("client.conf", Client::shape()),
    ]
}

/// Explains a key by its path, such as `network/ports/ssh`, as mistakes and notices give
/// it. Where two files have the key the first is meant, unless the path starts with the
/// file's name and a colon (`cluster file:pxe/headers`).
pub fn explain(key_path: &str) -> Option<KeyDoc> {
    let (file, path) = key_path.split_once(':').map_or((None, key_path), |(f, p)| (Some(f), p));
    let wanted: Vec<_> = path.split('/').collect();
    all(Repeats::Told).into_iter().find(|doc| {
        let here: Vec<_> = doc.path.split('/').collect();
        let same = |(have, want): (&&str, &&str)| *have == "*" || have == want;
        file.is_none_or(|file| file == doc.file)
            && here.len() == wanted.len()
            && here.iter().zip(&wanted).all(same)
    })
}

/// What is done about a section that occurs a second time in a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeats {
    Told,
    ReferredTo,
}

/// Every key of every file, in the order of the declarations.
fn all(repeats: Repeats) -> Vec<KeyDoc> {
    let mut docs = Vec::new();
    for (file, shape) in files() {
        let mut walk = Walk { file, repeats, seen: Vec::new(), docs: Vec::new() };
        walk.shape("", &shape, "", true);
        docs.append(&mut walk.docs);
    }
    docs
}

/// A walk over the keys of a file.
struct Walk {
    file: &'static str,
    repeats: Repeats,
    /// Sections met so far, and where.
    seen: Vec<(*const Key, String)>,
    docs: Vec<KeyDoc>,
}

impl Walk {
    fn shape(&mut self, path: &str, shape: &Shape, effect: &str, reload: bool) {
        match shape {
            Shape::Leaf(_) => (),
            Shape::List(of) | Shape::Named(of) => {
                self.shape(&joined(path, "*"), of, effect, reload);
            }
            Shape::Section(keys) => self.section(path, keys, effect, reload),
        }
    }

    fn section(&mut self, path: &str, keys: &'static [Key], effect: &str, reload: bool) {
        let first = self.seen.iter().find(|(seen, _)| *seen == keys.as_ptr());
        if let (Some((_, first)), Repeats::ReferredTo, Some(doc)) =
            (first, self.repeats, self.docs.last_mut())
        {
            let _ = write!(doc.meaning, " Its keys are those of `{first}`.");
            return;
        }
        self.seen.push((keys.as_ptr(), path.to_owned()));
        for key in keys {
            let doc = describe(self.file, path, key, effect, reload);
            let (path, effect, reload) = (doc.path.clone(), doc.effect.clone(), doc.reloadable);
            self.docs.push(doc);
            self.shape(&path, &(key.shape)(), &effect, reload);
        }
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") }
}

fn describe(file: &'static str, path: &str, key: &Key, effect: &str, reload: bool) -> KeyDoc {
    let shape = (key.shape)();
    let default = match key.spec.need {
        Need::Mandatory => None,
        // A section that is absent is as good as an empty one.
        Need::Optional if matches!(shape, Shape::Section(_)) => Some(String::new()),
        Need::Optional => Some("none".to_owned()),
        Need::Default(yaml) => Some(yaml.split_whitespace().collect::<Vec<_>>().join(" ")),
    };
    let effect = match key.spec.effect {
        Effect::Now => effect.to_owned(),
        Effect::Without(why) => format!("without effect: {why}"),
        Effect::Replaced(by) => format!("replaced by {by}"),
    };
    KeyDoc {
        file,
        path: joined(path, key.name),
        kind: shape.kind().into_owned(),
        default,
        check: key.spec.check.words().map(std::borrow::Cow::into_owned),
        meaning: key.doc.split_whitespace().collect::<Vec<_>>().join(" "),
        effect,
        reloadable: reload && key.spec.reload,
    }
}

/// All keys in Markdown: `docs/configuration.md`.
pub fn documentation() -> String {
    let mut text = String::from(INTRODUCTION);
    let docs = all(Repeats::ReferredTo);
    for (file, shape) in files() {
        let _ = write!(text, "\n## {file}\n\n");
        if let Shape::Named(of) = &shape {
            let _ = writeln!(text, "A {}.", shape.kind().replace(&*of.kind(), "sections"));
            let _ = writeln!(text, "\nEach section: {}.", of.kind());
            continue;
        }
        text.push_str("| key | type | default | meaning | |\n|---|---|---|---|---|\n");
        for doc in docs.iter().filter(|doc| doc.file == file) {
            let _ = writeln!(text, "{}", row(doc));
        }
    }
    text
}

const INTRODUCTION: &str = "\
# Configuration

<!-- Generated from the declarations of the keys; `UPDATE=1 cargo test -p config` rewrites it. -->

All files are YAML, in one directory. A path such as `network/ports/ssh` means nested
sections; `*` stands for each item of a list. A key that is absent, or null, takes its
default; **mandatory** ones have none. Relative paths of files start at the
configuration directory. An empty text means \"not set\".

Unknown keys, keys that have no effect, and what is there twice are reported and stop
nothing: of a key, and of clusters of one name, the last one counts, of nodes of one name the
first. Numbers that begin with a 0 are octal. A missing mandatory key, a wrong type and a
value that is not allowed stop the service from starting; all of them are told at once.

A file that changes is loaded half a second later; `kadence reload` and SIGHUP do it at once.
All of it takes effect or nothing does, and operations that run keep what they began with. In
the last column, *restart* marks keys whose change needs a restart: until then such a change
refuses the whole configuration.
";

fn row(doc: &KeyDoc) -> String {
    let escaped = |text: &str| text.replace('|', "\\|");
    let kind = match &doc.check {
        Some(check) => format!("{}: {check}", doc.kind),
        None => doc.kind.clone(),
    };
    let default = match doc.default.as_deref() {
        None => "**mandatory**".to_owned(),
        Some(words @ ("" | "none")) => words.to_owned(),
        Some(yaml) => format!("`{yaml}`"),
    };
    let marks = [doc.effect.as_str(), if doc.reloadable { "" } else { "restart" }];
    let marks: Vec<_> = marks.into_iter().filter(|mark| !mark.is_empty()).collect();
    format!(
        "| `{}` | {} | {} | {} | {} |",
        doc.path,
        escaped(&kind),
        escaped(&default),
        escaped(&doc.meaning),
        marks.join("; ")
    )
}
