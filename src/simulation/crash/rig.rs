//! One story: an operation of a service that is stopped somewhere, and what its successors
//! make of it.

use super::{
    cut::{self, Cut, CutStore, Knife},
    ports::{self, Deed, Sick, Tape},
};
use crate::{
    environments::FileRef,
    files::{Depot, Grabbed, Grabber, What},
    nodes::{Node, Selection},
    operations::{Asked, Means, Operations, Premises, Request, Stream, Viewer},
    platform::{PowerState, Reach, sim::Hardware},
    simulation::{Place, Scenario, Stage, stage::IMAGE},
    steps::{Turns, Windows},
    store::{JournalRecord, Loss, MemoryDisk, NodeRecord, Store},
    types::{Common, DeployRequest, EnvironmentChoice, EventBody, Kind, NodeStatus, Poll, Problem},
};
use cache::Digest;
use serde_json::json;
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

/// A story that takes longer, by its own clock, has a node that waits for ever.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// What happens after the end would happen within that time.
const AFTERWARDS: Duration = Duration::from_secs(1800);

/// How long a service is away, by turns: a unit that is restarted at once, and a machine
/// that boots.
const AWAY: [Duration; 3] = [Duration::ZERO, Duration::from_secs(4), LONG];

/// Long enough for a machine to boot meanwhile, without our boot servers.
const LONG: Duration = Duration::from_secs(240);

/// How long a disk is full.
const FULL: Duration = Duration::from_secs(600);

/// Machines that boot in that many seconds: a fraction of the looks that usual ones cost.
const BOOT: f64 = 12.0;

/// What a story is about.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) request: Request,
    pub(super) sick: Option<Sick>,
    /// It is cancelled so long after it was asked for.
    pub(super) cancel: Option<Duration>,
}

/// What happened.
pub(super) struct Story {
    /// Commits and commands of the first service.
    pub(super) points: (u64, u64),
    /// How many of them were before the operation was cancelled.
    pub(super) cancelled: (u64, u64),
    /// Services that were stopped.
    pub(super) stops: usize,
    /// One of them was away for so long that machines booted meanwhile.
    pub(super) long: bool,
    /// What requests were refused for.
    pub(super) refused: Vec<Problem>,
    /// Why it broke off.
    pub(super) error: Option<Problem>,
    /// Nodes that ended well, and those that did not.
    pub(super) ok: Vec<String>,
    pub(super) ko: Vec<String>,
    /// By node: why it failed.
    pub(super) reasons: BTreeMap<String, String>,
    /// What was done to the nodes.
    pub(super) deeds: Vec<Deed>,
    pub(super) poll: Poll,
    pub(super) journal: Vec<JournalRecord>,
    pub(super) nodes: Vec<NodeRecord>,
    /// By node: what it is in.
    pub(super) states: BTreeMap<String, Is>,
    /// By node: what it runs, whether it is left booting the deployment system, and how often
    /// a service told that it had ended.
    pub(super) ends: BTreeMap<String, (Option<String>, bool, usize)>,
    /// What was found wrong on the way.
    pub(super) wrong: Vec<String>,
    /// The messages.
    pub(super) lines: Vec<String>,
}

/// What a machine is in, as nobody but the simulation knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    Off,
    InDeploymentSystem,
    Runs,
    Elsewhere,
}

/// A deployment as a user asks for it.
pub(super) fn deployment() -> Request {
    let fields = json!({
        "name": "simulated", "os": "linux", "filesystem": "ext4",
        "image": {"file": format!("server://{IMAGE}"), "kind": "tar", "compression": "gzip"},
        "boot": {"kernel": "/vmlinuz", "initrd": "/initrd.img"},
    });
    let fields = fields.as_object().unwrap().clone();
    Request::Deploy(Box::new(DeployRequest {
        common: common(),
        environment: Some(EnvironmentChoice { kind: Some("anonymous".into()), user: None, fields }),
        ssh_authorized_keys: Some("server:///simulated/keys".into()),
        ..DeployRequest::default()
    }))
}

/// Of all three nodes, with every message.
pub(super) fn common() -> Common {
    let nodes = vec!["node-[1-3].sim".to_owned()];
    Common { nodes, verbose_level: Some(5), ..Common::default() }
}

fn viewer() -> Viewer {
    Viewer { user: "anna".into(), from: "::1".into(), almighty: false }
}

/// Files that are nothing but names.
struct Names;

#[async_trait::async_trait]
impl Depot for Names {
    async fn look(&self, _: &Grabber, _: &What) -> Result<u64, Problem> {
        Ok(1)
    }

    async fn grab(&self, _: &Grabber, what: &What) -> Result<Grabbed, Problem> {
        let FileRef::Server(path) = &what.file else { panic!("{:?}", what.file) };
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

    fn release(&self, _: &str) {}

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
        let hardware = Hardware::default().booting_in(BOOT);
        let scenario = Scenario { hardware, ..Scenario::new(1, 3) };
        let stage = Stage::new(&scenario, place);
        let told = timeout(LIMIT, Box::pin(Teller::new(case, &stage).tell(cuts))).await;
        told.unwrap_or_else(|_| panic!("{} {cuts:?}: a node waits for ever", case.name))
    }))
}

