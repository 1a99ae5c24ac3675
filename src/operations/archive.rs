//! All that operations write to the store and read from it.

use super::{
    Inner,
    create::Installed,
    hook,
    journal::{self, unix_time},
    log::{Line, Log, seconds, whole},
    operation::{Operation, Parts},
    record::Record,
};
use crate::{
    environments::Environment,
    store::{
        Change, EnvironmentRef as StoredRef, NodeRecord, NodeState, OperationKind, OperationRecord,
        StatRow, StatStep, Store, StoreError, Tree,
    },
    types::{Code, EnvironmentChoice, EnvironmentRef, Kind, Problem},
};
use automata::{SetId, Status};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio_util::sync::CancellationToken;

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::new(Code::DatabaseError, error.to_string())
    }
}

/// The number of an environment that is described in a request.
const NOT_RECORDED: i64 = -1;

/// An operation that was under way when the service was stopped.
pub(super) struct Unfinished {
    pub(super) wid: String,
    pub(super) record: Record,
    /// What it takes to go on.
    pub(super) plans: Value,
}

/// The operations the store knows: those that have ended, and those that have not.
pub(super) async fn load(
    store: &dyn Store,
) -> Result<(BTreeMap<String, Arc<Operation>>, Vec<Unfinished>), StoreError> {
    let (mut table, mut unfinished) = (BTreeMap::new(), Vec::new());
    for stored in store.operations().await? {
        let wid = stored.id;
        let Ok(mut record) = serde_json::from_value::<Record>(stored.result) else {
            tracing::warn!(wid, "this operation was recorded by another version and is left out");
            continue;
        };
        if record.end.is_none() {
            unfinished.push(Unfinished { wid, record, plans: stored.request });
            continue;
        }
        let lines = std::mem::take(&mut record.lines);
        let operation = bare(store, record, wid.clone(), lines).await;
        table.insert(wid, Arc::new(operation));
    }
    // In the order in which they began: who took nodes over by force has them again.
    unfinished.sort_by(|a, b| a.record.start.total_cmp(&b.record.start));
    Ok((table, unfinished))
}

/// An operation of which nothing runs: its record and its messages; and from its journal what commands
/// printed, and how far its readers have come.
pub(super) async fn bare(
    store: &dyn Store,
    record: Record,
    wid: String,
    lines: Vec<Line>,
) -> Operation {
    let log = Arc::new(Log::with(lines));
    let debug = record.debug.then(Arc::<Log>::default);
    let (watches, suspend) = (Vec::new(), CancellationToken::new());
    let parts = Parts { log, debug, watches, plans: Value::Null, suspend };
    let operation = Operation::new(record, wid, parts);
    let restore = |entry| journal::restore(&operation, entry);
    let read = journal::read_of_readers(store, &operation.wid, restore);
    if let Err(why) = read.await {
        let wid = &operation.wid;
        tracing::warn!(wid, why, "what its readers had is not known any more: it is given again");
    }
    operation
}

/// Ends an operation that cannot go on.
pub(super) async fn give_up(
    store: &dyn Store,
    Unfinished { wid, record, .. }: Unfinished,
    lines: Vec<Line>,
    why: &str,
) -> Result<Operation, StoreError> {
    let operation = bare(store, record, wid, lines).await;
    let text = format!("The service was stopped, and this operation cannot go on: {why}");
    operation.log.add(0, None, SetId(-1), &text);
    operation.log.written(usize::MAX);
    hook::intend(&operation);
    operation.end(Some(broken_off()));
    operation.close();
    store.commit(end_change(store, &operation, None).await?).await?;
    Ok(operation)
}

/// Why an operation ended that the end of the service broke off.
pub(super) fn broken_off() -> Problem {
    let text = "the service was stopped while this operation ran: start it again";
    Problem::new(Code::ExecuteError, text)
}

