//! The machines, their clock and their luck.

use super::{
    audit::{Audit, Bounds},
    console::SimConsole,
    dice::Dice,
    disk::Image,
    faults::{FaultKind, Faults},
    keeper::Keeper,
    machine::{Around, Kept, Machine, Moment},
    net::{BootFile, Net},
    power::SimPower,
    settings::Hardware,
    shell::SimShell,
    sight::{SimPresence, SimProfiles},
    transfer::SimTransfer,
};
use crate::{
    nodes::Node,
    platform::{Here, Ports, Sighting, real::presence::PresenceHub, rendered::Profiles},
};
use config::{Cluster, Config};
use netboot::ProfileTable;
use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// The file of the repository that starts boot sectors.
pub(super) const CHAIN: &str = "chain.c32";

/// What kind of world it is.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Everything that is chance follows from it.
    pub seed: u64,
    /// How much faster than the clock time passes there.
    pub speed: u32,
    /// The machines.
    pub hardware: Hardware,
    /// What goes wrong.
    pub faults: Faults,
    /// What the service must not exceed, by the clock.
    pub bounds: Bounds,
    /// The machines' disk, `/dev/sda`.
    pub device: String,
    /// Kernel and initial ramdisk of the deployment system, in the boot repository.
    pub deployment: [String; 2],
    /// Kernel of a system whose root is on a file server; empty without one.
    pub nfsroot: String,
    /// Kernel parameter that lets the service into the deployment system; may be empty.
    pub key: String,
    /// Port of ssh.
    pub ssh_port: u16,
    /// Port that is open only in the deployment system.
    pub marker_port: u16,
}

impl Kind {
    /// The kind of world that `config` says its `cluster` is, with our key `key`.
    pub fn of(config: &Config, cluster: &Cluster, key: &str) -> Self {
        let (sim, ports) = (&cluster.sim, &config.server.network.ports);
        let windows = &config.server.windows;
        let deploy = &cluster.boot.kernels.deploy;
        // The rates of a configuration are chances, and its server is a real one.
        let faults = Faults::uniform(f64::from(sim.faults) / 1000.0).unwrap_or_default();
        Self {
            seed: sim.seed,
            speed: sim.speed,
            hardware: Hardware {
                open: sim.open,
                ..Hardware::default().booting_in(sim.boot_time.as_secs_f64())
            },
            faults,
            bounds: Bounds {
                quiet: windows.reboot.quiet_time,
                orders: windows.reboot.size as usize,
                probes: windows.check.size as usize,
            },
            device: match cluster.partitioning.block_device.as_str() {
                path if path.starts_with("/dev/") && !path.starts_with("/dev/disk/") => path.into(),
                _ => "/dev/sda".to_owned(),
            },
            deployment: [deploy.vmlinuz.clone(), deploy.initrd.clone()],
            nfsroot: cluster.boot.kernels.nfsroot.vmlinuz.clone().unwrap_or_default(),
            key: key.to_owned(),
            ssh_port: ports.ssh,
            marker_port: ports.test_deploy_env,
        }
    }
}

/// Simulated machines.
pub struct World {
    kind: Kind,
    epoch: Instant,
    addresses: BTreeMap<Ipv4Addr, String>,
    inner: Mutex<Inner>,
}

struct Inner {
    machines: BTreeMap<String, Machine>,
    net: Net,
    faults: Faults,
    images: BTreeMap<PathBuf, Arc<Image>>,
    audit: Audit,
    server: Server,
    hub: Option<Arc<PresenceHub>>,
    keeper: Option<Keeper>,
}

/// The machine that the service runs on.
struct Server {
    dice: Dice,
    /// How far its clock has jumped forward, and back.
    jumps: [Duration; 2],
}

/// What the clock of the server says at the beginning, since 1970.
const BEGINNING: Duration = Duration::from_secs(1_000_000_000);
/// By how much it jumps.
const JUMP: Duration = Duration::from_secs(3600);

/// A machine under the hand of a port, at one moment.
pub(super) struct Touch<'a> {
    pub(super) now: Moment,
    pub(super) machine: &'a mut Machine,
    pub(super) faults: &'a mut Faults,
    pub(super) hardware: &'a Hardware,
    pub(super) audit: &'a mut Audit,
}

impl Touch<'_> {
    /// Whether `kind` happens to this machine now.
    pub(super) fn strikes(&mut self, kind: FaultKind) -> bool {
        self.faults.strikes(kind, &mut self.machine.dice)
    }
}

impl World {
    /// A world of that kind with a machine for each of `nodes`. It begins now.
    pub fn new(kind: Kind, nodes: &[Arc<Node>]) -> Arc<Self> {
        Self::with(kind, nodes, Instant::now(), (None, BTreeMap::new()))
    }

