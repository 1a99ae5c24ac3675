//! Whether hardware virtualisation works.
//!
//! A writable /dev/kvm proves nothing: some hosts offer it and then no stock
//! kernel gets past its first lines. So a kernel is booted under KVM without a
//! root file system; if it panics for want of one in time, KVM works. The
//! verdict is kept, with what it was found for: kernel, processor and QEMU.

use super::{Accel, LabError, place::cache_dir, process};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

/// A kernel under working KVM panics within two seconds.
const PROBE_LIMIT: Duration = Duration::from_secs(15);
/// `qemu-system-x86_64 --version` answers at once, on a busy machine after a few seconds.
const VERSION_LIMIT: Duration = Duration::from_secs(20);

#[derive(Serialize, Deserialize)]
struct Verdict {
    key: String,
    accel: Accel,
}

/// How QEMU should run here. `say` is told when the probe, which takes a while, begins.
pub async fn probe(say: super::Reporter<'_>) -> Result<Accel, LabError> {
    let writable =
        rustix::fs::access("/dev/kvm", rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK);
    if writable.is_err() {
        return Ok(Accel::Tcg);
    }
    let Some(kernel) = some_kernel() else {
        say("no kernel to test hardware virtualisation with: using emulation");
        return Ok(Accel::Tcg);
    };
    let version = process::run("qemu-system-x86_64", &["--version"], "", VERSION_LIMIT).await?;
    let key = key(&version);
    let path = cache_dir().join("accel.json");
    if let Some(known) = read(&path).filter(|verdict| verdict.key == key) {
        return Ok(known.accel);
    }
    say("testing hardware virtualisation (up to 15 s, once)");
    let accel = if boots(&kernel).await? { Accel::Kvm } else { Accel::Tcg };
    // Without the cache the test is made again next time.
    let _ = std::fs::create_dir_all(cache_dir());
    let text = serde_json::to_vec(&Verdict { key, accel }).unwrap_or_default();
    if let Err(error) = std::fs::write(&path, text) {
        tracing::warn!(path = %path.display(), %error, "the verdict on hardware virtualisation is not kept");
    }
    Ok(accel)
}

fn read(path: &Path) -> Option<Verdict> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// What the verdict holds for.
fn key(qemu: &str) -> String {
    let kernel = std::fs::read_to_string("/proc/version").unwrap_or_default();
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpus.lines().find(|line| line.starts_with("model name")).unwrap_or_default();
    format!("{} | {} | {}", kernel.trim(), cpu, qemu.lines().next().unwrap_or_default())
}

/// The deployment kernel, else one of the host's.
fn some_kernel() -> Option<PathBuf> {
    let deploy = cache_dir().join("deploy/vmlinuz");
    if deploy.is_file() {
        return Some(deploy);
    }
    let boot = std::fs::read_dir("/boot").ok()?;
    let is_kernel = |path: &PathBuf| {
        path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz"))
    };
    boot.flatten().map(|entry| entry.path()).find(is_kernel)
}

/// Does `kernel` get as far as missing its root file system under KVM?
async fn boots(kernel: &Path) -> Result<bool, LabError> {
    let mut child = Command::new("qemu-system-x86_64")
        .args(["-accel", "kvm", "-cpu", "host", "-m", "512", "-nodefaults", "-display", "none"])
        .args(["-no-reboot", "-serial", "stdio", "-append", "console=ttyS0 panic=-1", "-kernel"])
        .arg(kernel)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| process::not_started("qemu-system-x86_64", e))?;
    let Some(stdout) = child.stdout.take() else { return Ok(false) };
    let panics = async {
        let mut lines = BufReader::new(stdout).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            if String::from_utf8_lossy(&line).contains("Kernel panic") {
                return true;
            }
        }
        false
    };
    Ok(timeout(PROBE_LIMIT, panics).await.unwrap_or(false))
}
