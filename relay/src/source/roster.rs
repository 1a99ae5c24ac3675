//! How far each member is, what came of it, and who gets blocks from whom.

use super::{
    Broadcast, Failure, Feed, Slow,
    door::{Event, Line},
    rest::Rest,
    seat::{Link, Seat},
};
use crate::message::{Attach, Begin, Done, Have, Loss, Message, Secret};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// Name of the server as a peer.
pub(super) const SERVER: &str = "the server";

/// All members.
pub(super) struct Roster<'a> {
    pub(super) job: &'a Broadcast,
    pass: Arc<Mutex<Secret>>,
    /// The pass is that of nodes that go on.
    adopted: bool,
    feed: Arc<Feed>,
    /// What a server before has sent.
    pub(super) rest: Rest,
    progress: &'a (dyn Fn(usize, u64) + Send + Sync),
    pub(super) seats: Vec<Seat>,
    /// When the stream begins without those that are still awaited.
    gathering: Instant,
    begun: bool,
    /// Streams that broke.
    pub(super) losses: Vec<Loss>,
    /// Members that nobody waits for any more.
    pub(super) slow: Vec<Slow>,
}

impl<'a> Roster<'a> {
    /// Everyone is awaited.
    pub(super) fn new(
        job: &'a Broadcast,
        pass: Arc<Mutex<Secret>>,
        feed: Arc<Feed>,
        progress: &'a (dyn Fn(usize, u64) + Send + Sync),
    ) -> Self {
        let seats = job.members.iter().map(|_| Seat::default()).collect();
        let gathering = Instant::now() + job.timing.gather;
        Self {
            job,
            pass,
            adopted: false,
            feed,
            rest: Rest::default(),
            progress,
            seats,
            gathering,
            begun: false,
            losses: Vec::new(),
            slow: Vec::new(),
        }
    }

    /// When the stream begins without those that are still awaited; none if it has begun, or
    /// if nobody is here.
    pub(super) fn gathering(&self) -> Option<Instant> {
        (!self.begun && self.is_connected()).then_some(self.gathering)
    }

    /// Bytes of the file.
    pub(super) fn total(&self) -> u64 {
        self.feed.total()
    }

    /// Is there a result for everyone?
    pub(super) fn is_settled(&self) -> bool {
        self.seats.iter().all(|seat| seat.result.is_some())
    }

    /// Is a relay still connected?
    pub(super) fn is_connected(&self) -> bool {
        self.seats.iter().any(|seat| seat.line().is_some())
    }

    /// Is someone still expected?
    pub(super) fn is_awaiting(&self) -> bool {
        self.seats.iter().any(Seat::is_awaited)
    }

    /// The results; who has none by now missed the deadline.
    pub(super) fn outcomes(self) -> Vec<Result<(), Failure>> {
        let late = Failure::Deadline(self.job.deadline);
        self.seats.into_iter().map(|seat| seat.result.unwrap_or(Err(late.clone()))).collect()
    }

