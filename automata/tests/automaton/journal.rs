//! The journal comes before the deed, and is enough to rebuild every walk.

use crate::support::{Memory, Trial, fails_once, good, hang, set, step};
use automata::{
    Entry, Event, Journal, JournalError, ManagerPath, Options, Outcome, Plan, Record, Recovery,
    Report, RunError, Step, TaskManager, replay,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A journal that fails at one of its appends.
struct Failing {
    memory: Memory,
    left: AtomicUsize,
}

#[async_trait::async_trait]
impl Journal for Failing {
    async fn append(&self, records: &[Record]) -> Result<(), JournalError> {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(JournalError::new("the disk is full"));
        }
        self.memory.append(records).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_fails_at_any_append_stops_the_run_before_the_next_deed() {
    let inner = Plan::sequence([fails_once("half", &[1]).retries(1), good("then")]);
    let plan = Plan::sequence([Step::plan("m", inner), good("last")]).compile().unwrap();
    let mut failures = 0;
    for at in 0..100 {
        let journal = Arc::new(Failing { memory: Memory::default(), left: at.into() });
        let observer = Arc::new(Memory::default());
        let options =
            Options { journal: journal.clone(), observer: observer.clone(), ..Options::default() };
        let (manager, _) = TaskManager::new(plan.clone(), set(0..2), options);
        let result = manager.run().await;
        let written = journal.memory.records.lock().unwrap().clone();
        let is_start = |record: &&Record| {
            matches!(record.entry, Entry::Reported { report: Report::Started { .. }, .. })
        };
        assert!(observer.started().len() <= written.iter().filter(is_start).count());
        assert!(replay(&plan, &written).is_ok());
        match result {
            Ok(ended) => {
                assert_eq!(ended.ok, set(0..2));
                assert!(failures > 5, "only {failures} appends");
                return;
            }
            Err(RunError::Journal(error)) => {
                assert!(error.to_string().contains("the disk is full"));
                failures += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the run never ended well");
}

#[tokio::test(start_paused = true)]
async fn the_journal_says_what_was_in_flight() {
    let inner = Plan::sequence([fails_once("half", &[1]).retries(1), hang("hang")]);
    let trial = Trial::new(&Plan::sequence([Step::plan("m", inner)]), set(0..3), false);
    let (memory, automaton) = (trial.memory.clone(), trial.automaton.clone());
    let hanging = |events: &[Event]| {
        let hangs = events.iter().filter(
            |event| matches!(event, Event::StepStarted { path, .. } if path.to_string() == "m-hang"),
        );
        hangs.count() == 2
    };
    tokio::select! {
        _ = trial.run() => panic!("it cannot end"),
        () = memory.until(hanging) => {}
    }
    let records = memory.records.lock().unwrap().clone();
    let text = serde_json::to_string(&records).unwrap();
    let records: Vec<Record> = serde_json::from_str(&text).unwrap();
    let replayed = replay(&automaton, &records).unwrap();
    let flights: Vec<_> = replayed
        .in_flight()
        .into_iter()
        .map(|f| (f.path.to_string(), f.nodes, f.started, f.recovery))
        .collect();
    assert_eq!(
        flights,
        [
            ("m-hang".to_owned(), set([0, 2]), true, Recovery::Observe),
            ("m-hang".to_owned(), set([1]), true, Recovery::Observe)
        ]
    );
    assert_eq!(replayed.next_set().0, 3);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_hangs_stops_the_run_as_well() {
    struct Hangs;
    #[async_trait::async_trait]
    impl Journal for Hangs {
        async fn append(&self, _: &[Record]) -> Result<(), JournalError> {
            std::future::pending().await
        }
    }
    let options = Options { journal: Arc::new(Hangs), ..Options::default() };
    let plan = Plan::sequence([good("x")]).compile().unwrap();
    let (manager, _) = TaskManager::new(plan, set([0]), options);
    assert!(matches!(manager.run().await, Err(RunError::Journal(_))));
}

#[tokio::test(start_paused = true)]
async fn records_of_another_plan_are_refused() {
    let slow = step("slow", |nodes, _| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Outcome::ok(nodes)
    });
    let plan = Plan::sequence([Step::plan("m", Plan::sequence([slow])), good("x")]);
    let (_, memory) = Trial::new(&plan, set([0]), false).run().await;
    let records = memory.records.lock().unwrap().clone();
    assert!(replay(&plan.compile().unwrap(), &records).is_ok());
    let other = Plan::sequence([good("one")]).compile().unwrap();
    assert!(replay(&other, &records).is_err());
    assert!(replay(&plan.compile().unwrap(), &records[1..]).is_err());
    let inner = records.iter().find(|record| record.manager != ManagerPath::default());
    assert!(inner.is_some());
}