/// Tells one story.
struct Teller<'a> {
    case: &'a Case,
    stage: &'a Stage<'a>,
    tape: Arc<Tape>,
    disk: MemoryDisk,
    wid: Option<String>,
    asked: Option<Instant>,
    /// Commits and commands of the first service until the client cancelled the operation.
    before_cancel: Option<(u64, u64)>,
    lines: Vec<String>,
    wrong: Vec<String>,
    ended: BTreeMap<String, usize>,
    long: bool,
    refused: Vec<Problem>,
}

/// One service.
struct Life {
    knife: Arc<Knife>,
    store: Arc<CutStore>,
    operations: Operations,
    stream: Stream,
}

impl<'a> Teller<'a> {
    fn new(case: &'a Case, stage: &'a Stage<'a>) -> Self {
        Self {
            case,
            stage,
            tape: Arc::new(Tape::new(case.sick)),
            disk: MemoryDisk::new(),
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
        let means = Means {
            premises: Premises::new(
                Arc::clone(&self.stage.site),
                ports::cut(ports, (&knife, &store), &self.tape, number),
            ),
            store: Arc::clone(&store) as _,
            depot: Arc::new(Names),
            damage: None,
            windows: Arc::new(windows),
            stream: stream.clone(),
        };
        let operations = tokio::select! {
            biased;
            () = knife.fell() => return None,
            opened = Operations::open(means) => opened.unwrap(),
        };
        Some(Life { knife, store, operations, stream })
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
            let asked = Asked { request: self.case.request.clone(), user: "anna".into() };
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
        let Ok((lines, _)) = life.operations.logs_since(kind, wid, &viewer(), 0) else { return };
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

    async fn end(mut self, poll: Poll, life: &Life, points: (u64, u64), stops: usize) -> Story {
        let Selection { nodes, .. } = self.stage.site.inventory.select(&common().nodes).unwrap();
        self.stage.world.audit(|audit| nodes.iter().for_each(|node| audit.close(&node.name)));
        let before = self.tape.deeds.lock().unwrap().len();
        sleep(AFTERWARDS).await;
        let deeds = self.tape.deeds.lock().unwrap().clone();
        if deeds.len() > before {
            self.wrong.push(format!("done after the end: {:?}", &deeds[before..]));
        }
        let violations = self.stage.world.audit(|audit| audit.violations().to_vec());
        self.wrong.extend(violations);
        let world = &self.stage.world;
        let end = |name: &str| {
            let ended = self.ended.get(name).copied().unwrap_or_default();
            (world.runs(name), world.boots_deployment(name), ended)
        };
        let mut states = BTreeMap::new();
        for node in &nodes {
            states.insert(node.name.clone(), is(self.stage, node).await);
        }
        let kind = self.case.kind();
        let state = life.operations.state(kind, &poll.wid, &viewer()).unwrap();
        let (ko, ok): (Vec<_>, Vec<_>) = state.iter().partition(|(_, status)| status.state == "ko");
        let names = |list: Vec<(&String, &NodeStatus)>| {
            list.into_iter().map(|(name, _)| name.clone()).collect()
        };
        let (ok, ko) = (names(ok), names(ko));
        let reasons = state.into_iter().filter_map(|(node, status)| Some((node, status.error?)));
        Story {
            points,
            cancelled: self.before_cancel.unwrap_or_default(),
            states,
            stops,
            long: self.long,
            refused: self.refused,
            error: life.operations.error(kind, &poll.wid, &viewer()).unwrap(),
            ok,
            ko,
            reasons: reasons.collect(),
            ends: nodes.iter().map(|node| (node.name.clone(), end(&node.name))).collect(),
            deeds,
            journal: life.store.journal(&poll.wid, 0, usize::MAX).await.unwrap(),
            nodes: life.store.nodes().await.unwrap(),
            poll,
            wrong: self.wrong,
            lines: self.lines,
        }
    }
}

/// What a machine is in.
async fn is(stage: &Stage<'_>, node: &Node) -> Is {
    if stage.world.runs(&node.name).is_some() {
        return Is::Runs;
    }
    let ports = stage.plug().unwrap();
    if ports.power.status(node, Duration::from_secs(60)).await == Ok(PowerState::Off) {
        return Is::Off;
    }
    let marker = stage.site.config.server.network.ports.test_deploy_env;
    let at = SocketAddr::new(IpAddr::V4(node.address), marker);
    match ports.presence.probe(at, Duration::from_secs(1)).await {
        Reach::Open => Is::InDeploymentSystem,
        _ => Is::Elsewhere,
    }
}

impl Case {
    pub(super) fn kind(&self) -> Kind {
        self.request.kind()
    }
}
