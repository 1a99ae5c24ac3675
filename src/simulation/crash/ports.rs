//! The ports of a service that is stopped somewhere: what it does is written on a tape, and
//! one node may fail.

use super::cut::{CutStore, Knife};
use crate::{
    nodes::Node,
    platform::{
        BootChoice, BootProfiles, Command, Errand, Level, Output, Ports, Power, PowerAction,
        PowerError, PowerState, Presence, ProfileError, Progress, Reach, Receiver, ServerOutput,
        ServerShell, Shell, ShellError, Sighting, Transfer, TransferError, TransferJob, Variables,
    },
};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::broadcast, time::sleep};

/// What kind of deed it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// Changes what the machine runs.
    Order,
    /// Changes what it boots next.
    Profile,
    /// Changes what is on its disk.
    Write,
    /// Anything else that it is told.
    Errand,
    /// Changes nothing.
    Look,
}

/// Something that a service did to a node.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    /// Which service, from 0.
    pub(super) life: usize,
    /// Records in the journal then.
    pub(super) written: u64,
    pub(super) node: String,
    pub(super) sort: Sort,
    pub(super) what: String,
}

/// In which macro-step a node fails, whatever is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sick {
    /// `SetDeploymentEnv`.
    Preparation,
    /// `BroadcastEnv`.
    Broadcast,
    /// `BootNewEnv`.
    Boot,
    /// A reboot or a power operation.
    Orders,
}

/// Where commands of the site run, in place of a node, and what is noted of one when it is over.
pub(super) const SERVER: &str = "the server";
pub(super) const DONE: &str = "prepared";

/// How long such a command takes.
const MOMENT: Duration = Duration::from_millis(100);

/// The node that is sick.
pub(super) const PATIENT: &str = "node-2.sim";

/// What outlives a service.
#[derive(Default)]
pub(super) struct Tape {
    pub(super) deeds: Mutex<Vec<Deed>>,
    sick: Option<Sick>,
    /// The patient has its image.
    has_image: Mutex<bool>,
}

impl Tape {
    pub(super) fn new(sick: Option<Sick>) -> Self {
        Self { sick, ..Self::default() }
    }

    fn fails(&self, node: &str, when: impl Fn(Sick, bool) -> bool) -> bool {
        let has_image = *self.has_image.lock().unwrap();
        node == PATIENT && self.sick.is_some_and(|sick| when(sick, has_image))
    }
}

/// The ports of one service.
struct CutPorts {
    inner: Ports,
    knife: Arc<Knife>,
    store: Arc<CutStore>,
    tape: Arc<Tape>,
    life: usize,
}

/// The ports `inner` for service number `life`.
pub(super) fn cut(
    inner: Ports,
    (knife, store): (&Arc<Knife>, &Arc<CutStore>),
    tape: &Arc<Tape>,
    life: usize,
) -> Ports {
    let (knife, store, tape) = (Arc::clone(knife), Arc::clone(store), Arc::clone(tape));
    let all = Arc::new(CutPorts { inner, knife, store, tape, life });
    Ports {
        power: all.clone(),
        shell: all.clone(),
        transfer: all.clone(),
        presence: all.clone(),
        console: Arc::clone(&all.inner.console),
        server: all.clone(),
        profiles: all,
    }
}

impl CutPorts {
    /// Carries `call` out, which does so to `nodes`.
    async fn command<T>(
        &self,
        nodes: &[&str],
        (sort, what): (Sort, String),
        call: impl Future<Output = T>,
    ) -> T {
        let told = async {
            for node in nodes {
                self.note(node, sort, what.clone());
            }
            call.await
        };
        self.knife.command(told).await
    }

    fn note(&self, node: &str, sort: Sort, what: String) {
        let (life, node) = (self.life, node.to_owned());
        // A look that does not wait may still come from a service that was stopped.
        if self.knife.is_down() {
            return;
        }
        let deed = Deed { life, written: self.store.gate.written(), node, sort, what };
        self.tape.deeds.lock().unwrap().push(deed);
    }
}

fn sorted(errand: &Errand) -> Sort {
    match errand.bare() {
        Errand::Reboot | Errand::Kexec { .. } => Sort::Order,
        Errand::BootId
        | Errand::IdentifyDisk { .. }
        | Errand::RootDevice { .. }
        | Errand::CheckFiles { .. } => Sort::Look,
        Errand::FromFile { errand, .. } => sorted(errand),
        Errand::Partition(_)
        | Errand::Format(_)
        | Errand::Restore { .. }
        | Errand::MakeFilesystem { .. }
        | Errand::MakeSwap { .. }
        | Errand::Unpack(_)
        | Errand::WriteImage { .. }
        | Errand::InstallBootLoader(_)
        | Errand::AddKeys { .. } => Sort::Write,
        Errand::Mount { .. }
        | Errand::Unmount { .. }
        | Errand::Sync
        | Errand::UnpackArchive(_)
        | Errand::RunArchive { .. }
        | Errand::Tidy { .. }
        | Errand::RunScript { .. }
        | Errand::Exec { .. }
        | Errand::Store { .. }
        | Errand::LoadDrivers(_)
        | Errand::Ticketed { .. }
        | Errand::Text(_) => Sort::Errand,
    }
}

