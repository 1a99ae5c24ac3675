//! The table of `docs/kadeploy.md`: every row there is, and names tests that there are.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Rows of the table, by their columns.
fn rows() -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("docs/kadeploy.md")).unwrap();
    let lines = text.lines().filter(|line| {
        line.strip_prefix("| ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    // The table of exit codes has two columns.
    let rows = lines.map(|line| line.split('|').map(|cell| cell.trim().to_owned()).collect());
    rows.filter(|row: &Vec<String>| row.len() == 6).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file of the workspace.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if name != "target" && name != ".git" {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Every test, and every module that has one, by its path as `cargo test` shows it.
fn tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    for member in ["src", "tests", "automata", "netboot", "cache", "config", "relay"] {
        sources(&root().join(member), &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let inline = text.contains("\nmod tests {");
        let module = file.strip_prefix(root()).unwrap().with_extension("");
        let parts: Vec<&str> = module.iter().map(|part| part.to_str().unwrap()).collect();
        let folder = parts.iter().rposition(|part| ["src", "tests"].contains(part));
        // A folder `tests` below `src` is a module; the one of a package is not.
        let Some(folder) = parts.iter().position(|part| *part == "src").or(folder) else {
            continue;
        };
        let mut parts: Vec<&str> = parts[folder + 1..].to_vec();
        // The one program of the tests of a package has its modules in a folder.
        if parts.len() > 1 && ["all", "automaton", "broadcast"].contains(&parts[0]) {
            parts.remove(0);
        }
        parts.retain(|part| !["mod", "lib", "main"].contains(part));
        // As people say it where packages have tests of like names.
        let package = module.iter().next().unwrap().to_str().unwrap();
        if package == "config" {
            parts.insert(0, package);
        }
        let mut after_test = false;
        for line in text.lines().map(str::trim) {
            let name = line.trim_start_matches("async ").strip_prefix("fn ");
            if let (true, Some(name)) = (after_test, name) {
                let inside = (inline && parts.last() != Some(&"tests")).then_some("tests");
                let name = name.split('(').next().unwrap();
                let path: Vec<&str> = parts.iter().copied().chain(inside).chain([name]).collect();
                names.extend((1..=path.len()).map(|length| path[..length].join("::")));
            }
            let marks = ["#[test]", "#[tokio::test", "#["];
            after_test = marks[..2].iter().any(|mark| line.starts_with(mark))
                || (after_test && (line.starts_with(marks[2]) || line.starts_with("//")));
        }
    }
    names
}

#[test]
fn every_row_is_there_and_shown_by_tests_that_there_are() {
    let (rows, tests) = (rows(), tests());
    let numbers: Vec<usize> = rows.iter().map(|row| row[1].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=131).collect::<Vec<_>>());
    let mut wrong = Vec::new();
    for row in &rows {
        let refused = row[3].starts_with("refused");
        assert_eq!(refused, ["38", "129"].contains(&row[1].as_str()), "{row:?}");
        let named: Vec<&str> = row[4].split('`').skip(1).step_by(2).collect();
        let shown = !named.is_empty() || row[4].contains("lab (") || row[1] == "129";
        if !shown {
            wrong.push(format!("{}: no test", row[1]));
        }
        let missing = named.iter().filter(|name| !tests.contains(**name));
        wrong.extend(missing.map(|name| format!("{}: there is no test {name}", row[1])));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
