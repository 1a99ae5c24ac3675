//! Which boot of a node answers.
//!
//! Linux makes a new random id at each boot (`/proc/sys/kernel/random/boot_id`,
//! random(4)): another id is proof that the node has rebooted.

use crate::{
    nodes::Node,
    platform::{Command, Errand, Input, Shell, ShellError},
};
use std::{fmt, time::Duration};
use uuid::Uuid;

/// Most bytes read: the id has 37 with its line end; a banner is an error, not an id.
const OUTPUT_LIMIT: usize = 4096;

/// One boot of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct BootId(Uuid);

impl BootId {
    /// The id with these halves, not both 0: of a boot that is simulated.
    pub(in crate::platform) fn from_pair(high: u64, low: u64) -> Self {
        Self(Uuid::from_u64_pair(high, low))
    }

    /// Parses what the kernel writes and nothing else: 36 characters, lower case,
    /// hyphens, at most one line end.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let id = Uuid::try_parse(text).ok()?;
        (id.hyphenated().to_string() == text && !id.is_nil()).then_some(Self(id))
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// Why a boot id could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootIdError {
    /// The node could not be asked.
    #[error(transparent)]
    Shell(#[from] ShellError),
    /// It answered something else.
    #[error("{node} did not tell its boot id: status {status}, output {output:?}")]
    Answer {
        /// Which node.
        node: String,
        /// Exit status of the command.
        status: i32,
        /// The beginning of its output.
        output: String,
    },
}

impl BootIdError {
    /// Whether the one who answered is not the system that told its boot id before: that one let
    /// us in.
    pub fn is_of_another_system(&self) -> bool {
        matches!(
            self,
            Self::Shell(
                ShellError::Key { .. }
                    | ShellError::HostKey { .. }
                    | ShellError::UnknownHost { .. }
            )
        )
    }

    /// Whether nobody answered in time or to the end: the system that told its boot id before may
    /// only be slow, or on its way down.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Shell(ShellError::Deadline { .. } | ShellError::Unreachable { .. }))
    }
}

/// Asks `node` which boot it is in, within `deadline`.
pub async fn boot_id(
    shell: &dyn Shell,
    node: &Node,
    deadline: Duration,
) -> Result<BootId, BootIdError> {
    let command = Command {
        errand: Errand::BootId.into(),
        input: Input::Empty,
        deadline,
        output_limit: OUTPUT_LIMIT,
    };
    let output = shell.run(node, &command).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let id = if output.status == 0 { BootId::parse(&text) } else { None };
    id.ok_or_else(|| BootIdError::Answer {
        node: node.name.clone(),
        status: output.status,
        output: text.chars().take(80).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_system_is_not_taken_for_another_one() {
        let node = "n1".to_owned();
        let slow = ShellError::Deadline { node: node.clone(), after: Duration::from_secs(5) };
        let (address, why) = ("192.0.2.1".to_owned(), "connection reset".to_owned());
        let dying = ShellError::Unreachable { node: node.clone(), address, why };
        let other = ShellError::Key { node: node.clone(), key: "id".to_owned() };
        let strange = BootIdError::Answer { node, status: 1, output: String::new() };
        let said = [slow.into(), dying.into(), other.into(), strange]
            .map(|error: BootIdError| (error.is_silence(), error.is_of_another_system()));
        assert_eq!(said, [(true, false), (true, false), (false, true), (false, false)]);
    }
    use crate::platform::real::ssh::sshd::{Sshd, node};
    use proptest::prelude::*;

    #[test]
    fn only_the_kernels_form_is_an_id() {
        let id = "5f0c4e0e-62a3-4b43-9d14-8a6a1b2c3d4e";
        assert_eq!(BootId::parse(&format!("{id}\n")).expect("an id").to_string(), id);
        for wrong in [
            "",
            "\n",
            "5F0C4E0E-62A3-4B43-9D14-8A6A1B2C3D4E",
            "5f0c4e0e62a34b439d148a6a1b2c3d4e",
            "{5f0c4e0e-62a3-4b43-9d14-8a6a1b2c3d4e}",
            "Welcome!\n5f0c4e0e-62a3-4b43-9d14-8a6a1b2c3d4e\n",
            "5f0c4e0e-62a3-4b43-9d14-8a6a1b2c3d4e\n\n",
            " 5f0c4e0e-62a3-4b43-9d14-8a6a1b2c3d4e",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert_eq!(BootId::parse(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_parsed_is_what_was_written(text in "\\PC{0,40}|[0-9a-f-]{36}\n?") {
            if let Some(id) = BootId::parse(&text) {
                prop_assert_eq!(id.to_string(), text.trim_end_matches('\n'));
            }
        }
    }

    #[tokio::test]
    async fn the_kernel_of_a_node_tells_its_id() {
        let sshd = Sshd::start().await;
        let got =
            boot_id(&sshd.shell(), &node("n1", [127, 0, 7, 1]), Duration::from_secs(60)).await;
        let own = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux");
        assert_eq!(got.expect("an id").to_string(), own.trim_end());
    }
}
