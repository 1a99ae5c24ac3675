//! Why a node is where it is.

use super::{Inner, Viewer, board::Place, operation::Operation};
use crate::{
    nodes::Node,
    platform::{PowerError, PowerState, Reach, Sighting, Witness},
    types::{Explanation, OperationOfNode, Problem, Seen, SeenRequest, advice},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, PoisonError},
    time::Duration,
};

/// How long a BMC is waited for.
const STATUS_LIMIT: Duration = Duration::from_secs(10);

/// How long a port is tried.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// A firmware asks again within that time if it does not get on.
const FIRMWARE: Duration = Duration::from_secs(30);

/// What is known of a node, for the rules.
struct Facts {
    name: String,
    /// Whose operation holds it, of which nothing more may be told.
    others: Option<String>,
    wid: Option<String>,
    /// The operation has ended.
    done: bool,
    waits: Option<Waits>,
    error: Option<String>,
    power: Option<PowerState>,
    ssh: Reach,
    marker: Reach,
    /// What it last asked for since the step began, how long ago.
    request: Option<(Witness, String, Duration)>,
}

/// A step that a node is in.
struct Waits {
    micro: String,
    macro_step: String,
    since: Duration,
    left: Option<Duration>,
    paused: bool,
}

/// Looks at `name` and at what is being done to it, for `viewer`: of another user's operation he is
/// told no more than that it is there.
///
/// # Errors
/// 2: there is no such node. 6: he has no right on it.
pub(super) async fn explain(
    inner: &Inner,
    name: &str,
    viewer: &Viewer,
) -> Result<Explanation, Problem> {
    let (site, ports) = inner.means.premises.both();
    let node = site.inventory.select(&[name.to_owned()])?.nodes.into_iter().next();
    let Some(node) = node else { return Err(Problem::NotFound(name.to_owned())) };
    if !viewer.almighty {
        inner.rights().of(&viewer.user).await?.demand(&[&node.name], "", "")?;
    }
    let operation = of(inner, &node.name);
    let mine = operation.as_deref().filter(|operation| operation.open_to(viewer));
    let network = &site.config.server.network.ports;
    let probe =
        |port| ports.presence.probe(SocketAddr::new(IpAddr::V4(node.address), port), PROBE_LIMIT);
    let (power, ssh, marker) = tokio::join!(
        ports.power.status(&node, STATUS_LIMIT),
        probe(network.ssh),
        probe(network.test_deploy_env)
    );
    let request = ports.presence.last_seen(&node);
    let waits = mine.and_then(|operation| waits(operation, &node));
    let others = operation.as_deref().filter(|one| mine.is_none() && !one.ended());
    let facts = Facts {
        name: node.name.clone(),
        others: others.map(|operation| operation.user.clone()),
        wid: mine.map(|operation| operation.wid.clone()),
        done: mine.is_none_or(Operation::ended),
        error: mine.and_then(|operation| operation.state().remove(&node.name)?.error),
        power: power.as_ref().ok().copied(),
        ssh,
        marker,
        request: request.as_ref().and_then(|seen| since(seen, waits.as_ref())),
        waits,
    };
    let (cause, next) = cause(&facts);
    let waits = facts.waits.as_ref();
    let seconds = |time: Duration| time.as_secs();
    Ok(Explanation {
        node: facts.name.clone(),
        operation: operation.as_deref().map(told),
        waits_for: waits.map(|waits| format!("{} in {}", waits.micro, waits.macro_step)),
        since: waits.map(|waits| seconds(waits.since)),
        until: waits.and_then(|waits| waits.left).map(seconds),
        seen: seen(power, (ssh, marker), request),
        error: facts.error,
        cause,
        next,
    })
}

