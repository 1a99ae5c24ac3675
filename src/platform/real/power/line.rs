//! The line to a BMC: nobody waits twice for one that is silent.

use crate::platform::{Level, PowerError};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long a BMC that was silent is not asked again with more force. Between two levels of
/// one escalation less time passes; a retry begins with a question, which asks anew.
const SILENCE: Duration = Duration::from_secs(15);

/// All lines, by BMC address (node name where there is none).
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<HashMap<String, Line>>);

#[derive(Debug, Default)]
struct Line {
    silence: Option<Silence>,
}

/// A BMC did not answer.
#[derive(Debug)]
struct Silence {
    at: Instant,
    level: Level,
    error: PowerError,
}

impl Lines {
    /// The error of a BMC that was silent a moment ago, when it was asked with less force
    /// than `level`: it does not hear that either.
    pub(super) fn silence(&self, address: &str, level: Level) -> Option<PowerError> {
        let lines = self.lines();
        let silence = lines.get(address)?.silence.as_ref()?;
        let fresh = silence.at.elapsed() < SILENCE && silence.level < level;
        fresh.then(|| silence.error.clone())
    }

    /// Takes note of how a BMC answered at `level`.
    pub(super) fn answered<T>(&self, address: &str, level: Level, how: &Result<T, PowerError>) {
        let silence = match how {
            Err(error @ PowerError::Silent { .. }) => {
                Some(Silence { at: Instant::now(), level, error: error.clone() })
            }
            _ => None,
        };
        self.lines().entry(address.to_owned()).or_default().silence = silence;
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<String, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
