//! A dump of a database: the file that `mysqldump` or `mariadb-dump` wrote.
//!
//! Of its statements those count that make one of our tables (for the names of its columns) and
//! those that fill it. Each is parsed by itself: a dump may be larger than memory.

use super::{
    source::{MigrateError, Row, Sink, Table, check_columns},
    statements::Statements,
};
use flate2::read::MultiGzDecoder;
use regex::bytes::Regex;
use sqlparser::{
    ast::{Expr, Insert, SetExpr, Statement, TableObject, UnaryOperator, Value},
    dialect::MySqlDialect,
    parser::Parser,
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
    sync::Arc,
};

/// What `mysqldump` writes into the first and into the last line of a dump.
const BEGIN: [&[u8]; 2] = [b"-- MySQL dump", b"-- MariaDB dump"];
const END: &[u8] = b"-- Dump completed";

/// What a file that gzip wrote begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The statements that count.
const OURS: &str = r"(?is-u)^\s*(?:CREATE\s+TABLE|(?:INSERT|REPLACE)\b[^`\x22'(]{0,80}?\bINTO)\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:`?[^`.\s(]+`?\.)?`?(environments|rights|nodes|log)`?[\s(]";

/// Hands the rows of the dump at `path` to `sink`.
pub(super) async fn read(path: &Path, sink: &mut dyn Sink) -> Result<(), MigrateError> {
    let wrong = |why: String| MigrateError::Dump { path: path.to_owned(), why };
    if !is_whole(path).map_err(|why| wrong(why.to_string()))? {
        let why = "its last line does not say 'Dump completed': it was cut off; make it once more";
        return Err(wrong(why.to_owned()));
    }
    let ours = Regex::new(OURS).map_err(io::Error::other)?;
    let mut statements = Statements::new(open(path).map_err(|why| wrong(why.to_string()))?);
    let mut tables = BTreeMap::new();
    while let Some(statement) = statements.next().map_err(|why| wrong(why.to_string()))? {
        if !ours.is_match(&statement) {
            continue;
        }
        let at = |why: String| {
            wrong(format!("statement that ends in line {}: {why}", statements.line()))
        };
        let text = String::from_utf8(statement).map_err(|_| {
            at("it is not UTF-8: make the dump with --default-character-set=utf8mb4".to_owned())
        })?;
        if let Some((table, rows)) = understand(&text, &mut tables).map_err(at)? {
            sink.rows(table, rows).await?;
        }
    }
    for (table, columns) in &tables {
        check_columns(*table, columns)?;
    }
    match Table::ALL.into_iter().find(|table| !tables.contains_key(table)) {
        Some(table) => {
            Err(MigrateError::NoTable { place: path.display().to_string(), table: table.name() })
        }
        None => Ok(()),
    }
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead + Send>> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    if file.fill_buf()?.starts_with(&GZIP) {
        return Ok(Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file))));
    }
    Ok(Box::new(file))
}

/// Whether the dump has its end, where it says at its beginning that it will have one.
fn is_whole(path: &Path) -> io::Result<bool> {
    let mut reader = open(path)?;
    let (mut line, mut begun, mut ended) = (Vec::new(), false, false);
    while reader.read_until(b'\n', &mut line)? > 0 {
        begun |= BEGIN.iter().any(|begin| line.starts_with(begin));
        ended = line.starts_with(END) || (ended && line.trim_ascii().is_empty());
        line.clear();
    }
    Ok(ended || !begun)
}

type Columns = BTreeMap<Table, Arc<[String]>>;

/// The rows of a statement, if it fills a table; `tables` learns those that are made.
fn understand(text: &str, tables: &mut Columns) -> Result<Option<(Table, Vec<Row>)>, String> {
    let parsed = Parser::parse_sql(&MySqlDialect {}, text).map_err(|why| why.to_string())?;
    match parsed.into_iter().next() {
        Some(Statement::CreateTable(made)) => {
            let Some(table) =
                made.name.0.last().and_then(|name| Table::named(&name.as_ident()?.value))
            else {
                return Ok(None);
            };
            let columns = made.columns.into_iter().map(|column| column.name.value);
            if tables.insert(table, columns.collect()).is_some() {
                return Err(format!(
                    "a second table '{}': make a dump of the database of Kadeploy alone",
                    table.name()
                ));
            }
            Ok(None)
        }
        Some(Statement::Insert(insert)) => filled(insert, tables),
        _ => Ok(None),
    }
}

