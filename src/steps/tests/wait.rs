//! What proves that a machine has rebooted, and what does not.

use super::{power::liar, *};
use crate::{
    nodes::Node,
    platform::{Command, Output, Ports, Presence, Reach, Shell, ShellError, Sighting},
};
use std::{net::SocketAddr, sync::atomic::AtomicBool};
use tokio::{
    sync::broadcast,
    time::{sleep, timeout},
};

/// A machine under load: for a while it answers on some ports, or no command.
struct Loaded {
    inner: Ports,
    silent: Mutex<Vec<u16>>,
    mute: AtomicBool,
}

#[async_trait::async_trait]
impl Presence for Loaded {
    async fn probe(&self, address: SocketAddr, within: Duration) -> Reach {
        if self.silent.lock().unwrap().contains(&address.port()) {
            sleep(within).await;
            return Reach::Silent;
        }
        self.inner.presence.probe(address, within).await
    }

    fn sightings(&self) -> broadcast::Receiver<Sighting> {
        self.inner.presence.sightings()
    }

    fn last_seen(&self, node: &Node) -> Option<Sighting> {
        self.inner.presence.last_seen(node)
    }
}

#[async_trait::async_trait]
impl Shell for Loaded {
    async fn run(&self, node: &Node, command: &Command) -> Result<Output, ShellError> {
        if self.mute.load(Relaxed) {
            sleep(command.deadline).await;
            return Err(ShellError::Deadline { node: node.name.clone(), after: command.deadline });
        }
        self.inner.shell.run(node, command).await
    }

    async fn forget(&self, node: &Node) {
        self.inner.shell.forget(node).await;
    }
}

impl Bed {
    /// Nothing but a proof counts, and the machine can be loaded.
    fn strict(&mut self) -> Arc<Loaded> {
        let run = Arc::get_mut(&mut self.run).unwrap();
        run.settings.require_reboot_proof = true;
        let inner = run.ports.clone();
        let loaded = Arc::new(Loaded { inner, silent: Mutex::default(), mute: false.into() });
        run.ports.presence = Arc::clone(&loaded) as _;
        run.ports.shell = Arc::clone(&loaded) as _;
        loaded
    }

    async fn order(&self) {
        let ended = self.step(Micro::Reboot(Level::Hard), &Context::detached("reboot")).await;
        assert!(ended.ko.is_empty(), "{ended:?}");
    }
}

/// Into the installed system; nobody is asked again.
const fn installed(seconds: u64) -> Micro {
    let timeout = Duration::from_secs(seconds);
    Micro::WaitReboot { deploy: false, press: false, moved: false, timeout }
}

#[tokio::test(start_paused = true)]
async fn a_moment_of_silence_is_no_proof() {
    let mut bed = liar(None);
    let loaded = bed.strict();
    bed.order().await;
    let wait = Context::detached("wait");
    let moment = async {
        sleep(Duration::from_secs(1)).await;
        *loaded.silent.lock().unwrap() = vec![bed.run.settings.ssh_port];
        sleep(Duration::from_secs(1)).await;
        loaded.silent.lock().unwrap().clear();
    };
    let (ended, ()) = tokio::join!(bed.step(installed(60), &wait), moment);
    let why = ended.ko.values().next().unwrap();
    assert!(why.contains("reboot not observed"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_nothing_is_heard_of_for_seconds_was_down() {
    let mut bed = liar(Some(0));
    bed.strict();
    bed.order().await;
    let ended = bed.step(installed(600), &Context::detached("wait")).await;
    assert_eq!(ended.ok, bed.nodes, "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_system_that_is_too_slow_to_tell_its_boot_id_has_not_rebooted() {
    let mut bed = liar(None);
    bed.world.put_into_deployment("node-1.sim");
    let loaded = bed.strict();
    bed.order().await;
    // It is on its way down, and hangs: its marker port is closed, ssh lets nobody in any more.
    *loaded.silent.lock().unwrap() = vec![bed.run.settings.marker_port];
    loaded.mute.store(true, Relaxed);
    let wait = Context::detached("wait");
    let waited = timeout(Duration::from_secs(50), bed.step(installed(60), &wait)).await;
    assert!(waited.is_err(), "{waited:?}");
    // When it can be asked again, it says itself that it is the old one.
    loaded.mute.store(false, Relaxed);
    let ended = bed.step(installed(60), &wait).await;
    let why = ended.ko.values().next().unwrap();
    assert!(why.contains("the node never rebooted: its boot id"), "{why}");
}
