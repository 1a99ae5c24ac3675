//! One member, as the server sees it.

use super::{Failure, door::Line, probe::Probe};
use crate::message::{Done, Message, Pace, Progress};
use std::time::Duration;
use tokio::time::Instant;

/// Speeds are those of so long a time.
const WINDOW: Duration = Duration::from_secs(1);

/// How long the speeds of a new stream are not judged, in windows.
const SETTLING: u64 = 1;

/// The way to a member's relay.
#[derive(Default)]
pub(super) enum Link {
    /// Launched, or about to be.
    #[default]
    Awaited,
    /// It is there.
    Up(Line),
    /// Its connection broke; it may come back.
    Away { until: Instant, why: String },
    /// It is not there, and will not be.
    Down,
}

/// A member.
#[derive(Default)]
pub(super) struct Seat {
    pub(super) link: Link,
    /// The first that was known of it.
    pub(super) result: Option<Result<(), Failure>>,
    /// It goes on with what a server before began.
    pub(super) resumed: bool,
    /// Its command is done, which cannot be judged before the file is known.
    pub(super) done: Option<Done>,
    /// Bytes the command has taken, as far as is known.
    pub(super) taken: u64,
    pub(super) pace: Speeds,
    /// Who it gets blocks from; none for the server.
    pub(super) parent: Option<usize>,
    /// Nobody is sent here for blocks any more.
    pub(super) shunned: bool,
    /// Its command does not hold it back any more.
    pub(super) loose: bool,
    /// It is being compared with the one behind it.
    pub(super) probe: Option<Probe>,
    /// Not again before.
    pub(super) probe_after: Option<Instant>,
    /// Losses of the server's own stream at the same block: which, and how many.
    pub(super) losses: (u64, u32),
}

impl Seat {
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self.link, Link::Awaited)
    }

    /// Its connection.
    pub(super) fn line(&self) -> Option<&Line> {
        match &self.link {
            Link::Up(line) => Some(line),
            _ => None,
        }
    }

    /// Until when it may come back.
    pub(super) fn away_until(&self) -> Option<Instant> {
        match self.link {
            Link::Away { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Tells it to do something; false if it takes no orders.
    pub(super) fn order(&self, message: Message) -> bool {
        self.line().is_some_and(|line| line.orders.try_send(message).is_ok())
    }
}

/// How fast a member is by itself, whoever holds it up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Speeds {
    /// What was known at the beginning of the window.
    base: Option<(Instant, Progress)>,
    /// Of the last window: from the peer, bytes per second.
    pub(super) link: Option<u64>,
    /// Into the command, likewise.
    pub(super) command: Option<u64>,
    /// The peer's bytes were coming for most of the window.
    pub(super) link_busy: bool,
    /// A full ring kept it from reading for much of the window.
    pub(super) held: bool,
    /// So long the command has taken nothing of what it is offered.
    pub(super) blocked: Duration,
    /// Windows so far.
    pub(super) windows: u64,
}

impl Speeds {
    /// Adds what is known at `now`.
    pub(super) fn take(&mut self, now: Instant, progress: Progress) {
        self.blocked = Duration::from_micros(progress.blocked);
        let (begun, base) = *self.base.get_or_insert((now, progress));
        let window = now - begun;
        if window < WINDOW {
            return;
        }
        let share = |micros: u64, percent: u32| {
            Duration::from_micros(micros).saturating_mul(100) >= window.saturating_mul(percent)
        };
        let link = progress.link.since(base.link);
        let command = progress.command.since(base.command);
        // A block that takes longer than the window is counted in the one in which it ends.
        if link == Pace::default() && command == Pace::default() {
            return;
        }
        self.link = link.speed().or(self.link);
        self.command = command.speed().or(self.command);
        self.link_busy = share(link.micros, 70);
        self.held = share(progress.held.saturating_sub(base.held), 30);
        self.windows += 1;
        self.base = Some((now, progress));
    }

    /// Can it be judged yet?
    pub(super) fn is_settled(&self) -> bool {
        self.windows > SETTLING
    }

    /// What was measured is not of the peer any more that there is now.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
