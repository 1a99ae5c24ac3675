//! The examples that an administrator may start from, of which the lab makes its own files.

use super::super::{LabError, error::Context};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Name of their folder.
const FOLDER: &str = "examples";
/// Where such a file comes from, for the error that it is missing.
pub(in super::super) const ORIGIN: &str = "of the examples";

/// The examples beside the installed program, or of the source tree it was built in.
pub(in super::super) fn dir() -> Result<PathBuf, LabError> {
    let program = std::env::current_exe().context(|| "finding this program".into())?;
    let installed =
        program.ancestors().nth(2).map(|prefix| prefix.join("share/kadence").join(FOLDER));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
    Ok(installed.filter(|dir| dir.is_dir()).unwrap_or(source))
}

/// The example in the file `path` with the YAML text `own` laid over it: maps are joined, all else
/// is replaced.
pub(in super::super) fn laid_over(path: &Path, own: &str) -> Result<String, LabError> {
    if !path.is_file() {
        return Err(LabError::MissingFile { path: path.into(), origin: ORIGIN });
    }
    let text = std::fs::read_to_string(path).context(|| format!("reading {}", path.display()))?;
    let refuse = |reason: String| LabError::Argument {
        what: "example",
        value: path.display().to_string(),
        reason,
    };
    let parse =
        |text: &str| serde_saphyr::from_str::<Value>(text).map_err(|why| refuse(why.to_string()));
    let mut whole = parse(&text)?;
    join(&mut whole, parse(own)?);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = serde_saphyr::to_string(&whole).map_err(|why| refuse(why.to_string()))?;
    Ok(format!("# {name} of the examples, and what is particular to the lab.\n{text}"))
}

fn join(base: &mut Value, own: Value) {
    match (base, own) {
        (Value::Object(base), Value::Object(own)) => {
            for (key, value) in own {
                join(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, own) => *base = own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_joined_and_all_else_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.conf");
        std::fs::write(&path, "a: {b: 1, c: [1, 2]}\nd: 0x83\n").unwrap();
        let text = laid_over(&path, "a: {c: [3], e: {f: g}}\n").unwrap();
        let value: Value = serde_saphyr::from_str(&text).unwrap();
        let wanted = serde_json::json!({"a": {"b": 1, "c": [3], "e": {"f": "g"}}, "d": 131});
        assert_eq!(value, wanted);
        let missing = laid_over(Path::new("/nonexistent/x.conf"), "{}").unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/x.conf"));
    }

    #[test]
    fn every_example_is_yaml() {
        let site = dir().unwrap().join("site");
        for file in ["server.conf", "rack1.conf"] {
            laid_over(&site.join(file), "{}").unwrap();
        }
    }
}
