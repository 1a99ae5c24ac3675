//! All that operations write to the store and read from it.

use super::{
    Inner,
    create::Installed,
    log::{Line, Log, seconds, whole},
    operation::{Operation, Parts},
    record::Record,
};
use crate::{
    environments::Environment,
    store::{
        Change, EnvironmentRef as StoredRef, NodeRecord, OperationKind, OperationRecord, StatRow,
        StatStep, Store, StoreError, Tree,
    },
    types::{Code, DeployRequest, EnvironmentRef, Kind, Problem},
};
use automata::{JournalError, Status};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::to_raw_value};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// Journal records read at once.
const PAGE: usize = 4096;

/// What the journal of an operation holds.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// What one cluster's automaton was told.
    Run { cluster: String, record: automata::Record },
    /// Messages.
    Lines(Vec<Line>),
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::new(Code::DatabaseError, error.to_string())
    }
}

/// The operations the store knows. Those that were under way are marked as broken off,
/// with the messages that their journals hold.
pub(super) async fn load(
    store: &dyn Store,
) -> Result<BTreeMap<String, Arc<Operation>>, StoreError> {
    let mut table = BTreeMap::new();
    for stored in store.operations().await? {
        let wid = stored.id.clone();
        let Ok(mut record) = serde_json::from_value::<Record>(stored.result) else {
            tracing::warn!(wid, "this operation was recorded by another version and is left out");
            continue;
        };
        let unfinished = record.end.is_none();
        if unfinished {
            record.lines = lines(store, &wid).await?;
        }
        let log = Arc::new(Log::with(std::mem::take(&mut record.lines)));
        let parts = Parts { log, debug: None, watches: Vec::new() };
        let operation = Operation::new(record, wid.clone(), parts);
        if unfinished {
            operation.log.add(0, None, "The service was stopped while this operation ran");
            operation.end(Some(broken_off()));
            operation.close();
            let change = end_change(store, &operation, None).await?;
            store.commit(change).await?;
            tracing::warn!(wid, "was under way when the service was stopped");
        }
        table.insert(wid, Arc::new(operation));
    }
    Ok(table)
}

/// Why an operation ended that the end of the service broke off.
pub(super) fn broken_off() -> Problem {
    let text = "the service was stopped while this operation ran: start it again";
    Problem::new(Code::ExecuteError, text)
}

async fn lines(store: &dyn Store, wid: &str) -> Result<Vec<Line>, StoreError> {
    let (mut lines, mut since) = (Vec::new(), 0);
    loop {
        let page = store.journal(wid, since, PAGE).await?;
        let Some(last) = page.last() else { return Ok(lines) };
        since = last.seq;
        for record in &page {
            if let Ok(Entry::Lines(more)) = serde_json::from_str(record.body.get()) {
                lines.extend(more);
            }
        }
    }
}

/// Writes an operation down before it begins.
pub(super) async fn begin(store: &dyn Store, operation: &Operation) -> Result<(), Problem> {
    let mut change = Change::new().put_operation(stored(operation)?);
    if let Some(footprint) = operation.footprint {
        let discarded = operation.state();
        for name in operation.nodes.iter().filter(|name| !discarded.contains_key(*name)) {
            let known = store.node(name).await?;
            let environment = known.and_then(|node| node.environment);
            change = change.put_node(node(operation, name, footprint.during, environment));
        }
    }
    Ok(store.commit(change).await?)
}

/// Writes the end of an operation down: its result, its nodes, its statistics.
pub(super) async fn end(store: &dyn Store, operation: &Operation) -> Result<(), Problem> {
    let installed = operation.environment.as_ref().map(stored_ref);
    Ok(store.commit(end_change(store, operation, installed).await?).await?)
}

async fn end_change(
    store: &dyn Store,
    operation: &Operation,
    installed: Option<StoredRef>,
) -> Result<Change, StoreError> {
    let mut change = Change::new().put_operation(stored(operation)?);
    let cancelled = operation.cancel.is_cancelled() || operation.error().is_some();
    let discarded = operation.state();
    for name in &operation.nodes {
        let discarded = discarded.get(name).is_some_and(|status| status.state == "discarded");
        let Some(footprint) = operation.footprint.filter(|_| !discarded) else { continue };
        let well = operation.ended_as(name).is_some_and(|status| status != Status::Ko);
        let state = match (well, cancelled) {
            (true, _) => footprint.ok,
            (false, true) => crate::store::NodeState::Aborted,
            (false, false) => footprint.ko,
        };
        // A reboot or a power order does not change what is installed, nor does a deployment
        // that ended before it reached the node.
        let environment = match (&installed, operation.kind) {
            (Some(installed), Kind::Deploy) if well => Some(installed.clone()),
            (_, Kind::Deploy) if operation.touched(name) => None,
            _ => store.node(name).await?.and_then(|node| node.environment),
        };
        change = change.put_node(node(operation, name, state, environment));
    }
    Ok(statistics(operation).into_iter().fold(change, Change::put_statistic))
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
        request: Value::Null,
        result: serde_json::to_value(&record)
            .map_err(|why| StoreError::Encode { tree: Tree::Operations, why: Arc::new(why) })?,
    })
}

