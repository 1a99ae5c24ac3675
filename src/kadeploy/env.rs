//! `kaenv3`: recorded environments.

use super::{
    choices, description,
    export::Export,
    failure::Failure,
    http::{Server, encode, query},
    options::{Line, Opt},
    session::Session,
    table,
    workflow::word,
};
use reqwest::Method;
use serde_json::{Map, Value, json};

/// Options of its own.
pub(super) const OPTIONS: &[Opt] = &[
    Opt::value("add", "ENVFILE", "Record the environment of this description").short('a'),
    Opt::value("delete", "ENVNAME", "Delete the environment").short('d'),
    Opt::maybe("list", "ENVNAME", "List environments; % stands for anything").short('l'),
    Opt::value("print", "ENVNAME", "Print the description of the environment").short('p'),
    Opt::flag("all-versions", "All versions instead of the latest one").short('s'),
    Opt::value("visibility-tag", "TAG", "private, shared or public").short('t'),
    Opt::value("env-user", "USERNAME", "The owner of the environment").short('u'),
    Opt::value("env-version", "NUMBER", "The version of the environment"),
    Opt::value("files-to-move", "FILES", "src::dest,src::dest,... for --move-files").short('m'),
    Opt::flag("move-files", "Change where the files of all environments are"),
    Opt::value(
        "toggle-destructive-tag",
        "ENVNAME",
        "Say that it is destructive, or that it is not",
    ),
    Opt::value("set-visibility-tag", "ENVNAME", "Change who sees the environment: use -t"),
    Opt::value("update-image-checksum", "ENVNAME", "Its image has changed"),
    Opt::value("update-preinstall-checksum", "ENVNAME", "Its preinstall has changed"),
    Opt::value("update-postinstalls-checksum", "ENVNAME", "Its postinstalls have changed"),
    Opt::switch("secure", "Export local files over HTTPS"),
];

/// Columns of a list before that of the descriptions.
const WIDTHS: [usize; 3] = [21, 7, 11];

/// What can be done; one of them is.
const ACTIONS: [&str; 10] = [
    "add",
    "delete",
    "list",
    "print",
    "toggle-destructive-tag",
    "set-visibility-tag",
    "update-image-checksum",
    "update-preinstall-checksum",
    "update-postinstalls-checksum",
    "move-files",
];

/// What can be said without a server.
pub(super) fn check(line: &Line) -> Result<(), Failure> {
    word(line, "env-user", "")?;
    line.checked("env-version", |value| value.parse::<u32>().is_ok())?;
    line.checked("visibility-tag", |tag| ["private", "shared", "public"].contains(&tag))?;
    match ACTIONS.into_iter().filter(|action| line.has(action)).count() {
        1 => {}
        0 => return Err(Failure::usage("You must choose an action")),
        _ => return Err(Failure::usage("You can only choose one action")),
    }
    if line.has("set-visibility-tag") != line.has("visibility-tag") {
        return Err(Failure::usage("--set-visibility-tag and -t go together"));
    }
    if line.has("move-files") != line.has("files-to-move") {
        return Err(Failure::usage("--move-files and -m go together"));
    }
    line.value("files-to-move").map(moves).transpose()?;
    Ok(())
}

/// Does what the command line says, on every server.
pub(super) async fn run(session: Session) -> Result<(), Failure> {
    let export = Export::new(session.line.on("secure"));
    for server in &session.servers {
        let act = Act { line: &session.line, server, export: &export };
        let text = act.act().await?;
        table::say_lines(&session.prefix(server), &text);
    }
    Ok(())
}

/// One action on one server.
struct Act<'a> {
    line: &'a Line,
    server: &'a Server,
    export: &'a Export,
}

