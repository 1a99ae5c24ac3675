//! Stops a service everywhere, and looks at what its successor makes of it.
//!
//! The whole core of the service (operations, journal, ledger, store) works on simulated
//! machines and a disk in memory, in virtual time. It is stopped before and after every
//! commit and with a torn last one, and before, during and after every command to a machine;
//! the next one starts on the same disk and the same machines, and must bring everything to
//! the end that it would have had.
//!
//! | file | what |
//! |---|---|
//! | `case` | what is asked for, of which site |
//! | `cut` | where a service is stopped |
//! | `ports` | what it does to machines, and how one of them fails |
//! | `rig` | one story, from the request to the end |
//! | `story` | what came of it |
//! | `check` | what must hold |

mod case;
mod check;
mod cut;
mod ports;
mod rig;
mod story;
mod ways;

use super::Place;
use crate::{
    operations::Request,
    types::{PowerRequest, RebootKind, RebootRequest},
};
use case::{Case, common, deployment};
use cut::Cut;
use ports::Sick;
use rig::tell;
use std::{
    collections::BTreeMap,
    io::Write,
    sync::{Mutex, PoisonError},
    thread::{self, available_parallelism},
    time::Duration,
};
use story::Story;

/// Every way to stop a service that makes so many commits and gives so many commands.
fn everywhere(points: (u64, u64)) -> Vec<Cut> {
    between((0, 0), points)
}

/// The same from that many on.
fn between(from: (u64, u64), to: (u64, u64)) -> Vec<Cut> {
    let writes = [Cut::BeforeCommit, Cut::TornCommit, Cut::AfterCommit];
    let calls = [Cut::BeforeCommand, Cut::DuringCommand, Cut::AfterCommand];
    let writes = (from.0..to.0).flat_map(|at| writes.map(|cut| cut(at)));
    writes.chain((from.1..to.1).flat_map(|at| calls.map(|cut| cut(at)))).collect()
}

/// How far apart the points are that are tried of a long list: all of them where
/// `KADENCE_CRASH=all` says so.
fn stride(usual: usize) -> usize {
    if std::env::var("KADENCE_CRASH").is_ok_and(|what| what == "all") { 1 } else { usual }
}

/// A case and how it goes when nothing stops the service.
struct Tried {
    case: Case,
    place: Place,
    clean: Story,
}

impl Tried {
    fn new(case: Case) -> Self {
        let place = Place::built_in().unwrap();
        let clean = tell(&case, &place, &[]);
        let broken = match case.cancel {
            None => check::broken(&case, &clean, &clean),
            Some(_) => check::undone(&case, &clean, &clean),
        };
        assert_eq!(broken, Vec::<String>::new(), "{}: {:#?}", case.name, clean.lines);
        assert_eq!(check::unannounced(&clean), Vec::<String>::new(), "{}", case.name);
        assert!(case.sick.is_none_or(|sick| check::fails_in(sick, &clean)), "{:#?}", clean.lines);
        Self { case, place, clean }
    }

    /// Every `stride`th way to stop the service; all must come to the same end.
    fn through(&self, stride: usize) {
        let cuts = everywhere(self.clean.points).into_iter().step_by(stride).map(|cut| vec![cut]);
        self.tell(cuts.collect(), check::broken);
    }

    /// Tells the story with each of these `plots`; what `broken` finds wrong must be nothing.
    fn tell(&self, plots: Vec<Vec<Cut>>, broken: fn(&Case, &Story, &Story) -> Vec<String>) {
        let Self { case, place, clean } = self;
        let (count, left) = (plots.len(), Mutex::new(plots.into_iter()));
        let found = Mutex::new(BTreeMap::<_, Vec<_>>::new());
        let work = || {
            while let Some(cuts) = next(&left) {
                let story = tell(case, place, &cuts);
                for what in broken(case, &story, clean) {
                    let told = (cuts.clone(), story.lines.join("\n"));
                    found.lock().unwrap().entry(what).or_default().push(told);
                }
            }
        };
        thread::scope(|scope| {
            let threads = available_parallelism().map_or(1, usize::from);
            (0..threads).for_each(|_| drop(scope.spawn(work)));
        });
        let (commits, commands) = clean.points;
        let name = case.name;
        // Not by println, which tests that pass say nothing by.
        let line = format!("{name}: {count} points ({commits} commits, {commands} commands)\n");
        std::io::stdout().write_all(line.as_bytes()).unwrap();
        let found = found.into_inner().unwrap();
        for (what, told) in &found {
            let cuts: Vec<_> = told.iter().map(|(cuts, _)| cuts).collect();
            println!("{what}\n  at {} points: {cuts:?}\n{}\n", told.len(), told[0].1);
        }
        assert!(found.is_empty(), "{name}: see above");
    }
}

