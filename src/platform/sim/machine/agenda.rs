//! What takes effect later: orders and errands, each at its moment.

use super::{Around, Machine, Moment, State};
use crate::platform::{Errand, sim::disk::Image};
use litemap::LiteMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What takes effect later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::platform::sim) enum Work {
    /// Mains on: nothing happens to one that has it.
    On,
    /// Mains off.
    Off,
    /// Starts anew; on, if it was off.
    Reset,
    /// The system that is in boot `u64` leaves for the firmware, its disks unwritten or not.
    Leave { boot: u64, clean: bool },
    /// The same, switching off.
    Halt { boot: u64 },
    /// Jumps into the kernel of a partition.
    Kexec { boot: u64, partition: u32, files: Vec<String>, params: String },
    /// Jumps into the kernel of the deployment system.
    KexecDeployment { boot: u64, params: String },
    /// An errand that is done at that moment. One that is kept does without.
    #[serde(skip)]
    Errand { boot: u64, errand: Arc<Errand>, image: Option<Arc<Image>> },
    /// What a command of the site's began does its errand, whoever waits for it. `after` is how
    /// many had used a ticket by then: where there were more, two write at once.
    #[serde(skip)]
    Orphan { boot: u64, errand: Arc<Errand>, image: Arc<Image>, after: usize },
}

/// What came of an errand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::platform::sim) enum Answer {
    Ended {
        status: i32,
        stdout: String,
        stderr: String,
    },
    /// The machine went away meanwhile.
    Gone,
}

impl Machine {
    /// Everything that is due until `now` happens.
    pub(in crate::platform::sim) fn advance(&mut self, now: Moment, around: &mut Around<'_>) {
        loop {
            let work = self.pending.first().map(|((at, _), _)| *at);
            let own = self.next.filter(|own| work.is_none_or(|work| *own <= work));
            if let Some(at) = own.filter(|at| *at <= now) {
                self.next = None;
                self.change(at, around);
            } else if work.is_some_and(|at| at <= now) {
                let first = self.pending.first().map(|(key, _)| *key);
                if let Some((key, work)) = first.and_then(|key| Some((key, self.take(&key)?))) {
                    self.work(key.0, key.1, work, around);
                }
            } else {
                return;
            }
        }
    }

    /// Lets `work` take effect at `at`; the number under which its answer will lie.
    pub(in crate::platform::sim) fn later(&mut self, at: Moment, work: Work) -> u64 {
        self.serial += 1;
        self.pending.insert((at, self.serial), work);
        self.serial
    }

    /// What was to take effect later. A machine of which nothing is awaited keeps no room for it.
    fn take(&mut self, key: &(Moment, u64)) -> Option<Work> {
        let work = self.pending.remove(key);
        if self.pending.is_empty() {
            self.pending = LiteMap::new();
        }
        work
    }

    /// The answer of an errand that is over.
    pub(in crate::platform::sim) fn answer(&mut self, id: u64) -> Option<Answer> {
        let answer = self.answers.remove(&id);
        if self.answers.is_empty() {
            self.answers = LiteMap::new();
        }
        answer
    }

    /// Nobody waits for that answer any more; the errand goes on.
    pub(in crate::platform::sim) fn abandon(&mut self, id: u64) {
        if self.answer(id).is_none() && self.pending.keys().any(|(_, one)| *one == id) {
            self.unwanted.insert(id);
        }
    }

    /// When what [takes its turn](Errand::takes_turn) there is over.
    pub(in crate::platform::sim) fn turn(&self) -> Moment {
        let last = |((at, _), work): (&(Moment, u64), &Work)| match work {
            Work::Errand { boot, errand, .. } => {
                (errand.takes_turn() && self.boot() == Some(*boot)).then_some(*at)
            }
            _ => None,
        };
        self.pending.iter().filter_map(last).max().unwrap_or_default()
    }

    /// The errand ends without effect.
    pub(in crate::platform::sim) fn cut(&mut self, id: u64) {
        self.pending.retain(|(_, one), _| *one != id);
    }

    fn work(&mut self, at: Moment, id: u64, work: Work, around: &mut Around<'_>) {
        let mine = |boot| self.boot() == Some(boot);
        match work {
            Work::On if self.state == State::Off => self.start(at, around),
            Work::Off => self.stop(),
            Work::Reset => {
                self.stop();
                self.start(at, around);
            }
            Work::Leave { boot, clean } if mine(boot) => {
                if clean {
                    self.disk.sync();
                }
                self.stop();
                self.start(at, around);
            }
            Work::Halt { boot } if mine(boot) => {
                self.disk.sync();
                self.stop();
            }
            Work::Kexec { boot, partition, files, params } if mine(boot) => {
                self.stop();
                self.kernel_of(at, partition, &files, &params, around);
            }
            Work::KexecDeployment { boot, params } if mine(boot) => {
                self.stop();
                self.boots += 1;
                self.start_deployment(at, &params, around);
            }
            Work::On
            | Work::Leave { .. }
            | Work::Halt { .. }
            | Work::Kexec { .. }
            | Work::KexecDeployment { .. } => {}
            Work::Orphan { boot, errand, image, after } => {
                if mine(boot) {
                    let clash = self.tickets() > after;
                    self.errand(at, &errand, Some(image));
                    if clash {
                        self.disk.garble();
                    }
                }
            }
            Work::Errand { boot, errand, image } => {
                let answer =
                    if mine(boot) { self.errand(at, &errand, image) } else { Answer::Gone };
                if !self.unwanted.remove(&id) {
                    self.answers.insert(id, answer);
                }
            }
        }
    }
}
