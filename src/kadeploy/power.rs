//! `kapower3`: nodes are switched on and off, or asked whether they are on.

use super::{
    failure::Failure,
    options::{Line, Opt},
    reboot::LEVELS,
    session::Session,
    workflow::{self, Order, Workflow},
};
use reqwest::Method;
use serde_json::Map;

/// Options of its own.
pub(super) const OPTIONS: &[Opt] = &[
    Opt::flag("on", "Switch the nodes on"),
    Opt::flag("off", "Switch the nodes off"),
    Opt::flag("status", "Ask whether the nodes are on"),
    Opt::value("op-level", "LEVEL", "How hard: soft, hard or very_hard").short('l'),
];

/// What can be said without a server.
pub(super) fn check(line: &Line) -> Result<(), Failure> {
    line.checked("op-level", |level| LEVELS.contains(&level))?;
    workflow::check(line)?;
    let wanted = ["on", "off", "status"].into_iter().filter(|name| line.has(name)).count();
    if wanted != 1 {
        return Err(Failure::usage("You must choose one of --on, --off and --status"));
    }
    if line.has("status") && line.has("op-level") {
        return Err(Failure::usage("-l cannot be used with --status"));
    }
    Ok(())
}

/// Does what the command line says.
pub(super) async fn run(session: Session) -> Result<(), Failure> {
    let status = session.line.has("status");
    let workflow = Workflow {
        title: "Power operation",
        method: if status { || Method::GET } else { || Method::PUT },
        path: "/power/",
    };
    let mut order = Order::new(workflow, session);
    order.power_status = status;
    order
        .run(|order, _| {
            Box::pin(async move {
                let line = &order.session.line;
                let mut body = Map::new();
                body.insert("status".into(), if line.has("on") { "on" } else { "off" }.into());
                super::choices::text(line, "op-level", &mut body, "level");
                Ok(body)
            })
        })
        .await
}
