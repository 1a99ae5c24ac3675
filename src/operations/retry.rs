//! An operation done again on the nodes that failed.
//!
//! It is a new operation with the plans of the first. A node that is seen to be still in the
//! deployment system where it failed goes on there; any other begins at the start.

use super::{
    Inner, Viewer,
    create::{self, Assembled, Draft},
    left,
    log::seconds,
    operation::Operation,
    plans::Plans,
    record::Record,
    run::{Job, Wanted},
};
use crate::{
    files::{Grabber, What},
    steps::Left,
    types::{Code, Created, Problem},
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::SystemTime,
};

/// Starts what `first` did anew, on the nodes on which it failed.
pub(super) async fn retry(
    inner: &Arc<Inner>,
    first: &Operation,
    viewer: &Viewer,
) -> Result<Option<Created>, Problem> {
    let (mut plans, known) = plans(inner, first).await?;
    let held = inner.rights().of(&viewer.user).await?;
    plans.orders.iter().try_for_each(|order| create::may_write(&held, first.kind, order))?;
    let wid = first.kind.new_id();
    let nodes: Vec<_> = plans.orders.iter().flat_map(|order| order.nodes.clone()).collect();
    let (reservation, free, busy) = if first.only_asks() {
        (inner.reservations.none(&wid), nodes, Vec::new())
    } else {
        inner.reservations.take(&wid, nodes, false)
    };
    if free.is_empty() {
        return Err(create::all_busy(&busy));
    }
    if !busy.is_empty() {
        keep(&mut plans, |name| free.iter().any(|node| node.name == name));
    }
    let states = first.state();
    let mut notes = vec![format!("again what {} did", first.wid)];
    for order in &mut plans.orders {
        notes.extend(left::decide(inner, first, order, (&states, &known)).await);
    }
    plans.files = plans.files.into_iter().map(|what| of(what, &first.wid, &wid)).collect();
    let record = Record {
        user: viewer.user.clone(),
        start: seconds(SystemTime::now()),
        end: None,
        clusters: plans.orders.iter().map(|order| order.cluster.clone()).collect(),
        nodes: free.iter().map(|node| node.name.clone()).collect(),
        state: BTreeMap::new(),
        error: None,
        lines: Vec::new(),
        ..first.record()
    };
    let stored = plans.stored().map_err(Problem::internal)?;
    let user = viewer.user.clone();
    let depot = Arc::clone(&inner.means.depot);
    let grabber = Grabber { depot, wid: wid.clone(), user, client: plans.client };
    let told = notes.clone();
    let draft = Draft { inner, wid, record, stored, notes, again: false };
    let Assembled { operation, parts, notes } = draft.assemble(plans.orders, plans.debug, &[])?;
    for note in &told {
        operation.say(0, note);
    }
    let job =
        Job { parts, grabber, files: Wanted::new(plans.files), keep: plans.keep, reservation };
    create::start(inner, operation, job, notes).await
}

/// The plans of `first` for the nodes that failed, and what is known of its nodes.
async fn plans(
    inner: &Inner,
    first: &Operation,
) -> Result<(Plans, BTreeMap<String, Left>), Problem> {
    let wid = &first.wid;
    let nothing = |text: String| Problem::new(Code::NothingModified, text);
    if !first.ended() {
        return Err(nothing(format!("{wid} has not ended")).hint("wait for its end, or cancel it"));
    }
    let failed: BTreeSet<String> = first
        .state()
        .into_iter()
        .filter(|(_, status)| status.state == "ko")
        .map(|(name, _)| name)
        .collect();
    if failed.is_empty() {
        return Err(nothing(format!("no node of {wid} failed")));
    }
    let stored = inner.means.store.operation(wid).await?;
    let request = stored.map(|stored| stored.request).unwrap_or_default();
    let mut plans = Plans::deserialize(&request).map_err(|_| {
        let text = format!("the plans of {wid} were made by another version");
        nothing(text).hint("start the operation anew")
    })?;
    let known = left::left(inner, first, &plans.orders).await;
    let site = inner.means.site();
    let inventory = &site.inventory;
    keep(&mut plans, |name| failed.contains(name) && inventory.get(name).is_some());
    if plans.orders.is_empty() {
        return Err(nothing(format!("the nodes of {wid} that failed are not there any more")));
    }
    Ok((plans, known))
}

/// Leaves only the nodes that `wanted` names.
fn keep(plans: &mut Plans, wanted: impl Fn(&str) -> bool) {
    for order in &mut plans.orders {
        order.nodes.retain(|node| wanted(&node.name));
    }
    plans.orders.retain(|order| !order.nodes.is_empty());
}

/// A file of the first operation as one of the second.
fn of(what: What, first: &str, second: &str) -> What {
    let version = if what.version == first { second.to_owned() } else { what.version };
    What { version, ..what }
}
