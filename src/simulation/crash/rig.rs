//! One story: an operation of a service that is stopped somewhere, and what its successors
//! make of it.

use super::{
    case::{ANNA, Case},
    cut::{self, Cut, CutStore, Knife},
    ports::{self, Tape},
    story::Story,
};
use crate::{
    environments::FileRef,
    files::{Depot, Grabbed, Grabber, What},
    operations::{Asked, Means, Operations, Premises, Stream, Viewer},
    platform::sim::Hardware,
    simulation::{Place, Scenario, Stage},
    steps::{Turns, Windows},
    store::{Loss, MemoryDisk},
    types::{EventBody, Poll, Problem},
};
use cache::Digest;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

/// A story that takes longer, by its own clock, has a node that waits for ever.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// What happens after the end would happen within that time.
pub(super) const AFTERWARDS: Duration = Duration::from_secs(1800);

/// How long a service is away, by turns: a unit that is restarted at once, and a machine
/// that boots.
const AWAY: [Duration; 3] = [Duration::ZERO, Duration::from_secs(4), LONG];

/// Long enough for a machine to boot meanwhile, without our boot servers.
const LONG: Duration = Duration::from_secs(240);

/// How long a disk is full.
const FULL: Duration = Duration::from_secs(600);

/// Machines that boot in that many seconds: a fraction of the looks that usual ones cost.
const BOOT: f64 = 12.0;

pub(super) fn viewer() -> Viewer {
    Viewer { user: ANNA.into(), from: "::1".into(), almighty: false }
}

/// Files that are nothing but names, by the operations that hold them.
#[derive(Default)]
pub(super) struct Names(Mutex<BTreeSet<String>>);

impl Names {
    /// What holds files after the end, each in a line.
    pub(super) fn left(&self) -> Vec<String> {
        let held = self.0.lock().unwrap();
        held.iter().map(|wid| format!("{wid} holds files after its end")).collect()
    }
}

#[async_trait::async_trait]
impl Depot for Names {
    async fn look(&self, _: &Grabber, _: &What) -> Result<u64, Problem> {
        Ok(1)
    }

    async fn grab(&self, _: &Grabber, what: &What) -> Result<Grabbed, Problem> {
        let FileRef::Server(path) = &what.file else { panic!("{:?}", what.file) };
        self.0.lock().unwrap().insert(what.version.clone());
        Ok(Grabbed::lasting(path.into(), Digest::of(what.file.to_string().as_bytes())))
    }

    async fn grab_again(
        &self,
        grabber: &Grabber,
        what: &What,
        had: &Digest,
    ) -> Result<Grabbed, Problem> {
        let grabbed = self.grab(grabber, what).await?;
        assert_eq!(grabbed.digest(), *had);
        Ok(grabbed)
    }

    fn release(&self, wid: &str) {
        self.0.lock().unwrap().remove(wid);
    }

    fn tidy(&self) -> Result<(), Problem> {
        Ok(())
    }
}

/// Tells the story of `case` with a service that is stopped at each of `cuts` in turn, and
/// one that is not.
pub(super) fn tell(case: &Case, place: &Place, cuts: &[Cut]) -> Story {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(Box::pin(async {
        let hardware = Hardware { open: case.setting.open, ..Hardware::default() };
        let scenario = Scenario { hardware: hardware.booting_in(BOOT), ..Scenario::new(1, 3) };
        let mut stage = Stage::new(&scenario, place);
        let disk = case.setting.prepare(&mut stage).await;
        let told = timeout(LIMIT, Box::pin(Teller::new(case, &stage, disk).tell(cuts))).await;
        told.unwrap_or_else(|_| panic!("{} {cuts:?}: a node waits for ever", case.name))
    }))
}

/// Tells one story.
pub(super) struct Teller<'a> {
    pub(super) case: &'a Case,
    pub(super) stage: &'a Stage<'a>,
    pub(super) tape: Arc<Tape>,
    disk: MemoryDisk,
    wid: Option<String>,
    asked: Option<Instant>,
    /// Commits and commands of the first service until the client cancelled the operation.
    pub(super) before_cancel: Option<(u64, u64)>,
    pub(super) lines: Vec<String>,
    pub(super) wrong: Vec<String>,
    pub(super) ended: BTreeMap<String, usize>,
    pub(super) long: bool,
    pub(super) refused: Vec<Problem>,
}

/// One service.
pub(super) struct Life {
    knife: Arc<Knife>,
    pub(super) store: Arc<CutStore>,
    pub(super) operations: Operations,
    pub(super) files: Arc<Names>,
    stream: Stream,
}

impl<'a> Teller<'a> {
    fn new(case: &'a Case, stage: &'a Stage<'a>, disk: MemoryDisk) -> Self {
        Self {
            case,
            stage,
            tape: Arc::new(Tape::new(case.sick)),
            disk,
            wid: None,
            asked: None,
            before_cancel: None,
            lines: Vec::new(),
            wrong: Vec::new(),
            ended: BTreeMap::new(),
            long: false,
            refused: Vec::new(),
        }
    }