fn filled(insert: Insert, tables: &Columns) -> Result<Option<(Table, Vec<Row>)>, String> {
    let TableObject::TableName(name) = &insert.table else { return Ok(None) };
    let Some(table) = name.0.last().and_then(|name| Table::named(&name.as_ident()?.value)) else {
        return Ok(None);
    };
    let named =
        insert.columns.iter().filter_map(|name| Some(name.0.last()?.as_ident()?.value.clone()));
    let named: Arc<[String]> = named.collect();
    let columns = if named.is_empty() { tables.get(&table) } else { Some(&named) };
    let columns = columns.ok_or_else(|| {
        let table = table.name();
        format!("the columns of '{table}' are not known: make the dump with the definitions of tables, or with --complete-insert")
    })?;
    let Some(SetExpr::Values(values)) = insert.source.map(|query| *query.body) else {
        return Err("only values can be read".to_owned());
    };
    let rows = values.rows.into_iter().map(|cells| {
        let cells = cells.content.into_iter().map(cell).collect::<Result<Vec<_>, _>>()?;
        if cells.len() == columns.len() {
            return Ok(Row { columns: Arc::clone(columns), cells });
        }
        Err(format!(
            "a row of '{}' has {} values for {} columns",
            table.name(),
            cells.len(),
            columns.len()
        ))
    });
    Ok(Some((table, rows.collect::<Result<_, String>>()?)))
}

/// A value as the database would print it; none if it is NULL.
fn cell(value: Expr) -> Result<Option<String>, String> {
    let value = match value {
        Expr::Value(value) => value.value,
        Expr::Prefixed { value, .. } => return cell(*value),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            return Ok(cell(*expr)?.map(|number| format!("-{number}")));
        }
        other => return Err(format!("'{other}' is no value")),
    };
    match value {
        Value::Null => Ok(None),
        Value::Boolean(yes) => Ok(Some(u8::from(yes).to_string())),
        Value::Number(text, _)
        | Value::SingleQuotedString(text)
        | Value::DoubleQuotedString(text) => Ok(Some(text)),
        other => {
            Err(format!("'{other}' is no text and no number: make the dump without --hex-blob"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Result<Vec<Row>, String> {
        let made = "CREATE TABLE `nodes` (`hostname` varchar(256) NOT NULL DEFAULT '', `env_id` int(11) DEFAULT -1) ENGINE=MyISAM DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_general_ci";
        let mut tables = Columns::new();
        assert!(understand(made, &mut tables)?.is_none());
        Ok(understand(text, &mut tables)?.map(|(_, rows)| rows).unwrap_or_default())
    }

    #[test]
    fn values_are_read_as_they_were() {
        let rows =
            rows(r#"INSERT INTO `nodes` VALUES ('it''s \'a\' \\ \n ü ""b"" %_',-1),(NULL,7)"#)
                .unwrap();
        assert_eq!(rows[0].text("hostname"), "it's 'a' \\ \n ü \"\"b\"\" %_");
        assert_eq!((rows[0].text("env_id"), rows[1].get("hostname")), ("-1", None));
        assert_eq!((rows[1].text("env_id"), rows[1].get("nothing")), ("7", None));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (text, why) in [
            ("INSERT INTO nodes VALUES ('a')", "1 values for 2 columns"),
            ("INSERT INTO nodes VALUES (now(),1)", "is no value"),
            ("INSERT INTO nodes SELECT * FROM x", "only values"),
            ("INSERT INTO log VALUES (1)", "are not known"),
            ("CREATE TABLE nodes (a int)", "a second table"),
        ] {
            let said = rows(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn only_statements_about_our_tables_count() {
        let ours = Regex::new(OURS).unwrap();
        for (text, is) in [
            ("INSERT INTO `log` VALUES (1)", true),
            ("\nINSERT  IGNORE INTO deploy3.`nodes`(a) VALUES (1)", true),
            ("REPLACE INTO rights VALUES (1)", true),
            ("CREATE TABLE IF NOT EXISTS `environments` (\n", true),
            ("INSERT INTO `logs` VALUES (1)", false),
            ("INSERT INTO other VALUES ('INSERT INTO log ')", false),
            ("DROP TABLE IF EXISTS `log`", false),
        ] {
            assert_eq!(ours.is_match(text.as_bytes()), is, "{text}");
        }
    }
}
