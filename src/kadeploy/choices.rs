//! Options that `kadeploy3` and `kareboot3` share: the environment, keys, the user's own boot
//! profile.

use super::{
    channels::warn,
    description,
    export::local,
    failure::Failure,
    http::{Server, encode, query},
    nodes,
    options::{Line, Mistake, Opt},
    workflow::{Order, word},
};
use serde_json::{Map, Value, json};

/// Options of both.
pub(super) const OPTIONS: &[Opt] = &[
    Opt::value("block-device", "BLOCKDEVICE", "The disk, instead of the cluster's").short('b'),
    Opt::value("partition-number", "NUMBER", "The partition, instead of the cluster's").short('p'),
    Opt::value("env-name", "ENVNAME", "A recorded environment").short('e'),
    Opt::value("env-user", "USERNAME", "The owner of the recorded environment").short('u'),
    Opt::value("env-version", "NUMBER", "The version of the recorded environment"),
    Opt::maybe(
        "key",
        "FILE",
        "Keys that may log in as root, ~/.ssh/authorized_keys without a value",
    )
    .short('k'),
    Opt::value("vlan", "VLANID", "Put the nodes in this VLAN"),
    Opt::value("set-pxe-profile", "FILE", "A boot profile of your own").short('w'),
    Opt::value("set-pxe-pattern", "FILE", "Lines hostname,value for NODE_SINGULARITY in it"),
    Opt::value("upload-pxe-files", "FILES", "Files for it, with commas between them").short('x'),
    Opt::value("reboot-classical-timeout", "VALUE", "Bound of a reboot, an expression with n"),
    Opt::switch("secure", "Export local files over HTTPS"),
];

/// What is wrong with them without asking anybody.
pub(super) fn check(line: &Line) -> Result<(), Failure> {
    word(line, "block-device", "/")?;
    word(line, "env-user", "")?;
    let digits = |value: &str| value.bytes().all(|byte| byte.is_ascii_digit());
    line.checked("partition-number", digits)?;
    line.checked("env-version", |value| !value.is_empty() && digits(value))?;
    if line.has("upload-pxe-files") && !line.has("set-pxe-profile") {
        return Err(Failure::usage("The files of a boot profile need the profile: use -w"));
    }
    Ok(())
}

/// `deploy_partition` and `block_device`. A disk without a partition is meant as a whole.
pub(super) fn disk(line: &Line, body: &mut Map<String, Value>) {
    let disk = line.value("block-device");
    if let Some(partition) = line.value("partition-number").or(disk.map(|_| "")) {
        body.insert("deploy_partition".into(), partition.into());
    }
    if let Some(disk) = disk {
        body.insert("block_device".into(), disk.into());
    }
}

/// The recorded environment that is meant: one's own, else the first.
///
/// # Errors
/// There is none, or a local file of it cannot be read.
pub(super) async fn recorded(order: &Order, server: &Server, name: &str) -> Result<Value, Failure> {
    let line = &order.session.line;
    let found = find(server, name, line.value("env-user"), line.value("env-version")).await?;
    let local_files = found
        .as_object()
        .into_iter()
        .flat_map(description::references)
        .any(|reference| local(reference).is_some());
    if local_files && (order.session.several || order.session.unusual) {
        warn(&format!(
            "Warning: the environment {name} depends on files of this machine, and was perhaps recorded for another server"
        ));
    }
    if let Some(description) = found.as_object() {
        description::export(description, &order.export)?;
    }
    Ok(found)
}

/// The first environment of that name, one's own before all others.
pub(super) async fn find(
    server: &Server,
    name: &str,
    user: Option<&str>,
    version: Option<&str>,
) -> Result<Value, Failure> {
    let mut parameters = vec![match version {
        Some(version) => ("version", version),
        None => ("last", "true"),
    }];
    parameters.extend(user.map(|user| ("username", user)));
    // Encoded once more, as servers have it from the old programs.
    let name = encode(name);
    parameters.push(("name", &name));
    let Value::Array(found) = server.get(&query("/environments", &parameters)).await? else {
        return Err(Failure::usage("Invalid server response"));
    };
    let own = found.iter().find(|one| one["user"] == server.user());
    let chosen = own.or(found.first()).cloned();
    chosen.ok_or_else(|| Failure::usage(format!("The environment {name} does not exist")))
}

