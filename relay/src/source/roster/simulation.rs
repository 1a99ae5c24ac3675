//! Healing under many schedules of deaths, stalls, broken wires and latecomers.
//!
//! The roster is the real one; its nodes are simulated, block by block, on a clock that stands
//! still unless it is moved. What must hold at every moment: nobody gets blocks from itself, not
//! over others either. At the end: who is alive has the file, who died has not, and the server
//! sent little more than what was missed.

use super::{tests::feed_of, *};
use crate::{
    message::{Cause, Pace, Progress, Timing},
    source::{Member, Shape},
};
use proptest::{prelude::*, test_runner::TestRunner};
use std::{net::Ipv4Addr, time::Duration};
use tokio::sync::mpsc;

const BLOCK: u64 = 1000;
const BLOCKS: u64 = 400;
const RING: u64 = 16;
const TICK: Duration = Duration::from_millis(100);
/// Ticks after which a silent peer is left.
const PATIENCE: u32 = 30;
/// Ticks for which a successor that is silent holds the ring back.
const KEPT: u32 = 90;
/// Blocks in a tick, over a link as it should be and over a slow one.
const SPEEDS: [u64; 2] = [8, 1];
/// Far more ticks than any schedule needs.
const LIMIT: u32 = 20_000;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The relay is killed.
    Die,
    /// It does nothing for so many ticks, fewer than it takes to be given up.
    Stall(u32),
    /// The next block that comes has another digest.
    Corrupt,
    /// Its control connection breaks, for so many ticks.
    HangUp(u32),
}

#[derive(Clone, Debug)]
struct Schedule {
    nodes: usize,
    arity: usize,
    /// When each node comes, in ticks; and whether its link is slow.
    comes: Vec<(u32, bool)>,
    /// When, which node, what.
    faults: Vec<(u32, usize, Fault)>,
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let fault = prop_oneof![
        3 => Just(Fault::Die),
        2 => (1u32..140).prop_map(Fault::Stall),
        2 => Just(Fault::Corrupt),
        2 => (1u32..15).prop_map(Fault::HangUp),
    ];
    let comes = (prop_oneof![4 => Just(0u32), 1 => 0u32..300], prop::bool::weighted(0.08));
    let faults = prop::collection::vec((0u32..120, 0usize..16, fault), 0..14);
    (1usize..=16, 1usize..=3, prop::collection::vec(comes, 16), faults).prop_map(
        |(nodes, arity, comes, mut faults)| {
            faults.retain(|(_, node, _)| *node < nodes);
            faults.sort_by_key(|(tick, ..)| *tick);
            Schedule { nodes, arity, comes, faults }
        },
    )
}

/// A node, as far as the roster can tell.
#[expect(clippy::struct_excessive_bools, reason = "each can be with each other")]
#[derive(Default)]
struct Sim {
    orders: Option<mpsc::Receiver<Message>>,
    line: u64,
    here: bool,
    begun: bool,
    dead: bool,
    asleep_until: u32,
    away_until: Option<u32>,
    /// Blocks that it has.
    has: u64,
    /// None for the server.
    peer: Option<usize>,
    holds: bool,
    /// Ticks since the peer was heard.
    silent: u32,
    /// Ticks for which it was not heard itself.
    unheard: u32,
    corrupt: bool,
    corrupted: u32,
    lost: Option<(Loss, bool)>,
    done_told: bool,
    link: Pace,
    held: u64,
}

struct World<'a> {
    schedule: &'a Schedule,
    job: &'a Broadcast,
    digest: String,
    nodes: Vec<Sim>,
    lines: u64,
    /// Blocks that the server sent.
    sent: u64,
    tick: u32,
}

