//! `kastat3`: what was done, and how well.

use super::{
    channels::say_raw,
    failure::Failure,
    http::query,
    info::plain,
    options::{Line, Mistake, Opt},
    session::Session,
    table,
};
use jiff::{Zoned, civil::DateTime, tz::TimeZone};
use std::time::SystemTime;

/// Options of its own.
pub(super) const OPTIONS: &[Opt] = &[
    Opt::flag("all", "Show everything").short('a'),
    Opt::maybe("failure-rate", "RATE", "Show how often nodes fail, from this rate on").short('b'),
    Opt::value("fields", "LIST", "Show these fields, with commas between them").short('F'),
    Opt::value("operation", "KIND", "Only deploy, reboot or power").short('o'),
    Opt::value("min-retries", "NB", "Only where a step was tried again so often").short('r'),
    Opt::value("retry-steps", "LIST", "In these steps: 1, 2, 3, with commas between them")
        .short('s'),
    Opt::value("workflow-id", "WID", "Only this operation").short('w'),
    Opt::value("date-min", "DATE", "Not before yyyy-mm-dd hh:mm:ss").short('x'),
    Opt::value("date-max", "DATE", "Not after yyyy-mm-dd hh:mm:ss").short('y'),
    Opt::value("limit", "NUMBER", "At most so many rows"),
    Opt::value("sort", "LIST", "Sort by these fields, with commas between them; default: start"),
];

/// What can be said without a server.
pub(super) fn check(line: &Line) -> Result<(), Failure> {
    if line.has("all") && line.has("failure-rate") {
        return Err(Failure::usage("You can only choose one action"));
    }
    if !line.has("all") && !line.has("failure-rate") {
        return Err(Failure::usage("You must choose an action"));
    }
    let number = |value: &str| value.parse::<u32>().is_ok();
    line.checked("limit", number)?;
    line.checked("min-retries", number)?;
    line.checked("failure-rate", |rate| rate.parse::<f64>().is_ok())?;
    line.checked("operation", |kind| ["deploy", "reboot", "power"].contains(&kind))?;
    let step = |value: &str| value.split(',').all(|step| ["1", "2", "3"].contains(&step));
    line.checked("retry-steps", step)?;
    for option in ["date-min", "date-max"] {
        line.value(option).map(|text| date(option, text)).transpose()?;
    }
    Ok(())
}

/// Does what the command line says, on every server.
pub(super) async fn run(session: Session) -> Result<(), Failure> {
    let line = &session.line;
    let rates = line.has("failure-rate");
    for (server, nodes) in session.dealt().await? {
        let path = match line.value("operation") {
            Some(kind) => format!("/stats/{kind}"),
            None => "/stats".to_owned(),
        };
        let parameters = parameters(line, &nodes)?;
        let parameters: Vec<_> = parameters.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let path = query(&path, &parameters);
        let prefix = session.prefix(&server);
        if rates {
            let rates = server.get(&path).await?;
            let lines = rates.as_object().into_iter().flatten();
            let lines: Vec<_> =
                lines.map(|(host, rate)| format!("{host}: {}", plain(rate))).collect();
            table::say_lines(&prefix, &lines.join("\n"));
        } else {
            let text = server.text(&path).await?;
            if prefix.is_empty() {
                say_raw(&text);
            } else {
                table::say_lines(&prefix, text.trim_end());
            }
        }
    }
    Ok(())
}

/// What the server is asked for, in the order of the old program.
fn parameters(line: &Line, nodes: &[String]) -> Result<Vec<(&'static str, String)>, Failure> {
    let kind = if line.has("failure-rate") { "failure_rates" } else { "all" };
    let mut parameters = vec![("kind", kind.to_owned())];
    parameters.extend(nodes.iter().map(|node| ("nodes", node.clone())));
    let list = |option: &str, field: &'static str| {
        let parts = line.value(option).into_iter().flat_map(|list| list.split(','));
        parts.map(|part| (field, part.trim().to_owned())).collect::<Vec<_>>()
    };
    let one = |option: &str, field: &'static str| {
        line.value(option).map(|value| (field, value.to_owned()))
    };
    parameters.extend(list("fields", "fields"));
    parameters.extend(one("limit", "limit"));
    parameters.extend(list("sort", "sort"));
    for (option, field) in [("date-min", "date_min"), ("date-max", "date_max")] {
        if let Some(text) = line.value(option) {
            parameters.push((field, date(option, text)?));
        }
    }
    parameters.extend(one("workflow-id", "wid"));
    parameters.extend(one("failure-rate", "min_failure_rate"));
    parameters.extend(one("min-retries", "min_retries"));
    parameters.extend(list("retry-steps", "step_retries"));
    Ok(parameters)
}

/// A time of this place as HTTP writes it.
fn date(option: &str, text: &str) -> Result<String, Mistake> {
    let wrong = || Mistake::Argument(format!("--{option} {text}"));
    let civil: DateTime = text.trim().parse().map_err(|_| wrong())?;
    let zoned: Zoned = civil.to_zoned(TimeZone::system()).map_err(|_| wrong())?;
    Ok(httpdate::fmt_http_date(SystemTime::from(zoned.timestamp())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_http() {
        let text = date("date-min", "2026-11-30 12:34:56").unwrap();
        assert!(text.ends_with("2026 12:34:56 GMT") || text.ends_with(" GMT"), "{text}");
        assert!(date("date-min", "2026-11-30").is_ok());
        assert_eq!(
            date("date-min", "yesterday").unwrap_err().to_string(),
            "invalid argument: --date-min yesterday"
        );
    }
}
