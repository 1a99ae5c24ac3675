//! An order that was accepted is not believed until its effect is seen.

use super::*;
use crate::{
    platform::{
        PowerAction,
        sim::{FaultKind, Hardware, Span},
    },
    steps::{Phase, PowerStep},
};
use tokio::time::Instant;

const DEPLOY: Micro = Micro::WaitReboot {
    deploy: true,
    press: true,
    moved: false,
    timeout: Duration::from_secs(600),
};

/// One machine that is on, with a BMC that lies so many times.
pub(super) fn liar(count: Option<u32>) -> Bed {
    let bed = |seed| {
        let mut scenario = Scenario::new(seed, 1);
        scenario.faults.set_rate(FaultKind::BmcLies, 1.0);
        scenario.faults.bmc.lies.count = count;
        Bed::new(&scenario)
    };
    (1..99).map(bed).find(|bed| bed.world.runs("node-1.sim").is_some()).unwrap()
}

impl Bed {
    /// The orders to reboot, each with how far it came.
    fn reboots(&self) -> Vec<(Level, Phase)> {
        let order = |note: &Note| match note {
            Note::Power { action: PowerAction::Reboot, level, phase, .. } => Some((*level, *phase)),
            _ => None,
        };
        let mut orders: Vec<_> = self.notes().iter().filter_map(order).collect();
        orders.retain(|(_, phase)| *phase != Phase::Intent);
        orders
    }

    async fn begin(&self, level: Level, step: &str) {
        assert!(
            self.step(Micro::SwitchPxe(Boots::Deploy), &Context::detached(step))
                .await
                .ko
                .is_empty()
        );
        let ended = self.step(Micro::Reboot(level), &Context::detached(step)).await;
        assert!(ended.ko.is_empty(), "{ended:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_and_had_no_effect_is_ordered_with_more_force() {
    let bed = liar(Some(1));
    bed.begin(Level::Hard, "reboot").await;
    assert_eq!(bed.reboots(), [(Level::Hard, Phase::Issued)]);
    let began = Instant::now();
    let ended = bed.step(DEPLOY, &Context::detached("wait")).await;
    assert!(ended.ko.is_empty(), "{ended:?}");
    assert_eq!(
        bed.reboots()[1..],
        [(Level::VeryHard, Phase::Issued), (Level::VeryHard, Phase::Observed)]
    );
    // Long before the wait would have been over, and with no order too many.
    assert!(began.elapsed() < Duration::from_secs(300), "{:?}", began.elapsed());
    assert_eq!(bed.world.audit(|audit| audit.violations().to_vec()), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_obeys_nothing_fails_in_time_with_the_reason() {
    let bed = liar(None);
    bed.begin(Level::Hard, "reboot").await;
    let began = Instant::now();
    let ended = bed.step(DEPLOY, &Context::detached("wait")).await;
    let why = ended.ko.values().next().unwrap();
    assert!(why.contains("Unreachable after the reboot"), "{why}");
    assert!(began.elapsed() <= Duration::from_secs(601), "{:?}", began.elapsed());
    assert_eq!(bed.reboots(), [(Level::Hard, Phase::Issued), (Level::VeryHard, Phase::Failed)]);
    assert_eq!(bed.world.audit(|audit| audit.violations().to_vec()), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_next_attempt_begins_with_more_force_than_what_had_no_effect() {
    let mut bed = liar(Some(1));
    bed.begin(Level::Hard, "first").await;
    // The service knows that after a restart as well, and leaves the machine alone for a while.
    bed.restart();
    bed.begin(Level::Soft, "second").await;
    assert_eq!(bed.reboots(), [(Level::Hard, Phase::Issued), (Level::VeryHard, Phase::Issued)]);
    assert!(bed.step(DEPLOY, &Context::detached("wait")).await.ko.is_empty());
    assert_eq!(bed.world.audit(|audit| audit.violations().to_vec()), Vec::<String>::new());
    // What was seen to have had an effect is no reason for more force.
    bed.begin(Level::Soft, "third").await;
    assert_eq!(bed.reboots().last(), Some(&(Level::Soft, Phase::Issued)));
}

#[tokio::test(start_paused = true)]
async fn a_silent_bmc_fails_its_node_in_time_with_the_reason() {
    let mut scenario = Scenario::new(1, 1);
    scenario.faults.set_rate(FaultKind::BmcSilent, 1.0);
    let bed = Bed::new(&scenario);
    let began = Instant::now();
    let ended = bed.step(Micro::Reboot(Level::Hard), &Context::detached("reboot")).await;
    let why = ended.ko.values().next().unwrap();
    assert!(why.contains("did not answer within 45s"), "{why}");
    assert!(began.elapsed() < Duration::from_secs(150), "{:?}", began.elapsed());
    assert_eq!(bed.reboots(), [(Level::Hard, Phase::Failed), (Level::VeryHard, Phase::Failed)]);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_cannot_be_written_down_is_not_given_nor_a_stronger_one_instead() {
    // The first note is of what is known of the machine, the second of the order.
    for kept in 0..2 {
        let bed = Bed::new(&Scenario::new(1, 1));
        bed.notes.skip.store(kept, Relaxed);
        bed.notes.fails.store(1, Relaxed);
        let ended = bed.step(Micro::Reboot(Level::Soft), &Context::detached("reboot")).await;
        let why = ended.ko.values().next().unwrap();
        assert!(why.contains("the disk of the server is full"), "{why}");
        assert_eq!((bed.notes().len(), bed.reboots()), (kept, vec![]));
        let orders = |audit: &mut crate::platform::sim::Audit| {
            audit.deeds().values().map(|deeds| deeds.power).sum::<u64>()
        };
        assert_eq!(bed.world.audit(orders), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_system_that_stops_what_it_runs_is_not_cut_off_meanwhile() {
    let bed = |seed| {
        let hardware = Hardware { shutdown: Span::new(85.0, 85.0), ..Hardware::default() };
        Bed::new(&Scenario { hardware, ..Scenario::new(seed, 1) })
    };
    let bed = (1..99).map(bed).find(|bed| bed.world.runs("node-1.sim").is_some()).unwrap();
    let off = Micro::Power(PowerStep::Off(Level::Soft));
    let ended = bed.step(off, &Context::detached("power")).await;
    assert!(ended.ko.is_empty(), "{ended:?}");
    let order = |note: &Note| match note {
        Note::Power { level, phase, .. } => Some((*level, *phase)),
        _ => None,
    };
    let orders: Vec<_> = bed.notes().iter().filter_map(order).collect();
    assert_eq!(orders, [(Level::Soft, Phase::Intent), (Level::Soft, Phase::Observed)]);
}