impl Act<'_> {
    /// Does it; returns what is told about it.
    async fn act(&self) -> Result<String, Failure> {
        let line = self.line;
        if let Some(path) = line.value("add") {
            return self.add(path).await;
        }
        if let Some(name) = line.value("delete") {
            return self.delete(name).await;
        }
        if line.has("list") {
            return self.list(line.value("list")).await;
        }
        if let Some(name) = line.value("print") {
            return self.print(name).await;
        }
        if line.has("move-files") {
            return self.move_files().await;
        }
        if let Some(name) = line.value("toggle-destructive-tag") {
            return self.change(name, "toggle_destructive", true.into()).await;
        }
        if let Some(name) = line.value("set-visibility-tag") {
            let tag = line.value("visibility-tag").unwrap_or_default();
            return self.change(name, "visibility", tag.into()).await;
        }
        for part in ["image", "preinstall", "postinstalls"] {
            if let Some(name) = line.value(&format!("update-{part}-checksum")) {
                return self.update(name, &format!("update_{part}_checksum")).await;
            }
        }
        Ok(String::new())
    }

    /// Whether only the latest version is meant.
    fn last(&self, body: &mut Map<String, Value>) {
        if !self.line.has("all-versions") {
            body.insert("last".into(), true.into());
        }
    }

    fn owner(&self) -> &str {
        self.line.value("env-user").unwrap_or(self.server.user())
    }

    /// The path of an environment.
    fn path(&self, name: &str) -> String {
        let path = format!("/environments/{}/{}", encode(self.owner()), encode(name));
        match self.line.value("env-version") {
            Some(version) => format!("{path}/{version}"),
            None => path,
        }
    }

    async fn add(&self, path: &str) -> Result<String, Failure> {
        let environment = description::read(path).await?;
        description::export(&environment, self.export)?;
        let mut body = self.exporting().await?;
        body.insert("environment".into(), environment.into());
        self.last(&mut body);
        self.server.send(Method::POST, "/environments/", body).await?;
        Ok(String::new())
    }

    /// A body that says where local files are, where there are some.
    async fn exporting(&self) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        if let Some(url) = self.export.url().await? {
            body.insert("client".into(), url.into());
        }
        Ok(body)
    }

    async fn delete(&self, name: &str) -> Result<String, Failure> {
        let mut body = Map::new();
        self.last(&mut body);
        self.server.send(Method::DELETE, &self.path(name), body).await?;
        Ok(String::new())
    }

    /// The environments that are asked for, in the server's order.
    async fn found(&self, name: Option<&str>) -> Result<Vec<Value>, Failure> {
        let line = self.line;
        let mut parameters = Vec::new();
        if !line.has("all-versions") {
            parameters.push(("last", "true"));
        }
        parameters.extend(line.value("env-user").map(|user| ("username", user)));
        parameters.extend(line.value("env-version").map(|version| ("version", version)));
        parameters.extend(name.map(|name| ("name", name)));
        match self.server.get(&query("/environments", &parameters)).await? {
            Value::Array(found) => Ok(found),
            _ => Err(Failure::usage("Invalid server response")),
        }
    }

    async fn list(&self, name: Option<&str>) -> Result<String, Failure> {
        let found = self.found(name).await?;
        if found.is_empty() {
            return Ok("No environment has been found".to_owned());
        }
        let row = |environment: &Value| {
            let text = |name: &str| match &environment[name] {
                // Servers leave an empty description out.
                Value::Null => String::new(),
                value => super::info::plain(value),
            };
            // A description may have lines.
            let description = text("description").replace(['\n', '\r'], " ");
            let description = table::cut(description.trim(), &WIDTHS);
            [text("name"), text("version"), text("user"), description]
        };
        let rows = found.iter().map(row);
        Ok(table::table(["Name", "Version", "User", "Description"], WIDTHS, rows))
    }

    async fn print(&self, name: &str) -> Result<String, Failure> {
        let mut found = self.found(Some(name)).await?;
        found.sort_by_key(|environment| environment["user"] != self.server.user());
        if found.is_empty() {
            return Ok("No environment has been found".to_owned());
        }
        Ok(found.iter().map(description::print).collect::<String>().trim_end().to_owned())
    }

    async fn change(&self, name: &str, field: &str, value: Value) -> Result<String, Failure> {
        let mut body = self.exporting().await?;
        body.insert(field.to_owned(), value);
        self.last(&mut body);
        self.server.send(Method::PUT, &self.path(name), body).await?;
        Ok(String::new())
    }

    /// The service looks at the files again: those of this machine must be there for it.
    async fn update(&self, name: &str, field: &str) -> Result<String, Failure> {
        let line = self.line;
        let (user, version) = (line.value("env-user"), line.value("env-version"));
        let found = choices::find(self.server, name, user, version).await?;
        if let Some(environment) = found.as_object() {
            description::export(environment, self.export)?;
        }
        self.change(name, field, true.into()).await
    }

    async fn move_files(&self) -> Result<String, Failure> {
        let mut body = self.exporting().await?;
        let moves = moves(self.line.value("files-to-move").unwrap_or_default())?;
        body.insert("update_files".into(), moves.into());
        self.last(&mut body);
        let moved = self.server.send(Method::PUT, "/environments/", body).await?;
        let line = |one: &Value| {
            format!("{} v{}", super::info::plain(&one["name"]), super::info::plain(&one["version"]))
        };
        let lines = moved.as_array().into_iter().flatten().map(line);
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }
}

/// `src::dest,src::dest`.
fn moves(text: &str) -> Result<Map<String, Value>, Failure> {
    let pairs = text.split(',').map(|pair| match pair.split_once("::") {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => {
            Ok((from.trim().to_owned(), json!(to.trim())))
        }
        _ => Err(Failure::usage(format!("'{pair}' is not src::dest"))),
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_pairs() {
        let read = moves("server:///a::server:///b,http://x/::http://y/").unwrap();
        assert_eq!(
            Value::Object(read),
            json!({"server:///a": "server:///b", "http://x/": "http://y/"})
        );
        assert!(moves("a").is_err() && moves("a::").is_err());
    }
}