/// The variant's name: texts of errands are long.
fn name(errand: &Errand) -> String {
    let text = format!("{:?}", errand.bare());
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

#[async_trait::async_trait]
impl Power for CutPorts {
    async fn status(&self, node: &Node, deadline: Duration) -> Result<PowerState, PowerError> {
        let call = self.inner.power.status(node, deadline);
        self.command(&[&node.name], (Sort::Look, "status".into()), call).await
    }

    async fn status_text(&self, node: &Node, deadline: Duration) -> Result<String, PowerError> {
        let call = self.inner.power.status_text(node, deadline);
        self.command(&[&node.name], (Sort::Look, "status".into()), call).await
    }

    async fn act(
        &self,
        node: &Node,
        action: PowerAction,
        level: Level,
        deadline: Duration,
    ) -> Result<(), PowerError> {
        let what = format!("{level} {action}");
        let fails = |sick, imaged| match sick {
            Sick::Boot => imaged,
            Sick::Orders => true,
            Sick::Preparation | Sick::Broadcast => false,
        };
        if self.tape.fails(&node.name, fails) {
            let refused = async { Err(PowerError::Refused("this BMC is sick".into())) };
            return self.command(&[], (Sort::Look, what), refused).await;
        }
        let call = self.inner.power.act(node, action, level, deadline);
        self.command(&[&node.name], (Sort::Order, what), call).await
    }
}

#[async_trait::async_trait]
impl Shell for CutPorts {
    async fn run(&self, node: &Node, command: &Command) -> Result<Output, ShellError> {
        let errand = &command.errand;
        let fails = self.tape.fails(&node.name, |sick, imaged| match sick {
            Sick::Preparation => matches!(errand.bare(), Errand::Partition(_)),
            Sick::Broadcast | Sick::Orders => false,
            Sick::Boot => imaged && sorted(errand) == Sort::Order,
        });
        if fails {
            let output =
                Output { status: 1, stderr: "this node is sick".into(), ..Output::default() };
            let what = (Sort::Look, name(errand));
            return self.command(&[], what, async { Ok(output) }).await;
        }
        let call = self.inner.shell.run(node, command);
        self.command(&[&node.name], (sorted(errand), name(errand)), call).await
    }

    async fn forget(&self, node: &Node) {
        let call = self.inner.shell.forget(node);
        self.command(&[&node.name], (Sort::Look, "forget".into()), call).await;
    }
}

#[async_trait::async_trait]
impl Transfer for CutPorts {
    async fn broadcast(
        &self,
        job: &TransferJob,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> BTreeMap<String, Result<(), TransferError>> {
        let sick =
            |one: &Receiver| self.tape.fails(&one.node.name, |sick, _| sick == Sick::Broadcast);
        let (patients, well): (Vec<_>, _) = job.receivers.iter().cloned().partition(sick);
        let job = TransferJob { receivers: well, ..job.clone() };
        let names: Vec<_> = job.receivers.iter().map(|one| one.node.name.as_str()).collect();
        let call = self.inner.transfer.broadcast(&job, progress);
        let mut results = self.command(&names, (Sort::Write, "broadcast".into()), call).await;
        if let Some(Ok(())) = results.get(PATIENT) {
            *self.tape.has_image.lock().unwrap() = true;
        }
        let failed = || Err(TransferError::Stream("this node is sick".into()));
        results.extend(patients.into_iter().map(|one| (one.node.name.clone(), failed())));
        results
    }

    async fn under_way(&self, node: &Node, name: &str, limit: Duration) -> bool {
        self.knife.alive(self.inner.transfer.under_way(node, name, limit)).await
    }
}

/// The machine of the service is not simulated: its commands do nothing, in a moment.
#[async_trait::async_trait]
impl ServerShell for CutPorts {
    async fn run(&self, _: &str, _: Duration) -> io::Result<Option<ServerOutput>> {
        self.command(&[], (Sort::Look, String::new()), sleep(MOMENT)).await;
        self.note(SERVER, Sort::Look, DONE.to_owned());
        Ok(Some(ServerOutput::default()))
    }
}

#[async_trait::async_trait]
impl Presence for CutPorts {
    async fn probe(&self, address: SocketAddr, within: Duration) -> Reach {
        self.knife.alive(self.inner.presence.probe(address, within)).await
    }

    fn sightings(&self) -> broadcast::Receiver<Sighting> {
        self.inner.presence.sightings()
    }

    fn last_seen(&self, node: &Node) -> Option<Sighting> {
        self.note(&node.name, Sort::Look, "last seen".into());
        self.inner.presence.last_seen(node)
    }
}

#[async_trait::async_trait]
impl BootProfiles for CutPorts {
    async fn write(
        &self,
        nodes: &[Arc<Node>],
        choice: &BootChoice,
        variables: &Variables,
    ) -> Result<(), ProfileError> {
        let names: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
        let what = if matches!(choice, BootChoice::Network { .. }) { "deploy" } else { "local" };
        let call = self.inner.profiles.write(nodes, choice, variables);
        self.command(&names, (Sort::Profile, what.into()), call).await
    }

    async fn clear(&self, nodes: &[Arc<Node>]) -> Result<(), ProfileError> {
        let names: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
        let call = self.inner.profiles.clear(nodes);
        self.command(&names, (Sort::Look, "clear".into()), call).await
    }
}
