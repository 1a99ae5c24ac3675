//! Steps on simulated machines, one by one.

mod moved;
mod power;
mod profile;
mod ticket;
mod tidy;
mod wait;

use super::{Boots, Files, Journalist, Ledger, Micro, Note, Run, Step, Turns, Windows};
use crate::{
    operations::{self, typical},
    platform::{Level, sim::World},
    simulation::{Place, Scenario, Stage},
    types::DeployRequest,
};
use automata::{Context, NodeId, NodeSet, Outcome, Reason, Task};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, atomic::AtomicUsize, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::sync::Semaphore;

/// The sources of the steps and of the plans they stand in, without tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.file_name().and_then(|name| name.to_str()) {
            Some("tests" | "tests.rs") => {}
            _ if path.is_dir() => sources(&path, found),
            _ => found.push(path),
        }
    }
}

#[test]
fn no_step_and_no_plan_asks_whether_machines_are_simulated() {
    let mut files = Vec::new();
    for folder in ["src/steps", "src/workflows"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
    }
    assert!(files.len() > 25, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in ["sim::", "real::", "Platform::", ".platform"] {
            assert!(!code.contains(word), "{word} in {}", file.display());
        }
    }
}

/// Keeps notes, in memory, but for as many as it is told to lose.
#[derive(Default)]
struct Notes {
    kept: Mutex<Vec<Note>>,
    /// So many are kept, then so many are lost.
    skip: AtomicUsize,
    fails: AtomicUsize,
}

#[async_trait::async_trait]
impl Ledger for Notes {
    async fn note(&self, note: &Note) -> Result<(), Reason> {
        let take = |left: &AtomicUsize| {
            left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
        };
        if !take(&self.skip) && take(&self.fails) {
            return Err("the disk of the server is full".into());
        }
        self.kept.lock().unwrap().push(note.clone());
        Ok(())
    }
}

/// Nobody listens.
struct Mute;

impl Journalist for Mute {
    fn message(&self, _: u8, _: String) {}
    fn progress(&self, _: NodeId, _: u64, _: u64) {}
    fn broken_stream(&self, _: &'static str, _: &str) {}
    fn answer(&self, _: NodeId, _: String) {}
    fn boot_state(&self, _: NodeId, _: &'static str) {}
    fn command(&self, _: NodeId, _: &str, _: i32, _: &[u8], _: &[u8]) {}
}

/// A deployment whose steps are run by hand.
struct Bed {
    world: Arc<World>,
    notes: Arc<Notes>,
    run: Arc<Run>,
    nodes: NodeSet,
}

impl Bed {
    /// So many machines as `scenario` has, untouched.
    fn new(scenario: &Scenario) -> Self {
        let stage = Stage::new(scenario, &Place::built_in().unwrap());
        let (ports, config) = (stage.plug().unwrap(), &stage.site.config);
        let cluster = &config.clusters[0];
        let nodes = stage.site.inventory.all().to_vec();
        let set = (0..u32::try_from(nodes.len()).unwrap()).map(NodeId).collect();
        let (request, environment) = (DeployRequest::default(), typical(cluster));
        let around = operations::Around::with_key(&stage.site.deploy_key);
        let order = operations::deployment(config, cluster, nodes, &request, &environment, &around)
            .unwrap();
        let windows = Windows {
            reboot: Semaphore::new(50),
            check: Semaphore::new(50),
            turns: Turns::new(Duration::from_secs(5)),
        };
        let notes = Arc::new(Notes::default());
        let run = Run::new(
            "D-1".to_owned(),
            order.nodes,
            ports,
            order.settings,
            order.target,
            Arc::new(OnceLock::from(Files { image: "/image".into(), ..Files::default() })),
            Arc::new(windows),
            (Arc::new(Mute), Arc::clone(&notes) as _),
        );
        Self { world: stage.world, notes, run: Arc::new(run), nodes: set }
    }

    /// The same with the machines in the deployment system.
    async fn deployed(nodes: u32) -> Self {
        let bed = Self::new(&Scenario::new(1, nodes));
        let wait = Micro::WaitReboot {
            deploy: true,
            press: true,
            moved: false,
            timeout: Duration::from_secs(900),
        };
        for micro in [Micro::SwitchPxe(Boots::Deploy), Micro::Reboot(Level::Hard), wait] {
            let ended = bed.step(micro, &Context::detached("boot")).await;
            assert!(ended.ko.is_empty(), "{ended:?}");
        }
        bed
    }

    /// The service is restarted: what is left of the run is what was noted.
    fn restart(&mut self) {
        let Run { wid, nodes, ports, settings, target, files, windows, journalist, ledger, .. } =
            &*self.run;
        let run = Run::new(
            wid.clone(),
            nodes.clone(),
            ports.clone(),
            settings.clone(),
            target.clone(),
            Arc::clone(files),
            Arc::clone(windows),
            (Arc::clone(journalist), Arc::clone(ledger)),
        );
        self.notes.kept.lock().unwrap().iter().for_each(|note| run.recall(note.clone()));
        self.run = Arc::new(run);
    }

    /// Runs a step on all nodes. Those that were handed over early are not in the outcome.
    async fn step(&self, micro: Micro, cx: &Context) -> Outcome {
        Step::new(micro, Arc::clone(&self.run)).run(self.nodes.clone(), cx.clone()).await
    }

    fn notes(&self) -> Vec<Note> {
        self.notes.kept.lock().unwrap().clone()
    }
}
