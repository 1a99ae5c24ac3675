//! Which nodes: `-m` and `-f`.

use super::{failure::Failure, options::Line};
use std::{collections::HashSet, fs, io::Read};

/// The nodes of a command line, ranges unfolded, each once, in the order they were given.
///
/// # Errors
/// A file that cannot be read, or a name that can be none.
pub(super) fn named(line: &Line) -> Result<Vec<String>, Failure> {
    let mut names: Vec<String> = Vec::new();
    for path in line.values("file") {
        let text = read(path)?;
        let lines = text.lines().map(str::trim);
        for name in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            names.extend(unfold(name)?);
        }
    }
    for name in line.values("machine") {
        names.extend(unfold(name)?);
    }
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(names)
}

/// Whether nodes are asked for, if only by a file that has none.
pub(super) fn asked_for(line: &Line) -> bool {
    line.has("machine") || line.has("file")
}

/// There must be nodes.
pub(super) fn none() -> Failure {
    Failure::usage("No node is chosen")
}

/// A file, or standard input.
pub(super) fn read(path: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path == "-" {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        fs::read_to_string(path).map(|read| text = read)
    };
    read.map(|()| text).map_err(|error| Failure::file(path, error))
}

fn unfold(name: &str) -> Result<Vec<String>, Failure> {
    let wrong = |why: String| Failure::usage(format!("Invalid hostname '{name}': {why}"));
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".,-[]".contains(c);
    if name.is_empty() || !name.chars().all(allowed) {
        return Err(wrong("letters, digits, dots, dashes and one [range] are allowed".into()));
    }
    config::expand(name).map_err(|error| wrong(error.to_string()))
}

/// Whether the server may understand `name` as its node `full`: it looks for it anywhere, and a
/// dot stands for any letter.
pub(super) fn may_be(name: &str, full: &str) -> bool {
    let (name, full) = (name.as_bytes(), full.as_bytes());
    let fits = |part: &[u8]| part.iter().zip(name).all(|(f, n)| *n == b'.' || f == n);
    !name.is_empty() && full.windows(name.len()).any(fits)
}

/// Deals the nodes out to the servers that have them, each to the first one.
///
/// # Errors
/// Nobody has a node.
pub(super) fn deal(names: &[String], of: &[Vec<String>]) -> Result<Vec<Vec<String>>, Failure> {
    let mut dealt = vec![Vec::new(); of.len()];
    for name in names {
        match of.iter().position(|all| all.contains(name)) {
            Some(server) => dealt[server].push(name.clone()),
            None => return Err(unknown(name)),
        }
    }
    Ok(dealt)
}

/// Nobody has this node.
pub(super) fn unknown(name: &str) -> Failure {
    Failure::usage(format!("The node '{name}' does not exist"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_for_as_the_server_does() {
        assert!(may_be("node-1", "node-1.site.lan"));
        assert!(may_be("1.site", "node-1.site.lan"));
        assert!(may_be("node.1", "node-1.site.lan"));
        assert!(!may_be("node-2", "node-1.site.lan"));
        assert!(!may_be("node-1.site.lan.x", "node-1.site.lan"));
    }

    #[test]
    fn nodes_go_to_the_first_server_that_has_them() {
        let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let dealt = deal(&list(&["a", "c"]), &[list(&["a", "b"]), list(&["a", "c"])]).unwrap();
        assert_eq!(dealt, [list(&["a"]), list(&["c"])]);
        assert!(deal(&list(&["x"]), &[list(&["a"])]).is_err());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert_eq!(unfold("n[1-2].x").unwrap(), ["n1.x", "n2.x"]);
        for wrong in ["", "n_1", "n[1", "n;reboot"] {
            assert_eq!(unfold(wrong).unwrap_err().code, 1, "{wrong}");
        }
    }
}
