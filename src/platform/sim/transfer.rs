//! The transfer port: a pipeline of machines.
//!
//! A block that a machine has goes on to the next one at once, so a machine has the whole
//! file when the slowest on the way to it had the time to pass it on. One that dies or
//! stalls is left out by those behind it, which costs them the time until that is noticed.
//!
//! A command of the site's does the same, but is not ours: the machines use their tickets up
//! before it, and what it began on them goes on where nobody waits for it any more.

use super::{
    World,
    disk::Image,
    faults::FaultKind,
    machine::{Answer, Moment, Work},
    power::stranger,
    world::Touch,
};
use crate::{
    nodes::Node,
    platform::{Carrier, Errand, Progress, Receiver, Transfer, TransferError, TransferJob},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Until a silent peer is given up (the relay's own `stall`).
const STALL: Duration = Duration::from_secs(10);
/// How often a machine tells how far it is.
const REPORTS: u32 = 4;

/// [`Transfer`] between simulated machines.
pub(super) struct SimTransfer {
    world: Arc<World>,
}

/// How one machine will fare.
struct Way {
    /// Number of the boot it is in; a machine in another one later has lost its relay.
    boot: u64,
    /// From the start until it passes on its first block.
    start: Duration,
    /// From its first block to its last.
    takes: Duration,
    fate: Fate,
}

/// How it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Whole,
    Dies,
    Stalls,
    Fills,
    WriteError,
}

/// Something that happens during a broadcast, to the machine of that index.
enum Happening {
    Report { part: u32 },
    End(Result<(), TransferError>),
    Receive { boot: u64 },
}

/// What happens, in order; the index keeps what happens at one moment apart.
type Timetable = BTreeMap<(Moment, usize, u32), Happening>;

/// What came of it, by node.
type Results = BTreeMap<String, Result<(), TransferError>>;

impl SimTransfer {
    pub(super) fn new(world: &Arc<World>) -> Self {
        Self { world: Arc::clone(world) }
    }

    /// Decides how the broadcast goes.
    fn timetable(&self, job: &TransferJob, image: &Image) -> Timetable {
        let began = self.world.now();
        let mut table = Timetable::new();
        // What passed through all machines so far: the slowest sets the pace.
        let (mut lag, mut pace) = (Duration::ZERO, Duration::ZERO);
        for (index, receiver) in job.receivers.iter().enumerate() {
            let node = &receiver.node;
            let way = self.world.touch(&node.name, |touch| way(touch, node, image));
            let way =
                way.unwrap_or_else(|| Err((Duration::ZERO, TransferError::Start(stranger(node)))));
            match way {
                Err((after, error)) => {
                    drop(table.insert((began + after, index, 0), Happening::End(Err(error))));
                }
                Ok(way) => {
                    lag = lag.max(way.start);
                    pace = pace.max(way.takes);
                    enter(&mut table, began + lag, pace, index, (receiver, &way));
                    if matches!(way.fate, Fate::Dies | Fate::Stalls) {
                        lag += STALL;
                    }
                }
            }
        }
        table
    }

    /// The machine has the whole file: its receiver ends.
    fn receive(
        &self,
        Receiver { node, errand, .. }: &Receiver,
        boot: u64,
        image: &Arc<Image>,
    ) -> Result<(), TransferError> {
        let answer = self.world.touch(&node.name, |touch| {
            let same = touch.machine.boot() == Some(boot);
            same.then(|| touch.machine.errand(touch.now, errand, Some(Arc::clone(image))))
        });
        match answer.flatten() {
            None | Some(Answer::Gone) => {
                Err(TransferError::Stream(format!("the relay of {} is gone", node.name)))
            }
            Some(Answer::Ended { status: 0, .. }) => Ok(()),
            Some(Answer::Ended { status, stderr, .. }) => {
                Err(TransferError::Command { command: errand.bare().text(), status, stderr })
            }
        }
    }

    /// The machines use their tickets up, and then do without: those that refuse are left out.
    fn redeem(&self, job: &TransferJob) -> (TransferJob, Results) {
        let (mut results, mut receivers) = (Results::new(), Vec::new());
        for Receiver { node, errand, resumes } in &job.receivers {
            let used = match errand {
                Errand::Ticketed { ticket, .. } => {
                    let (ticket, errand) = (ticket.clone(), Errand::Sync.into());
                    let errand = Errand::Ticketed { ticket, errand };
                    let receiver = Receiver { node: Arc::clone(node), errand, resumes: *resumes };
                    let boot = self.world.touch(&node.name, |touch| touch.machine.boot());
                    // Its own look at where it goes comes later; a ticket needs no file.
                    let nothing = Arc::new(Image::unknown(String::new(), 0));
                    self.receive(&receiver, boot.flatten().unwrap_or_default(), &nothing)
                }
                _ => Ok(()),
            };
            match used {
                Ok(()) => receivers.push(Receiver {
                    node: Arc::clone(node),
                    errand: errand.bare().clone(),
                    resumes: *resumes,
                }),
                Err(error) => drop(results.insert(node.name.clone(), Err(error))),
            }
        }
        (TransferJob { receivers, ..job.clone() }, results)
    }
}

/// What is still to happen in a broadcast. What a command of the site's began happens in any case.
struct Course<'a> {
    world: &'a World,
    job: &'a TransferJob,
    image: &'a Arc<Image>,
    table: Timetable,
}

