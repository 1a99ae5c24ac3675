//! Who gets blocks from whom, while members die, stall, are slow, or come back.

use super::{
    Failure, Slow,
    roster::{Roster, SERVER},
    seat::Seat,
};
use crate::message::{Attach, Loss, Message, Peer};

/// How often a member may lose the server's own stream without a block in between.
const ATTEMPTS: u32 = 3;

/// A command is slow that takes less than one in so many of the bytes that half of the others take.
const SLOW_COMMAND: u64 = 2;

/// The same for links. Blocks that waited in the kernel come at once, which makes links that are alike
/// look different.
pub(super) const SLOW_LINK: u64 = 4;

/// A speed beside those of the others, bytes per second.
#[derive(Clone, Copy)]
struct Compared {
    own: Option<u64>,
    others: Option<u64>,
}

impl Compared {
    /// Is it less than one part in `parts`?
    fn is_slow(self, parts: u64) -> bool {
        self.own.zip(self.others).is_some_and(|(own, others)| own.saturating_mul(parts) < others)
    }
}

impl Roster<'_> {
    /// What a member is told: get blocks from that one.
    pub(super) fn attach(
        &self,
        parent: Option<usize>,
        holds: bool,
        instead: Option<String>,
    ) -> Attach {
        let line = parent.and_then(|parent| Some((parent, self.seats[parent].line()?.address)));
        let peer = match line {
            Some((parent, address)) => {
                Peer { name: self.job.members[parent].name.clone(), address: Some(address) }
            }
            None => Peer { name: SERVER.to_owned(), address: None },
        };
        Attach { peer, holds, instead }
    }

    /// A member lost its peer: it gets another one, which is the server in the end.
    pub(super) fn heal(&mut self, index: usize, loss: Loss) {
        tracing::info!(%loss, "a peer was lost");
        self.losses.push(loss.clone());
        let lost = self.job.members.iter().position(|member| member.name == loss.peer);
        let seat = &mut self.seats[index];
        if lost.is_none() {
            let (block, times) = seat.losses;
            seat.losses = (loss.block, if block == loss.block { times + 1 } else { 1 });
            if seat.losses.1 >= ATTEMPTS {
                self.fail(index, Failure::Stream(loss));
                return self.demote(index);
            }
        }
        // It was told of another one already, on a line that broke before it heard it.
        if lost.is_none() || lost != seat.parent {
            let again = self.attach(self.seats[index].parent, true, None);
            self.seats[index].order(Message::Attach(again));
            return;
        }
        if let Some(lost) = lost {
            self.seats[lost].shunned = true;
            self.bypass(index, lost);
            self.move_behind(lost);
        }
    }

    /// `index` gets blocks from where `lost` got them.
    fn bypass(&mut self, index: usize, lost: usize) {
        let mut parent = self.seats[lost].parent;
        while let Some(above) = parent.filter(|above| !self.is_useful(*above)) {
            parent = self.seats[above].parent;
        }
        let instead = Some(self.job.members[lost].name.clone());
        let attach = self.attach(parent, true, instead);
        self.seats[index].parent = parent;
        self.seats[index].pace.forget();
        self.seats[index].order(Message::Attach(attach));
    }

    /// A member that nobody gets blocks from any more goes to the end of the line, where it
    /// holds up nobody.
    fn move_behind(&mut self, index: usize) {
        let has_children = self.seats.iter().any(|seat| seat.parent == Some(index));
        if self.seats[index].line().is_none() || has_children {
            return;
        }
        let last = self.leaf(index);
        self.seats[index].parent = last;
        self.seats[index].pace.forget();
        let attach = self.attach(last, false, None);
        self.seats[index].order(Message::Attach(attach));
    }

    /// May others be sent there?
    fn is_useful(&self, index: usize) -> bool {
        let seat = &self.seats[index];
        !seat.shunned && seat.line().is_some()
    }

    /// The end of the line, without `but`: a member that nobody gets blocks from.
    pub(super) fn leaf(&self, but: usize) -> Option<usize> {
        (0..self.seats.len()).rev().find(|index| {
            *index != but
                && self.is_useful(*index)
                && self.seats.iter().all(|seat| seat.parent != Some(*index))
        })
    }

    /// Looks at a member that told how fast it is: nobody is to wait for one that is much
    /// slower than the others.
    pub(super) fn review(&mut self, index: usize) {
        let pace = self.seats[index].pace;
        if self.seats[index].result.is_some() {
            return;
        }
        let settled = pace.is_settled();
        let command = self.compare(index, |seat| seat.pace.command);
        let slow = settled && pace.held && command.is_slow(SLOW_COMMAND);
        if !self.seats[index].loose && (slow || self.is_stuck(index)) {
            self.note(index, "its command", command);
            self.seats[index].loose = self.seats[index].order(Message::Loosen);
        }
        let link = self.compare(index, |seat| seat.pace.link);
        let slow = settled && pace.link_busy && link.is_slow(SLOW_LINK);
        if slow && !self.seats[index].shunned && self.holds_up(index) {
            self.note(index, "its link", link);
            self.demote(index);
        }
    }

    /// Is its peer kept from reading by it? Of the server nobody can tell: it has the whole file. The
    /// first of a line is looked at in another way (`probe`).
    fn holds_up(&self, index: usize) -> bool {
        self.seats[index].parent.is_some_and(|parent| self.seats[parent].pace.held)
    }

    /// Its link is slow, by what was measured of it and of another one.
    pub(super) fn note_link(&mut self, index: usize, own: Option<u64>, others: Option<u64>) {
        self.note(index, "its link", Compared { own, others });
    }

    fn note(&mut self, index: usize, what: &'static str, speeds: Compared) {
        let (name, Compared { own, others }) = (self.job.members[index].name.clone(), speeds);
        tracing::info!(member = name, what, own, others, "too slow: nobody waits for it any more");
        self.slow.push(Slow { name, what, own, others });
    }

    /// Does its command take nothing, while those of most others do?
    fn is_stuck(&self, index: usize) -> bool {
        let patience = self.job.timing.patience;
        let stuck = |seat: &Seat| seat.result.is_none() && seat.pace.blocked >= patience;
        let all = self.seats.iter().filter(|seat| stuck(seat)).count();
        stuck(&self.seats[index]) && all * 2 <= self.seats.len()
    }

    /// How fast it is, and how fast half of the others are at least.
    fn compare(&self, index: usize, speed: impl Fn(&Seat) -> Option<u64>) -> Compared {
        let mut others: Vec<u64> = (self.seats.iter().enumerate())
            .filter(|(other, _)| *other != index)
            .filter_map(|(_, seat)| speed(seat))
            .collect();
        others.sort_unstable();
        let others = others.get(others.len() / 2).copied();
        Compared { own: speed(&self.seats[index]), others }
    }

    /// Those behind a member get their blocks from the one before it, and it goes behind all.
    fn demote(&mut self, index: usize) {
        if self.seats.iter().any(|seat| seat.parent == Some(index)) {
            self.retire(index);
        }
    }

    /// The same for one that nobody may be behind of.
    pub(super) fn retire(&mut self, index: usize) {
        self.seats[index].shunned = true;
        for one in 0..self.seats.len() {
            if self.seats[one].parent == Some(index) {
                self.bypass(one, index);
            }
        }
        self.move_behind(index);
    }
}
