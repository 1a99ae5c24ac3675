//! The lab's network: a namespace with a bridge and a tap for each node.
//!
//! BMC addresses are on the loopback interface, so that each BMC has an address
//! of its own and the standard port. The address of a dead BMC is routed to the
//! bridge, where nobody answers for it: a client sees what it sees of a BMC
//! without power. Where the service does not lend the addresses, the server that
//! does is in a namespace of its own on the same bridge, as on a machine beside.

use super::{Dhcp, LabError, Place, Plan, error::Context, process::run};
use std::{fmt::Write, time::Duration};

/// Name of the bridge inside the namespace.
pub const BRIDGE: &str = "br0";
/// Interface of the server beside, in its namespace.
pub(super) const BESIDE: &str = "eth0";
/// Limit of one `ip` command; hundreds of interfaces take about a second.
const IP_LIMIT: Duration = Duration::from_secs(30);
/// Switches of the namespace. No IPv6 but on the bridge, where router advertisements keep iPXE from waiting 14 s.
const SYSCTLS: [&str; 4] = [
    "net.ipv6.conf.default.disable_ipv6=1",
    "net.ipv6.conf.all.disable_ipv6=1",
    "net.ipv6.conf.br0.disable_ipv6=0",
    "net.ipv6.conf.br0.accept_dad=0",
];

/// The namespace of the server that lends addresses where the service does not.
pub(super) fn beside(place: &Place) -> String {
    format!("{}-dhcp", place.name())
}

/// Makes the namespace, which must not exist, and all that is in it.
pub(super) async fn make(place: &Place, plan: &Plan) -> Result<(), LabError> {
    run("ip", &["netns", "add", place.name()], "", IP_LIMIT).await?;
    write_etc(place, plan)?;
    let inside = ["-n", place.name(), "-batch", "-"];
    run("ip", &inside, &format!("link set lo up\nlink add {BRIDGE} type bridge forward_delay 0 stp_state 0 mcast_snooping 0\n"), IP_LIMIT).await?;
    let mut sysctl = vec!["netns", "exec", place.name(), "sysctl", "-qw"];
    sysctl.extend(SYSCTLS);
    run("ip", &sysctl, "", IP_LIMIT).await?;
    run("ip", &inside, &batch(plan), IP_LIMIT).await?;
    if plan.dhcp == Dhcp::Proxy {
        let beside = beside(place);
        run("ip", &["netns", "add", &beside], "", IP_LIMIT).await?;
        let link = format!(
            "link add beside type veth peer name {BESIDE} netns {beside}\nlink set beside master {BRIDGE} up\n"
        );
        run("ip", &inside, &link, IP_LIMIT).await?;
        let address = plan.subnet.beside();
        let text = format!("addr add {address}/24 dev {BESIDE}\nlink set {BESIDE} up\n");
        run("ip", &["-n", &beside, "-batch", "-"], &text, IP_LIMIT).await?;
    }
    Ok(())
}

/// The namespaces of the lab that exist.
async fn namespaces(place: &Place) -> Result<Vec<String>, LabError> {
    let list = run("ip", &["netns", "list"], "", IP_LIMIT).await?;
    let there: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let own = [place.name().to_owned(), beside(place)];
    Ok(own.into_iter().filter(|name| there.contains(&name.as_str())).collect())
}

/// Is there a namespace of the lab?
pub(super) async fn exists(place: &Place) -> Result<bool, LabError> {
    namespaces(place).await.map(|found| !found.is_empty())
}

/// The processes inside the namespaces.
pub(super) async fn pids(place: &Place) -> Result<Vec<i32>, LabError> {
    let mut pids = Vec::new();
    for name in namespaces(place).await? {
        let list = run("ip", &["netns", "pids", &name], "", IP_LIMIT).await?;
        pids.extend(list.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    Ok(pids)
}

/// Removes the namespaces with their interfaces.
pub(super) async fn remove(place: &Place) -> Result<(), LabError> {
    for name in namespaces(place).await? {
        run("ip", &["netns", "del", &name], "", IP_LIMIT).await?;
    }
    Ok(())
}

/// The `ip -batch` text for the bridge's addresses, the taps and the BMC addresses.
fn batch(plan: &Plan) -> String {
    let mut text = format!(
        "addr add {}/24 dev {BRIDGE}\nlink set {BRIDGE} up\naddr add fd77::1/64 dev {BRIDGE} nodad\n",
        plan.subnet.server()
    );
    for guest in &plan.guests {
        let (tap, bmc) = (guest.tap(), guest.bmc_address);
        let _ = writeln!(text, "tuntap add {tap} mode tap\nlink set {tap} master {BRIDGE} up");
        let (what, dev) = if guest.dead_bmc { ("route", BRIDGE) } else { ("addr", "lo") };
        let _ = writeln!(text, "{what} add {bmc}/32 dev {dev}");
    }
    text
}

/// Names of the nodes for programs inside the namespace, which has no name server.
fn hosts(plan: &Plan) -> String {
    let mut text = format!("127.0.0.1 localhost\n{} server.lab server\n", plan.subnet.server());
    for guest in &plan.guests {
        let _ = writeln!(text, "{} {} {}", guest.address, guest.fqdn(), guest.name());
    }
    text
}

fn write_etc(place: &Place, plan: &Plan) -> Result<(), LabError> {
    let dir = place.etc();
    std::fs::create_dir_all(&dir).context(|| format!("making {}", dir.display()))?;
    for (name, text) in [("hosts", hosts(plan)), ("resolv.conf", "# no name server\n".into())] {
        let path = dir.join(name);
        std::fs::write(&path, text).context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Accel, Subnet, Wishes, plan::tests::wishes};

    #[test]
    fn a_dead_bmc_has_a_route_and_no_address() {
        let wishes = Wishes { dead_bmc: "2".parse().unwrap(), subnet: Subnet(10, 9), ..wishes(3) };
        let plan = Plan::new("x", &wishes, Accel::Tcg).unwrap();
        let text = batch(&plan);
        assert!(text.starts_with("addr add 10.9.0.1/24 dev br0\nlink set br0 up\n"), "{text}");
        assert!(text.contains("tuntap add tap2 mode tap\nlink set tap2 master br0 up\n"), "{text}");
        assert!(text.contains("addr add 10.9.1.11/32 dev lo\n"), "{text}");
        assert!(text.contains("route add 10.9.1.12/32 dev br0\n"), "{text}");
        assert!(!text.contains("addr add 10.9.1.12"), "{text}");
        assert!(hosts(&plan).contains("10.9.0.12 node-2.lab node-2\n"));
    }
}