/// The operation that holds a node, else the last one of those that are kept, rather one that
/// did something to it than one that only asked.
fn of(inner: &Inner, name: &str) -> Option<Arc<Operation>> {
    let table = inner.table.read().unwrap_or_else(PoisonError::into_inner);
    let mine = table.values().filter(|one| one.nodes.iter().any(|node| node == name));
    mine.max_by_key(|one| (!one.ended(), !one.only_asks(), one.start)).cloned()
}

fn seen(
    power: Result<PowerState, PowerError>,
    (ssh, marker): (Reach, Reach),
    request: Option<Sighting>,
) -> Seen {
    Seen {
        power: power.map_or_else(|why| format!("unknown: {why}"), |state| state.to_string()),
        ssh: word(ssh).to_owned(),
        deployment_system: word(marker).to_owned(),
        request: request.map(asked),
    }
}

fn asked(seen: Sighting) -> SeenRequest {
    let server = format!("{:?}", seen.witness).to_lowercase();
    SeenRequest { server, ago: seen.at.elapsed().as_secs(), what: seen.what }
}

fn told(operation: &Operation) -> OperationOfNode {
    OperationOfNode {
        wid: operation.wid.clone(),
        kind: operation.kind,
        user: operation.user.clone(),
        done: operation.ended(),
    }
}

/// The step that a node is in.
fn waits(operation: &Operation, node: &Node) -> Option<Waits> {
    operation.watches.iter().find_map(|watch| {
        let board = watch.board();
        let place = |(id, place): (automata::NodeId, &Place)| {
            let mine = watch.nodes[id.index()].name == node.name && place.ended.is_none();
            let (macro_step, micro) = place.step().filter(|_| mine)?;
            let (macro_step, micro) = (macro_step.to_string(), micro.to_string());
            let (since, left) = place.times();
            Some(Waits { micro, macro_step, since, left, paused: place.is_paused() })
        };
        board.iter().find_map(place)
    })
}

/// A request, if it came after the step had begun.
fn since(seen: &Sighting, waits: Option<&Waits>) -> Option<(Witness, String, Duration)> {
    let ago = seen.at.elapsed();
    let new = waits.is_none_or(|waits| ago <= waits.since);
    new.then(|| (seen.witness, seen.what.clone(), ago))
}

fn word(reach: Reach) -> &'static str {
    match reach {
        Reach::Open => "open",
        Reach::Refused => "refused",
        Reach::Silent => "silent",
    }
}

/// What is most likely the matter, and what to do next.
fn cause(facts: &Facts) -> (String, Vec<String>) {
    let Facts { name, wid, done, waits, error, .. } = facts;
    let wid = wid.clone().unwrap_or_default();
    if let Some(user) = &facts.others {
        let cause = format!("an operation of {user} is under way on it");
        return (cause, vec!["kadence operations".to_owned()]);
    }
    match (waits, error) {
        (Some(waits), _) if waits.paused => (
            "it waits at a breakpoint for somebody to let it go on".to_owned(),
            vec![format!("kadence continue {wid}"), format!("kadence abort {wid}")],
        ),
        (Some(waits), _) if waits.micro == "wait_reboot" => booting(facts),
        (Some(waits), _) => (
            format!("{} is at work on it", waits.micro),
            vec![format!("kadence logs {wid} --follow")],
        ),
        (None, Some(error)) => {
            let known = advice(error);
            let cause = known.map_or_else(
                || error.clone(),
                |known| format!("{error} (a matter of the {})", known.class),
            );
            let mut next: Vec<_> = known.map(|known| known.text.to_owned()).into_iter().collect();
            next.extend(done.then(|| format!("kadence retry {wid}")));
            (cause, next)
        }
        (None, None) if !done => (
            "it waits for others of its operation, or for files".to_owned(),
            vec![format!("kadence logs {wid} --follow")],
        ),
        (None, None) => (
            "nothing is being done to it".to_owned(),
            vec![format!("kadence deploy -e ENVIRONMENT -m {name}")],
        ),
    }
}

