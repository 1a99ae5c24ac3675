//! Rights, nodes and statistics, row by row.

use super::source::Row;
use crate::store::{NodeRecord, NodeState, RightRecord, StatRow, StatStep};
use serde::{
    Deserialize,
    de::{IntoDeserializer, value::StrDeserializer},
};

/// The number that stands for no environment, and for one that is not recorded.
const NO_ENVIRONMENT: i64 = -1;

/// A row that makes no record: what it is about, and why not.
pub(super) type Refused = (String, String);

/// A node, with the number of the environment on it.
pub(super) struct Node {
    /// The record, without environment.
    pub(super) record: NodeRecord,
    /// The environment's number in the database.
    pub(super) environment: Option<i64>,
    /// What ran on it when the old service was stopped.
    pub(super) cut_off: Option<String>,
}

pub(super) fn right(row: &Row) -> Result<RightRecord, Refused> {
    let [user, node, part] = ["user", "node", "part"].map(|column| row.text(column).to_owned());
    if user.is_empty() || node.is_empty() || part.is_empty() {
        let what = format!("{user} on {node} {part}");
        return Err((what, "user, node and partition must not be empty".to_owned()));
    }
    Ok(RightRecord { user, node, part })
}

pub(super) fn node(row: &Row) -> Result<Node, Refused> {
    let name = row.text("hostname").to_owned();
    let refused = |why: String| (name.clone(), why);
    if name.is_empty() {
        return Err(refused("it has no name".to_owned()));
    }
    let word = row.text("state");
    let state = state(word).ok_or_else(|| refused(format!("no state is called '{word}'")))?;
    let (state, cut_off) = match state {
        NodeState::Deploying | NodeState::Rebooting | NodeState::Powering => {
            (NodeState::Aborted, Some(word.to_owned()))
        }
        other => (other, None),
    };
    let environment = number::<i64>(row, "env_id").map_err(&refused)?.unwrap_or(NO_ENVIRONMENT);
    let record = NodeRecord {
        state,
        user: row.text("user").to_owned(),
        environment: None,
        partition: None,
        date: number(row, "date").map_err(&refused)?.unwrap_or_default(),
        node: name.clone(),
    };
    let environment = (environment != NO_ENVIRONMENT).then_some(environment);
    Ok(Node { record, environment, cut_off })
}

fn state(word: &str) -> Option<NodeState> {
    let word: StrDeserializer<'_, serde::de::value::Error> = word.into_deserializer();
    NodeState::deserialize(word).ok()
}

pub(super) fn statistic(row: &Row) -> Result<StatRow, Refused> {
    let (hostname, wid) = (row.text("hostname").to_owned(), wid(row));
    let refused = |why: String| (format!("{wid} on {hostname}"), why);
    if hostname.is_empty() || wid.is_empty() {
        return Err(refused("it does not say which operation and node it is about".to_owned()));
    }
    let mut steps =
        (1..=3).map(|n| step(row, n)).collect::<Result<Vec<_>, _>>().map_err(&refused)?;
    while steps.last().is_some_and(|step| step.name.is_empty()) {
        steps.pop();
    }
    Ok(StatRow {
        user: row.text("user").to_owned(),
        steps,
        start: number(row, "start").map_err(&refused)?.unwrap_or_default(),
        environment: row.text("env").to_owned(),
        anonymous: flag(row.text("anonymous_env")),
        md5: row.text("md5").to_owned(),
        success: flag(row.text("success")),
        error: row.text("error").to_owned(),
        wid: wid.clone(),
        hostname: hostname.clone(),
    })
}

/// Before 3.2 the column had another name, and the numbers no letter: all were deployments.
fn wid(row: &Row) -> String {
    let wid = row.get("wid").or_else(|| row.get("deploy_id")).unwrap_or_default();
    let lettered = ["D-", "R-", "P-"].iter().any(|letter| wid.starts_with(letter));
    if wid.is_empty() || lettered { wid.to_owned() } else { format!("D-{wid}") }
}

fn step(row: &Row, n: usize) -> Result<StatStep, String> {
    Ok(StatStep {
        name: row.text(&format!("step{n}")).to_owned(),
        timeout: number(row, &format!("timeout_step{n}"))?.unwrap_or_default(),
        retries: number(row, &format!("retry_step{n}"))?.unwrap_or_default(),
        duration: number(row, &format!("step{n}_duration"))?.unwrap_or_default(),
    })
}

/// A whole number; none if it is NULL or empty.
pub(super) fn number<T: std::str::FromStr>(row: &Row, column: &str) -> Result<Option<T>, String> {
    match row.text(column) {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| format!("{column} '{text}' is no number")),
    }
}

pub(super) fn flag(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A row of these columns and texts.
    pub(in crate::migrate) fn row(cells: &[(&str, &str)]) -> Row {
        Row {
            columns: cells.iter().map(|(column, _)| (*column).to_owned()).collect(),
            cells: cells.iter().map(|(_, text)| Some((*text).to_owned())).collect(),
        }
    }

    #[test]
    fn what_ran_when_the_old_service_was_stopped_is_aborted() {
        let node = node(&row(&[
            ("hostname", "a"),
            ("state", "rebooting"),
            ("env_id", "-1"),
            ("date", "9"),
            ("user", "u"),
        ]))
        .unwrap();
        assert_eq!(
            (node.record.state, node.cut_off),
            (NodeState::Aborted, Some("rebooting".to_owned()))
        );
        assert_eq!((node.environment, node.record.date), (None, 9));
    }

    #[test]
    fn rows_that_make_no_record_say_why() {
        let (what, why) = super::node(&row(&[("hostname", "a"), ("state", "lost")])).err().unwrap();
        assert_eq!((what.as_str(), why.as_str()), ("a", "no state is called 'lost'"));
        let (_, why) =
            statistic(&row(&[("hostname", "a"), ("wid", "D-1"), ("start", "now")])).unwrap_err();
        assert_eq!(why, "start 'now' is no number");
        assert!(right(&row(&[("user", "u"), ("node", ""), ("part", "*")])).is_err());
    }

    #[test]
    fn rows_of_before_3_2_are_deployments() {
        let row = row(&[
            ("hostname", "a"),
            ("deploy_id", "7"),
            ("start", "5"),
            ("step1", "A"),
            ("step3", "C"),
            ("retry_step3", "2"),
            ("success", "true"),
        ]);
        let row = statistic(&row).unwrap();
        assert_eq!((row.wid.as_str(), row.steps.len(), row.steps[2].retries), ("D-7", 3, 2));
        assert_eq!((row.success, row.anonymous), (Some(true), None));
    }
}
