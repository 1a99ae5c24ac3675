//! What of a machine outlives the process.

use super::{Dice, Disk, Machine, Moment, State, Work};
use serde::{Deserialize, Serialize};

/// What does not follow from the seed.
#[derive(Serialize, Deserialize)]
pub(in crate::platform::sim) struct Kept {
    dice: Dice,
    state: State,
    next: Option<Moment>,
    disk: Disk,
    boots: u64,
    /// Orders that take effect later, in order.
    orders: Vec<(Moment, Work)>,
}

impl Machine {
    /// What is kept of it.
    pub(in crate::platform::sim) fn kept(&self) -> Kept {
        let state = match &self.state {
            State::Loader(..) => State::Dhcp(0),
            state => state.clone(),
        };
        let order = |work: &Work| !matches!(work, Work::Errand { .. } | Work::Orphan { .. });
        let orders = self.pending.iter().filter(|(_, work)| order(work));
        Kept {
            dice: self.dice.clone(),
            state,
            next: self.next,
            disk: self.disk.clone(),
            boots: self.boots,
            orders: orders.map(|((at, _), work)| (*at, work.clone())).collect(),
        }
    }

    /// It is as it was kept.
    pub(in crate::platform::sim) fn restore(&mut self, kept: Kept) {
        let Kept { dice, state, next, mut disk, boots, orders } = kept;
        // The configuration may call it otherwise now.
        std::mem::swap(&mut disk.device, &mut self.disk.device);
        (self.dice, self.state, self.next, self.disk, self.boots) =
            (dice, state, next, disk, boots);
        for (at, work) in orders {
            self.later(at, work);
        }
    }
}
