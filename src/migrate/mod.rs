//! What Kadeploy kept in its database, brought into our state.
//!
//! [`Origin`] reads the tables of a database or of a dump of one, row by row. `environment` and
//! `rows` make records of the rows, and say why where a row makes none. [`import`] compares them
//! with what is there and commits what is new; it reads everything once before it changes
//! anything, and doing it twice is doing it once. [`Report`] says what became of each row.
//!
//! * `database` – a `MySQL` or `MariaDB` server that runs
//! * `dump`, `statements` – the file that `mysqldump` writes, without any server
//! * `checksums` – the checksums of Kadeploy as ours

mod checksums;
mod database;
mod dump;
mod environment;
mod import;
mod report;
mod rows;
mod source;
mod statements;

pub use database::{Password, Url};
pub use import::{Wanted, import};
pub use report::{Count, Refusal, Report};
pub use source::{MigrateError, Origin};
