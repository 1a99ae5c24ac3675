//! Is the first node of a line slow, or is the network?
//!
//! Its link cannot be judged by those behind it: they get nothing but what it gets, and that in
//! pieces, which a network may let pass at any speed. So where much is left to be sent, the node
//! behind it gets the stream from the server for a moment, and both are compared: on links that
//! are alike each gets about half of what the server sends. If the first one gets much less it goes
//! to the end of the line; else all is as before, and the moment cost half of itself.

use super::{heal::SLOW_LINK, roster::Roster};
use crate::message::Message;
use std::time::Duration;
use tokio::time::Instant;

/// Looked at only if what is left takes longer than this at the present speed: for less the look
/// is not worth what it costs.
const WORTH: Duration = Duration::from_secs(8);

/// Between two looks at one node.
const AGAIN: Duration = Duration::from_secs(60);

/// So long both streams are measured.
const MEASURED: Duration = Duration::from_millis(400);

/// A look that came to nothing in this time is over.
const LIMIT: Duration = Duration::from_secs(5);

/// A look at a first node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// Who gets the stream beside it.
    successor: usize,
    begun: Instant,
    /// Of the first node, then of its successor.
    meters: [Meter; 2],
}

/// Bytes that came to one node.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    first: Option<(Instant, u64)>,
    last: Option<(Instant, u64)>,
}

impl Meter {
    fn take(&mut self, now: Instant, bytes: u64) {
        self.first.get_or_insert((now, bytes));
        self.last = Some((now, bytes));
    }

    /// Bytes per second, once it was measured for long enough.
    fn speed(self) -> Option<u64> {
        let ((begun, before), (now, bytes)) = self.first.zip(self.last)?;
        let time = now - begun;
        let speed = u128::from(bytes.saturating_sub(before)) * 1_000_000 / time.as_micros().max(1);
        (time >= MEASURED).then(|| u64::try_from(speed).unwrap_or(u64::MAX))
    }
}

impl Roster<'_> {
    /// Takes note of the bytes that came to `index`, and looks at it if it is the first of a line.
    pub(super) fn probe(&mut self, index: usize, now: Instant, bytes: u64) {
        for first in 0..self.seats.len() {
            let Some(mut probe) = self.seats[first].probe else { continue };
            if index == first || index == probe.successor {
                probe.meters[usize::from(index != first)].take(now, bytes);
                self.seats[first].probe = Some(probe);
                self.conclude(first, probe, now);
                return;
            }
        }
        if let Some(successor) = self.suspect(index, now, bytes) {
            tracing::info!(member = self.job.members[index].name, "is it slow, or the network?");
            let meters = [Meter::default(); 2];
            let seat = &mut self.seats[index];
            seat.probe = Some(Probe { successor, begun: now, meters });
            seat.probe_after = Some(now + AGAIN);
            // Its peer is still the first node, if anything comes between.
            let beside = self.attach(None, true, None);
            self.seats[successor].order(Message::Attach(beside));
        }
    }

    /// Is it worth a look? Then who is to get the stream beside it.
    fn suspect(&self, index: usize, now: Instant, bytes: u64) -> Option<usize> {
        let seat = &self.seats[index];
        let is_first = seat.parent.is_none() && seat.line().is_some() && !seat.shunned;
        let settled = seat.pace.is_settled() && seat.probe_after.is_none_or(|after| after <= now);
        if !(is_first && settled && seat.pace.link_busy && !seat.pace.held) {
            return None;
        }
        let own = seat.pace.link?;
        let left = self.total().saturating_sub(bytes);
        let speeds = || {
            let others = self.seats.iter().enumerate().filter(|(other, _)| *other != index);
            others.filter_map(|(_, seat)| seat.pace.link)
        };
        // Behind the only other one nobody is who could tell.
        let suspicious = speeds().count() < 2
            || speeds().max().is_some_and(|fastest| own.saturating_mul(SLOW_LINK) < fastest);
        if !suspicious || left / own.max(1) < WORTH.as_secs() {
            return None;
        }
        (0..self.seats.len()).find(|other| {
            let seat = &self.seats[*other];
            seat.parent == Some(index) && seat.line().is_some() && seat.result.is_none()
        })
    }

    /// Ends the look at `first` when enough is known, or never will be.
    fn conclude(&mut self, first: usize, probe: Probe, now: Instant) {
        let successor = probe.successor;
        // One of them was left meanwhile: the line is another one.
        let is_line = self.seats[successor].parent == Some(first) && !self.seats[first].shunned;
        if !is_line {
            self.seats[first].probe = None;
            return;
        }
        let [own, beside] = probe.meters.map(Meter::speed);
        let known = own.is_some() && beside.is_some();
        if !known && now < probe.begun + LIMIT {
            return;
        }
        self.seats[first].probe = None;
        let slow =
            own.zip(beside).is_some_and(|(own, beside)| own.saturating_mul(SLOW_LINK) < beside);
        if slow {
            self.note_link(first, own, beside);
            // It is there already.
            self.seats[successor].parent = None;
            self.seats[successor].pace.forget();
            self.retire(first);
        } else {
            let back = self.attach(Some(first), true, None);
            self.seats[successor].order(Message::Attach(back));
        }
    }
}
