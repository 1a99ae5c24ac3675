//! `kadence migrate`: what Kadeploy kept, brought into our state.

use super::{
    ConfigDir, Failure,
    table::{lines, table},
};
use crate::{
    client::{Printer, tell},
    migrate::{MigrateError, Origin, Password, Report, Url, Wanted, import},
    store::{EmbeddedStore, MemoryDisk, StoreError},
};
use clap::Args;
use config::model::server::Database;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

/// Exit code where some rows were not taken.
const REFUSED: u8 = 2;

/// How often a person hears how far it is.
const NEWS: Duration = Duration::from_secs(2);

/// Arguments of `migrate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  kadence migrate --from-kadeploy mysql://deploy@db.example.org/deploy3 --dry-run\n  \
        kadence migrate --from-kadeploy deploy3.sql.gz --state-dir /var/lib/kadence\n\n\
        Environments, rights, nodes and statistics are taken. Done again it takes what is new.\n\
        The password of a database: in the address, in an option file, in MYSQL_PWD, or as the\n\
        configuration has it (database/passwd); it is never shown. A server that is reached over TLS\n\
        is asked for by ?require_ssl=true at the end of the address, a socket by ?socket=PATH.\n\
        The service must not run. Exit code: 0 all was taken or is there; 2 some rows were not\n\
        taken, and why; 1 nothing was taken."
)]
pub(super) struct MigrateArgs {
    /// The database of Kadeploy 3, as `mysql://USER@HOST/NAME`, or a file that mysqldump wrote;
    /// without one, the database that the configuration names.
    #[arg(long, value_name = "URL|DUMP", num_args = 0..=1, default_missing_value = "", required = true)]
    from_kadeploy: String,
    /// Read and check everything, tell what would be taken, change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Environments that are there and differ become those of the database.
    #[arg(long)]
    overwrite: bool,
    /// An option file of `MySQL` with user and password under `[client]`, such as `~/.my.cnf`
    #[arg(long, value_name = "FILE")]
    defaults_file: Option<PathBuf>,
    /// Directory of the state [default: `state_dir` of the configuration]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigDir,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl MigrateArgs {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let configuration = config::load(&self.config.config_dir);
        let state = match (&self.state_dir, &configuration) {
            (Some(directory), _) => directory.clone(),
            (None, Ok(loaded)) => loaded.config.server.state_dir.clone(),
            (None, Err(_)) => return Err(configuration.err().map_or_else(no_database, Into::into)),
        };
        let database = configuration.ok().and_then(|loaded| loaded.config.server.database);
        let origin = self.origin(database.as_ref()).map_err(failure)?;
        let store = open(&state, self.dry_run)?;
        let (begun, mut told) = (Instant::now(), Duration::ZERO);
        let mut progress = |rows: u64| {
            if begun.elapsed() > told + NEWS {
                told = begun.elapsed();
                tell(&format!("{rows} rows are read"));
            }
        };
        let wanted = Wanted { dry_run: self.dry_run, overwrite: self.overwrite };
        let report = import(&origin, &store, wanted, &mut progress).await.map_err(failure)?;
        Printer { json: self.json }.answer(&report, || text(&report))?;
        Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
    }

    fn origin(&self, database: Option<&Database>) -> Result<Origin, MigrateError> {
        let given = Some(&self.from_kadeploy).filter(|given| !given.is_empty());
        if let Some(path) = given.filter(|given| !Url::is(given)) {
            return Ok(Origin::Dump(PathBuf::from(path)));
        }
        let set = std::env::var("MYSQL_PWD").ok().filter(|password| !password.is_empty());
        // The password of the site's own database is for that alone.
        let meant = |url: &String| url::Url::parse(url).ok()?.host_str().map(str::to_owned);
        let own =
            |of: &&Database| given.is_none_or(|url| meant(url).is_some_and(|host| host == of.host));
        let written = database.filter(own).map(|database| database.passwd.expose().to_owned());
        let password = Password { option_file: self.defaults_file.clone(), value: set.or(written) };
        let text = given.cloned().or_else(|| {
            let Database { host, name, login, .. } = database?;
            let mut url = url::Url::parse("mysql://localhost").ok()?;
            url.set_host(Some(host)).ok()?;
            url.set_username(login).ok()?;
            url.set_path(name);
            Some(url.into())
        });
        let text = text.ok_or_else(|| MigrateError::Address(
            "the configuration names no database: say which one, as mysql://USER:PASSWORD@HOST/NAME, or name a dump".to_owned(),
        ))?;
        Url::parse(&text, &password).map(Origin::Database)
    }
}

fn no_database() -> Failure {
    Failure::usage("there is no configuration", "name the state with --state-dir")
}

/// The state at `directory`. Where it is only to be looked at it is not made.
fn open(directory: &Path, dry_run: bool) -> Result<EmbeddedStore, Failure> {
    let opened = if dry_run && !directory.exists() {
        EmbeddedStore::on_disk(MemoryDisk::default())
    } else {
        EmbeddedStore::open(directory)
    };
    opened.map_err(|error| match error {
        StoreError::Locked { .. } => Failure::usage(
            error.to_string(),
            "stop the service for the time of the migration (`systemctl stop kadence`): what runs there goes on when it is started again",
        ),
        other => Failure::Service(other.into()),
    })
}

fn failure(error: MigrateError) -> Failure {
    Failure::Service(error.into())
}

fn text(report: &Report) -> String {
    let mut rows = vec![["", "IMPORTED", "THERE", "REFUSED"].map(str::to_owned).to_vec()];
    for (kind, count) in &report.records {
        let numbers = [count.imported, count.there, count.refused].map(|number| number.to_string());
        rows.push([(*kind).to_owned()].into_iter().chain(numbers).collect());
    }
    let mut text = Vec::new();
    let refused = report.refused.iter();
    text.extend(refused.map(|row| format!("refused, {}: {}: {}", row.kind, row.what, row.why)));
    text.extend(report.notes.iter().map(|note| format!("note: {note}")));
    if report.dry_run {
        text.push("nothing was changed: it was a dry run".to_owned());
    }
    table(&rows) + &lines(text)
}
