//! `kadeploy3`: an environment on nodes.

use super::{
    choices, description,
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
    Opt::value("env-file", "ENVFILE", "The description of an environment").short('a'),
    Opt::value("boot-partition", "NUMBER", "The partition to boot, 0 for the boot sector")
        .short('c'),
    Opt::value("reformat-tmp", "FSTYPE", "Make this file system on the tmp partition").short('r'),
    Opt::flag("no-kexec", "Boot through the firmware"),
    Opt::flag("disable-bootloader-install", "Leave the boot loader alone"),
    Opt::flag("disable-disk-partitioning", "Leave the partition table alone"),
    Opt::value("reboot-kexec-timeout", "VALUE", "Bound of a kexec, an expression with n"),
    Opt::value(
        "force-steps",
        "STRING",
        "Ways instead of the cluster's: SetDeploymentEnv|Way:retries:timeout&BroadcastEnv|...&BootNewEnv|...",
    ),
];

const WORKFLOW: Workflow =
    Workflow { title: "Deployment", method: || Method::POST, path: "/deployment/" };

/// What can be said without a server.
pub(super) fn check(line: &Line) -> Result<(), Failure> {
    workflow::check(line)?;
    choices::check(line)?;
    line.checked("boot-partition", |value| value.parse::<u32>().is_ok())?;
    line.value("force-steps").map(choices::forced).transpose()?;
    match (line.has("env-file"), line.has("env-name")) {
        (false, false) => Err(Failure::usage("You must choose an environment")),
        (true, true) => {
            Err(Failure::usage("An environment is either recorded (-e) or described (-a)"))
        }
        // -u and --env-version say nothing of a description, and do no harm.
        _ => Ok(()),
    }
}

/// Does what the command line says.
pub(super) async fn run(session: Session) -> Result<(), Failure> {
    let order = Order::new(WORKFLOW, session);
    order.run(|order, server| Box::pin(async move { fields(&order, &server).await })).await
}

async fn fields(order: &Arc<Order>, server: &Server) -> Result<Map<String, Value>, Failure> {
    let line = &order.session.line;
    let mut body = Map::new();
    body.insert("environment".into(), environment(order, server).await?.into());
    choices::disk(line, &mut body);
    if let Some(number) = line.value("boot-partition").and_then(|value| value.parse::<u32>().ok()) {
        body.insert("boot_partition".into(), number.into());
    }
    choices::text(line, "reformat-tmp", &mut body, "reformat_tmp_partition");
    choices::text(line, "reboot-classical-timeout", &mut body, "timeout_reboot_classical");
    choices::text(line, "reboot-kexec-timeout", &mut body, "timeout_reboot_kexec");
    for (option, field) in [
        ("no-kexec", "disable_kexec"),
        ("disable-bootloader-install", "disable_bootloader_install"),
        ("disable-disk-partitioning", "disable_disk_partitioning"),
    ] {
        if line.has(option) {
            body.insert(field.into(), true.into());
        }
    }
    if let Some(pxe) = choices::profile(order)? {
        body.insert("pxe".into(), pxe);
    }
    choices::text(line, "vlan", &mut body, "vlan");
    if let Some(steps) = line.value("force-steps") {
        body.insert("automata".into(), choices::forced(steps)?);
    }
    if let Some(key) = choices::key(order)? {
        body.insert("ssh_authorized_keys".into(), key.into());
    }
    Ok(body)
}

async fn environment(order: &Order, server: &Server) -> Result<Map<String, Value>, Failure> {
    let line = &order.session.line;
    let mut environment = Map::new();
    if let Some(path) = line.value("env-file") {
        let read = description::read(path).await?;
        description::export(&read, &order.export)?;
        environment.insert("kind".into(), "anonymous".into());
        environment.extend(read);
        return Ok(environment);
    }
    let name = line.value("env-name").unwrap_or_default();
    let found = choices::recorded(order, server, name).await?;
    environment.insert("kind".into(), "database".into());
    for field in ["user", "name", "version"] {
        environment.insert(field.into(), found[field].clone());
    }
    Ok(environment)
}
