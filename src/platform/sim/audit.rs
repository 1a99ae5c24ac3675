//! What was done to each node, and what must never happen.

use super::machine::Moment;
use crate::{nodes::Node, platform::Errand};
use std::collections::{BTreeMap, BTreeSet};

/// What the service did to one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Deeds {
    /// Orders to its BMC or, soft ones, to its system.
    pub power: u64,
    /// Errands.
    pub errands: u64,
    /// Broadcasts it took part in.
    pub transfers: u64,
    /// Boot profiles written.
    pub profiles: u64,
}

impl std::iter::Sum for Deeds {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            power: sum.power + one.power,
            errands: sum.errands + one.errands,
            transfers: sum.transfers + one.transfers,
            profiles: sum.profiles + one.profiles,
        })
    }
}

/// The books of a world.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    deeds: BTreeMap<String, Deeds>,
    bounds: Bounds,
    orders: usize,
    probes: usize,
    /// By node and by BMC.
    lines: BTreeMap<String, Line>,
    closed: BTreeSet<String>,
    violations: Vec<String>,
}

/// A node or a BMC.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    /// Orders.
    under_way: u32,
    /// Until when it is to be left alone.
    rests: Option<Moment>,
}

impl Audit {
    /// Empty books of a world in which those bounds are to be kept.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// What was done to each node.
    pub fn deeds(&self) -> &BTreeMap<String, Deeds> {
        &self.deeds
    }

    /// What happened that must never happen.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Nothing more is to be done to `node` until it is opened again.
    pub fn close(&mut self, node: &str) {
        self.closed.insert(node.to_owned());
    }

    /// The node takes part in something again.
    pub fn open(&mut self, node: &str) {
        self.closed.remove(node);
    }

    /// The deeds of `node`, about to be added to: what `what` names must be allowed now.
    pub(super) fn doing(&mut self, node: &str, what: &str) -> &mut Deeds {
        if self.closed.contains(node) {
            self.violations.push(format!("{what} of {node} after it was settled"));
        }
        self.deeds.entry(node.to_owned()).or_default()
    }

    /// `node` is sent on an errand. Afterwards it may be looked at, and what is left there of one that
    /// failed be ended.
    pub(super) fn errand(&mut self, node: &str, errand: &Errand) {
        if matches!(errand, Errand::Tidy { .. } | Errand::BootId) {
            self.deeds.entry(node.to_owned()).or_default().errands += 1;
        } else {
            self.doing(node, "an errand").errands += 1;
        }
    }

    /// `node` gets a boot profile; one that boots its own disk may get that again at any time.
    pub(super) fn profile(&mut self, node: &str, network: bool) {
        if network {
            self.doing(node, "a profile that boots the network").profiles += 1;
        } else {
            self.deeds.entry(node.to_owned()).or_default().profiles += 1;
        }
    }

    /// An order to the BMC of `node` begins, or a soft one to its system.
    pub(super) fn order(&mut self, node: &Node, what: &str, now: Moment) {
        self.doing(&node.name, what).power += 1;
        self.order_by_errand(node, what, now);
    }

    /// An order begins that is an errand, and counted as such: one after which the node boots.
    pub(super) fn order_by_errand(&mut self, node: &Node, what: &str, now: Moment) {
        self.orders += 1;
        if self.orders > self.bounds.orders {
            let text = format!("{what} of {} while {} were under way", node.name, self.orders - 1);
            self.violations.push(text);
        }
        for name in lines(node) {
            let line = self.lines.entry(name.clone()).or_default();
            line.under_way += 1;
            if line.under_way > 1 {
                let text = format!("{what} of {name} while another order was under way");
                self.violations.push(text);
            }
            if let Some(rests) = line.rests.filter(|rests| now < *rests) {
                let early = rests.saturating_sub(now).as_secs_f64();
                let text = format!("{what} of {name}, {early} s before its quiet period was over");
                self.violations.push(text);
            }
        }
    }

    /// A liveness test of `address` begins.
    pub(super) fn probe(&mut self, address: std::net::SocketAddr) {
        self.probes += 1;
        if self.probes > self.bounds.probes {
            let text = format!("a test of {address} while {} were under way", self.probes - 1);
            self.violations.push(text);
        }
    }

    /// A liveness test is over, or nobody waits for it any more.
    pub(super) fn probed(&mut self) {
        self.probes = self.probes.saturating_sub(1);
    }

    /// An order to `node` is over, or nobody waits for it any more. It was accepted at
    /// `accepted`, if at all.
    pub(super) fn ordered(&mut self, node: &Node, accepted: Option<Moment>) {
        self.orders = self.orders.saturating_sub(1);
        for name in lines(node) {
            let line = self.lines.entry(name).or_default();
            line.under_way = line.under_way.saturating_sub(1);
            line.rests = accepted.map(|at| at + self.bounds.quiet).or(line.rests);
        }
    }
}

/// What must not be exceeded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// How long a machine and its BMC are to be left alone after an order.
    pub quiet: Moment,
    /// Orders under way at once.
    pub orders: usize,
    /// Liveness tests under way at once.
    pub probes: usize,
}

/// What orders to `node` keep busy.
fn lines(node: &Node) -> impl Iterator<Item = String> {
    let bmc = node.bmc.as_ref().map(|bmc| format!("the BMC at {}", bmc.place()));
    std::iter::once(node.name.clone()).chain(bmc)
}