fn next(left: &Mutex<std::vec::IntoIter<Vec<Cut>>>) -> Option<Vec<Cut>> {
    left.lock().unwrap_or_else(PoisonError::into_inner).next()
}

fn deployment_with(name: &'static str, sick: Option<Sick>) -> Tried {
    Tried::new(Case { sick, ..Case::new(name, deployment()) })
}

fn reboot(name: &'static str) -> Case {
    let (common, kind) = (common(), Some(RebootKind::Simple));
    let request = RebootRequest { common, kind, ..RebootRequest::default() };
    Case::new(name, Request::Reboot(Box::new(request)))
}

fn power(name: &'static str, status: &str) -> Case {
    let (common, status) = (common(), Some(status.to_owned()));
    Case::new(name, Request::Power(Box::new(PowerRequest { common, status, level: None })))
}

#[test]
fn a_deployment_comes_to_its_end_wherever_the_service_is_stopped() {
    deployment_with("deployment", None).through(1);
}

#[test]
fn a_reboot_comes_to_its_end_wherever_the_service_is_stopped() {
    Tried::new(reboot("reboot")).through(1);
}

#[test]
fn a_power_operation_comes_to_its_end_wherever_the_service_is_stopped() {
    for name in ["off", "on", "status"] {
        Tried::new(power(name, name)).through(1);
    }
}

#[test]
fn a_node_that_obeys_no_order_fails_alone_wherever_the_service_is_stopped() {
    // Not on: the machine is, and who looks again after a restart finds it as it should be.
    for case in [reboot("failing reboot"), power("failing off", "off")] {
        Tried::new(Case { sick: Some(Sick::Orders), ..case }).through(1);
    }
}

/// Every twenty-third point of each.
#[test]
fn a_node_that_fails_in_any_macro_step_fails_alone_wherever_the_service_is_stopped() {
    let cases = [
        ("failing deployment system", Sick::Preparation),
        ("failing broadcast", Sick::Broadcast),
        ("failing boot", Sick::Boot),
    ];
    for (name, sick) in cases {
        deployment_with(name, Some(sick)).through(stride(23));
    }
}

/// Every fortieth point, and then again early, while the next service recovers.
#[test]
fn a_service_that_is_stopped_again_while_it_recovers_loses_nothing() {
    let tried = deployment_with("stopped twice", None);
    let again = everywhere((12, 8));
    let first = everywhere(tried.clean.points).into_iter().step_by(stride(40));
    let plots = first.zip(again.into_iter().cycle()).map(|(first, again)| vec![first, again]);
    tried.tell(plots.collect(), check::broken);
}

/// Every seventh commit fails alone, or is the first of many that find the disk full.
#[test]
fn a_disk_that_fails_ends_an_operation_with_its_name() {
    for tried in [deployment_with("failing disk", None), Tried::new(reboot("failing disk"))] {
        let commits = (0..tried.clean.points.0).step_by(stride(7));
        let faults = commits.flat_map(|at| [Cut::FailedCommit(at), Cut::FullFromCommit(at)]);
        tried.tell(faults.map(|cut| vec![cut]).collect(), check::failing);
    }
}

/// Cancelled while nodes boot the deployment system, while they are written to, and while they boot
/// what was installed; and the service is then stopped everywhere while it undoes.
#[test]
fn a_cancelled_deployment_ends_as_its_result_says_wherever_the_service_is_stopped() {
    for (name, seconds) in [("cancelled early", 10), ("cancelled late", 35), ("at last", 50)] {
        let cancel = Some(Duration::from_secs(seconds));
        let case = Case { cancel, ..Case::new(name, deployment()) };
        let tried = Tried::new(case);
        assert_ne!(tried.clean.cancelled, (0, 0), "{name}: it was over by then");
        let cuts = between(tried.clean.cancelled, tried.clean.points);
        assert!(cuts.len() > 6, "{name}: nothing was left to be done: {:#?}", tried.clean.lines);
        tried.tell(cuts.into_iter().map(|cut| vec![cut]).collect(), check::undone);
    }
}
