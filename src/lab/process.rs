//! Programs the lab runs, and ending exactly those.
//!
//! A process is known by its pid *and* its start time (proc(5), field 22), so
//! that a recorded pid that was given to another process is never signalled;
//! the signal goes through a pidfd, which cannot change its target in between.

use super::{LabError, error::Context};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};
use std::{os::fd::OwnedFd, process::Stdio, time::Duration};
use tokio::{process::Command, time::timeout};

/// How long a process has to end itself before it is killed: QEMU and the BMCs need well under a second.
const GRACE: Duration = Duration::from_secs(5);
/// How much of a program's complaint is kept, in characters.
const STDERR_KEPT: usize = 600;

/// The Debian package of each program the lab runs.
const PACKAGES: [(&str, &str); 9] = [
    ("ip", "iproute2"),
    ("sysctl", "procps"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("qemu-img", "qemu-utils"),
    ("dnsmasq", "dnsmasq-base"),
    ("ipmi_sim", "openipmi"),
    ("ipmitool", "ipmitool"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
];

/// The error for a program that could not be started.
pub(super) fn not_started(program: &str, source: std::io::Error) -> LabError {
    if source.kind() == std::io::ErrorKind::NotFound {
        let known = PACKAGES.iter().find(|(name, _)| *name == program);
        let package = known.map_or("unknown", |(_, package)| *package);
        return LabError::MissingProgram { program: program.into(), package };
    }
    LabError::Io { what: format!("starting `{program}`"), source }
}

/// Fails at the first of `programs` that is not in the path.
pub(super) fn require(programs: &[&str]) -> Result<(), LabError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    for program in programs {
        if !std::env::split_paths(&path).any(|dir| dir.join(program).is_file()) {
            return Err(not_started(program, std::io::ErrorKind::NotFound.into()));
        }
    }
    Ok(())
}

/// Runs `program` to its end within `limit`, `input` on its standard input.
/// Returns its standard output; an exit code other than 0 is an error.
pub(super) async fn run(
    program: &str,
    args: &[&str],
    input: &str,
    limit: Duration,
) -> Result<String, LabError> {
    let mut command = std::process::Command::new(program);
    command.args(args);
    output(command, input, limit).await
}

/// [`run`] for a command that is made already.
pub(super) async fn output(
    command: std::process::Command,
    input: &str,
    limit: Duration,
) -> Result<String, LabError> {
    use tokio::io::AsyncWriteExt;
    let program = command.get_program().to_string_lossy().into_owned();
    let text =
        command.get_args().fold(program.clone(), |text, arg| text + " " + &arg.to_string_lossy());
    let mut child = Command::from(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| not_started(&program, e))?;
    let work = async {
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends without reading is judged by its exit code.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = timeout(limit, work)
        .await
        .map_err(|_| LabError::Deadline { what: format!("`{text}`"), limit })?
        .context(|| format!("running `{text}`"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stderr = stderr.trim().chars().take(STDERR_KEPT).collect();
    Err(LabError::Command { command: text, status: output.status, stderr })
}

/// A process, told apart from a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    /// Its pid.
    pub(super) pid: i32,
    /// When it started, in clock ticks since the machine did.
    pub(super) start: u64,
}

impl Process {
    /// The running process `pid`; `None` where there is none.
    pub(super) fn find(pid: i32) -> Option<Self> {
        let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything; the state is field 3, the start time field 22.
        let fields: Vec<&str> = line.get(line.rfind(')')? + 1..)?.split_whitespace().collect();
        let (state, start) = (fields.first()?, fields.get(19)?.parse().ok()?);
        (*state != "Z").then_some(Self { pid, start })
    }

    /// Does it still run?
    pub(super) fn is_alive(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// Ends it: asks, waits [`GRACE`], kills. Nothing happens to a process that is gone.
    pub(super) async fn end(self) -> Result<(), LabError> {
        for signal in [Signal::TERM, Signal::KILL] {
            let Some(fd) = Pid::from_raw(self.pid)
                .and_then(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK).ok())
                .filter(|_| self.is_alive())
            else {
                return Ok(());
            };
            // It may end between the two calls, which is what was wanted.
            let _ = pidfd_send_signal(&fd, signal);
            if ended(fd).await.context(|| format!("watching process {}", self.pid))? {
                return Ok(());
            }
        }
        Err(LabError::Deadline { what: format!("killing process {}", self.pid), limit: GRACE })
    }
}

/// Waits [`GRACE`] for the process of a pidfd to end, which makes it readable.
async fn ended(pidfd: OwnedFd) -> std::io::Result<bool> {
    let wait = move || {
        let grace = Timespec { tv_sec: GRACE.as_secs().cast_signed(), tv_nsec: 0 };
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&grace))
    };
    Ok(tokio::task::spawn_blocking(wait).await?? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_process_that_was_meant_ends() {
        let mut child = Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
        let pid = i32::try_from(child.id().unwrap()).unwrap();
        let process = Process::find(pid).unwrap();
        Process { start: process.start + 1, ..process }.end().await.unwrap();
        assert!(process.is_alive(), "another process of that pid was meant");
        process.end().await.unwrap();
        assert!(!child.wait().await.unwrap().success());
        assert!(!process.is_alive());
    }

    #[tokio::test]
    async fn a_program_has_a_deadline_and_its_complaint_is_told() {
        let limit = Duration::from_millis(50);
        let late = run("sleep", &["600"], "", limit).await.unwrap_err();
        assert!(matches!(late, LabError::Deadline { .. }));
        let limit = Duration::from_secs(60);
        assert_eq!(run("cat", &[], "text", limit).await.unwrap(), "text");
        let bad = run("cat", &["/nowhere"], "", limit).await.unwrap_err().to_string();
        assert!(bad.contains("/nowhere: No such file"), "{bad}");
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let text = not_started("ipmi_sim", std::io::ErrorKind::NotFound.into()).to_string();
        assert!(text.contains("openipmi") && text.contains("scripts/setup"), "{text}");
        assert!(require(&["sh", "no-such-program"]).is_err());
    }
}