/// Writes an operation down before it begins.
pub(super) async fn begin(store: &dyn Store, operation: &Operation) -> Result<(), Problem> {
    let mut change = Change::new().put_operation(stored(operation)?);
    if let Some(footprint) = operation.footprint {
        let discarded = operation.state();
        let mut before = store.nodes_called(&operation.nodes).await?;
        for name in operation.nodes.iter().filter(|name| !discarded.contains_key(*name)) {
            let known = before.remove(name);
            change = change.put_node(node(operation, name, footprint.during, carried(known)));
        }
    }
    Ok(store.commit(change).await?)
}

/// Writes the end of an operation down: its result, its nodes, and if `rows` its statistics.
pub(super) async fn end(
    store: &dyn Store,
    operation: &Operation,
    rows: bool,
) -> Result<(), Problem> {
    let installed = operation.environment.as_ref().map(stored_ref);
    let change = end_change(store, operation, installed).await?;
    let rows = if rows { statistics(operation) } else { Vec::new() };
    Ok(store.commit(rows.into_iter().fold(change, Change::put_statistic)).await?)
}

async fn end_change(
    store: &dyn Store,
    operation: &Operation,
    installed: Option<StoredRef>,
) -> Result<Change, StoreError> {
    let mut change = Change::new().put_operation(stored(operation)?);
    let cancelled = operation.cancel.is_cancelled() || operation.error().is_some();
    let discarded = operation.state();
    let (partitions, production) = partitions(operation);
    let mut before = store.nodes_called(&operation.nodes).await?;
    for name in &operation.nodes {
        let discarded = discarded.get(name).is_some_and(|status| status.state == "discarded");
        let Some(footprint) = operation.footprint.filter(|_| !discarded) else { continue };
        let well = operation.ended_as(name).is_some_and(|status| status != Status::Ko);
        let state = match (well, cancelled) {
            (true, _) if footprint.ok == NodeState::RecordedEnv && production.contains(name) => {
                NodeState::ProdEnv
            }
            (true, _) => footprint.ok,
            (false, true) => NodeState::Aborted,
            (false, false) => footprint.ko,
        };
        // A reboot or a power order does not change what is installed, nor does a deployment
        // that ended before it reached the node.
        let carries = match (&installed, operation.kind) {
            // A reboot has an environment only where it is into one that is recorded there.
            (Some(installed), Kind::Deploy | Kind::Reboot) if well => {
                (Some(installed.clone()), partitions.get(name).cloned())
            }
            (_, Kind::Deploy) if operation.touched(name) => (None, None),
            _ => carried(before.remove(name)),
        };
        change = change.put_node(node(operation, name, state, carries));
    }
    Ok(change)
}

/// Writes down that the hook of an operation has run. One that was forgotten meanwhile stays so.
pub(super) async fn hook_done(store: &dyn Store, wid: &str) -> Result<(), Problem> {
    let Some(mut stored) = store.operation(wid).await? else { return Ok(()) };
    stored.result["hook_due"] = false.into();
    Ok(store.commit(Change::new().put_operation(stored)).await?)
}

/// Forgets an operation that has ended.
pub(super) async fn forget(store: &dyn Store, wid: &str) -> Result<(), Problem> {
    Ok(store.commit(Change::new().forget_operation(wid).forget_journal(wid)).await?)
}

fn stored(operation: &Operation) -> Result<OperationRecord, StoreError> {
    let record = operation.record();
    Ok(OperationRecord {
        id: operation.wid.clone(),
        kind: match operation.kind {
            Kind::Deploy => OperationKind::Deploy,
            Kind::Reboot => OperationKind::Reboot,
            Kind::Power => OperationKind::Power,
        },
        user: operation.user.clone(),
        nodes: operation.nodes.clone(),
        created: whole(record.start),
        ended: record.end.map(whole),
        request: operation.plans(),
        result: serde_json::to_value(&record)
            .map_err(|why| StoreError::Encode { tree: Tree::Operations, why: Arc::new(why) })?,
    })
}

/// What a node carries, and where.
type Carries = (Option<StoredRef>, Option<String>);

