//! Profiles that an administrator's program writes in place of us.

use super::Profile;
use crate::{
    nodes::Node,
    platform::{ProfileError, Variables, real::power::process, rounded},
};
use std::{path::Path, time::Duration};
use tokio::process::Command;

/// Bound of the program for one profile.
const SCRIPT_LIMIT: Duration = Duration::from_secs(60);

/// Lets the administrator's program write a profile.
pub(super) async fn hand_over(
    script: &Path,
    node: &Node,
    profile: &Profile,
    variables: &Variables,
) -> Result<(), ProfileError> {
    let failed = |why: String| {
        let why = format!("pxe/script for a {} profile {why}", profile.kind);
        ProfileError { node: node.name.clone(), why }
    };
    let mut command = Command::new(script);
    command.arg(profile.kind).arg(&node.name);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    match process::fed(command, profile.text.clone().into_bytes(), SCRIPT_LIMIT).await {
        Ok(Some(ended)) if ended.status == 0 => Ok(()),
        Ok(Some(ended)) => {
            Err(failed(format!("ended with status {}: {}", ended.status, ended.stderr)))
        }
        Ok(None) => Err(failed(format!("did not end within {}", rounded(SCRIPT_LIMIT)))),
        Err(error) => Err(failed(format!("did not start: {error}"))),
    }
}
