//! A machine that comes back in another network than the one in which it was ordered to boot.

use super::*;
use crate::{
    nodes::Node,
    platform::{Command, Output, Ports, Presence, Reach, Shell, ShellError, Sighting},
    steps::Vlan,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::AtomicBool,
};
use tokio::sync::broadcast;

/// Where it answers then.
const THERE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

/// What lies between the service and the machine.
struct Switch {
    inner: Ports,
    home: Node,
    moved: AtomicBool,
}

impl Switch {
    fn leads_to(&self, address: Ipv4Addr) -> bool {
        address == if self.moved.load(Relaxed) { THERE } else { self.home.address }
    }
}

#[async_trait::async_trait]
impl Presence for Switch {
    async fn probe(&self, address: SocketAddr, within: Duration) -> Reach {
        let IpAddr::V4(to) = address.ip() else { return Reach::Silent };
        if !self.leads_to(to) {
            return Reach::Silent;
        }
        let home = SocketAddr::new(IpAddr::V4(self.home.address), address.port());
        self.inner.presence.probe(home, within).await
    }

    fn sightings(&self) -> broadcast::Receiver<Sighting> {
        self.inner.presence.sightings()
    }

    fn last_seen(&self, node: &Node) -> Option<Sighting> {
        self.inner.presence.last_seen(node)
    }
}

#[async_trait::async_trait]
impl Shell for Switch {
    async fn run(&self, node: &Node, command: &Command) -> Result<Output, ShellError> {
        if self.leads_to(node.address) {
            return self.inner.shell.run(&self.home, command).await;
        }
        let (node, address) = (node.name.clone(), node.address.to_string());
        Err(ShellError::Unreachable { node, address, why: "no route to host".into() })
    }

    async fn forget(&self, node: &Node) {
        self.inner.shell.forget(node).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_follows_on_the_boot_is_done_where_the_machine_is_then() {
    let mut bed = Bed::new(&Scenario::new(1, 1));
    let run = Arc::get_mut(&mut bed.run).unwrap();
    let (inner, home) = (run.ports.clone(), Node::clone(&run.nodes[0]));
    let addresses = BTreeMap::from([(home.name.clone(), THERE)]);
    let switch = Arc::new(Switch { inner, home, moved: false.into() });
    (run.ports.presence, run.ports.shell) = (Arc::clone(&switch) as _, Arc::clone(&switch) as _);
    run.settings.vlan = Some(Vlan { id: "4".into(), addresses, ..Vlan::default() });
    run.settings.startup_script = Some("/simulated/startup".into());
    run.settings.drivers = vec!["nvme".into()];
    let key = Some("/simulated/key".into());
    run.files = Arc::new(OnceLock::from(Files { key, ..Files::default() }));
    let well = async |bed: &Bed, micro: Micro| {
        let ended = bed.step(micro, &Context::detached("step")).await;
        assert!(ended.ko.is_empty(), "{ended:?}");
    };
    well(&bed, Micro::SwitchPxe(Boots::Deploy)).await;
    well(&bed, Micro::Reboot(Level::Hard)).await;
    switch.moved.store(true, Relaxed);
    let timeout = Duration::from_secs(900);
    well(&bed, Micro::WaitReboot { deploy: true, press: true, moved: true, timeout }).await;
    well(&bed, Micro::LoadDrivers).await;
    // That is known after a restart as well.
    bed.restart();
    well(&bed, Micro::SendKeyInDeployEnv).await;
    assert_eq!(bed.world.keys("node-1.sim"), [true, false]);
}
