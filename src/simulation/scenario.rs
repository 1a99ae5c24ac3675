//! What a run depends on.

use crate::platform::sim::{Dice, FaultKind, Faults, Hardware};
use config::model::Method;
use serde::Serialize;

/// Everything that a run depends on, besides the site.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scenario {
    /// All that is chance follows from it.
    pub seed: u64,
    /// How many machines.
    pub nodes: u32,
    /// What goes wrong.
    pub faults: Faults,
    /// What the machines are like.
    pub hardware: Hardware,
    /// What is installed.
    pub images: Images,
    /// How the new system is booted.
    pub boot: Boot,
    /// The loader of the network; the site's own if none.
    #[serde(skip)]
    pub method: Option<Method>,
}

/// What is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Images {
    /// An archive of a root file system.
    Tar,
    /// The bytes of a partition.
    Partition,
}

/// How the new system is booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Boot {
    /// As the cluster's file says.
    Configured,
    /// Through the firmware.
    Firmware,
}

/// Most nodes of a drawn scenario, and of the common ones.
const SIZES: [u64; 3] = [8, 40, 200];

/// Highest rate of a fault of the server in a drawn scenario: a small deployment writes its
/// journal some two hundred times.
const MOST_OF_SERVER: f64 = 0.02;

impl Scenario {
    /// So many machines of the usual kind, nothing going wrong.
    pub fn new(seed: u64, nodes: u32) -> Self {
        Self {
            seed,
            nodes,
            faults: Faults::default(),
            hardware: Hardware::default(),
            images: Images::Tar,
            boot: Boot::Configured,
            method: None,
        }
    }

    /// A scenario drawn from its seed: half of them have at most 8 machines, one in fifty
    /// has 200; one in four has no faults, the others a mixture of many rare or a few
    /// frequent ones.
    pub fn drawn(seed: u64) -> Self {
        let mut dice = Dice::new(seed, "scenario");
        let most = match dice.roll() % 50 {
            0..25 => SIZES[0],
            25..49 => SIZES[1],
            _ => SIZES[2],
        };
        let nodes = if most == SIZES[2] { most } else { 1 + dice.roll() % most };
        let mut scenario = Self::new(seed, u32::try_from(nodes).unwrap_or(1));
        let mixture = dice.roll() % 4;
        for kind in FaultKind::ALL.iter().filter(|kind| !kind.is_of_server()) {
            let rate = match mixture {
                0 => 0.0,
                1 => dice.fraction() * 0.02,
                2 => dice.fraction() * 0.1,
                // Few kinds, but often.
                _ if dice.happens(0.15) => dice.fraction() * 0.5,
                _ => 0.0,
            };
            scenario.faults.set_rate(*kind, rate);
        }
        scenario.images = if dice.happens(0.3) { Images::Partition } else { Images::Tar };
        scenario.boot = if dice.happens(0.5) { Boot::Firmware } else { Boot::Configured };
        scenario.method = match dice.roll() % 4 {
            0 => Some(Method::PxeLinux),
            1 => Some(Method::GrubPxe),
            2 => Some(Method::GpxeLinux),
            _ => Some(Method::Ipxe),
        };
        // One in four has a server that fails now and then.
        if dice.roll().is_multiple_of(4) {
            for kind in FaultKind::ALL.iter().filter(|kind| kind.is_of_server()) {
                scenario.faults.set_rate(*kind, dice.fraction() * MOST_OF_SERVER);
            }
        }
        scenario
    }
}
