//! The machines: ranges unfolded, each name, address and MAC once.

use crate::load::NO_NODES;
use crate::mistake::{Mistake, Place};
use crate::model::clusters::{Bmc, BmcKeys, ClusterKeys, NodeKeys};
use crate::model::site::Node;

use crate::model::remoteops::RemoteOps;
use crate::ranges::expand;
use crate::read::Reader;
use crate::snippet::Source;
use crate::substitute::is_name;
use crate::tree::{Located, Span};
use std::{collections::HashMap, net::Ipv4Addr, sync::Arc};

/// What was given to somebody, by kind and value, and where.
#[derive(Default)]
pub(crate) struct Taken(HashMap<(&'static str, String), (Arc<Source>, Span)>);

impl Taken {
    /// Records that a name, an address... is in use; where it was already, that place.
    fn claim(&mut self, what: &'static str, value: &str, at: &Located) -> Option<Place> {
        let key = (what, value.to_owned());
        if let Some((source, span)) = self.0.get(&key) {
            return Some(source.place(*span));
        }
        self.0.insert(key, (Arc::clone(&at.source), at.span));
        None
    }

    /// The same; a second use is a mistake.
    fn once(&mut self, (what, value): (&'static str, &str), at: &Located, cx: &mut Reader<'_>) {
        if let Some(other) = self.claim(what, value, at) {
            let found = format!("the {what} `{value}` a second time");
            let mistake = Mistake::new(at, found, format!("each {what} once"));
            cx.mistakes.push(mistake.other(other));
        }
    }

    /// The same; a second use is told, with what becomes of it. Whether it is the first one.
    fn first(
        &mut self,
        (what, value): (&'static str, &str),
        at: &Located,
        becomes: &str,
        cx: &mut Reader<'_>,
    ) -> bool {
        let other = self.claim(what, value, at);
        if let Some(other) = &other {
            let text = format!("the {what} `{value}` a second time, after {other}: {becomes}");
            cx.notice(at.place(), &at.path, text);
        }
        other.is_none()
    }
}

/// The machines of a cluster, from its entry `at` in `clusters.conf`.
pub(crate) fn nodes(
    keys: &ClusterKeys,
    at: &Located,
    taken: &mut Taken,
    cx: &mut Reader<'_>,
) -> Vec<Node> {
    let entries = at.get("nodes").map_or(&[][..], Located::items);
    if entries.is_empty() {
        let at = at.get("nodes").unwrap_or(at);
        cx.mistakes.push(Mistake::new(at, at.found(), "at least one node").old_text(NO_NODES));
    }
    let unfolded = keys.nodes.iter().zip(entries);
    unfolded.flat_map(|(keys, at)| unfold(keys, at, taken, cx).unwrap_or_default()).collect()
}

/// The machines of one entry.
fn unfold(
    keys: &NodeKeys,
    at: &Located,
    taken: &mut Taken,
    cx: &mut Reader<'_>,
) -> Option<Vec<Node>> {
    let name_at = at.get("name").unwrap_or(at);
    let address_at = at.get("address").unwrap_or(at);
    let names = range(&keys.name, name_at, cx);
    let addresses = range(&keys.address, address_at, cx);
    let (names, addresses) = (names?, addresses?);
    if names.len() != addresses.len() {
        let found = format!("{} names and {} addresses", names.len(), addresses.len());
        let mistake = Mistake::new(at, found, "as many names as addresses");
        let old = "Incoherent number of hostnames and IP addresses";
        cx.mistakes.push(mistake.old_text(old));
        return None;
    }
    let macs = spread_macs(keys, names.len(), at, cx);
    let bmcs = spread_bmc(keys.bmc.as_ref(), names.len(), at, cx);
    let (macs, bmcs) = (macs?, bmcs?);
    let mut nodes = Vec::new();
    for (((name, address), macs), bmc) in names.into_iter().zip(addresses).zip(macs).zip(bmcs) {
        let known = is_name(&name);
        if !known {
            cx.mistake(name_at, format!("{name:?}"), "a host name, or a range of them");
        }
        let Ok(address) = address.parse::<Ipv4Addr>() else {
            cx.mistake(
                address_at,
                format!("{address:?}"),
                "an IPv4 address, or a range of its last byte",
            );
            return None;
        };
        if !taken.first(("node name", &name), name_at, "this one does not count", cx) {
            continue;
        }
        let text = address.to_string();
        taken.first(("address", &text), address_at, "they boot the same profile", cx);
        for mac in &macs {
            taken.once(("MAC address", mac), at.get("mac").unwrap_or(at), cx);
        }
        nodes.push(Node {
            name,
            address,
            macs,
            firmware: keys.firmware,
            bmc,
            rack: keys.rack.clone(),
            switch: keys.switch.clone(),
            commands: RemoteOps::default(),
        });
    }
    Some(nodes)
}

fn range(text: &str, at: &Located, cx: &mut Reader<'_>) -> Option<Vec<String>> {
    expand(text)
        .map_err(|error| {
            let expected = "a name, or a range such as `n-[1-9].lan`";
            cx.mistake(at, format!("{text:?}: {error}"), expected);
        })
        .ok()
}

/// All MACs to a single node; on a range, one to each.
fn spread_macs(
    keys: &NodeKeys,
    count: usize,
    at: &Located,
    cx: &mut Reader<'_>,
) -> Option<Vec<Vec<String>>> {
    let macs = &keys.mac.0;
    if macs.is_empty() || count == 1 {
        return Some(vec![macs.clone(); count]);
    }
    if macs.len() != count {
        let found = format!("{} MAC addresses for {count} nodes", macs.len());
        cx.mistake(at.get("mac").unwrap_or(at), found, "one MAC address per node of the range");
        return None;
    }
    Some(macs.iter().map(|mac| vec![mac.clone()]).collect())
}

/// The BMC of each node; on a range, its addresses are a range too.
fn spread_bmc(
    keys: Option<&BmcKeys>,
    count: usize,
    at: &Located,
    cx: &mut Reader<'_>,
) -> Option<Vec<Option<Bmc>>> {
    let Some(keys) = keys else { return Some(vec![None; count]) };
    let at = at.get("bmc").and_then(|bmc| bmc.get("address")).unwrap_or(at);
    let addresses = match &keys.address {
        Some(text) => range(text, at, cx)?,
        None => vec![String::new(); count],
    };
    if addresses.len() != count {
        let found = format!("{} BMC addresses for {count} nodes", addresses.len());
        cx.mistake(at, found, "one BMC address per node of the range");
        return None;
    }
    let bmc = |address| Bmc {
        driver: keys.driver,
        address,
        port: keys.port,
        user: keys.user.clone().unwrap_or_default(),
        password_file: keys.password_file.clone(),
    };
    Some(addresses.into_iter().map(bmc).map(Some).collect())
}
