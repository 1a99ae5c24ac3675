//! The machines of a scenario, and the site they belong to.

use super::{
    check::{Facts, Past},
    record::{Seen, Written},
    retold::Retold,
    scenario::Scenario,
    site::Place,
    state::State,
};
use crate::{
    nodes::Inventory,
    operations::{End, Site, Solo},
    platform::{
        Ports, ServerOutput, ServerShell,
        rendered::{Profiles, Shelf},
        sim::{Image, Kind, World},
    },
    steps::{Files, Turns, Windows},
    store::Store,
    types::{Code, Problem},
};
use anyhow::{anyhow, bail};
use netboot::ProfileTable;
use std::{collections::BTreeSet, io, sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

/// A run that takes longer, by its own clock, has a node that waits for ever.
const LIMIT: Duration = Duration::from_secs(24 * 3600);
/// How often the disk of the service may fail: after that it is well.
const FAILURES: usize = 5;
/// From a failure of the disk to the next start.
const AWAY: Duration = Duration::from_secs(10);
/// Kernel parameter with the key of the service.
const KEY: &str = "kadence.key=ssh-ed25519,simulated";
/// Where the image lies, as far as names go.
pub(super) const IMAGE: &str = "/simulated/image";
/// What nodes run that run the image.
pub(super) const DIGEST: &str = "the new image";

/// The machines of a scenario and the site they belong to. Services come and go:
/// [`Stage::plug`] connects one, [`World::unplug`] takes it away.
pub struct Stage<'a> {
    scenario: &'a Scenario,
    /// What a service knows of it.
    pub site: Arc<Site>,
    /// The machines.
    pub world: Arc<World>,
}

impl<'a> Stage<'a> {
    /// New machines, by the clock of the runtime it is in. No service is connected yet.
    pub fn new(scenario: &'a Scenario, place: &Place) -> Self {
        let config = place.config(scenario);
        let inventory = Inventory::new(place.nodes(scenario));
        let kind = Kind {
            seed: scenario.seed,
            speed: 1,
            hardware: scenario.hardware.clone(),
            faults: scenario.faults.clone(),
            ..Kind::of(&config, place.cluster(), KEY)
        };
        let world = World::new(kind, inventory.all());
        world.describe(IMAGE, image());
        let site = Arc::new(Site { config, inventory, deploy_key: KEY.to_owned() });
        Self { scenario, site, world }
    }

    /// A service that starts is connected to the machines.
    ///
    /// # Errors
    /// The site's boot methods do not go together.
    pub fn plug(&self) -> anyhow::Result<Ports> {
        let table = Arc::new(ProfileTable::default());
        let shelf = Shelf::Table(Arc::clone(&table));
        let profiles = Arc::new(Profiles::new(&self.site.config, shelf));
        profiles.reset(self.site.inventory.all())?;
        let ports = self.world.plug(&profiles, &table, &Arc::default());
        Ok(Ports { server: Arc::new(Still), ..ports })
    }

    /// Deploys all machines with a new service, and after each failure of its disk with the
    /// next one.
    pub(super) async fn deploy(&self) -> anyhow::Result<Facts> {
        self.deploy_on(&mut State::new(self.scenario.seed, &self.world)).await
    }

    /// The same on a disk that is there.
    pub(super) async fn deploy_on(&self, state: &mut State) -> anyhow::Result<Facts> {
        let nodes = self.site.inventory.all().to_vec();
        // Of a site's own files as well: nothing is looked for on the disk of this machine.
        self.world.describe("/", Image::unknown("a file of the site".to_owned(), 1));
        let mut past = Past::default();
        let lives = Box::pin(self.lives(state, &mut past));
        let end = timeout(LIMIT, lives).await.ok().transpose()?;
        let store = state.open(false)?;
        let mut written = Written::read(&*store).await.map_err(|why| anyhow!("{why}"))?;
        written.disk = state.size();
        let mut retold = None;
        if let Some(end) = &end {
            let read = Retold::read(&*store, &end.automaton, nodes.len()).await;
            retold = Some(read.map_err(|why| anyhow!("{why}"))?);
        }
        Ok(Facts { world: Arc::clone(&self.world), nodes, end, written, retold, past })
    }

    /// Services, one after the other, until one of them comes to the end.
    async fn lives(&self, state: &mut State, past: &mut Past) -> anyhow::Result<End> {
        loop {
            let store = state.open(past.refusals.len() < FAILURES)?;
            let ended = self.solo(store, past).await?;
            match ended {
                Ok(end) => return Ok(end),
                Err(problem @ Problem::Application { code: Code::DatabaseError, .. }) => {
                    past.refusals.push(problem.to_string());
                    self.world.unplug();
                    sleep(AWAY).await;
                }
                Err(problem) => bail!("{problem}"),
            }
        }
    }

    fn seen(&self) -> Arc<Seen> {
        Arc::new(Seen::new(&self.world, self.site.inventory.all()))
    }