/// The same for a node that was ordered to boot.
fn booting(facts: &Facts) -> (String, Vec<String>) {
    let Facts { name, power, ssh, marker, request, .. } = facts;
    let console = "look at its console".to_owned();
    let bmc = format!("kadence power status -m {name}");
    if *power == Some(PowerState::Off) {
        let cause = "it is off: its BMC accepted the order, and it did not start";
        return (cause.to_owned(), vec![format!("kadence power on -m {name}"), console]);
    }
    let cause = match (ssh, marker, request) {
        (Reach::Open, Reach::Open, _) => "the deployment system runs on it",
        (Reach::Open, _, _) => {
            "a system runs on it that is not the deployment system: it did not boot from the network, or has not gone down yet"
        }
        (Reach::Refused, ..) => "it is up, and nothing listens on its ssh port yet",
        (Reach::Silent, _, None) => {
            "it has asked none of our boot servers for anything since it was ordered to boot: it is still in its self test, it does not boot from the network first, or its network does not reach us"
        }
        (Reach::Silent, _, Some((_, _, ago))) if *ago < FIRMWARE => "it is booting",
        (Reach::Silent, _, Some((Witness::Dhcp, ..))) => {
            "it has an address, and fetched nothing from us: its firmware was sent elsewhere by another DHCP server, or our TFTP and HTTP ports are not reached"
        }
        (Reach::Silent, _, Some(_)) => {
            "it has fetched what it asked for, and its system does not answer: the kernel hangs or panicked, or it does not know the network card"
        }
    };
    (cause.to_owned(), vec![console, bmc])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            name: "node-1".into(),
            others: None,
            wid: Some("D-1".into()),
            done: false,
            waits: Some(Waits {
                micro: "wait_reboot".into(),
                macro_step: "SetDeploymentEnvUntrusted".into(),
                since: Duration::from_secs(100),
                left: None,
                paused: false,
            }),
            error: None,
            power: Some(PowerState::On),
            ssh: Reach::Silent,
            marker: Reach::Silent,
            request: None,
        }
    }

    fn says(facts: &Facts, words: &str, next: &str) {
        let (cause, commands) = cause(facts);
        assert!(cause.contains(words), "{cause}");
        assert!(commands.iter().any(|command| command.contains(next)), "{commands:?}");
    }

    #[test]
    fn each_way_to_hang_in_a_boot_has_its_cause() {
        says(&facts(), "asked none of our boot servers", "console");
        let off = Facts { power: Some(PowerState::Off), ..facts() };
        says(&off, "it is off", "kadence power on -m node-1");
        let asked = |witness, ago| Facts {
            request: Some((witness, "a".into(), Duration::from_secs(ago))),
            ..facts()
        };
        says(&asked(Witness::Dhcp, 3), "it is booting", "console");
        says(&asked(Witness::Dhcp, 60), "fetched nothing from us", "console");
        says(&asked(Witness::Tftp, 60), "kernel hangs or panicked", "console");
        says(&Facts { ssh: Reach::Open, ..facts() }, "not the deployment system", "power status");
        says(&Facts { ssh: Reach::Refused, ..facts() }, "nothing listens", "console");
    }

    #[test]
    fn what_failed_is_told_with_what_helps() {
        let failed = Facts {
            waits: None,
            done: true,
            error: Some("Power-power: the BMC at 10.0.0.1 did not answer within 45s".into()),
            ..facts()
        };
        says(&failed, "a matter of the node", "kadence retry D-1");
        says(&failed, "did not answer", "look at its BMC");
    }

    #[test]
    fn who_waits_for_a_person_is_told_for_whom() {
        let mut paused = facts();
        paused.waits.as_mut().unwrap().paused = true;
        says(&paused, "breakpoint", "kadence continue D-1");
        says(&Facts { waits: None, ..facts() }, "waits for others", "kadence logs D-1");
        let idle = Facts { waits: None, done: true, wid: None, ..facts() };
        says(&idle, "nothing is being done", "kadence deploy");
    }
}
