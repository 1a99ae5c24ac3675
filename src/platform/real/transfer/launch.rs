//! A relay on a node: found or sent, then started.

use crate::{
    nodes::Node,
    platform::{Command, Errand, Input, Output, Shell, errand::quote},
};
use relay::{message::Ticket, start};
use sha2::{Digest, Sha256};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Exit status of [`START`] where there is no relay to start.
const MISSING: i32 = 93;

/// Most that these commands have to say.
const OUTPUT: usize = 16 * 1024;

/// Runs the installed relay if it is of this version, else one that was sent before
/// and is still what was sent. To start it reads the ticket.
const START: &str = r#"
if [ "$(kadence-relay --version 2>/dev/null </dev/null)" = "$version" ]; then
    exec kadence-relay "$verb" "$run" "$node"
fi
for folder do
    home=$folder/kadence
    relay=$home/relay-$digest
    [ -O "$home" ] && [ ! -h "$home" ] && [ -x "$relay" ] || continue
    if [ "$("$relay" --digest 2>/dev/null </dev/null)" = "$digest" ]; then
        exec "$relay" "$verb" "$run" "$node"
    fi
done
exit 93
"#;

/// Takes the relay from standard input into the first folder that is ours alone and from
/// which programs run.
const INSTALL: &str = r#"
umask 077
for folder do
    home=$folder/kadence
    new=$home/new.$$
    mkdir "$home" 2>/dev/null
    [ -d "$home" ] && [ ! -h "$home" ] && [ -O "$home" ] || continue
    { printf '#!/bin/sh\nexit 0\n' > "$new" && chmod 700 "$new"; } 2>/dev/null || continue
    if ! "$new" 2>/dev/null; then
        rm -f "$new"
        continue
    fi
    rm -f "$new"
    if cat > "$new" && chmod 700 "$new"; then
        got=$("$new" --digest 2>&1 </dev/null)
        if [ "$got" = "$digest" ]; then
            exec mv -f "$new" "$home/relay-$digest"
        fi
        echo "what arrived is not the relay: digest $got instead of $digest" >&2
    fi
    rm -f "$new"
    exit 1
done
echo "no folder to run a relay from: $*" >&2
exit 1
"#;

/// The relay that can be sent, or why none can.
pub(super) struct Program {
    path: PathBuf,
    digest: Result<String, String>,
}

impl Program {
    /// Reads the file at `path` for its digest.
    pub(super) async fn load(path: &Path) -> Self {
        let file = path.to_owned();
        let read = move || fs::read(file).map(|bytes| format!("{:x}", Sha256::digest(bytes)));
        let digest = tokio::task::spawn_blocking(read)
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|error| format!("cannot read {}: {error}", path.display()));
        Self { path: path.to_owned(), digest }
    }
}

/// Starts relays over a shell.
pub(super) struct Launcher<'a> {
    pub(super) shell: &'a dyn Shell,
    pub(super) program: &'a Program,
    pub(super) folders: &'a [String],
    /// Each command ends within this time.
    pub(super) deadline: Duration,
    /// The name of the broadcast.
    pub(super) run: &'a str,
}

impl Launcher<'_> {
    /// Starts the relay of `node` with `ticket`; returns when it has joined.
    pub(super) async fn launch(&self, node: &Node, ticket: Ticket) -> Result<(), String> {
        let ticket = serde_json::to_vec(&ticket).map_err(|error| error.to_string())?;
        // On standard input: a command line can be read by every user of the node.
        let ticket = Input::Bytes(ticket.into());
        let started = self.run(node, (START, "start"), ticket.clone()).await?;
        if started.status != MISSING {
            return succeeded(&started);
        }
        if let Err(why) = &self.program.digest {
            return Err(format!("there is no relay on {} and none to send: {why}", node.name));
        }
        tracing::debug!(node = node.name, "sending the relay");
        let input = Input::File(self.program.path.clone());
        succeeded(&self.run(node, (INSTALL, "none"), input).await?)?;
        let started = self.run(node, (START, "start"), ticket).await?;
        match started.status {
            MISSING => Err(format!("the relay that was sent to {} is gone", node.name)),
            _ => succeeded(&started),
        }
    }

    /// Is there a relay of this broadcast on `node` that can go on?
    pub(super) async fn holds(&self, node: &Node) -> bool {
        let asked = self.run(node, (START, "holds"), Input::Empty).await;
        asked.is_ok_and(|output| output.status == 0)
    }

    /// Runs a script with what it is to know: version, digest, what the relay is to do, and the
    /// folders.
    async fn run(
        &self,
        node: &Node,
        (script, verb): (&str, &str),
        input: Input,
    ) -> Result<Output, String> {
        let digest = self.program.digest.as_deref().unwrap_or("none");
        let folders: Vec<String> = self.folders.iter().map(|folder| quote(folder)).collect();
        let text = format!(
            "version={}\ndigest={digest}\nverb={verb}\nrun={}\nnode={}\nset -- {}{script}",
            quote(&start::version()),
            quote(self.run),
            quote(&node.name),
            folders.join(" "),
        );
        let (deadline, output_limit) = (self.deadline, OUTPUT);
        let command = Command { errand: Errand::from(text).into(), input, deadline, output_limit };
        self.shell.run(node, &command).await.map_err(|error| error.to_string())
    }
}

/// Status 0, or what the command said.
fn succeeded(output: &Output) -> Result<(), String> {
    if output.status == 0 {
        return Ok(());
    }
    let said = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    let said = said.iter().map(|said| said.trim()).collect::<Vec<_>>().join(" ");
    match said.trim() {
        "" => Err(format!("status {} without a word", output.status)),
        said => Err(said.to_owned()),
    }
}
