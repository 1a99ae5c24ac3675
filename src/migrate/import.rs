//! Rows compared with what is there, and committed.

use super::{
    checksums,
    environment::{Found, environment},
    report::Report,
    rows::{Node, node, right, statistic},
    source::{MigrateError, Origin, Row, Sink, Table},
};
use crate::store::{
    Change, EnvironmentQuery, EnvironmentRecord, EnvironmentRef, NodeRecord, RightRecord,
    StatFilter, StatRow, Store, StoreError,
};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// How it is to be done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Change nothing, only tell.
    pub dry_run: bool,
    /// Environments that are there and differ become those of the database.
    pub overwrite: bool,
}

/// Brings the rows of `origin` into `store`. `progress` hears how many rows were read so far, of
/// all of them twice: everything is read and understood before anything is changed.
///
/// # Errors
/// The rows cannot be read, are not those of Kadeploy, or the state cannot be written. Where they
/// cannot be read or understood nothing is changed.
pub async fn import(
    origin: &Origin,
    store: &dyn Store,
    wanted: Wanted,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Report, MigrateError> {
    let mut import = Import::new(store, Wanted { dry_run: true, ..wanted }, progress);
    origin.read(&mut import).await?;
    let mut report = import.finish().await?;
    if !wanted.dry_run {
        let mut import = Import::new(store, wanted, progress);
        origin.read(&mut import).await?;
        report = import.finish().await?;
    }
    report.from = origin.to_string();
    report.dry_run = wanted.dry_run;
    Ok(report)
}

/// Statistics are written as they come, all else at once at the end.
struct Import<'a> {
    store: &'a dyn Store,
    wanted: Wanted,
    progress: &'a mut (dyn FnMut(u64) + Send),
    read: u64,
    report: Report,
    environments: Vec<Found>,
    /// Those that are there or were read.
    rights: Option<BTreeSet<RightRecord>>,
    nodes: BTreeMap<String, Node>,
    change: Change,
}

const ENVIRONMENTS: &str = "environments";
const RIGHTS: &str = "rights";
const NODES: &str = "nodes";
const STATISTICS: &str = "statistics";

#[async_trait]
impl Sink for Import<'_> {
    async fn rows(&mut self, table: Table, rows: Vec<Row>) -> Result<(), MigrateError> {
        self.read += rows.len() as u64;
        (self.progress)(self.read);
        match table {
            Table::Environments => self.environments(&rows),
            Table::Rights => self.rights(&rows).await?,
            Table::Nodes => self.nodes(&rows),
            Table::Statistics => self.statistics(&rows).await?,
        }
        Ok(())
    }
}

impl<'a> Import<'a> {
    fn new(
        store: &'a dyn Store,
        wanted: Wanted,
        progress: &'a mut (dyn FnMut(u64) + Send),
    ) -> Self {
        let mut report = Report::default();
        for kind in [ENVIRONMENTS, RIGHTS, NODES, STATISTICS] {
            report.count(kind);
        }
        let (environments, nodes, change) = (Vec::new(), BTreeMap::new(), Change::new());
        let rights = None;
        Self { store, wanted, progress, read: 0, report, environments, rights, nodes, change }
    }

    fn environments(&mut self, rows: &[Row]) {
        for row in rows {
            match environment(row) {
                Ok(found) => self.environments.push(found),
                Err(refused) => self.report.refuse(ENVIRONMENTS, refused),
            }
        }
    }

    async fn rights(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let mut there = match self.rights.take() {
            Some(there) => there,
            None => self.store.rights(None).await?.into_iter().collect(),
        };
        for row in rows {
            match right(row) {
                Ok(right) if !there.insert(right.clone()) => {
                    self.report.count(RIGHTS).there += 1;
                }
                Ok(right) => {
                    self.report.count(RIGHTS).imported += 1;
                    self.put(|change| change.put_right(right));
                }
                Err(refused) => self.report.refuse(RIGHTS, refused),
            }
        }
        self.rights = Some(there);
        Ok(())
    }

    /// The table has no key: of several rows about one node the newest is true.
    fn nodes(&mut self, rows: &[Row]) {
        for row in rows {
            match node(row) {
                Ok(node) => {
                    let known = self.nodes.get(&node.record.node);
                    if known.is_none_or(|known| known.record.date <= node.record.date) {
                        self.nodes.insert(node.record.node.clone(), node);
                    }
                }
                Err(refused) => self.report.refuse(NODES, refused),
            }
        }
    }

