//! What was done, as rows and as rates.

use super::{Api, reply::Reply, request::Request};
use crate::{
    operations::statistics::{self, FIELDS, Filter},
    types::{Code, Kind, Nodes, Problem},
};
use serde_json::Value;
use std::{sync::Arc, time::UNIX_EPOCH};

type Answer = Result<Reply, Problem>;

/// One row per node and operation as compressed CSV, or with `kind=failure_rates` the part of
/// the operations that failed on each node.
#[utoipa::path(get, path = "/stats/{operation}", tag = "statistics",
    params(("operation" = String, Path, description = "May be left out; deploy, reboot or power"),
    ("kind" = Option<String>, Query, description = "`all` or `failure_rates`"), ("nodes" = Option<Vec<String>>, Query),
    ("fields" = Option<Vec<String>>, Query), ("sort" = Option<Vec<String>>, Query), ("limit" = Option<u64>, Query),
    ("wid" = Option<String>, Query), ("date_min" = Option<String>, Query), ("date_max" = Option<String>, Query),
    ("min_retries" = Option<u32>, Query), ("step_retries" = Option<Vec<String>>, Query), ("min_failure_rate" = Option<f64>, Query)),
    responses((status = 200, description = "text/csv, gzip; or node → rate")))]
pub(super) async fn list(api: Arc<Api>, request: Request) -> Answer {
    let filter = filter(&api, &request)?;
    let rates = match request.text("kind")? {
        None | Some("all") => false,
        Some("failure_rates") => true,
        Some(_) => return Err(wrong("kind", "must have a value in (all,failure_rates)")),
    };
    let fields = columns(&request, "fields")?;
    let store = &*api.operations.means().store;
    let rows = statistics::rows(store, &filter).await?;
    if rates {
        let least = decimal(&request, "min_failure_rate")?;
        return Reply::of(&statistics::failure_rates(&rows, least));
    }
    let fields = if fields.is_empty() { FIELDS.to_vec() } else { fields };
    statistics::csv(&rows, &fields).map(Reply::Csv)
}

fn filter(api: &Api, request: &Request) -> Result<Filter, Problem> {
    let kind = match request.segments.first().map(String::as_str) {
        None => None,
        Some("deploy") => Some(Kind::Deploy),
        Some("reboot") => Some(Kind::Reboot),
        Some("power") => Some(Kind::Power),
        Some(other) => return Err(Problem::NotFound(format!("no statistics of {other}"))),
    };
    let named = request.decode::<Nodes>()?.nodes;
    let nodes = if named.is_empty() {
        Vec::new()
    } else {
        let chosen = api.operations.means().site().inventory.select(&named)?.nodes;
        chosen.iter().map(|node| node.name.clone()).collect()
    };
    let steps = request.texts("step_retries")?;
    if !steps.iter().all(|step| ["1", "2", "3"].contains(&step.as_str())) {
        return Err(wrong("step_retries", "must have a value in (1,2,3)"));
    }
    let mut sort = columns(request, "sort")?;
    if sort.is_empty() {
        sort.push("start");
    }
    Ok(Filter {
        kind,
        nodes,
        wid: request.text("wid")?.map(str::to_owned),
        from: date(request, "date_min")?,
        until: date(request, "date_max")?,
        min_retries: whole(request, "min_retries")?,
        step_retries: steps.iter().filter_map(|step| step.parse().ok()).collect(),
        sort,
        limit: whole(request, "limit")?,
    })
}

fn wrong(name: &str, why: &str) -> Problem {
    Problem::parameter(Code::InvalidOption, name, why)
}

fn columns(request: &Request, name: &str) -> Result<Vec<&'static str>, Problem> {
    let known = |text: &String| {
        let found = FIELDS.iter().find(|field| *field == text).copied();
        found.ok_or_else(|| wrong(name, &format!("must have a value in ({})", FIELDS.join(","))))
    };
    request.texts(name)?.iter().map(known).collect()
}

fn whole(request: &Request, name: &str) -> Result<Option<usize>, Problem> {
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|number| usize::try_from(number).ok()),
    };
    let read = |value| number(value).ok_or_else(|| wrong(name, "should be a Integer"));
    request.fields.get(name).map(read).transpose()
}

fn decimal(request: &Request, name: &str) -> Result<Option<f64>, Problem> {
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    };
    let read = |value| number(value).ok_or_else(|| wrong(name, "should be a Float"));
    request.fields.get(name).map(read).transpose()
}

/// A date as HTTP writes it, or Unix time.
fn date(request: &Request, name: &str) -> Result<Option<u64>, Problem> {
    let Some(value) = request.fields.get(name) else { return Ok(None) };
    let read = match value {
        Value::String(text) => text.parse().ok().or_else(|| {
            let date = httpdate::parse_http_date(text.trim()).ok()?;
            Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
        }),
        other => other.as_u64(),
    };
    let why = "should be an HTTP date, such as Sun, 06 Nov 1994 08:49:37 GMT";
    read.map(Some).ok_or_else(|| wrong(name, why))
}
