//! A lab comes and goes.

use super::{
    LabError, Place, Plan, Reporter,
    error::Context,
    keeper::{self, READY},
    network,
    place::write_private,
    process::{self, Process, not_started, run},
    qemu::{NodeFiles, OVMF_CODE, OVMF_VARS},
    services::python,
};
use std::{fs::File, path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// All BMCs of a large lab on a busy machine start within this time.
const KEEPER_LIMIT: Duration = Duration::from_secs(180);
/// `qemu-img` and `ssh-keygen` take well under a second.
const TOOL_LIMIT: Duration = Duration::from_secs(30);
/// Rounds of ending what is in the namespace: a process may start another while it is ended.
const END_ROUNDS: u32 = 5;

/// Makes the lab of `plan` in `place`: nodes with empty disks, without power, their BMCs
/// listening. What is left of an earlier lab of that name is taken down first.
pub async fn up(place: &Place, plan: &Plan, say: Reporter<'_>) -> Result<(), LabError> {
    require_root()?;
    check_installed(plan)?;
    down(place, say).await?;
    let made = build(place, plan, say).await;
    if made.is_err() {
        // The first error is the one to tell.
        let _ = down(place, say).await;
    }
    made
}

async fn build(place: &Place, plan: &Plan, say: Reporter<'_>) -> Result<(), LabError> {
    place.make()?;
    let text = serde_json::to_string_pretty(plan).unwrap_or_default();
    write_private(&place.at("lab.json"), &text)?;
    write_private(&place.bmc_password(), &random_password())?;
    let key = place.user_key();
    let key = key.to_string_lossy();
    let comment = format!("user@{}", place.name());
    run(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-C", &comment, "-f", &key],
        "",
        TOOL_LIMIT,
    )
    .await?;
    say(&format!("making {} disks of {}", plan.guests.len(), plan.disk));
    for guest in &plan.guests {
        let dir = place.node(&guest.name());
        std::fs::create_dir_all(&dir).context(|| format!("making {}", dir.display()))?;
        let disk = NodeFiles(dir).disk();
        let disk = disk.to_string_lossy();
        run("qemu-img", &["create", "-q", "-f", "qcow2", &disk, &plan.disk], "", TOOL_LIMIT)
            .await?;
    }
    network::make(place, plan).await?;
    start_keeper(place, say).await
}

/// Sixteen letters and digits, 64 random bits; IPMI 1.5 takes no longer password.
fn random_password() -> String {
    uuid::Uuid::new_v4().simple().to_string().split_off(16)
}

async fn start_keeper(place: &Place, say: Reporter<'_>) -> Result<(), LabError> {
    let log = place.at("keeper.log");
    let stderr = File::create(&log).context(|| format!("writing {}", log.display()))?;
    let mut child = Command::new("ip")
        .args(["netns", "exec", place.name()])
        .arg(place.program())
        .args(["lab", "--name", place.name(), "--state-dir"])
        .arg(place.dir())
        .arg("keep")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .map_err(|e| not_started("ip", e))?;
    // `ip` becomes the keeper: same process.
    if let Some(process) = child.id().and_then(|pid| Process::find(i32::try_from(pid).ok()?)) {
        keeper::record(place, process)?;
    }
    timeout(KEEPER_LIMIT, until_ready(&mut child, &log, say))
        .await
        .map_err(|_| LabError::Deadline { what: "the lab's start".into(), limit: KEEPER_LIMIT })?
}

async fn until_ready(child: &mut Child, log: &Path, say: Reporter<'_>) -> Result<(), LabError> {
    let Some(stdout) = child.stdout.take() else { return Ok(()) };
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.context(|| "listening to the keeper".into())? {
        match line.as_str() {
            READY => return Ok(()),
            progress => say(progress),
        }
    }
    let said = std::fs::read_to_string(log).unwrap_or_default();
    Err(LabError::Keeper(format!("the lab's keeper did not start: {}", said.trim())))
}

/// Takes the lab down: its processes, its namespace, its files. Whatever is missing already is
/// no error, and nothing else is touched.
pub async fn down(place: &Place, say: Reporter<'_>) -> Result<(), LabError> {
    require_root()?;
    if let Some(keeper) = keeper::recorded(place).filter(|process| process.is_alive()) {
        say("ending the nodes and their BMCs");
        keeper.end().await?;
    }
    if network::exists(place).await? {
        end_inside(place).await?;
        network::remove(place).await?;
    }
    place.clear()
}

/// Ends all that still runs in the namespace, which exists for the lab alone.
async fn end_inside(place: &Place) -> Result<(), LabError> {
    for _ in 0..END_ROUNDS {
        let inside: Vec<Process> =
            network::pids(place).await?.into_iter().filter_map(Process::find).collect();
        if inside.is_empty() {
            return Ok(());
        }
        for process in inside {
            process.end().await?;
        }
    }
    Err(LabError::Keeper(format!("processes keep starting in the namespace {}", place.name())))
}

fn require_root() -> Result<(), LabError> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(LabError::NotRoot) }
}

/// Are the programs and files there that this lab needs?
fn check_installed(plan: &Plan) -> Result<(), LabError> {
    process::require(&[
        "ip",
        "sysctl",
        "ssh-keygen",
        "qemu-img",
        "qemu-system-x86_64",
        "dnsmasq",
        "ipmi_sim",
    ])?;
    let mut files = vec![("/usr/lib/ipxe/qemu/pxe-virtio.rom".into(), "package ipxe-qemu")];
    if plan.has_uefi() {
        files.extend([OVMF_CODE, OVMF_VARS].map(|path| (path.into(), "package ovmf")));
    }
    if plan.guests.iter().any(|guest| guest.bmc == super::BmcKind::Redfish && !guest.dead_bmc) {
        files.push((python(), "a virtual environment with sushy-tools and bcrypt"));
    }
    match files.into_iter().find(|(path, _)| !path.exists()) {
        Some((path, origin)) => Err(LabError::MissingFile { path, origin }),
        None => Ok(()),
    }
}
