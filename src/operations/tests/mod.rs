//! Whole operations on simulated machines: the service without its interface, by a clock that
//! does not wait.

mod age;
mod cancel;
mod explain;
mod facts;
mod hypervisor;
mod keys;
mod limits;
mod named;
mod newer;
mod panics;
mod reboots;
mod retry;
mod status;
mod tidy;
mod told;
mod ways;

use super::{Asked, Means, Operations, Premises, Request, Site, Stream, Viewer};
use crate::{
    nodes::Inventory,
    platform::Ports,
    simulation::{Place, Scenario, Stage},
    steps::{Turns, Windows},
    store::{EmbeddedStore, MemoryDisk},
    types::{Created, DeployRequest, Kind, Poll, Problem},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{sync::Semaphore, time::sleep};

/// What a service is, besides the machines.
struct Bed<'a> {
    stage: Stage<'a>,
    disk: MemoryDisk,
    dir: TempDir,
    operations: Operations,
    ports: Ports,
}

impl<'a> Bed<'a> {
    /// A service whose machines are those of `scenario`.
    async fn new(scenario: &'a Scenario) -> Self {
        Self::with(scenario, |_| ()).await
    }

    /// The same with a configuration that `change` has changed.
    async fn with(scenario: &'a Scenario, change: impl FnOnce(&mut config::Config)) -> Self {
        let mut stage = Stage::new(scenario, &Place::built_in().unwrap());
        let Site { config, inventory, deploy_key } = &*stage.site;
        let (mut config, deploy_key) = (config.clone(), deploy_key.clone());
        change(&mut config);
        let inventory = Inventory::new(inventory.all().to_vec());
        stage.site = Arc::new(Site { config, inventory, deploy_key });
        let (disk, dir) = (MemoryDisk::new(), tempfile::tempdir().unwrap());
        fs::write(dir.path().join("image.tgz"), vec![0; 1 << 20]).unwrap();
        let (operations, ports) = open(&stage, &disk, &dir).await;
        Self { stage, disk, dir, operations, ports }
    }

    /// The service stops as when it is told to, and is there again.
    async fn restart(self) -> Self {
        let Self { stage, disk, dir, operations, .. } = self;
        operations.suspend().await;
        drop(operations);
        stage.world.unplug();
        let (operations, ports) = open(&stage, &disk, &dir).await;
        operations.go_on();
        Self { stage, disk, dir, operations, ports }
    }

    /// Asks for a deployment on all machines, with `changes` to what is usual.
    async fn deploy(&self, changes: Value) -> String {
        self.ask(self.body(changes)).await.unwrap()
    }

    /// The description of an image on the server, with `changes` to what is usual.
    fn environment(&self, changes: Value) -> Value {
        let Value::Object(mut usual) = self.body(json!({})) else { unreachable!() };
        let mut environment = usual.remove("environment").unwrap();
        let Value::Object(changes) = changes else { panic!("{changes}") };
        environment.as_object_mut().unwrap().extend(changes);
        environment
    }

    async fn ask(&self, body: Value) -> Result<String, Problem> {
        let request: DeployRequest = serde_json::from_value(body).unwrap();
        let asked = Asked { request: Request::Deploy(Box::new(request)), user: "anna".into() };
        self.operations.create(asked).await.map(|created| created.unwrap().wid)
    }

    fn body(&self, changes: Value) -> Value {
        let mut body = json!({
            "nodes": ["node-[1-3].sim"],
            "environment": {
                "kind": "anonymous", "name": "debian", "version": 1, "os": "linux", "filesystem": "ext4",
                "image": {"file": format!("server://{}/image.tgz", self.dir.path().display()), "kind": "tar", "compression": "gzip"},
                "boot": {"kernel": "/vmlinuz", "initrd": "/initrd.img"},
            },
        });
        let Value::Object(changes) = changes else { panic!("{changes}") };
        body.as_object_mut().unwrap().extend(changes);
        body
    }