impl World<'_> {
    fn is_awake(&self, index: usize) -> bool {
        !self.nodes[index].dead && self.tick >= self.nodes[index].asleep_until
    }

    /// What happens at this tick to nodes and their control connections.
    fn strike(&mut self, roster: &mut Roster<'_>) {
        for index in 0..self.nodes.len() {
            let due = self.schedule.comes[index].0 == self.tick;
            let back = self.nodes[index].away_until == Some(self.tick);
            if (due || back) && !self.nodes[index].dead {
                self.nodes[index].here = true;
                self.connect(roster, index);
            }
        }
        let tick = self.tick;
        let schedule = self.schedule;
        for (_, index, fault) in schedule.faults.iter().copied().filter(|(at, ..)| *at == tick) {
            let node = &mut self.nodes[index];
            if node.dead || !node.here {
                continue;
            }
            match fault {
                Fault::Die => {
                    node.dead = true;
                    self.hang_up(roster, index);
                }
                Fault::Stall(ticks) => node.asleep_until = node.asleep_until.max(tick + ticks),
                Fault::Corrupt => node.corrupt = true,
                // Before the stream begins that is the end of it.
                Fault::HangUp(ticks) if node.begun && node.orders.is_some() => {
                    node.away_until = Some(tick + ticks);
                    self.hang_up(roster, index);
                }
                Fault::HangUp(_) => {}
            }
        }
    }

    fn connect(&mut self, roster: &mut Roster<'_>, index: usize) {
        let (orders, inbox) = mpsc::channel(16);
        self.lines += 1;
        let address = (Ipv4Addr::LOCALHOST, 1).into();
        let node = &mut self.nodes[index];
        (node.orders, node.line, node.away_until) = (Some(inbox), self.lines, None);
        // On a new connection everything is news.
        node.done_told = false;
        if let Some((_, told)) = &mut node.lost {
            *told = false;
        }
        roster.apply(Event::Joined(index, Line { number: self.lines, address, orders }, None));
    }

    fn hang_up(&mut self, roster: &mut Roster<'_>, index: usize) {
        if self.nodes[index].orders.take().is_some() {
            roster.apply(Event::Left(
                index,
                self.nodes[index].line,
                crate::frame::FrameError::Closed,
            ));
        }
    }

    /// Orders that came to a node.
    fn obey(&mut self, index: usize) {
        let Some(mut orders) = self.nodes[index].orders.take() else { return };
        while let Ok(message) = orders.try_recv() {
            let attach = match message {
                Message::Begin(begin) => begin.attach,
                Message::Attach(attach) => attach,
                _ => continue,
            };
            let name = attach.peer.name;
            let node = &mut self.nodes[index];
            node.peer = self.job.members.iter().position(|member| member.name == name);
            (node.begun, node.holds, node.lost, node.silent) = (true, attach.holds, None, 0);
            assert_ne!(node.peer, Some(index), "nobody gets blocks from itself");
        }
        self.nodes[index].orders = Some(orders);
    }

    /// Blocks that come to a node in this tick.
    fn flow(&mut self, index: usize) {
        let node = &self.nodes[index];
        if !node.begun || node.lost.is_some() || node.has == BLOCKS {
            return;
        }
        let (available, oldest) = match node.peer.map(|peer| (peer, &self.nodes[peer])) {
            None => (BLOCKS, 0),
            Some((_, peer)) if peer.dead => return self.lose(index, Cause::Unreachable),
            Some((peer, _)) if !self.is_awake(peer) || !self.nodes[peer].begun => {
                self.nodes[index].silent += 1;
                if self.nodes[index].silent >= PATIENCE {
                    self.lose(index, Cause::Silent);
                }
                return;
            }
            Some((_, peer)) => (peer.has, peer.has.saturating_sub(RING)),
        };
        self.nodes[index].silent = 0;
        let speed = SPEEDS[usize::from(self.schedule.comes[index].1)];
        let room = self.room(index);
        let node = &mut self.nodes[index];
        let count = available.saturating_sub(node.has).min(speed).min(room);
        if room < speed {
            node.held += u64::try_from(TICK.as_micros()).unwrap();
        }
        if count == 0 {
            return;
        }
        if std::mem::take(&mut node.corrupt) {
            node.corrupted += 1;
            return self.lose(index, Cause::Corrupt);
        }
        // What has left the ring comes from the server.
        if node.peer.is_none() || node.has < oldest {
            self.sent += count;
        }
        // Eighths of the tick.
        let share = u32::try_from(count * 8 / speed).unwrap();
        let node = &mut self.nodes[index];
        node.has += count;
        node.link.add(Pace::of(count * BLOCK, TICK * share / 8));
    }

    /// Blocks that fit before a successor would lose one.
    fn room(&self, index: usize) -> u64 {
        let holding = self.nodes.iter().filter(|one| {
            one.peer == Some(index) && one.begun && one.holds && !one.dead && one.unheard < KEPT
        });
        let slowest = holding.map(|one| one.has).min().unwrap_or(BLOCKS);
        (slowest + RING).saturating_sub(self.nodes[index].has)
    }

    fn lose(&mut self, index: usize, cause: Cause) {
        let node = &mut self.nodes[index];
        let peer = node.peer.map_or(SERVER, |peer| &self.job.members[peer].name);
        let loss = Loss {
            node: self.job.members[index].name.clone(),
            peer: peer.to_owned(),
            address: String::new(),
            block: node.has,
            offset: node.has * BLOCK,
            cause,
            why: String::new(),
        };
        node.lost = Some((loss, false));
    }

    /// What a node tells the server.
    fn report(&mut self, roster: &mut Roster<'_>, index: usize) {
        if self.nodes[index].orders.is_none() {
            return;
        }
        let node = &mut self.nodes[index];
        if let Some((loss, told @ false)) = &mut node.lost {
            *told = true;
            roster.apply(Event::Said(index, Message::Lost(loss.clone())));
        }
        let node = &mut self.nodes[index];
        let taken = node.has * BLOCK;
        if self.tick.is_multiple_of(3) && node.begun {
            let (link, held) = (node.link, node.held);
            let progress = Progress { taken, link, held, ..Progress::default() };
            roster.apply(Event::Said(index, Message::Progress(progress)));
        }
        if node.has == BLOCKS && !node.done_told {
            node.done_told = true;
            let (digest, stderr) = (self.digest.clone(), String::new());
            let done = Done { status: 0, stderr, taken, digest };
            roster.apply(Event::Said(index, Message::Done(done)));
        }
    }

    /// All of one tick.
    fn turn(&mut self, roster: &mut Roster<'_>) {
        self.strike(roster);
        let now = Instant::now();
        if roster.gathering().is_some_and(|at| at <= now) {
            roster.close_gathering();
        }
        roster.depart(now);
        for index in 0..self.nodes.len() {
            if !self.is_awake(index) {
                self.nodes[index].unheard += 1;
                continue;
            }
            self.nodes[index].unheard = 0;
            self.obey(index);
            self.flow(index);
            self.report(roster, index);
        }
        assert_no_circles(roster);
    }
}