    pub(super) fn with(
        kind: Kind,
        nodes: &[Arc<Node>],
        epoch: Instant,
        (keeper, mut kept): (Option<Keeper>, BTreeMap<String, Kept>),
    ) -> Arc<Self> {
        let [kernel, ramdisk] = &kind.deployment;
        let path = |file: &str| file.trim_start_matches('/').to_owned();
        let mut files = BTreeMap::from([
            (path(kernel), BootFile::Kernel),
            (path(ramdisk), BootFile::Ramdisk),
            (CHAIN.to_owned(), BootFile::Chain),
        ]);
        if !kind.nfsroot.is_empty() {
            files.insert(path(&kind.nfsroot), BootFile::Nfsroot);
        }
        let net = Net::new(files, kind.key.clone());
        let (mut faults, mut seen) = (kind.faults.clone(), Vec::new());
        let machine = |node: &Arc<Node>| {
            let (faults, seen) = (&mut faults, &mut seen);
            let mut around = Around { net: &net, faults, hardware: &kind.hardware, seen };
            let mut machine = Machine::new(Arc::clone(node), kind.seed, &kind.device, &mut around);
            if let Some(kept) = kept.remove(&node.name) {
                machine.restore(kept);
            }
            (node.name.clone(), machine)
        };
        // All at once: a tree that grows in order has nodes that are half empty.
        let machines: BTreeMap<_, _> = nodes.iter().map(machine).collect();
        let addresses = nodes.iter().map(|node| (node.address, node.name.clone())).collect();
        let quiet = kind.bounds.quiet * kind.speed.max(1);
        let audit = Audit::new(Bounds { quiet, ..kind.bounds });
        let images = BTreeMap::new();
        let server = Server { dice: Dice::new(kind.seed, "server"), jumps: [Duration::ZERO; 2] };
        let inner = Inner { machines, net, faults, images, audit, server, hub: None, keeper };
        Arc::new(Self { kind, epoch, addresses, inner: Mutex::new(inner) })
    }

    /// Connects a service, in place of one before: its boot servers answer from `table`, which
    /// `profiles` fills, and what they see goes to `hub`.
    pub fn plug(
        self: &Arc<Self>,
        profiles: &Arc<Profiles>,
        table: &Arc<ProfileTable>,
        hub: &Arc<PresenceHub>,
    ) -> Ports {
        self.answer(profiles, table);
        self.connect(profiles, hub)
    }

    /// Connects a service whose boot servers do not answer yet.
    pub fn connect(self: &Arc<Self>, profiles: &Arc<Profiles>, hub: &Arc<PresenceHub>) -> Ports {
        self.settled().hub = Some(Arc::clone(hub));
        Ports {
            power: Arc::new(SimPower::new(self)),
            shell: Arc::new(SimShell::new(self)),
            transfer: Arc::new(SimTransfer::new(self)),
            presence: Arc::new(SimPresence::new(self, hub)),
            profiles: Arc::new(SimProfiles::new(self, profiles)),
            console: Arc::new(SimConsole(Arc::clone(self))),
            server: Arc::new(Here),
        }
    }

    /// From now on its boot servers answer.
    pub fn answer(&self, profiles: &Arc<Profiles>, table: &Arc<ProfileTable>) {
        self.settled().net.plug(Some((Arc::clone(profiles), Arc::clone(table))));
    }

    /// The service is gone: its boot servers answer nobody.
    pub fn unplug(&self) {
        let mut inner = self.settled();
        inner.net.plug(None);
        inner.hub = None;
    }

    /// Says what the file at `path` on the server holds, or each file below it. Of one that nobody described only
    /// its size is known; every file that is looked for is then taken to be in it.
    pub fn describe(&self, path: impl Into<PathBuf>, image: Image) {
        self.inner().images.insert(path.into(), Arc::new(image));
    }

    /// The books.
    pub fn audit<T>(&self, look: impl FnOnce(&mut Audit) -> T) -> T {
        look(&mut self.inner().audit)
    }

    /// Whether a fault of the server happens now.
    pub fn strikes(&self, kind: FaultKind, dice: &mut Dice) -> bool {
        self.inner().faults.strikes(kind, dice)
    }

    /// Digest of the image that a node runs from its disk now, if it runs one.
    pub fn runs(&self, node: &str) -> Option<String> {
        self.touch(node, |touch| touch.machine.runs().map(str::to_owned)).flatten()
    }

    /// Whether a node that booted from the network now would get into the deployment system.
    pub fn boots_deployment(&self, node: &str) -> bool {
        let inner = self.inner();
        let machine = inner.machines.get(node);
        machine.is_some_and(|machine| inner.net.boots_deployment(&machine.node))
    }

    /// Puts a node into the deployment system, past its firmware and its loader.
    pub fn put_into_deployment(&self, node: &str) {
        self.touch(node, |touch| touch.machine.put_into_deployment());
    }

    /// The partitions of a node's disk by number: what for, MiB, and what is on it (`swap`, a
    /// filesystem, `blank`, or `image` where one was written as it is).
    pub fn layout(&self, node: &str) -> Vec<String> {
        self.touch(node, |touch| touch.machine.layout()).unwrap_or_default()
    }

