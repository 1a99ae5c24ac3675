//! Rows, wherever they come from.

use super::{database, database::Url, dump};
use crate::store::StoreError;
use async_trait::async_trait;
use std::{fmt, io, path::PathBuf, sync::Arc};

/// Why nothing, or not all, could be brought over.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// What was named as a database is none.
    #[error("{0}")]
    Address(String),
    /// The database does not answer, or refuses.
    #[error("the database {place}: {why}")]
    Database {
        /// Which one, without its password.
        place: String,
        /// What it said.
        why: String,
    },
    /// The dump cannot be read.
    #[error("the dump {}: {why}", path.display())]
    Dump {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is no such table.
    #[error("{place} has no table '{table}': is it the database of Kadeploy?")]
    NoTable {
        /// Where it was looked for.
        place: String,
        /// Its name.
        table: &'static str,
    },
    /// A table does not have the columns that Kadeploy gave it.
    #[error("the table '{table}' has no column '{column}': is it the database of Kadeploy 3?")]
    NoColumn {
        /// Its name.
        table: &'static str,
        /// What is missing.
        column: &'static str,
    },
    /// Our own state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This machine.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Where the rows come from.
#[derive(Debug)]
pub enum Origin {
    /// A database that runs.
    Database(Url),
    /// A file that `mysqldump` or `mariadb-dump` wrote, also compressed by gzip.
    Dump(PathBuf),
}

impl Origin {
    /// Hands every row of the four tables to `sink`, some hundred at a time.
    ///
    /// # Errors
    /// The database or the file cannot be read or is not one of Kadeploy; and those of `sink`.
    pub(super) async fn read(&self, sink: &mut dyn Sink) -> Result<(), MigrateError> {
        match self {
            Self::Database(url) => database::read(url, sink).await,
            Self::Dump(path) => dump::read(path, sink).await,
        }
    }
}

/// As it may be shown: without a password.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(url) => url.fmt(f),
            Self::Dump(path) => path.display().fmt(f),
        }
    }
}

/// A table of Kadeploy that is brought over. Its others hold what a running operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Table {
    Environments,
    Rights,
    Nodes,
    Statistics,
}

impl Table {
    pub(super) const ALL: [Self; 4] =
        [Self::Environments, Self::Rights, Self::Nodes, Self::Statistics];

    /// What Kadeploy calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Environments => "environments",
            Self::Rights => "rights",
            Self::Nodes => "nodes",
            Self::Statistics => "log",
        }
    }

    /// The table of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}

/// Takes rows.
#[async_trait]
pub(super) trait Sink: Send {
    /// Some more rows of `table`.
    async fn rows(&mut self, table: Table, rows: Vec<Row>) -> Result<(), MigrateError>;
}

/// One row: texts, as the database prints them.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) columns: Arc<[String]>,
    pub(super) cells: Vec<Option<String>>,
}

impl Row {
    /// What is in a column; none if it is NULL, or if there is no such column.
    pub(super) fn get(&self, column: &str) -> Option<&str> {
        let at = self.columns.iter().position(|name| name == column)?;
        self.cells.get(at)?.as_deref()
    }

    /// What is in a column, NULL being the empty text.
    pub(super) fn text(&self, column: &str) -> &str {
        self.get(column).unwrap_or_default()
    }
}

/// Whether `columns` are those of `table`; what newer releases added may be missing.
pub(super) fn check_columns(table: Table, columns: &[String]) -> Result<(), MigrateError> {
    let wanted: &[&'static str] = match table {
        Table::Environments => {
            &["id", "name", "version", "tarball", "environment_kind", "user", "visibility"]
        }
        Table::Rights => &["user", "node", "part"],
        Table::Nodes => &["hostname", "state", "env_id", "date", "user"],
        Table::Statistics => &["hostname", "start", "success"],
    };
    let missing = wanted.iter().find(|name| !columns.iter().any(|column| column == *name));
    match missing {
        Some(column) => Err(MigrateError::NoColumn { table: table.name(), column }),
        None => Ok(()),
    }
}
