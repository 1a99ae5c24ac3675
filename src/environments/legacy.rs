//! Descriptions of before 3.1.7: lines of `key : value`.
//!
//! They are understood as the old migration program did, which made them the YAML of today.

use serde_json::{Map, Value, json};

/// What a text of that form describes, in the form of today; none for a text of another form.
///
/// # Errors
/// It is of that form, and a line cannot be understood: which, and why.
pub fn legacy(text: &str) -> Option<Result<Map<String, Value>, String>> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(is_content).collect();
    if lines.iter().any(|line| word_before(line, '=') == Some("filebase")) {
        let why = "it is of Kadeploy 2: write it anew, with name, os, image, boot and filesystem";
        return Some(Err(why.to_owned()));
    }
    // A YAML of today has no such key at its root.
    let old = lines.iter().any(|line| word_before(line, ':') == Some("tarball"));
    old.then(|| convert(&lines))
}

fn is_content(line: &&str) -> bool {
    !line.is_empty() && !line.starts_with("---") && !line.starts_with('#')
}

fn word_before(line: &str, sign: char) -> Option<&str> {
    line.split_once(sign).map(|(word, _)| word.trim())
}

fn convert(lines: &[&str]) -> Result<Map<String, Value>, String> {
    let mut made = json!({"visibility": "shared"});
    for line in lines {
        let (key, value) =
            line.split_once(':').ok_or_else(|| format!("the line `{line}` has no colon"))?;
        let (key, value) = (key.trim(), value.trim());
        if value.is_empty() {
            continue;
        }
        match key {
            "name" | "description" | "author" | "visibility" | "filesystem" => {
                made[key] = value.into();
            }
            "version" => made["version"] = number(line, value, 10)?,
            "fdisktype" => {
                let digits = value.trim_start_matches("0x");
                made["partition_type"] = number(line, digits, 16)?;
            }
            "environment_kind" => made["os"] = value.into(),
            "demolishing_env" => {
                made["destructive"] = matches!(value, "1" | "true" | "yes").into();
            }
            "kernel" | "initrd" | "kernel_params" | "hypervisor" | "hypervisor_params" => {
                made["boot"][key] = value.into();
            }
            "tarball" => made["image"] = image(value),
            "preinstall" => made["preinstall"] = archive(value),
            "postinstall" => {
                made["postinstalls"] = value.split(',').map(str::trim).map(archive).collect();
            }
            _ => return Err(format!("the line `{line}` has a key that there never was")),
        }
    }
    match made {
        Value::Object(map) => Ok(map),
        other => Err(format!("{other} is no description")),
    }
}

fn number(line: &str, text: &str, base: u32) -> Result<Value, String> {
    let wrong = |_| format!("the line `{line}` does not have a number");
    i64::from_str_radix(text, base).map(Value::from).map_err(wrong)
}

/// `path|kind`: `ddgz` and its like are images of partitions, all others archives.
fn image(value: &str) -> Value {
    let (file, kind) = value.split_once('|').unwrap_or((value, ""));
    let what = if kind.starts_with("dd") { "dd" } else { "tar" };
    json!({"file": file, "kind": what, "compression": compression(kind)})
}

/// `path|kind|script`.
fn archive(value: &str) -> Value {
    let mut parts = value.splitn(3, '|');
    let mut next = || parts.next().unwrap_or_default();
    let (file, kind, script) = (next(), next(), next());
    let script = if script.is_empty() { "none" } else { script };
    json!({"archive": file, "compression": compression(kind), "script": script})
}

fn compression(kind: &str) -> &'static str {
    if kind.ends_with("gz") { "gzip" } else { "bzip2" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environments::Environment;

    const OLD: &str = "###
# An image of long ago
name : lenny-x64-base
version : 3
description : Debian: the old one
author : someone
tarball : /grid5000/images/lenny.tgz|tgz
preinstall : /grid5000/pre.tbz2|tbz2|launch.sh -x
postinstall : /a.tgz|tgz|traitement.ash /rambin, /b.tgz|tgz|none
kernel : /vmlinuz
initrd : /initrd.img
kernel_params : console=tty0 quiet
fdisktype : 83
filesystem : ext3
environment_kind : linux
demolishing_env : 0
";

    #[test]
    fn a_description_of_long_ago_is_one_of_today() {
        let made = legacy(OLD).unwrap().unwrap();
        let expected = json!({
            "visibility": "shared",
            "name": "lenny-x64-base",
            "version": 3,
            "description": "Debian: the old one",
            "author": "someone",
            "image": {"file": "/grid5000/images/lenny.tgz", "kind": "tar", "compression": "gzip"},
            "preinstall": {"archive": "/grid5000/pre.tbz2", "compression": "bzip2", "script": "launch.sh -x"},
            "postinstalls": [
                {"archive": "/a.tgz", "compression": "gzip", "script": "traitement.ash /rambin"},
                {"archive": "/b.tgz", "compression": "gzip", "script": "none"},
            ],
            "boot": {"kernel": "/vmlinuz", "initrd": "/initrd.img", "kernel_params": "console=tty0 quiet"},
            "partition_type": 0x83,
            "filesystem": "ext3",
            "os": "linux",
            "destructive": false,
        });
        assert_eq!(Value::Object(made.clone()), expected);
        let parsed = Environment::parse(&made).unwrap();
        assert!(parsed.unused.is_empty(), "{:?}", parsed.unused);
    }

    #[test]
    fn images_of_partitions_and_mistakes() {
        let with = |line: &str| legacy(&format!("name : x\ntarball : /i|ddbz2\n{line}\n")).unwrap();
        let image = json!({"file": "/i", "kind": "dd", "compression": "bzip2"});
        assert_eq!(with("demolishing_env : true").unwrap()["image"], image);
        assert!(with("fdisktype : zz").unwrap_err().contains("`fdisktype : zz`"));
        assert!(with("nonsense").unwrap_err().contains("no colon"));
        assert!(with("kernal : /k").unwrap_err().contains("kernal"));
        assert!(legacy("name: x\nimage: {file: /i, kind: tar, compression: gzip}\n").is_none());
        let older = legacy("name = x\nfilebase = /i\n").unwrap().unwrap_err();
        assert!(older.contains("Kadeploy 2"), "{older}");
    }
}
