//! What was done to each node, as rows and as rates.

use crate::{
    store::{StatFilter, StatRow, StatStep, Store},
    types::{Kind, Problem},
};
use std::{cmp::Ordering, collections::BTreeMap};

/// The columns.
pub const FIELDS: [&str; 20] = [
    "wid",
    "user",
    "hostname",
    "step1",
    "step2",
    "step3",
    "timeout_step1",
    "timeout_step2",
    "timeout_step3",
    "retry_step1",
    "retry_step2",
    "retry_step3",
    "start",
    "step1_duration",
    "step2_duration",
    "step3_duration",
    "env",
    "md5",
    "success",
    "error",
];

/// Which rows are meant, and in which order.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this kind of operation.
    pub kind: Option<Kind>,
    /// Of these nodes; none means all.
    pub nodes: Vec<String>,
    /// Of this operation.
    pub wid: Option<String>,
    /// Begun then or later, Unix time.
    pub from: Option<u64>,
    /// Begun then or earlier.
    pub until: Option<u64>,
    /// With so many retries in one of the steps.
    pub min_retries: Option<usize>,
    /// The steps whose retries count, 1 to 3; none means any.
    pub step_retries: Vec<usize>,
    /// Columns, the first decides first.
    pub sort: Vec<&'static str>,
    /// At most so many rows.
    pub limit: Option<usize>,
}

/// The rows that `filter` means, in its order.
///
/// # Errors
/// 20: the store cannot be read.
pub async fn rows(store: &dyn Store, filter: &Filter) -> Result<Vec<StatRow>, Problem> {
    let wanted = StatFilter {
        from: filter.from,
        until: filter.until.map(|until| until.saturating_add(1)),
        wid: filter.wid.clone(),
        nodes: filter.nodes.clone(),
        ..StatFilter::default()
    };
    let mut rows = store.statistics(&wanted).await?;
    rows.retain(|row| {
        let of_kind = filter.kind.is_none_or(|kind| row.wid.starts_with(kind.letter()));
        of_kind && filter.min_retries.is_none_or(|least| retried(row, &filter.step_retries, least))
    });
    rows.sort_by(|a, b| {
        let by = |field: &&str| compare(&cell(a, field), &cell(b, field));
        filter.sort.iter().map(by).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    });
    rows.truncate(filter.limit.unwrap_or(usize::MAX));
    Ok(rows)
}

fn retried(row: &StatRow, steps: &[usize], least: usize) -> bool {
    let counts = |number: usize| steps.is_empty() || steps.contains(&number);
    let enough = |step: &StatStep| usize::try_from(step.retries).is_ok_and(|many| many >= least);
    let mut all = (1..=3).map(|number| (number, step(row, number)));
    all.any(|(number, step)| counts(number) && enough(&step))
}

/// Numbers by their value, texts by their letters.
fn compare(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

/// The rows as comma-separated values without a header; whatever a text holds, it is read
/// back as it was.
///
/// # Errors
/// An internal one; there is none where memory is written to.
pub fn csv(rows: &[StatRow], fields: &[&str]) -> Result<Vec<u8>, Problem> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        let cells = fields.iter().map(|field| cell(row, field));
        writer.write_record(cells).map_err(Problem::internal)?;
    }
    writer.into_inner().map_err(Problem::internal)
}

/// The part of the operations that failed, by node, to three digits.
#[expect(clippy::cast_precision_loss, reason = "counts of operations are far below 2^52")]
pub fn failure_rates(rows: &[StatRow], least: Option<f64>) -> BTreeMap<String, f64> {
    let mut counts = BTreeMap::<&str, (usize, usize)>::new();
    for row in rows {
        let (well, all) = counts.entry(&row.hostname).or_default();
        *well += usize::from(row.success == Some(true));
        *all += 1;
    }
    let rate =
        |(well, all): (usize, usize)| (1000.0 * (1.0 - well as f64 / all as f64)).round() / 1000.0;
    let rates = counts.into_iter().map(|(node, count)| (node.to_owned(), rate(count)));
    rates.filter(|(_, rate)| least.is_none_or(|least| *rate >= least)).collect()
}

fn step(row: &StatRow, number: usize) -> StatStep {
    row.steps.get(number - 1).cloned().unwrap_or_default()
}

fn cell(row: &StatRow, field: &str) -> String {
    let step = |number| step(row, number);
    match field {
        "wid" => row.wid.clone(),
        "user" => row.user.clone(),
        "hostname" => row.hostname.clone(),
        "step1" => step(1).name,
        "step2" => step(2).name,
        "step3" => step(3).name,
        "timeout_step1" => step(1).timeout.to_string(),
        "timeout_step2" => step(2).timeout.to_string(),
        "timeout_step3" => step(3).timeout.to_string(),
        "retry_step1" => step(1).retries.to_string(),
        "retry_step2" => step(2).retries.to_string(),
        "retry_step3" => step(3).retries.to_string(),
        "start" => row.start.to_string(),
        "step1_duration" => step(1).duration.to_string(),
        "step2_duration" => step(2).duration.to_string(),
        "step3_duration" => step(3).duration.to_string(),
        "env" => row.environment.clone(),
        "md5" => row.md5.clone(),
        "success" => row.success.unwrap_or_default().to_string(),
        "error" => row.error.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(hostname: &str, success: bool, error: &str) -> StatRow {
        StatRow {
            wid: "D-1".into(),
            hostname: hostname.into(),
            user: "anna".into(),
            steps: vec![StatStep { name: "A".into(), timeout: 20, retries: 2, duration: 7 }],
            start: 9,
            environment: "debian:1".into(),
            anonymous: Some(false),
            md5: String::new(),
            success: Some(success),
            error: error.into(),
        }
    }

    #[test]
    fn texts_survive_whatever_is_in_them() {
        let error = "it said \"no\", then\nnothing; ü, 'x'";
        let rows = [row("a", false, error), row("b", true, "")];
        let written = csv(&rows, &FIELDS).unwrap();
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).from_reader(written.as_slice());
        let read: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!((read.len(), read[0].len()), (2, 20));
        assert_eq!((&read[0][19], &read[1][19]), (error, ""));
        assert_eq!((&read[0][2], &read[0][3], &read[0][9], &read[0][18]), ("a", "A", "2", "false"));
        // What needs no quotes has none.
        assert!(String::from_utf8(written).unwrap().contains("\nD-1,anna,b,A,,,20,0,0,2,0,0,9,7,"));
    }

    #[test]
    fn rates_are_of_each_node() {
        let rows =
            [row("a", true, ""), row("a", false, "x"), row("a", false, "x"), row("b", true, "")];
        let rates = failure_rates(&rows, None);
        assert_eq!(rates, BTreeMap::from([("a".into(), 0.667), ("b".into(), 0.0)]));
        assert_eq!(failure_rates(&rows, Some(0.5)).len(), 1);
    }

    #[test]
    fn retries_count_in_the_steps_that_are_named() {
        let row = row("a", true, "");
        assert!(retried(&row, &[], 2) && retried(&row, &[1], 2));
        assert!(!retried(&row, &[2, 3], 1) && !retried(&row, &[], 3));
    }
}
