//! How far each member is, and what came of it.

use super::{Broadcast, Failure, Feed, door::Event};
use crate::message::{Begin, Done, Message, Peer, Secret};
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::mpsc;

/// Name of the server as a peer.
const SERVER: &str = "the server";

/// How far a member is.
enum State {
    /// Launched, or about to be.
    Awaited,
    /// Its relay is there.
    Joined { address: SocketAddr, orders: mpsc::Sender<Message> },
    /// There is a result.
    Settled(Result<(), Failure>),
}

/// All members.
pub(super) struct Roster<'a> {
    job: &'a Broadcast,
    pass: Secret,
    feed: Arc<Feed>,
    progress: &'a (dyn Fn(usize, u64) + Send + Sync),
    states: Vec<State>,
    /// Bytes each member's command has taken, as far as is known.
    taken: Vec<u64>,
    begun: bool,
}

impl<'a> Roster<'a> {
    /// Everyone is awaited.
    pub(super) fn new(
        job: &'a Broadcast,
        pass: Secret,
        feed: Arc<Feed>,
        progress: &'a (dyn Fn(usize, u64) + Send + Sync),
    ) -> Self {
        let states = job.members.iter().map(|_| State::Awaited).collect();
        let taken = vec![0; job.members.len()];
        Self { job, pass, feed, progress, states, taken, begun: false }
    }

    /// Is there a result for everyone?
    pub(super) fn is_settled(&self) -> bool {
        self.states.iter().all(|state| matches!(state, State::Settled(_)))
    }

    /// Is the stream still to begin?
    pub(super) fn is_gathering(&self) -> bool {
        !self.begun
    }

    /// The results; who has none by now missed the deadline.
    pub(super) fn outcomes(self) -> Vec<Result<(), Failure>> {
        let late = Failure::Deadline(self.job.deadline);
        let result = |state| match state {
            State::Settled(result) => result,
            _ => Err(late.clone()),
        };
        self.states.into_iter().map(result).collect()
    }

    /// Takes one event, and begins when it was the last that was awaited.
    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::Unlaunched(index, why) => {
                // A launch may fail after its relay has joined, when its answer is lost.
                if matches!(self.states[index], State::Awaited) {
                    self.fail(index, Failure::Launch(why));
                }
            }
            Event::Joined(index, address, orders) => {
                if matches!(self.states[index], State::Awaited) {
                    self.states[index] = State::Joined { address, orders };
                }
            }
            Event::Said(index, message) => self.hear(index, message),
            Event::Left(index, why) => {
                let failure = self.gone(index, why.to_string());
                self.fail(index, failure);
            }
        }
        let awaited = self.states.iter().any(|state| matches!(state, State::Awaited));
        if !self.begun && !awaited {
            self.begin();
        }
    }

    /// Who has not joined by now is left out; the others begin.
    pub(super) fn close_gathering(&mut self) {
        for index in 0..self.states.len() {
            if matches!(self.states[index], State::Awaited) {
                let name = self.job.members[index].name.clone();
                self.fail(index, Failure::Absent { name, within: self.job.timing.join });
            }
        }
        self.begin();
    }

    /// The deadline passed: who has no result has failed.
    pub(super) fn expire(&mut self) {
        for index in 0..self.states.len() {
            self.fail(index, Failure::Deadline(self.job.deadline));
        }
    }

    /// Sends `Begin` down the line of those that joined.
    fn begin(&mut self) {
        self.begun = true;
        let mut attach = Peer { name: SERVER.to_owned(), address: None };
        let mut stuck = Vec::new();
        let line: Vec<usize> = (0..self.states.len())
            .filter(|index| matches!(self.states[*index], State::Joined { .. }))
            .collect();
        for (place, index) in line.iter().enumerate() {
            let State::Joined { address, orders } = &self.states[*index] else { continue };
            let begin = Begin {
                command: self.job.members[*index].command.clone(),
                total: self.feed.total(),
                block: self.job.block,
                ring: self.job.ring,
                pass: self.pass.clone(),
                successor: place + 1 < line.len(),
                attach,
            };
            let name = self.job.members[*index].name.clone();
            attach = Peer { name, address: Some(*address) };
            if orders.try_send(Message::Begin(begin)).is_err() {
                stuck.push(*index);
            }
        }
        for index in stuck {
            let failure = self.gone(index, "it took no orders".into());
            self.fail(index, failure);
        }
    }

    /// Takes a member's report.
    fn hear(&mut self, index: usize, message: Message) {
        match message {
            Message::Progress { taken } => self.advance(index, taken),
            Message::Done(done) => {
                self.advance(index, done.taken);
                let result = self.judge(done);
                self.settle(index, result);
            }
            Message::Lost(loss) => self.fail(index, Failure::Stream(loss)),
            Message::Failed { why } => self.fail(index, Failure::Failed(why)),
            other => {
                let failure = self.gone(index, format!("it sent {} as a report", other.name()));
                self.fail(index, failure);
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
        if taken > self.taken[index] {
            self.taken[index] = taken;
            (self.progress)(index, taken);
        }
    }

    fn gone(&self, index: usize, why: String) -> Failure {
        let (name, taken) = (self.job.members[index].name.clone(), self.taken[index]);
        Failure::Gone { name, block: taken / self.job.block as u64, taken, why }
    }

    fn fail(&mut self, index: usize, failure: Failure) {
        self.settle(index, Err(failure));
    }

    /// The first result counts: what follows a failure is its consequence.
    fn settle(&mut self, index: usize, result: Result<(), Failure>) {
        if !matches!(self.states[index], State::Settled(_)) {
            self.states[index] = State::Settled(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        forward::{Blocks, Next},
        message::Timing,
        source::Member,
    };
    use std::time::Duration;

    /// A member's command ended well and took as many bytes as the file has: what counts
    /// is which.
    #[tokio::test]
    async fn only_the_digest_of_the_file_is_success() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [7; 2500]).unwrap();
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        let member = |name: &str| Member { name: name.into(), address, command: "cat".into() };
        let members = ["a", "b", "c"].map(member);
        let job = Broadcast {
            file: file.path().to_owned(),
            members: members.into(),
            server: (address, 1).into(),
            deadline: Duration::from_secs(60),
            timing: Timing::default(),
            block: 1000,
            ring: 1,
        };
        let feed = Arc::new(Feed::open(&job.file, job.block).await.unwrap());
        let pass = Secret::random().unwrap();
        let mut roster = Roster::new(&job, pass, feed.clone(), &|_, _| {});
        let done = |digest: &str| {
            let (stderr, digest) = (String::new(), digest.to_owned());
            Message::Done(Done { status: 0, stderr, taken: 2500, digest })
        };
        roster.apply(Event::Said(0, done("")));

        let mut blocks = feed.blocks(0);
        while let Next::Block(_) = blocks.next().await {}
        let whole = feed.digest().unwrap().to_owned();
        roster.apply(Event::Said(1, done(&whole)));
        let other = blake3::hash(b"another file").to_hex().to_string();
        roster.apply(Event::Said(2, done(&other)));

        let early = Failure::Digest { expected: "a file not yet read".into(), got: String::new() };
        let wrong = Failure::Digest { expected: whole, got: other };
        assert_eq!(roster.outcomes(), [Err(early), Ok(()), Err(wrong)]);
    }
}