    async fn retry(&self, wid: &str) -> Created {
        self.operations.retry(Kind::Deploy, wid, &anna()).await.unwrap().unwrap()
    }

    fn poll(&self, wid: &str) -> Poll {
        self.operations.poll(Kind::Deploy, wid, &anna()).unwrap()
    }

    /// The nodes of an operation that are well and those that are not, when it has ended.
    async fn ended(&self, wid: &str) -> (Vec<String>, Vec<String>) {
        let poll = loop {
            let poll = self.poll(wid);
            if poll.done {
                break poll;
            }
            sleep(Duration::from_secs(1)).await;
        };
        let lists = serde_json::to_value(poll.nodes).unwrap();
        let list = |name: &str| serde_json::from_value(lists[name].clone()).unwrap();
        (list("ok"), list("ko"))
    }

    /// Where each node of an operation is.
    fn state(&self, wid: &str) -> BTreeMap<String, crate::types::NodeStatus> {
        self.operations.state(Kind::Deploy, wid, &anna()).unwrap()
    }

    /// What is recorded of a node.
    async fn record(&self, node: &str) -> crate::store::NodeRecord {
        self.operations.means().store.node(node).await.unwrap().unwrap()
    }

    /// The reference of the image.
    fn image(&self) -> String {
        format!("server://{}/image.tgz", self.dir.path().display())
    }

    /// The messages of an operation.
    fn log(&self, wid: &str) -> String {
        let (lines, _) = self.operations.logs_since(Kind::Deploy, wid, &anna(), None, 0).unwrap();
        lines.into_iter().map(|line| line.text + "\n").collect()
    }

    /// What each command of an operation was, and what it printed, for one who has read none.
    fn commands(&self, wid: &str) -> Vec<String> {
        let lines = self.operations.debugs(Kind::Deploy, wid, &anna(), None).unwrap();
        let text: String = lines.into_iter().map(|line| line.text + "\n").collect();
        text.split("COMMAND: ").skip(1).map(str::to_owned).collect()
    }

    /// Lets the nodes of a deployment that wait at its breakpoint go on, or gives them up.
    fn resume(&self, wid: &str, go_on: bool) {
        self.operations.resume(Kind::Deploy, wid, &anna(), go_on).unwrap();
    }

    /// Orders that each node's BMC has had.
    fn orders(&self) -> BTreeMap<String, u64> {
        let power = |audit: &mut crate::platform::sim::Audit| {
            audit.deeds().iter().map(|(node, deeds)| (node.clone(), deeds.power)).collect()
        };
        self.stage.world.audit(power)
    }

    /// Whether a node runs what was deployed.
    fn runs_the_image(&self, node: &str) -> bool {
        let cache = self.dir.path().join("cache").display().to_string();
        self.stage.world.runs(node).is_some_and(|digest| digest.starts_with(&cache))
    }
}

async fn open(stage: &Stage<'_>, disk: &MemoryDisk, dir: &TempDir) -> (Operations, Ports) {
    let ports = stage.plug().unwrap();
    let limits = cache::Limits { size: 1 << 30, concurrency: 2, stall: Duration::from_secs(60) };
    let turns = Turns::new(Duration::from_secs(5));
    let windows = Windows { reboot: Semaphore::new(50), check: Semaphore::new(50), turns };
    let means = Means {
        premises: Premises::new(Arc::clone(&stage.site), ports.clone()),
        store: Arc::new(EmbeddedStore::on_disk(disk.clone()).unwrap()),
        damage: None,
        depot: Arc::new(cache::Cache::open(dir.path().join("cache"), limits).unwrap()),
        windows: Arc::new(windows),
        stream: Stream::default(),
    };
    (Operations::open(means).await.unwrap(), ports)
}

fn anna() -> Viewer {
    Viewer { user: "anna".into(), from: "::1".into(), almighty: false }
}

const NODES: [&str; 3] = ["node-1.sim", "node-2.sim", "node-3.sim"];