fn node(
    operation: &Operation,
    name: &str,
    state: crate::store::NodeState,
    environment: Option<StoredRef>,
) -> NodeRecord {
    let (node, user) = (name.to_owned(), operation.user.clone());
    NodeRecord { node, state, user, environment, date: now_ms() / 1000 }
}

fn statistics(operation: &Operation) -> Vec<StatRow> {
    let mut rows = Vec::new();
    for watch in &operation.watches {
        let board = watch.board();
        for (id, place) in board.iter().filter(|(_, place)| place.started) {
            let steps = place.columns.iter().filter(|column| !column.step.is_empty());
            let step = |column: &super::board::Column| StatStep {
                name: column.step.clone(),
                timeout: column.timeout,
                retries: column.retries,
                duration: whole(column.seconds.round()),
            };
            let environment = operation.environment.as_ref();
            rows.push(StatRow {
                wid: operation.wid.clone(),
                hostname: watch.name(id),
                user: operation.user.clone(),
                steps: steps.map(step).collect(),
                start: whole(seconds(operation.start)),
                environment: environment.map_or(String::new(), label),
                anonymous: environment.map(|environment| environment.id == Some(-1)),
                md5: String::new(),
                success: place.ended.map(|status| status != Status::Ko),
                error: place.status.error.clone().unwrap_or_default(),
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
    request: &DeployRequest,
    user: &str,
) -> Result<Installed, Problem> {
    let choice = request.environment.as_ref().ok_or_else(|| {
        Problem::parameter(Code::InvalidEnvironment, "environment", "mandatory")
            .hint("describe one with -a FILE, or name a recorded one with -e NAME")
    })?;
    match choice.kind.as_deref().unwrap_or("database") {
        "anonymous" => {
            let environment = Environment::parse(&choice.fields).map_err(|invalid| {
                Problem::new(
                    Code::InvalidEnvironment,
                    format!("Error[environment description] {invalid}"),
                )
            })?;
            let reference = EnvironmentRef {
                id: Some(-1),
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

/// The journal of one cluster's part: what its automaton was told, and with it the messages.
pub(super) struct Journal {
    store: Arc<dyn Store>,
    wid: String,
    cluster: String,
    log: Arc<Log>,
    /// How many messages are written down already, by any part of the operation.
    written: Arc<AtomicUsize>,
}

impl Journal {
    pub(super) fn new(store: Arc<dyn Store>, operation: &Operation, cluster: &str) -> Self {
        Self {
            store,
            wid: operation.wid.clone(),
            cluster: cluster.to_owned(),
            log: Arc::clone(&operation.log),
            written: Arc::clone(&operation.written),
        }
    }
}

#[async_trait::async_trait]
impl automata::Journal for Journal {
    async fn append(&self, records: &[automata::Record]) -> Result<(), JournalError> {
        let failed = |error: serde_json::Error| JournalError::caused("a record", error);
        let mut change = Change::new();
        for record in records {
            let entry = Entry::Run { cluster: self.cluster.clone(), record: record.clone() };
            change = change.append(&self.wid, now_ms(), to_raw_value(&entry).map_err(failed)?);
        }
        let cursor = self.written.load(Ordering::Acquire);
        let (lines, next) = self.log.since(cursor, u8::MAX, None);
        // Two parts may write at once: whoever moves the cursor writes the lines.
        let moved =
            self.written.compare_exchange(cursor, next, Ordering::AcqRel, Ordering::Acquire);
        if moved.is_ok() && !lines.is_empty() {
            let entry = Entry::Lines(lines);
            change = change.append(&self.wid, now_ms(), to_raw_value(&entry).map_err(failed)?);
        }
        self.store.commit(change).await.map_err(|error| JournalError::caused("the store", error))
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