/// From every member one comes to the server.
fn assert_no_circles(roster: &Roster<'_>) {
    for start in 0..roster.seats.len() {
        let (mut at, mut steps) = (roster.seats[start].parent, 0);
        while let Some(parent) = at {
            steps += 1;
            assert!(steps <= roster.seats.len(), "member {start} gets blocks from itself");
            at = roster.seats[parent].parent;
        }
    }
}

async fn check(schedule: &Schedule) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![7; usize::try_from(BLOCKS * BLOCK).unwrap()]).unwrap();
    let member = |index: usize| Member {
        name: format!("node{index}"),
        address: Ipv4Addr::LOCALHOST.into(),
        command: String::new(),
        group: String::new(),
        resumes: false,
    };
    let job = Broadcast {
        file: file.path().to_owned(),
        members: (0..schedule.nodes).map(member).collect(),
        server: (Ipv4Addr::LOCALHOST, 1).into(),
        deadline: Duration::from_secs(3600),
        timing: Timing::default(),
        block: usize::try_from(BLOCK).unwrap(),
        ring: usize::try_from(RING).unwrap(),
        shape: Shape { arity: schedule.arity },
        rate: None,
        total_rate: None,
        run: None,
        leaving: Arc::default(),
    };
    let feed = feed_of(&job).await;
    let digest = feed.digest().unwrap().to_owned();
    let pass = Arc::new(Mutex::new(Secret::random().unwrap()));
    let mut roster = Roster::new(&job, pass, feed, &|_, _| {});
    let nodes = (0..schedule.nodes).map(|_| Sim::default()).collect();
    let mut world = World { schedule, job: &job, digest, nodes, lines: 0, sent: 0, tick: 0 };
    while !roster.is_settled() {
        assert!(world.tick < LIMIT, "it hangs: {:?}", positions(&world));
        world.turn(&mut roster);
        world.tick += 1;
        tokio::time::advance(TICK).await;
    }
    let outcomes = roster.outcomes();
    for (index, (outcome, node)) in outcomes.iter().zip(&world.nodes).enumerate() {
        match outcome {
            Ok(()) => assert_eq!(node.has, BLOCKS, "member {index}"),
            // The server's own stream broke again and again at one block.
            Err(Failure::Stream(_)) => assert!(node.corrupted >= 3, "member {index}: {outcome:?}"),
            Err(_) => assert!(node.dead, "member {index}: {outcome:?}"),
        }
    }
    let apart = schedule.comes[..schedule.nodes].iter().filter(|one| one.0 > 0 || one.1).count();
    let most = BLOCKS * (2 + schedule.faults.len() + apart) as u64;
    assert!(world.sent <= most, "{} blocks were sent, {most} at most", world.sent);
}

/// Where everyone is, for who reads of a failure.
fn positions(world: &World<'_>) -> Vec<(u64, Option<usize>, bool, bool)> {
    world.nodes.iter().map(|one| (one.has, one.peer, one.dead, one.lost.is_some())).collect()
}

#[test]
fn two_hundred_schedules_of_faults_end_well() {
    let config = ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() };
    // The same ones each time.
    let random = proptest::test_runner::TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, random);
    let run = |schedule: Schedule| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(check(&schedule));
        Ok(())
    };
    runner.run(&schedules(), run).unwrap_or_else(|failure| panic!("{failure}"));
}