    async fn statistics(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let mut made = Vec::new();
        for row in rows {
            match statistic(row) {
                Ok(row) => made.push(row),
                Err(refused) => self.report.refuse(STATISTICS, refused),
            }
        }
        let key = |row: &StatRow| (row.start, row.wid.clone(), row.hostname.clone());
        let from = made.iter().map(|row| row.start).min();
        let until = made.iter().map(|row| row.start.saturating_add(1)).max();
        let filter = StatFilter { from, until, ..StatFilter::default() };
        let there =
            if made.is_empty() { Vec::new() } else { self.store.statistics(&filter).await? };
        let mut there: HashSet<_> = there.iter().map(key).collect();
        let mut change = Change::new();
        for row in made {
            if there.insert(key(&row)) {
                self.report.count(STATISTICS).imported += 1;
                change = change.put_statistic(row);
            } else {
                self.report.count(STATISTICS).there += 1;
            }
        }
        self.commit(change).await
    }

    fn put(&mut self, put: impl FnOnce(Change) -> Change) {
        self.change = put(std::mem::take(&mut self.change));
    }

    async fn commit(&mut self, change: Change) -> Result<(), StoreError> {
        if self.wanted.dry_run || change.is_empty() {
            return Ok(());
        }
        self.store.commit(change).await
    }

    async fn finish(mut self) -> Result<Report, MigrateError> {
        let mut numbers = BTreeMap::new();
        let mut seen = HashSet::new();
        for found in std::mem::take(&mut self.environments) {
            let what = format!("{} version {} of {}", found.name, found.version, found.user);
            if !seen.insert((found.user.clone(), found.name.clone(), found.version)) {
                let why = "the database has two of that name and version: the first was taken";
                self.report.refuse(ENVIRONMENTS, (what, why.to_owned()));
                continue;
            }
            let number = found.number;
            numbers.insert(number, self.environment(found, what).await?);
        }
        let nodes = std::mem::take(&mut self.nodes);
        for node in nodes.into_values() {
            self.node(node, &numbers).await?;
        }
        let change = std::mem::take(&mut self.change);
        self.commit(change).await?;
        Ok(self.report)
    }

    /// Takes an environment over; how nodes name it from now on.
    async fn environment(
        &mut self,
        found: Found,
        what: String,
    ) -> Result<EnvironmentRef, StoreError> {
        let query = EnvironmentQuery {
            user: Some(found.user.clone()),
            name: Some(found.name.clone()),
            version: crate::store::Version::Exactly(found.version),
        };
        let there = self.store.environments(&query).await?.into_iter().next();
        let (checksums, others) = checksums::ours(&found).await;
        let id = there.as_ref().map_or_else(|| self.store.new_environment_id(), |there| there.id);
        let record = EnvironmentRecord {
            id,
            user: found.user,
            name: found.name,
            version: found.version,
            description: found.description.into(),
            checksums,
        };
        let named = EnvironmentRef {
            id: Some(id),
            name: record.name.clone(),
            version: record.version,
            user: record.user.clone(),
        };
        match there {
            Some(there) if there == record => self.report.count(ENVIRONMENTS).there += 1,
            Some(_) if !self.wanted.overwrite => {
                let why = "there is another one of that name and version: --overwrite replaces it";
                self.report.refuse(ENVIRONMENTS, (what, why.to_owned()));
                return Ok(named);
            }
            _ => {
                self.report.count(ENVIRONMENTS).imported += 1;
                self.put(|change| change.put_environment(record));
            }
        }
        for other in others {
            self.report.note(format!(
                "environment {what}: {other}; its deployments are refused until `kadence env update` takes its checksum"
            ));
        }
        Ok(named)
    }

    async fn node(
        &mut self,
        node: Node,
        numbers: &BTreeMap<i64, EnvironmentRef>,
    ) -> Result<(), StoreError> {
        let Node { mut record, environment, cut_off } = node;
        let there = self.store.node(&record.node).await?;
        if there.is_some_and(|there| is_older(&record, &there)) {
            self.report.count(NODES).there += 1;
            return Ok(());
        }
        self.report.count(NODES).imported += 1;
        record.environment = environment.and_then(|number| numbers.get(&number)).cloned();
        let name = &record.node;
        if environment.is_some() && record.environment.is_none() {
            self.report
                .note(format!("node {name}: the environment on it is not recorded any more"));
        }
        if let Some(word) = cut_off {
            self.report.note(format!(
                "node {name}: it was {word} when the old service was stopped, and is aborted now"
            ));
        }
        self.put(|change| change.put_node(record));
        Ok(())
    }
}

/// What we know of a node is kept unless the database knows something newer.
fn is_older(record: &NodeRecord, there: &NodeRecord) -> bool {
    record.date <= there.date
}