    /// Where a node has filesystems mounted, in the deployment system.
    pub fn mounted(&self, node: &str) -> Vec<String> {
        self.touch(node, |touch| touch.machine.mounted()).unwrap_or_default()
    }

    /// Whether the user gets in with his keys: into the deployment system that a node runs now, and
    /// into the image on its disk.
    pub fn keys(&self, node: &str) -> [bool; 2] {
        self.touch(node, |touch| touch.machine.keys()).unwrap_or_default()
    }

    /// Somebody puts an empty disk with that serial number in place of a node's own.
    pub fn swap_disk(&self, node: &str, serial: &str) {
        self.touch(node, |touch| touch.machine.swap_disk(serial.to_owned()));
    }

    /// The last lines on a node's console, oldest first.
    pub fn console(&self, node: &str) -> Vec<String> {
        let lines = |touch: Touch<'_>| touch.machine.console().map(str::to_owned).collect();
        self.touch(node, lines).unwrap_or_default()
    }

    /// How many lines a node has printed on its console, and those of the last ones that came
    /// after `heard` of them.
    pub(super) fn said(&self, node: &str, heard: u64) -> (u64, Vec<String>) {
        let look = |touch: Touch<'_>| {
            let (said, lines) = touch.machine.said(heard);
            (said, lines.map(str::to_owned).collect())
        };
        self.touch(node, look).unwrap_or_default()
    }

    /// Time since the world began.
    pub fn now(&self) -> Moment {
        self.epoch.elapsed() * self.kind.speed.max(1)
    }

    /// What the clock of the server says, since 1970; it may jump now. Time that is waited for
    /// is not by this clock.
    pub fn wall_clock(&self) -> Duration {
        let now = BEGINNING + self.now();
        let inner = &mut *self.inner();
        let Server { dice, jumps: [forward, back] } = &mut inner.server;
        if inner.faults.strikes(FaultKind::ClockJumps, dice) {
            *if dice.happens(0.5) { &mut *forward } else { &mut *back } += JUMP;
        }
        (now + *forward).saturating_sub(*back)
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The node at an address.
    pub(super) fn at(&self, address: Ipv4Addr) -> Option<&str> {
        self.addresses.get(&address).map(String::as_str)
    }

    /// When, by the clock, that moment of the world is past.
    pub(super) fn instant(&self, moment: Moment) -> Instant {
        let speed = u128::from(self.kind.speed.max(1));
        // Rounded up: whoever wakes then finds the moment past.
        let nanos = moment.as_nanos().div_ceil(speed);
        self.epoch + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    pub(super) async fn sleep_until(&self, moment: Moment) {
        sleep_until(self.instant(moment)).await;
    }

    /// Looks at a machine, or changes it, now; none where there is no such machine.
    pub(super) fn touch<T>(&self, node: &str, hand: impl FnOnce(Touch<'_>) -> T) -> Option<T> {
        let now = self.now();
        let inner = &mut *self.inner();
        inner.advance(self, node, now);
        let machine = inner.machines.get_mut(node)?;
        let (faults, audit, hardware) = (&mut inner.faults, &mut inner.audit, &self.kind.hardware);
        let touched = hand(Touch { now, machine, faults, hardware, audit });
        if let (Some(keeper), Some(machine)) = (&mut inner.keeper, inner.machines.get(node)) {
            keeper.keep(machine);
        }
        Some(touched)
    }

    /// What the file at `path` holds.
    pub(super) async fn image(&self, path: &Path) -> Arc<Image> {
        let known = {
            let images = &self.inner().images;
            path.ancestors().find_map(|path| images.get(path).cloned())
        };
        match known {
            Some(image) => image,
            None => Arc::new(unknown(path).await),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All machines as they are now: what they would have looked at may change afterwards.
    fn settled(&self) -> MutexGuard<'_, Inner> {
        let now = self.now();
        let mut inner = self.inner();
        let names: Vec<String> = inner.machines.keys().cloned().collect();
        for name in names {
            inner.advance(self, &name, now);
        }
        inner
    }
}

impl Inner {
    fn advance(&mut self, world: &World, node: &str, now: Moment) {
        let Some(machine) = self.machines.get_mut(node) else { return };
        let mut seen = Vec::new();
        let (net, faults, hardware) = (&self.net, &mut self.faults, &world.kind.hardware);
        machine.advance(now, &mut Around { net, faults, hardware, seen: &mut seen });
        let Some(hub) = &self.hub else { return };
        for (at, request) in seen {
            let (witness, what, at) = (request.witness, request.what, world.instant(at));
            hub.saw(Sighting { node: node.to_owned(), witness, what, at });
        }
    }
}

/// A file nobody described.
async fn unknown(path: &Path) -> Image {
    let bytes = tokio::fs::metadata(path).await.map_or(0, |file| file.len());
    let mib = bytes.div_ceil(1 << 20);
    Image::unknown(path.display().to_string(), mib)
}