impl Drop for Course<'_> {
    fn drop(&mut self) {
        if !matches!(self.job.by, Carrier::Site(_)) {
            return;
        }
        for ((at, index, _), happening) in std::mem::take(&mut self.table) {
            let Happening::Receive { boot } = happening else { continue };
            let Receiver { node, errand, .. } = &self.job.receivers[index];
            let (errand, image) = (Arc::new(errand.clone()), Arc::clone(self.image));
            self.world.touch(&node.name, |touch| {
                let after = touch.machine.tickets();
                touch.machine.later(at, Work::Orphan { boot, errand, image, after });
            });
        }
    }
}

/// Starts the relay of one machine and decides how it fares; the time until it is known not
/// to start, and why, otherwise.
fn way(mut touch: Touch<'_>, node: &Node, image: &Image) -> Result<Way, (Duration, TransferError)> {
    touch.audit.doing(&node.name, "a broadcast").transfers += 1;
    let hardware = touch.hardware;
    let start = hardware.relay.draw(&mut touch.machine.dice);
    let mib = hardware.mebibyte.draw(&mut touch.machine.dice);
    let kinds = [
        (FaultKind::RelayDies, Fate::Dies),
        (FaultKind::RelayStalls, Fate::Stalls),
        (FaultKind::DiskFills, Fate::Fills),
        (FaultKind::DiskWriteError, Fate::WriteError),
    ];
    let strikes = kinds.map(|(kind, fate)| (touch.strikes(kind), fate));
    let fate =
        strikes.into_iter().find(|(strikes, _)| *strikes).map_or(Fate::Whole, |(_, fate)| fate);
    let refused = touch.strikes(FaultKind::SshRefused);
    let boot = touch.machine.boot().filter(|_| touch.machine.admits_us() && !refused);
    let boot = boot.ok_or_else(|| {
        let why = format!("ssh to {} ({}) failed: connection refused", node.name, node.address);
        (start, TransferError::Start(why))
    })?;
    let start = start.max(touch.machine.turn().saturating_sub(touch.now));
    let takes = mib.saturating_mul(u32::try_from(image.mib).unwrap_or(u32::MAX));
    Ok(Way { boot, start, takes, fate })
}

/// Puts what will happen to one machine into the table.
fn enter(
    table: &mut Timetable,
    first: Moment,
    pace: Duration,
    index: usize,
    (Receiver { node, errand, .. }, way): (&Receiver, &Way),
) {
    let reached = if way.fate == Fate::Whole { REPORTS } else { REPORTS / 2 };
    for part in 1..=reached {
        table.insert((first + pace * part / REPORTS, index, part), Happening::Report { part });
    }
    let at = first + pace * reached / REPORTS;
    let stream = |why: &str| TransferError::Stream(format!("{why} {}", node.name));
    let command = |status, why: &str| {
        let (command, stderr) = (errand.bare().text(), why.to_owned());
        TransferError::Command { command, status, stderr }
    };
    let (at, end) = match way.fate {
        Fate::Whole => (at, Happening::Receive { boot: way.boot }),
        Fate::Dies => (at, Happening::End(Err(stream("the connection broke off:")))),
        Fate::Stalls => (at + STALL, Happening::End(Err(stream("nothing came any more from")))),
        Fate::Fills => (at, Happening::End(Err(command(2, "tar: No space left on device")))),
        Fate::WriteError => (at, Happening::End(Err(command(2, "tar: Input/output error")))),
    };
    table.insert((at, index, REPORTS + 1), end);
}

#[async_trait::async_trait]
impl Transfer for SimTransfer {
    async fn broadcast(
        &self,
        job: &TransferJob,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Results {
        let image = self.world.image(&job.file).await;
        let (total, deadline) = (image.mib << 20, tokio::time::Instant::now() + job.deadline);
        let (job, mut results) = match &job.by {
            Carrier::Site(_) => self.redeem(job),
            Carrier::Relay | Carrier::Torrent(_) => (job.clone(), Results::new()),
        };
        let table = self.timetable(&job, &image);
        let mut course = Course { world: &self.world, job: &job, image: &image, table };
        while let Some((at, index, part)) = course.table.first_key_value().map(|(key, _)| *key) {
            let late = tokio::time::timeout_at(deadline, self.world.sleep_until(at)).await.is_err();
            let Some(happening) = course.table.remove(&(at, index, part)) else { break };
            let receiver = &job.receivers[index];
            let end = match happening {
                _ if late => Err(TransferError::Deadline(job.deadline)),
                Happening::Report { part } => {
                    let written = total / u64::from(REPORTS) * u64::from(part);
                    progress(Progress { node: index, written, total });
                    continue;
                }
                Happening::End(end) => end,
                Happening::Receive { boot } => self.receive(receiver, boot, &image),
            };
            results.insert(receiver.node.name.clone(), end);
        }
        drop(course);
        results
    }
}
