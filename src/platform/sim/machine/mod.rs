//! One simulated machine: a state machine without a clock of its own.
//!
//! [`Machine::advance`] brings it to a moment: everything that was due until then happens,
//! in order. Nothing is scheduled; whoever looks at a machine or changes what it could look
//! at advances it first. So a machine costs nothing while nobody looks, and what it does
//! depends on its own luck and on what it was told, never on who watched.
//!
//! * `boot` – from power to a running system
//! * `commands`, `files` – what the deployment system does with errands
//! * `screen` – what it has printed
//! * `disk_of_before` – what is on a disk at the beginning
//! * `agenda` – orders and errands that take effect later
//! * `kept` – what of it outlives the process
//! * this file – the state, and what is seen of it

mod agenda;
mod boot;
mod commands;
mod disk_of_before;
mod files;
mod kept;
mod screen;
#[cfg(test)]
mod tests;

use super::{
    dice::{Dice, Span},
    disk::{Content, Disk, Filesystem, Grub, Image, Partition, PartitionKind, Tree},
    faults::{FaultKind, Faults},
    net::{Net, Request},
    settings::Hardware,
};
use crate::{
    nodes::{Firmware, Node},
    platform::{PowerState, Reach, Witness, boot_id::BootId},
};
pub(super) use agenda::{Answer, Work};
use disk_of_before::{OLD_DIGEST, OLD_ROOT, factory_disk, install};
pub(super) use kept::Kept;
use litemap::LiteMap;
use screen::Screen;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Time since the world began.
pub(super) type Moment = Duration;

/// Size of a disk that is too small for any layout, MiB.
const SMALL_DISK: u64 = 2048;

/// A machine.
pub(super) struct Machine {
    pub(super) node: Arc<Node>,
    pub(super) dice: Dice,
    pub(super) state: State,
    /// When the state changes by itself.
    next: Option<Moment>,
    pub(super) disk: Disk,
    memory_mib: u64,
    /// Systems on its disk let the service in.
    open: bool,
    /// Its BMC has another password than we.
    pub(super) wrong_password: bool,
    seed: u64,
    boots: u64,
    /// What takes effect later, in order.
    pending: LiteMap<(Moment, u64), Work>,
    answers: LiteMap<u64, Answer>,
    unwanted: BTreeSet<u64>,
    serial: u64,
    screen: Screen,
}

/// What is around a machine when it is advanced.
pub(super) struct Around<'a> {
    pub(super) net: &'a Net,
    pub(super) faults: &'a mut Faults,
    pub(super) hardware: &'a Hardware,
    pub(super) seen: &'a mut Vec<(Moment, Request)>,
}

impl Around<'_> {
    /// A boot server is asked for `what`.
    fn saw(&mut self, at: Moment, witness: Witness, what: &str) {
        self.seen.push((at, Request { witness, what: what.to_owned() }));
    }
}

/// Where a machine is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    Off,
    Firmware,
    /// So many requests were lost.
    Dhcp(u32),
    /// Reads its profile; so many requests were lost. One that is kept begins anew with DHCP.
    #[serde(skip)]
    Loader(crate::platform::rendered::Start, u32),
    /// Its kernel starts what will run.
    Kernel(System),
    Running(System),
    Panic(String),
    /// Waits for somebody in front of it.
    Stuck(String),
}

/// A system that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum System {
    Deployment(Memory),
    /// With the root on this partition, of the image with this digest.
    Installed {
        partition: u32,
        digest: String,
        memory: Memory,
    },
}

/// What the deployment system holds in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// The service may log in.
    admits_us: bool,
    keys: bool,
    /// Partition by directory.
    mounts: BTreeMap<String, u32>,
    /// Images unpacked where nothing was mounted.
    loose: BTreeMap<String, Tree>,
    /// Directories into which an archive was unpacked.
    archives: BTreeSet<String>,
    /// The partition that it runs from, if it runs from one.
    root: Option<u32>,
    /// Files that were stored.
    files: BTreeMap<String, Arc<Image>>,
    /// Ids of the tickets that were used.
    tickets: BTreeSet<String>,
}