fn node(
    operation: &Operation,
    name: &str,
    state: NodeState,
    (environment, partition): Carries,
) -> NodeRecord {
    let (node, user) = (name.to_owned(), operation.user.clone());
    NodeRecord { node, state, user, environment, partition, date: unix_time().as_secs() }
}

fn carried(known: Option<NodeRecord>) -> Carries {
    known.map_or((None, None), |node| (node.environment, node.partition))
}

/// By node: the partition that the plans of an operation are about; the nodes of which that is
/// the production partition of their cluster.
fn partitions(operation: &Operation) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let plans = operation.plans();
    let (mut partitions, mut production) = (BTreeMap::new(), BTreeSet::new());
    for order in plans["orders"].as_array().into_iter().flatten() {
        let Some(partition) = order["target"]["partition"].as_str() else { continue };
        let nodes = order["nodes"].as_array().into_iter().flatten();
        let names = nodes.filter_map(|node| node["name"].as_str());
        let number = order["target"]["partition_number"].to_string();
        if order["settings"]["prod"] == number.as_str() {
            production.extend(names.clone().map(str::to_owned));
        }
        partitions.extend(names.map(|name| (name.to_owned(), partition.to_owned())));
    }
    (partitions, production)
}

/// What is to be known of what was done to each node.
pub(super) fn statistics(operation: &Operation) -> Vec<StatRow> {
    let mut rows = Vec::new();
    for watch in &operation.watches {
        let board = watch.board();
        for (id, place) in board.iter().filter(|(_, place)| place.started) {
            let step = |column: &super::board::Column| {
                Some(StatStep {
                    name: column.step.as_deref()?.to_owned(),
                    timeout: column.timeout,
                    retries: column.retries,
                    duration: whole(column.seconds.round()),
                })
            };
            let environment = operation.environment.as_ref();
            rows.push(StatRow {
                wid: operation.wid.clone(),
                hostname: watch.name(id),
                user: operation.user.clone(),
                steps: place.columns.iter().filter_map(step).collect(),
                start: whole(seconds(operation.start)),
                environment: environment.map_or(String::new(), label),
                anonymous: environment.map(|environment| environment.id == Some(NOT_RECORDED)),
                md5: String::new(),
                success: place.ended.map(|status| status != Status::Ko),
                error: place.error.clone().unwrap_or_default(),
            });
        }
    }
    rows
}

fn label(environment: &EnvironmentRef) -> String {
    let name = environment.name.as_deref().unwrap_or_default();
    format!("{name}:{}", environment.version.unwrap_or_default())
}

fn stored_ref(environment: &EnvironmentRef) -> StoredRef {
    StoredRef {
        id: environment.id.and_then(|id| u64::try_from(id).ok()),
        name: environment.name.clone().unwrap_or_default(),
        version: environment.version.and_then(|version| u32::try_from(version).ok()).unwrap_or(1),
        user: environment.user.clone().unwrap_or_default(),
    }
}

/// The environment that a request asks for: recorded, or described in it.
pub(super) async fn environment(
    inner: &Inner,
    choice: Option<&EnvironmentChoice>,
    user: &str,
) -> Result<Installed, Problem> {
    let choice = choice.ok_or_else(|| {
        Problem::parameter(Code::InvalidEnvironment, "environment", "mandatory")
            .hint("describe one with -a FILE, or name a recorded one with -e NAME")
    })?;
    match choice.kind.as_deref().unwrap_or("database") {
        "anonymous" => {
            let environment = Environment::parse(&choice.fields)
                .map_err(|invalid| Problem::new(Code::InvalidEnvironment, invalid.told()))?;
            let reference = EnvironmentRef {
                id: Some(NOT_RECORDED),
                user: Some(user.to_owned()),
                name: Some(environment.name.clone()),
                version: Some(environment.version),
            };
            Ok(Installed { environment, reference, recorded: false })
        }
        "database" => super::environments::find(&*inner.means.store, user, choice).await,
        _ => {
            let why = "must have a value in (anonymous,database)";
            Err(Problem::parameter(Code::InvalidEnvironment, "environment/kind", why))
        }
    }
}