/// The file of `--key` as the request names it.
///
/// # Errors
/// It cannot be read.
pub(super) fn key(order: &Order) -> Result<Option<String>, Failure> {
    let line = &order.session.line;
    if !line.has("key") {
        return Ok(None);
    }
    let home = || std::env::home_dir().map(|home| home.join(".ssh/authorized_keys"));
    let path = match line.value("key") {
        Some(path) => path.to_owned(),
        None => home()
            .ok_or_else(|| Failure::usage("Where your keys are is not known: name the file"))?
            .to_string_lossy()
            .into_owned(),
    };
    match local(&path) {
        Some(path) => order.export.add(path).map(Some),
        None => Ok(Some(path)),
    }
}

/// `pxe`: a boot profile of the user's with its files.
///
/// # Errors
/// A file cannot be read, or a line of it is none.
pub(super) fn profile(order: &Order) -> Result<Option<Value>, Failure> {
    let line = &order.session.line;
    let Some(path) = line.value("set-pxe-profile") else { return Ok(None) };
    let mut pxe = json!({"profile": nodes::read(path)?});
    if let Some(path) = line.value("set-pxe-pattern") {
        pxe["singularities"] = Value::Object(singularities(&nodes::read(path)?)?);
    }
    if let Some(files) = line.value("upload-pxe-files") {
        let files = files.split(',').map(str::trim).filter(|file| !file.is_empty());
        let named = files.map(|file| match local(file) {
            Some(path) => order.export.add(path),
            None => Ok(file.to_owned()),
        });
        pxe["files"] = json!(named.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(Some(pxe))
}

/// `hostname,value` on each line.
fn singularities(text: &str) -> Result<Map<String, Value>, Failure> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| match line.split_once(',') {
            Some((node, value)) => Ok((node.trim().to_owned(), value.trim().into())),
            None => Err(Failure::usage(format!("'{line}' is not hostname,value"))),
        })
        .collect()
}

/// Puts the value of an option into a body under another name.
pub(super) fn text(line: &Line, long: &str, body: &mut Map<String, Value>, field: &str) {
    if let Some(value) = line.value(long) {
        body.insert(field.to_owned(), value.into());
    }
}

/// `Inst:retries:timeout,…` per macro-step, as `--force-steps` writes it.
pub(super) fn forced(text: &str) -> Result<Value, Mistake> {
    let automata = crate::cli::forced_steps(text)
        .map_err(|why| Mistake::Argument(format!("--force-steps {text} ({why})")))?;
    serde_json::to_value(automata).map_err(|why| Mistake::Argument(why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forced_steps_are_written_as_the_interface_has_them() {
        let text = "SetDeploymentEnv|A:1:20&BroadcastEnv|B:0:5,C:0:6&BootNewEnv|D:2:7";
        let automata = json!({
            "SetDeploymentEnv": [{"name": "A", "retries": 1, "timeout": 20}],
            "BroadcastEnv": [
                {"name": "B", "retries": 0, "timeout": 5}, {"name": "C", "retries": 0, "timeout": 6},
            ],
            "BootNewEnv": [{"name": "D", "retries": 2, "timeout": 7}],
        });
        assert_eq!(forced(text).unwrap(), automata);
        assert!(
            forced("x").unwrap_err().to_string().starts_with("invalid argument: --force-steps")
        );
    }

    #[test]
    fn singularities_are_lines() {
        let read = singularities("a.lan, 1\n\nb.lan,x,y\n").unwrap();
        assert_eq!(Value::Object(read), json!({"a.lan": "1", "b.lan": "x,y"}));
        assert!(singularities("a.lan").is_err());
    }
}
