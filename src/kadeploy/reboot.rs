//! `kareboot3`: nodes boot anew.

use super::{
    choices,
    failure::Failure,
    http::Server,
    options::{Line, Opt},
    session::Session,
    workflow::{self, Order, Workflow},
};
use reqwest::Method;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Options of its own.
pub(super) const OPTIONS: &[Opt] = &[
    Opt::value("reboot-kind", "KIND", "set_pxe, simple (default), deploy_env or recorded_env")
        .short('r'),
    Opt::value("op-level", "LEVEL", "How hard: soft, hard or very_hard").short('l'),
    Opt::flag("check-destructive-tag", "Refuse where the installed environment is destructive")
        .short('c'),
];

const WORKFLOW: Workflow =
    Workflow { title: "Reboot operation", method: || Method::POST, path: "/reboot/" };

const KINDS: [&str; 4] = ["set_pxe", "simple", "deploy_env", "recorded_env"];

/// How hard an operation may be.
pub(super) const LEVELS: [&str; 3] = ["soft", "hard", "very_hard"];

/// What can be said without a server.
pub(super) fn check(line: &Line) -> Result<(), Failure> {
    line.checked("reboot-kind", |kind| KINDS.contains(&kind))?;
    line.checked("op-level", |level| LEVELS.contains(&level))?;
    workflow::check(line)?;
    choices::check(line)?;
    let kind = kind(line);
    let recorded = ["env-name", "env-user", "env-version"];
    if kind == "set_pxe" && !line.has("set-pxe-profile") {
        return Err(Failure::usage("set_pxe needs a boot profile: use -w"));
    }
    if kind == "recorded_env" && !(line.has("env-name") && line.has("partition-number")) {
        return Err(Failure::usage(
            "recorded_env needs an environment and a partition: use -e and -p",
        ));
    }
    if kind != "deploy_env" && line.has("key") {
        return Err(Failure::usage("-k can only be used with deploy_env"));
    }
    if kind != "recorded_env" && recorded.iter().any(|option| line.has(option)) {
        return Err(Failure::usage("-e, -u and --env-version can only be used with recorded_env"));
    }
    Ok(())
}

fn kind(line: &Line) -> &str {
    line.value("reboot-kind").unwrap_or("simple")
}

/// Does what the command line says.
pub(super) async fn run(session: Session) -> Result<(), Failure> {
    let order = Order::new(WORKFLOW, session);
    order.run(|order, server| Box::pin(async move { fields(&order, &server).await })).await
}

async fn fields(order: &Arc<Order>, server: &Server) -> Result<Map<String, Value>, Failure> {
    let line = &order.session.line;
    let mut body = Map::new();
    body.insert("kind".into(), kind(line).into());
    choices::text(line, "op-level", &mut body, "level");
    if line.has("check-destructive-tag") {
        body.insert("check_destructive".into(), true.into());
    }
    if let Some(name) = line.value("env-name") {
        let found = choices::recorded(order, server, name).await?;
        let fields = ["user", "name", "version"];
        let environment = fields.iter().map(|field| ((*field).to_owned(), found[*field].clone()));
        body.insert("environment".into(), Value::Object(environment.collect()));
    }
    choices::disk(line, &mut body);
    choices::text(line, "reboot-classical-timeout", &mut body, "timeout_reboot_classical");
    if let Some(pxe) = choices::profile(order)? {
        body.insert("pxe".into(), pxe);
    }
    choices::text(line, "vlan", &mut body, "vlan");
    if let Some(key) = choices::key(order)? {
        body.insert("ssh_authorized_keys".into(), key.into());
    }
    Ok(body)
}
