//! Operations that were under way when the service was stopped, taken up again.
//!
//! Nothing is done to a machine here: an operation is put together from its plans, told
//! again what its journal says, and holds its nodes. It goes on when the service is ready.

use super::{
    Inner, archive,
    archive::Unfinished,
    create::{Assembled, Draft},
    hook,
    journal::{self, Entry},
    operation::Operation,
    part::Part,
    plans::Plans,
    run::{self, Job, Wanted},
};
use crate::{files::Grabber, nodes::Inventory, steps, store::StoreError, types::Problem};
use automata::NodeId;
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, PoisonError},
    time::Duration,
};

/// Puts an operation together again, so that it can go on; one for which that cannot be done
/// ends with the reason. Of a damaged state none goes on: it is shown as it was left.
pub(super) async fn take_up(inner: &Arc<Inner>, one: Unfinished) -> Result<(), StoreError> {
    let wid = one.wid.clone();
    if inner.means.damage.is_some() {
        let operation = as_it_was_left(inner, one).await;
        inner.table.write().unwrap_or_else(PoisonError::into_inner).insert(wid, operation);
        return Ok(());
    }
    let operation = match prepare(inner, &one).await {
        Ok((operation, job)) => {
            for part in &job.parts {
                restore(&inner.means.site().inventory, part).await;
            }
            let text = format!("The service was restarted: the {} goes on", operation.kind);
            operation.say(0, &text);
            tracing::info!(wid, "goes on");
            let mut waiting = inner.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push((Arc::clone(&operation), job));
            operation
        }
        Err(why) => {
            tracing::error!(wid, why, "cannot go on after the restart");
            let lines = lines(inner, &wid).await;
            Arc::new(archive::give_up(&*inner.means.store, one, lines, &why).await?)
        }
    };
    inner.table.write().unwrap_or_else(PoisonError::into_inner).insert(wid, operation);
    Ok(())
}

/// An operation as its journal has it, to be looked at: nothing of it goes on, and nothing is
/// written, neither to the store nor for the nodes to boot. Why not is its error.
async fn as_it_was_left(inner: &Arc<Inner>, mut one: Unfinished) -> Arc<Operation> {
    one.record.error = inner.means.damage.as_deref().map(|why| Problem::Unavailable(why.into()));
    let operation = match prepare(inner, &one).await.map(|(operation, _)| operation) {
        Ok(operation) => operation,
        Err(why) => {
            tracing::error!(wid = one.wid, why, "can be shown in part only");
            let lines = lines(inner, &one.wid).await;
            let store = &*inner.means.store;
            Arc::new(archive::bare(store, one.record, one.wid, lines).await)
        }
    };
    operation.close();
    operation
}

/// Begins what was taken up, and tidies the cache when all have their files: nobody refers to
/// those that are left.
pub(super) fn go_on(inner: &Arc<Inner>) {
    hook::catch_up(inner);
    let waiting = mem::take(&mut *inner.waiting.lock().unwrap_or_else(PoisonError::into_inner));
    let mut grabbed = Vec::new();
    for (operation, mut job) in waiting {
        grabbed.push(job.files.wait());
        let inner = Arc::clone(inner);
        let tasks = inner.tasks.clone();
        tasks.spawn(async move { run::run(&inner, &operation, job).await });
    }
    let tidy = Arc::clone(inner);
    inner.tasks.spawn(async move {
        for one in grabbed {
            // It is over as well when the one who grabs is gone.
            let _ = one.await;
        }
        // A service that stops again may not have grabbed all.
        if tidy.stop.is_cancelled() {
            return;
        }
        if let Err(error) = tidy.means.depot.tidy() {
            tracing::error!(%error, "the cache cannot be tidied");
        }
    });
}

async fn prepare(
    inner: &Arc<Inner>,
    Unfinished { wid, record, plans: stored }: &Unfinished,
) -> Result<(Arc<Operation>, Job), String> {
    let plans = Plans::deserialize(stored).map_err(|why| format!("its plans: {why}"))?;
    let Plans { orders, files, client, keep, debug } = plans;
    let nodes = orders.iter().flat_map(|order| order.nodes.iter().cloned()).collect();
    let reservation = match record.footprint {
        Some(_) => inner.reservations.take(wid, nodes, true).0,
        None => inner.reservations.none(wid),
    };
    let (record, start, user) = (record.clone(), record.start, record.user.clone());
    let draft = Draft {
        inner,
        wid: wid.clone(),
        record,
        stored: stored.clone(),
        notes: Vec::new(),
        again: true,
    };
    let Assembled { operation, mut parts, .. } =
        draft.assemble(orders, debug, &[]).map_err(|problem| problem.to_string())?;
    let mut files = Wanted::new(files);
    journal::read(&*inner.means.store, wid, start, |at, entry| {
        recall(&operation, &mut parts, &mut files, at, entry)
    })
    .await?;
    let depot = Arc::clone(&inner.means.depot);
    let grabber = Grabber { depot, wid: wid.clone(), user, client };
    Ok((operation, Job { parts, grabber, files, keep, reservation }))
}

/// Takes one entry of the journal into account.
fn recall(
    operation: &Operation,
    parts: &mut [Part],
    files: &mut Wanted,
    at: Duration,
    entry: Entry,
) -> Result<(), String> {
    let part = |parts: &'_ mut [Part], cluster: &str| {
        parts.iter().position(|part| part.watch.cluster == cluster)
    };
    match entry {
        Entry::Run { cluster, record } => {
            let index = part(parts, &cluster).ok_or_else(|| unknown(&cluster))?;
            parts[index].recall(&record, at)?;
        }
        Entry::Note { cluster, note } => {
            let index = part(parts, &cluster).ok_or_else(|| unknown(&cluster))?;
            parts[index].run.recall(note);
        }
        Entry::Files(digests) => files.had = digests,
        told => journal::restore(operation, told),
    }
    Ok(())
}

fn unknown(cluster: &str) -> String {
    format!("its journal speaks of the cluster {cluster}, its plans do not")
}

/// Puts one cluster's part in the place where the restart found it.
async fn restore(inventory: &Inventory, part: &Part) {
    let Part { watch, run, .. } = part;
    watch.mute(false);
    let known: BTreeSet<&str> = inventory.all().iter().map(|node| node.name.as_str()).collect();
    for (id, node) in (0..).map(NodeId).zip(&watch.nodes) {
        if !known.contains(node.name.as_str()) {
            let name = &node.name;
            let reason = format!(
                "{name} is not in the configuration any more: put it back, and deploy it again"
            );
            run.lose(id, reason.into());
        }
    }
    if let Err(error) = steps::restore_profiles(run, &watch.failed()).await {
        tracing::error!(wid = run.wid, %error, "a boot profile could not be restored");
    }
}

/// The messages of an operation that cannot go on, as far as they can be read.
async fn lines(inner: &Inner, wid: &str) -> Vec<super::Line> {
    let mut lines = Vec::new();
    let read = journal::read(&*inner.means.store, wid, 0.0, |_, entry| {
        if let Entry::Lines(more) = entry {
            lines.extend(more);
        }
        Ok(())
    });
    if let Err(why) = read.await {
        tracing::error!(wid, why, "messages were lost");
    }
    lines
}
