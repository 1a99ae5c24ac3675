//! A database that runs.

use super::source::{MigrateError, Row, Sink, Table, check_columns};
use mysql_async::{Conn, Opts, OptsBuilder, Value, prelude::Queryable};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;

/// Bound of reaching the server and of each answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Rows that are handed on at once.
const AT_ONCE: usize = 500;

/// Where a password comes from that is not in the address.
#[derive(Default)]
pub struct Password {
    /// An option file as the programs of `MySQL` read it, with `password` under `[client]`.
    pub option_file: Option<PathBuf>,
    /// The password itself. Never shown.
    pub value: Option<String>,
}

/// The address of a database, `mysql://user:password@host:port/name?socket=path`.
pub struct Url {
    opts: Opts,
    shown: String,
}

impl Url {
    /// Whether `text` is one rather than a file.
    pub fn is(text: &str) -> bool {
        ["mysql://", "mariadb://"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// Understands `text`; a password in it wins over `password`.
    ///
    /// # Errors
    /// It is no such address, or has no name of a database; the option file cannot be read.
    pub fn parse(text: &str, password: &Password) -> Result<Self, MigrateError> {
        let wrong = |why: &dyn fmt::Display| {
            let example = "mysql://USER:PASSWORD@HOST/DATABASE";
            let text = format!("{}: {why}; it looks like {example}", hide(text));
            MigrateError::Address(text)
        };
        let rest = text.split_once("://").map_or("", |(_, rest)| rest);
        let opts = Opts::from_url(&format!("mysql://{rest}")).map_err(|why| wrong(&why))?;
        let name = opts.db_name().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| wrong(&"it names no database"))?.to_owned();
        let mut builder = OptsBuilder::from_opts(opts.clone());
        let mut user = opts.user().map(str::to_owned);
        if opts.pass().is_none() {
            let written = password.option_file.as_deref().map(option_file).transpose()?;
            let written = written.unwrap_or_default();
            user = user.or(written.user);
            let secret = written.password.or_else(|| password.value.clone());
            builder = builder.user(user.clone()).pass(secret);
        }
        let shown = opts.socket().map_or_else(
            || format!("{}:{}", opts.ip_or_hostname(), opts.tcp_port()),
            str::to_owned,
        );
        let shown = format!("'{name}' of {} at {shown}", user.as_deref().unwrap_or("nobody"));
        Ok(Self { opts: builder.into(), shown })
    }
}

/// Never the password.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn hide(url: &str) -> String {
    crate::environments::without_password(url)
}

#[derive(Default)]
struct Written {
    user: Option<String>,
    password: Option<String>,
}

/// `user` and `password` under `[client]` of an option file.
fn option_file(path: &Path) -> Result<Written, MigrateError> {
    let text = std::fs::read_to_string(path).map_err(|why| {
        MigrateError::Address(format!("the option file {} cannot be read: {why}", path.display()))
    })?;
    let (mut section, mut written) = (String::new(), Written::default());
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
        }
        let Some((name, value)) = line.split_once('=') else { continue };
        let value = value.trim();
        let bare = ['"', '\''].iter().find_map(|quote| {
            value.strip_prefix(*quote).and_then(|value| value.strip_suffix(*quote))
        });
        let value = Some(bare.unwrap_or(value).to_owned());
        match (section.as_str(), name.trim()) {
            ("client", "user") => written.user = value,
            ("client", "password") => written.password = value,
            _ => {}
        }
    }
    Ok(written)
}

/// Hands the rows of the database at `url` to `sink`.
pub(super) async fn read(url: &Url, sink: &mut dyn Sink) -> Result<(), MigrateError> {
    let wrong = |why: &dyn fmt::Display| MigrateError::Database {
        place: url.to_string(),
        why: why.to_string(),
    };
    let late = |_| wrong(&"it does not answer");
    crate::platform::crypto();
    let conn = timeout(PATIENCE, Conn::new(url.opts.clone())).await.map_err(late)?;
    let mut conn = conn.map_err(|why| wrong(&why))?;
    let there: Vec<String> = timeout(PATIENCE, conn.query("SHOW TABLES"))
        .await
        .map_err(late)?
        .map_err(|why| wrong(&why))?;
    if let Some(table) =
        Table::ALL.iter().find(|table| !there.iter().any(|name| name == table.name()))
    {
        return Err(MigrateError::NoTable { place: url.to_string(), table: table.name() });
    }
    for table in Table::ALL {
        let query = format!("SELECT * FROM `{}`", table.name());
        let result = timeout(PATIENCE, conn.query_iter(query)).await.map_err(late)?;
        let mut result = result.map_err(|why| wrong(&why))?;
        let columns = result.columns_ref().iter().map(|column| column.name_str().into_owned());
        let columns: Arc<[String]> = columns.collect();
        check_columns(table, &columns)?;
        loop {
            let some = timeout(PATIENCE, some(&mut result, &columns)).await.map_err(late)?;
            let some = some.map_err(|why| wrong(&why))?;
            if some.is_empty() {
                break;
            }
            sink.rows(table, some).await?;
        }
    }
    // All is read: what the server says to a farewell does not matter.
    let _ = timeout(PATIENCE, conn.disconnect()).await;
    Ok(())
}

type Answer<'a> = mysql_async::QueryResult<'a, 'static, mysql_async::TextProtocol>;

/// Up to [`AT_ONCE`] rows; none at the end.
async fn some(
    result: &mut Answer<'_>,
    columns: &Arc<[String]>,
) -> Result<Vec<Row>, mysql_async::Error> {
    let mut rows = Vec::new();
    while rows.len() < AT_ONCE {
        let Some(row) = result.next().await? else { break };
        let cells = row.unwrap().into_iter().map(printed).collect();
        rows.push(Row { columns: Arc::clone(columns), cells });
    }
    Ok(rows)
}

/// Every value comes as text, as the server prints it.
fn printed(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        // The connection is UTF-8; what is not was never a text.
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        other => Some(other.as_sql(true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let none = Password::default();
        let url = Url::parse("mariadb://deploy:secret@db.site/deploy3", &none).unwrap();
        assert_eq!(url.to_string(), "'deploy3' of deploy at db.site:3306");
        assert!(!format!("{url:?}").contains("secret"));
        assert_eq!(url.opts.pass(), Some("secret"));
        for wrong in ["mysql://deploy:secret@db.site", "mysql://deploy:secret@db.site:x/y"] {
            let said = Url::parse(wrong, &none).unwrap_err().to_string();
            assert!(said.contains("mysql://USER") && !said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn a_password_comes_from_the_address_or_a_file_or_elsewhere() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "# x\n[mysqld]\npassword=no\n[client]\nuser = me\npassword=\"a b#\"\n",
        )
        .unwrap();
        let password =
            Password { option_file: Some(file.path().to_owned()), value: Some("other".to_owned()) };
        let with = |url: &str, password: &Password| {
            let url = Url::parse(url, password).unwrap();
            (url.opts.user().map(str::to_owned), url.opts.pass().map(str::to_owned))
        };
        let pair = |user: &str, pass: &str| (Some(user.to_owned()), Some(pass.to_owned()));
        assert_eq!(with("mysql://h/d", &password), pair("me", "a b#"));
        assert_eq!(with("mysql://a:b@h/d", &password), pair("a", "b"));
        let only = Password { option_file: None, ..password };
        assert_eq!(with("mysql://a@h/d", &only), pair("a", "other"));
    }
}