    /// Takes one event, and begins when it was the last that was awaited.
    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::Unlaunched(index, why) => {
                // A launch may fail after its relay has joined, when its answer is lost.
                if self.seats[index].is_awaited() {
                    self.seats[index].link = Link::Down;
                    self.fail(index, Failure::Launch(why));
                }
            }
            Event::Joined(index, line, have) => {
                if let Some(have) = have {
                    self.resume(index, have);
                }
                self.join(index, line);
            }
            Event::Said(index, message) => self.hear(index, message),
            Event::Left(index, number, why) => self.leave(index, number, &why.to_string()),
        }
        if !self.begun && (!self.is_awaiting() || (self.is_late() && self.is_connected())) {
            self.begin();
        }
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.gathering
    }

    /// The stream begins without those that are not here yet, if anyone is.
    pub(super) fn close_gathering(&mut self) {
        if self.is_connected() {
            self.begin();
        }
    }

    /// Who has not joined by now is left out.
    pub(super) fn close_door(&mut self) {
        for index in 0..self.seats.len() {
            if self.seats[index].is_awaited() {
                self.seats[index].link = Link::Down;
                let name = self.job.members[index].name.clone();
                self.fail(index, Failure::Absent { name, within: self.job.timing.join });
            }
        }
        if !self.begun {
            self.begin();
        }
    }

    /// Until when a member that is away, or was never here, may come.
    pub(super) fn next_departure(&self) -> Option<Instant> {
        self.seats.iter().filter(|seat| seat.result.is_none()).filter_map(Seat::away_until).min()
    }

    /// Who has been away for too long has failed.
    pub(super) fn depart(&mut self, now: Instant) {
        for index in 0..self.seats.len() {
            if self.seats[index].away_until().is_some_and(|until| until <= now) {
                let Link::Away { why, .. } =
                    std::mem::replace(&mut self.seats[index].link, Link::Down)
                else {
                    continue;
                };
                let failure = self.gone(index, why);
                self.fail(index, failure);
            }
        }
    }

    /// The deadline passed: who has no result has failed.
    pub(super) fn expire(&mut self) {
        for index in 0..self.seats.len() {
            self.fail(index, Failure::Deadline(self.job.deadline));
        }
    }

    /// Everyone may go.
    pub(super) fn dismiss(&mut self) {
        for seat in &self.seats {
            seat.order(Message::Over);
        }
    }

    /// A member is here, for the first time or again.
    fn join(&mut self, index: usize, line: Line) {
        match self.seats[index].link {
            // The line is dropped, and so closed.
            Link::Down => {}
            Link::Awaited if self.begun => {
                let last = self.leaf(index);
                self.seats[index].link = Link::Up(line);
                self.seats[index].parent = last;
                // The others do not wait for it: much has left their rings already.
                self.start(index, self.attach(last, false, None));
            }
            // Orders that were underway on the line of before are given again when the
            // member says what it lacks.
            _ => self.seats[index].link = Link::Up(line),
        }
    }

    /// A member goes on with what it has from a server before.
    fn resume(&mut self, index: usize, Have { pass, offset }: Have) {
        tracing::info!(member = self.job.members[index].name, offset, "it goes on");
        self.seats[index].resumed = true;
        // The nodes are attached to each other with it; who has another one is told.
        if !self.begun && !self.adopted {
            self.adopted = true;
            *self.pass.lock().unwrap_or_else(PoisonError::into_inner) = pass;
        }
        self.rest.read(&self.feed, offset);
    }

    /// A control connection ended. One of before does not count.
    fn leave(&mut self, index: usize, number: u64, why: &str) {
        if self.seats[index].line().is_none_or(|line| line.number != number) {
            return;
        }
        self.seats[index].link = if self.begun {
            let until = Instant::now() + self.job.timing.orphan;
            Link::Away { until, why: why.to_owned() }
        } else {
            Link::Down
        };
        if !self.begun {
            let failure = self.gone(index, why.to_owned());
            self.fail(index, failure);
        }
    }

    /// Sends `Begin` to those that joined; the others may come later, as long as it lasts.
    fn begin(&mut self) {
        self.begun = true;
        let joined: Vec<usize> =
            (0..self.seats.len()).filter(|index| self.seats[*index].line().is_some()).collect();
        for (index, parent) in self.job.shape.parents(&joined, &self.job.members) {
            self.seats[index].parent = parent;
        }
        for index in joined {
            let attach = self.attach(self.seats[index].parent, true, None);
            self.start(index, attach);
        }
    }

    /// Sends `Begin` to one member.
    fn start(&mut self, index: usize, attach: Attach) {
        let name = |index: usize| self.job.members[index].name.clone();
        let successors = (0..self.seats.len())
            .filter(|other| self.seats[*other].parent == Some(index))
            .map(name)
            .collect();
        let begin = Begin {
            command: self.job.members[index].command.clone(),
            total: self.feed.total(),
            block: self.job.block,
            ring: self.job.ring,
            rate: self.job.rate,
            pass: self.pass.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            successors,
            attach,
        };
        if !self.seats[index].order(Message::Begin(begin)) {
            let failure = self.gone(index, "it took no orders".into());
            self.fail(index, failure);
        }
    }

    /// Takes a member's report.
    fn hear(&mut self, index: usize, message: Message) {
        match message {
            Message::Progress(progress) => {
                self.advance(index, progress.taken);
                let now = Instant::now();
                self.seats[index].pace.take(now, progress);
                self.review(index);
                self.probe(index, now, progress.link.bytes);
            }
            Message::Done(done) => {
                self.advance(index, done.taken);
                self.seats[index].done = Some(done);
                self.judge_waiting();
            }
            Message::Lost(loss) => self.heal(index, loss),
            Message::Broken(loss) => self.fail(index, Failure::Stream(loss)),
            Message::Failed { why } => self.fail(index, Failure::Failed(why)),
            other => {
                let failure = self.gone(index, format!("it sent {} as a report", other.name()));
                self.fail(index, failure);
            }
        }
    }

    /// Judges who is done, but for those of whom too little of the file is known.
    pub(super) fn judge_waiting(&mut self) {
        for index in 0..self.seats.len() {
            if self.seats[index].resumed && self.rest.is_reading() {
                continue;
            }
            if let Some(done) = self.seats[index].done.take() {
                let result = self.judge(done);
                self.settle(index, result);
            }
        }
    }

    /// Is what the command took the file?
    fn judge(&self, done: Done) -> Result<(), Failure> {
        let Done { status, stderr, taken, digest: got } = done;
        let total = self.feed.total();
        if status != 0 {
            return Err(Failure::Command { status, stderr });
        }
        if taken != total {
            return Err(Failure::Short { taken, total });
        }
        match self.feed.digest() {
            Some(expected) if expected == got => Ok(()),
            expected => {
                let expected = expected.unwrap_or("a file not yet read").to_owned();
                Err(Failure::Digest { expected, got })
            }
        }
    }

    fn advance(&mut self, index: usize, taken: u64) {
        if taken > self.seats[index].taken {
            self.seats[index].taken = taken;
            (self.progress)(index, taken);
        }
    }

    fn gone(&self, index: usize, why: String) -> Failure {
        let (name, taken) = (self.job.members[index].name.clone(), self.seats[index].taken);
        Failure::Gone { name, block: taken / self.job.block as u64, taken, why }
    }

    pub(super) fn fail(&mut self, index: usize, failure: Failure) {
        self.settle(index, Err(failure));
    }

    /// The first result counts: what follows a failure is its consequence.
    fn settle(&mut self, index: usize, result: Result<(), Failure>) {
        self.seats[index].result.get_or_insert(result);
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