impl Machine {
    /// A machine at the beginning of the world: on and running what somebody installed once,
    /// or, one in five, off.
    pub(super) fn new(node: Arc<Node>, seed: u64, device: &str, around: &mut Around<'_>) -> Self {
        let mut dice = Dice::new(seed, &node.name);
        let small = around.faults.strikes(FaultKind::DiskSmall, &mut dice);
        let wrong_password = around.faults.strikes(FaultKind::BmcCredentials, &mut dice);
        let mib = if small { SMALL_DISK } else { around.hardware.disk_mib };
        let serial = format!("SIM{:016X}", Dice::new(seed, &format!("{} disk", node.name)).roll());
        let disk = Disk::new(device.to_owned(), serial, mib);
        let disk = factory_disk(disk, node.firmware, around.hardware.open);
        let open = around.hardware.open;
        let memory = Memory { admits_us: open, root: Some(OLD_ROOT), ..Memory::default() };
        let old = System::Installed { partition: OLD_ROOT, digest: OLD_DIGEST.to_owned(), memory };
        let off = dice.happens(0.2);
        Self {
            state: if off { State::Off } else { State::Running(old) },
            node,
            dice,
            next: None,
            disk,
            memory_mib: around.hardware.memory_mib,
            open,
            wrong_password,
            seed,
            boots: 1,
            pending: LiteMap::new(),
            answers: LiteMap::new(),
            unwanted: BTreeSet::new(),
            serial: 0,
            screen: Screen::default(),
        }
    }

    /// Somebody puts an empty disk of that serial number in place of the one it has.
    pub(super) fn swap_disk(&mut self, serial: String) {
        self.disk = Disk::new(self.disk.device.clone(), serial, self.disk.mib);
    }

    /// What its BMC sees.
    pub(super) fn power(&self) -> PowerState {
        if self.state == State::Off { PowerState::Off } else { PowerState::On }
    }

    /// How its ports answer: that of ssh, or the one that is open in the deployment system only.
    pub(super) fn reach(&self, marker: bool) -> Reach {
        match &self.state {
            State::Running(System::Installed { .. }) if marker => Reach::Refused,
            State::Running(_) => Reach::Open,
            _ => Reach::Silent,
        }
    }

    /// Whether the service may log in.
    pub(super) fn admits_us(&self) -> bool {
        let State::Running(System::Deployment(memory) | System::Installed { memory, .. }) =
            &self.state
        else {
            return false;
        };
        memory.admits_us
    }

    /// How many tickets were used in this boot.
    pub(super) fn tickets(&self) -> usize {
        match &self.state {
            State::Running(System::Deployment(memory) | System::Installed { memory, .. }) => {
                memory.tickets.len()
            }
            _ => 0,
        }
    }

    /// The deployment system runs, however it came there.
    pub(super) fn put_into_deployment(&mut self) {
        let memory = Memory { admits_us: true, ..Memory::default() };
        self.state = State::Running(System::Deployment(memory));
    }

    /// Its disk, for people.
    pub(super) fn layout(&self) -> Vec<String> {
        self.disk.layout()
    }

    /// Where filesystems are mounted, in the deployment system.
    pub(super) fn mounted(&self) -> Vec<String> {
        match &self.state {
            State::Running(System::Deployment(memory)) => memory.mounts.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// Whether the user gets in with his keys: into the deployment system that it runs now, and
    /// into the image on its disk.
    pub(super) fn keys(&mut self) -> [bool; 2] {
        let now = matches!(&self.state, State::Running(System::Deployment(memory)) if memory.keys);
        [now, self.disk.has_keys()]
    }

    /// Number of the boot it is in; none while no system runs.
    pub(super) fn boot(&self) -> Option<u64> {
        matches!(self.state, State::Running(_)).then_some(self.boots)
    }

    /// Digest of the image that it runs from its disk.
    pub(super) fn runs(&self) -> Option<&str> {
        match &self.state {
            State::Running(System::Installed { digest, .. }) => Some(digest),
            _ => None,
        }
    }

    /// The last lines on its console, oldest first.
    pub(super) fn console(&self) -> impl Iterator<Item = &str> {
        self.screen.lines()
    }

    /// How many lines it has printed, and the last ones that came after `heard` of them.
    pub(super) fn said(&self, heard: u64) -> (u64, impl Iterator<Item = &str>) {
        (self.screen.printed, self.screen.after(heard))
    }

    fn say(&mut self, at: Moment, text: &str) {
        self.screen.print(at, text);
    }

    /// The id that its kernel tells of this boot.
    fn boot_id(&self) -> BootId {
        let name = format!("{}/{}", self.node.name, self.boots);
        let mut dice = Dice::new(self.seed, &name);
        // Never nil: one bit is set.
        BootId::from_pair(dice.roll() | 1, dice.roll())
    }

    /// Whatever ran is gone, and what was not on the disk with it.
    fn stop(&mut self) {
        self.disk.drop_unwritten();
        self.state = State::Off;
        self.next = None;
    }
}