    async fn tell(mut self, cuts: &[Cut]) -> Story {
        let (mut points, mut stops) = ((0, 0), 0);
        let mut poll = None;
        for (number, cut) in cuts.iter().copied().chain([Cut::Never]).enumerate() {
            let Some(life) = self.start(cut, number).await else {
                self.stop(number, cut).await;
                stops += 1;
                continue;
            };
            let done = tokio::select! {
                biased;
                () = life.knife.fell() => None,
                poll = self.live(&life) => Some(poll),
            };
            if number == 0 {
                points = life.knife.counts();
            }
            if done.is_none() {
                self.read(&life, false);
                self.stop(number, cut).await;
                stops += 1;
                continue;
            }
            self.read(&life, true);
            poll = done.map(|poll| (poll, life));
            break;
        }
        let (poll, life) = poll.unwrap();
        self.end(poll, &life, points, stops).await
    }

    /// Starts a service; none if it was stopped before it was ready.
    async fn start(&mut self, cut: Cut, number: usize) -> Option<Life> {
        let knife = Arc::new(Knife::new(cut));
        let store = Arc::new(cut::open(&self.disk, &knife));
        let ports = self.stage.plug().unwrap();
        let stream = Stream::default();
        let windows = Windows {
            reboot: Semaphore::new(50),
            check: Semaphore::new(100),
            turns: Turns::new(self.stage.site.config.server.windows.reboot.quiet_time),
        };
        let files = Arc::new(Names::default());
        let means = Means {
            premises: Premises::new(
                Arc::clone(&self.stage.site),
                ports::cut(ports, (&knife, &store), &self.tape, number),
            ),
            store: Arc::clone(&store) as _,
            depot: Arc::clone(&files) as _,
            damage: None,
            windows: Arc::new(windows),
            stream: stream.clone(),
        };
        let operations = tokio::select! {
            biased;
            () = knife.fell() => return None,
            opened = Operations::open(means) => opened.unwrap(),
        };
        Some(Life { knife, store, operations, files, stream })
    }

    /// The service does its work; the client asks for the operation where it is not known.
    async fn live(&mut self, life: &Life) -> Poll {
        let kind = self.case.request.kind();
        let mut events = life.stream.listen();
        life.operations.go_on();
        let known = life.operations.list(kind, &viewer());
        self.wid = known.first().map(|poll| poll.wid.clone());
        if self.wid.is_none() {
            self.wid = Some(self.ask(life).await);
            self.asked = Some(Instant::now());
        }
        let wid = self.wid.clone().unwrap();
        let began = Instant::now();
        loop {
            while let Ok(told) = events.try_recv() {
                if let EventBody::NodeEnded { node, .. } = told.event.body {
                    *self.ended.entry(node).or_default() += 1;
                }
            }
            let poll = life.operations.poll(kind, &wid, &viewer());
            let poll = poll.unwrap();
            if poll.done {
                return poll;
            }
            self.cancel(life, &wid).await;
            sleep(Duration::from_secs(5)).await;
            if began.elapsed() > FULL {
                life.store.gate.heal();
            }
        }
    }

    /// Cancels the operation when it is time, once: another time would forget it, and its results
    /// with it. Where the service was stopped before it had written that down, it goes on.
    async fn cancel(&mut self, Life { operations, knife, .. }: &Life, wid: &str) {
        let (Some(after), Some(asked)) = (self.case.cancel, self.asked) else { return };
        if self.before_cancel.is_some() || asked.elapsed() < after {
            return;
        }
        self.before_cancel = Some(knife.counts());
        if let Err(problem) = operations.delete(self.case.kind(), wid, &viewer()).await {
            self.wrong.push(format!("it was not cancelled: {problem}"));
        }
    }

    /// Asks until the operation is accepted; its id.
    async fn ask(&mut self, Life { operations, store, .. }: &Life) -> String {
        loop {
            let asked = Asked { request: self.case.request.clone(), user: ANNA.into() };
            match operations.create(asked).await {
                Ok(created) => return created.unwrap().wid,
                Err(problem) => self.refused.push(problem),
            }
            sleep(FULL).await;
            store.gate.heal();
            assert!(self.refused.len() < 20, "{:?}", self.refused.last());
        }
    }

    /// Reads the messages as a client that was there before.
    fn read(&mut self, life: &Life, done: bool) {
        let Some(wid) = &self.wid else { return };
        let kind = self.case.request.kind();
        let Ok((lines, _)) = life.operations.logs_since(kind, wid, &viewer(), None, 0) else {
            return;
        };
        let lines: Vec<_> = lines.into_iter().map(|line| line.text).collect();
        if !lines.starts_with(&self.lines) {
            self.wrong.push(format!("messages were lost: {:?} after {lines:?}", self.lines));
        }
        self.lines = lines;
        if done && self.lines.is_empty() {
            self.wrong.push("there are no messages".to_owned());
        }
    }

    /// The service is gone: its disk has what was synced, and for a torn write some of the
    /// rest.
    async fn stop(&mut self, number: usize, cut: Cut) {
        self.stage.world.unplug();
        let (loss, turn) = match cut {
            Cut::TornCommit(at) => (Loss::Some(at), at),
            Cut::BeforeCommit(at) | Cut::AfterCommit(at) => (Loss::All, at),
            Cut::BeforeCommand(at) | Cut::DuringCommand(at) | Cut::AfterCommand(at) => {
                (Loss::All, at)
            }
            Cut::Never | Cut::FailedCommit(_) | Cut::FullFromCommit(_) => unreachable!(),
        };
        self.disk = self.disk.power_on(loss);
        let turn = usize::try_from(turn).unwrap() + number;
        let away = AWAY[turn % AWAY.len()];
        self.long |= away == LONG;
        sleep(away).await;
    }
}