    /// One service.
    async fn solo(
        &self,
        store: Arc<dyn Store>,
        past: &mut Past,
    ) -> anyhow::Result<Result<End, Problem>> {
        let config = &self.site.config;
        let (world, seen) = (Arc::clone(&self.world), self.seen());
        let [cluster] = config.clusters.as_slice() else { bail!("one cluster is simulated") };
        let windows = &config.server.windows;
        let keys = Some("/simulated/keys".into());
        let solo = Solo {
            config,
            cluster,
            nodes: self.site.inventory.all().to_vec(),
            request: &self.scenario.request(),
            environment: &self.scenario.environment(cluster),
            deploy_key: &self.site.deploy_key,
            files: Files { image: IMAGE.into(), key: keys, ..Files::default() },
            ports: self.plug()?,
            windows: Arc::new(Windows {
                reboot: Semaphore::new(windows.reboot.size as usize),
                check: Semaphore::new(windows.check.size as usize),
                turns: Turns::new(windows.reboot.quiet_time),
            }),
            store: Arc::clone(&store),
            clock: Arc::new(move || world.wall_clock()),
            observer: Arc::clone(&seen) as _,
        };
        let held = Held::new(&solo.windows, &store, windows);
        let ended = Box::pin(solo.deploy()).await;
        past.left.extend(held.left(&store).await);
        past.told.push(std::mem::take(&mut *seen.told()));
        Ok(ended)
    }
}

/// Where commands of the site would run: all go well, and nothing is done.
struct Still;

#[async_trait::async_trait]
impl ServerShell for Still {
    async fn run(&self, _: &str, _: Duration) -> io::Result<Option<ServerOutput>> {
        Ok(Some(ServerOutput::default()))
    }
}

/// What a run has to give back.
struct Held {
    /// Tasks, and handles of the journal, before it.
    before: [usize; 2],
    windows: Arc<Windows>,
    sizes: [usize; 2],
}

impl Held {
    /// What there is before a run. The journal has one handle of ours, and one of the steps, which
    /// the end that is told keeps with what was walked.
    fn new(
        windows: &Arc<Windows>,
        store: &Arc<dyn Store>,
        sizes: &config::model::server::Windows,
    ) -> Self {
        Self {
            before: [tasks(), Arc::strong_count(store)],
            windows: Arc::clone(windows),
            sizes: [sizes.reboot.size as usize, sizes.check.size as usize],
        }
    }

    /// What is left of the run when it is over.
    async fn left(&self, store: &Arc<dyn Store>) -> Vec<String> {
        // A task that was stopped is gone when the runtime has been by once more.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        let taken = |index: usize, window: &Semaphore| {
            self.sizes[index].saturating_sub(window.available_permits())
        };
        let now = [
            ("live tasks", tasks(), self.before[0]),
            ("handles of the journal", Arc::strong_count(store), self.before[1]),
            ("places in the reboot window", taken(0, &self.windows.reboot), 0),
            ("places in the check window", taken(1, &self.windows.check), 0),
        ];
        let more = now.into_iter().filter(|(_, now, before)| now > before);
        more.map(|(what, now, before)| format!("{what} after the run: {now}, before it {before}"))
            .collect()
    }
}

/// Tasks of the runtime.
fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// What is deployed.
pub(super) fn image() -> Image {
    let files = ["/vmlinuz", "/initrd.img"].map(str::to_owned);
    Image {
        digest: DIGEST.to_owned(),
        mib: 700,
        unpacked_mib: 2100,
        files: Some(BTreeSet::from(files)),
        disk: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{operations::tell, simulation::check};

    #[tokio::test(start_paused = true)]
    async fn records_are_stamped_by_a_clock_that_may_jump() {
        let place = Place::built_in().unwrap();
        let mut scenario = Scenario::new(1, 2);
        scenario.faults.server.clock_jumps.count = Some(4);
        scenario.faults.set_rate(crate::platform::sim::FaultKind::ClockJumps, 1.0);
        let stage = Stage::new(&scenario, &place);
        let mut state = State::new(scenario.seed, &stage.world);
        let facts = stage.deploy_on(&mut state).await.unwrap();
        assert_eq!(check::broken(&facts), Vec::<String>::new());
        let mut stamps = Vec::new();
        tell(&*state.open(false).unwrap(), |at, _| stamps.push(at)).await.unwrap();
        let jumps =
            stamps.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) > Duration::from_secs(3000));
        // The first stamp has one before it that is not seen.
        assert_eq!(jumps.count(), 3, "{stamps:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn machines_outlive_a_service_that_is_cut_off_at_any_moment() {
        let place = Place::built_in().unwrap();
        let mut cut_off = 0;
        for second in (1..150).step_by(7) {
            let scenario = Scenario::new(second, 4);
            let stage = Stage::new(&scenario, &place);
            let first = timeout(Duration::from_secs(second), Box::pin(stage.deploy())).await;
            cut_off += usize::from(first.is_err());
            stage.world.unplug();
            stage.world.audit(|audit| {
                stage.site.inventory.all().iter().for_each(|node| audit.open(&node.name));
            });
            let facts = stage.deploy().await.unwrap();
            let end = facts.end.as_ref().unwrap();
            assert_eq!((end.ended.ok.len(), check::broken(&facts)), (4, vec![]), "{second}");
        }
        assert!(cut_off > 10, "{cut_off}");
    }
}
