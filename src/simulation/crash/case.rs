//! What a story is about: what is asked for, and of which site.

use super::ports::Sick;
use crate::{
    operations::{Request, Site},
    platform::{Level, PowerAction, sim::Image},
    simulation::{
        Stage,
        stage::{DIGEST, IMAGE, image},
    },
    store::{Change, EmbeddedStore, EnvironmentRef, MemoryDisk, NodeRecord, NodeState, Store},
    types::{Common, DeployRequest, EnvironmentChoice, Kind},
};
use config::Config;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// Who asks.
pub(super) const ANNA: &str = "anna";

/// The environment that is deployed; where machines run something that is recorded, that is an
/// earlier version of it.
const ENVIRONMENT: &str = "simulated";

/// Until machines are up that were switched on.
const BOOTED: Duration = Duration::from_secs(120);

/// What a story is about.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) request: Request,
    pub(super) setting: Setting,
    pub(super) sick: Option<Sick>,
    /// It is cancelled so long after it was asked for.
    pub(super) cancel: Option<Duration>,
}

impl Case {
    /// The usual machines, of which none is sick, and nobody cancels it.
    pub(super) fn new(name: &'static str, request: Request) -> Self {
        Self { name, request, setting: Setting::default(), sick: None, cancel: None }
    }

    pub(super) fn kind(&self) -> Kind {
        self.request.kind()
    }
}

/// The site and its machines.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    /// The machines are on and let the service in, and what they run is recorded.
    pub(super) open: bool,
    /// What the configuration has besides the usual.
    pub(super) change: fn(&mut Config),
    /// The site has a command that is to come before each kexec.
    pub(super) prepares: bool,
    /// What the image holds.
    pub(super) image: fn() -> Image,
    /// Digest of what a node runs after a deployment that went well.
    pub(super) runs: &'static str,
}

impl Default for Setting {
    fn default() -> Self {
        Self { open: false, change: |_| (), prepares: false, image, runs: DIGEST }
    }
}

impl Setting {
    /// Makes the site of `stage`, and its machines, what they are to be; what the service has
    /// on its disk then.
    pub(super) async fn prepare(&self, stage: &mut Stage<'_>) -> MemoryDisk {
        let Site { config, inventory, deploy_key } = &*stage.site;
        let (mut config, inventory) = (config.clone(), inventory.all().to_vec());
        (self.change)(&mut config);
        if self.prepares {
            config.clusters[0].file.kexec.server_precmd = "prepare".into();
        }
        let inventory = crate::nodes::Inventory::new(inventory);
        stage.site = Arc::new(Site { config, inventory, deploy_key: deploy_key.clone() });
        // Every file is the image: nothing is looked for on the disk of this machine.
        stage.world.describe("/", (self.image)());
        let disk = MemoryDisk::new();
        if self.open {
            let store = EmbeddedStore::on_disk(disk.clone()).unwrap();
            store.commit(recorded(stage)).await.unwrap();
            switch_on(stage).await;
        }
        disk
    }
}

fn recorded(stage: &Stage<'_>) -> Change {
    let record = |node: &Arc<crate::nodes::Node>| NodeRecord {
        node: node.name.clone(),
        state: NodeState::Deployed,
        user: ANNA.into(),
        environment: Some(EnvironmentRef {
            id: None,
            name: ENVIRONMENT.into(),
            version: 1,
            user: ANNA.into(),
        }),
        partition: Some("/dev/sda3".into()),
        date: 0,
    };
    stage.site.inventory.all().iter().map(record).fold(Change::default(), Change::put_node)
}

async fn switch_on(stage: &Stage<'_>) {
    let ports = stage.plug().unwrap();
    for node in stage.site.inventory.all() {
        ports.power.act(node, PowerAction::On, Level::Hard, BOOTED).await.unwrap();
        // Two of them have one BMC, which is left alone after an order.
        sleep(stage.site.config.server.windows.reboot.quiet_time).await;
    }
    sleep(BOOTED).await;
    stage.world.unplug();
}

/// A deployment as a user asks for it.
pub(super) fn deployment() -> Request {
    deployment_of(json!({}), json!({}))
}

/// The same by one way through each macro-step, with `environment` in its description and
/// `more` in the request.
pub(super) fn deployment_by(ways: [&str; 3], environment: Value, mut more: Value) -> Request {
    // A machine that boots without our servers runs its old system, and needs another attempt.
    let [first, second, third] =
        ways.map(|way| json!([{"name": way, "timeout": 3000, "retries": 2}]));
    more["automata"] =
        json!({"SetDeploymentEnv": first, "BroadcastEnv": second, "BootNewEnv": third});
    deployment_of(environment, more)
}

fn deployment_of(environment: Value, more: Value) -> Request {
    let mut fields = json!({
        "name": ENVIRONMENT, "os": "linux", "filesystem": "ext4",
        "image": {"file": format!("server://{IMAGE}"), "kind": "tar", "compression": "gzip"},
        "boot": {"kernel": "/vmlinuz", "initrd": "/initrd.img"},
    });
    extend(&mut fields, environment);
    let Value::Object(fields) = fields else { unreachable!() };
    let mut request = serde_json::to_value(DeployRequest {
        common: common(),
        environment: Some(EnvironmentChoice { kind: Some("anonymous".into()), user: None, fields }),
        ssh_authorized_keys: Some("server:///simulated/keys".into()),
        ..DeployRequest::default()
    })
    .unwrap();
    extend(&mut request, more);
    Request::Deploy(serde_json::from_value(request).unwrap())
}

fn extend(object: &mut Value, more: Value) {
    let Value::Object(more) = more else { panic!("{more}") };
    object.as_object_mut().unwrap().extend(more);
}

/// Of all three nodes, with every message.
pub(super) fn common() -> Common {
    let nodes = vec!["node-[1-3].sim".to_owned()];
    Common { nodes, verbose_level: Some(5), ..Common::default() }
}
