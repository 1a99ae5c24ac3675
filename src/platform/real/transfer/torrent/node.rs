//! What is done on one node of a swarm.

use super::{OPTIONS, PROGRAM};
use crate::platform::{
    Command, Errand, Input, Output, Receiver, Shell, TransferError, errand::quote,
};
use std::time::Duration;
use tokio::time::Instant;

/// Exit status of [`START`] where the engine is missing.
const MISSING: i32 = 94;

/// Bytes that each of these commands may print.
const OUTPUT: usize = 16 << 10;

/// Ends the engine, one that a service which is gone has left there as well.
const KILL: &str = r#"
if read -r pid < "$torrent.pid"; then
  case $(tr '\0' ' ' < "/proc/$pid/cmdline") in *"$torrent"*) kill "$pid" ;; esac
fi 2>/dev/null
"#;

/// Takes a torrent on standard input and starts the engine, which goes on. After [`KILL`].
const START: &str = r#"
command -v "$program" >/dev/null || exit 94
mkdir -p "$folder" && rm -f "$file" "$file.aria2" && cat > "$torrent" || exit 1
nohup "$program" "$@" --dir="$folder" --index-out=1="${file##*/}" "$torrent" </dev/null >"$torrent.log" 2>&1 9>&- &
echo $! > "$torrent.pid"
"#;

/// Prints the end of what the engine said.
const SAID: &str = r#"
tail -c 600 "$torrent.log" 2>/dev/null
df -k "$folder" | tail -n 1
"#;

/// Forgets its files. After [`KILL`].
const END: &str = r#"
rm -f "$file" "$file.aria2" "$torrent" "$torrent.pid" "$torrent.log"
"#;

/// One node.
pub(super) struct Peer<'a> {
    shell: &'a dyn Shell,
    receiver: &'a Receiver,
    folder: String,
    file: String,
    torrent: String,
}

impl<'a> Peer<'a> {
    pub(super) fn new(
        shell: &'a dyn Shell,
        receiver: &'a Receiver,
        directory: &str,
        name: &str,
        hash: [u8; 20],
    ) -> Self {
        let folder = directory.trim_end_matches('/').to_owned();
        let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        // Where the image is stored for good, its errand says so.
        let file = match receiver.errand.bare() {
            Errand::Store { path } => path.clone(),
            _ => format!("{folder}/_KATMP_{name}"),
        };
        let torrent = format!("{folder}/_KATMP_{hash}.torrent");
        Self { shell, receiver, folder, file, torrent }
    }

    /// Starts the engine with a torrent of its own.
    pub(super) async fn start(
        &self,
        torrent: Vec<u8>,
        until: Instant,
    ) -> Result<(), TransferError> {
        let output =
            self.run(&format!("{KILL}{START}"), Input::Bytes(torrent.into()), left(until)).await?;
        match output.status {
            0 => Ok(()),
            MISSING => Err(TransferError::Start(format!(
                "{PROGRAM} is not on {}: put it into the deployment system (`ramdisk/build \
                 --add-package aria2` for ours), or take another instance of BroadcastEnv",
                self.receiver.node.name
            ))),
            status => Err(self.failed(status, &output)),
        }
    }

    /// Brings the file to where it belongs.
    pub(super) async fn unpack(&self, until: Instant) -> Result<(), TransferError> {
        let from_file = |errand: &Errand| Errand::FromFile {
            path: self.file.clone(),
            errand: errand.clone().into(),
        };
        let errand = match &self.receiver.errand {
            // It is there.
            Errand::Store { .. } => return Ok(()),
            Errand::Ticketed { ticket, errand } => {
                Errand::Ticketed { ticket: ticket.clone(), errand: from_file(errand).into() }
            }
            other => from_file(other),
        };
        let (input, deadline) = (Input::Empty, left(until));
        let command = Command { errand: errand.into(), input, deadline, output_limit: OUTPUT };
        let output = self.shell.run(&self.receiver.node, &command).await;
        let output = output.map_err(|error| TransferError::Stream(error.to_string()))?;
        if output.status == 0 {
            return Ok(());
        }
        let (command, status) = (self.receiver.errand.bare().text(), output.status);
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(TransferError::Command { command, status, stderr })
    }

    /// Why the engine is gone, as far as it said so.
    pub(super) async fn complaint(&self, until: Instant) -> TransferError {
        let limit = left(until).min(super::END_LIMIT);
        let said = match self.run(SAID, Input::Empty, limit).await {
            Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        TransferError::Stream(format!("{PROGRAM} ended before it had the image: {said}"))
    }

    /// Ends the engine; a node that cannot be reached is left alone.
    pub(super) async fn end(&self, limit: Duration) {
        let keep = matches!(self.receiver.errand, Errand::Store { .. });
        let end = if keep { END.replace("\"$file\" ", "") } else { END.to_owned() };
        if let Err(error) = self.run(&format!("{KILL}{end}"), Input::Empty, limit).await {
            tracing::debug!(node = self.receiver.node.name, %error, "its torrent goes on");
        }
    }

    async fn run(
        &self,
        script: &str,
        input: Input,
        deadline: Duration,
    ) -> Result<Output, TransferError> {
        let [folder, file, torrent] = [&self.folder, &self.file, &self.torrent].map(|w| quote(w));
        let text = format!(
            "program={PROGRAM} folder={folder} file={file} torrent={torrent}\nset -- {}{script}",
            OPTIONS.join(" ")
        );
        let command =
            Command { errand: Errand::from(text).into(), input, deadline, output_limit: OUTPUT };
        let output = self.shell.run(&self.receiver.node, &command).await;
        output.map_err(|error| TransferError::Start(error.to_string()))
    }

    fn failed(&self, status: i32, output: &Output) -> TransferError {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        TransferError::Command { command: format!("{PROGRAM} {}", self.torrent), status, stderr }
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}
