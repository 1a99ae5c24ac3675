//! `kadence stats`: what was done.

use super::Failure;
use crate::{
    client::{Client, Printer, write_out},
    operations::statistics::FIELDS,
};
use clap::{Args, ValueEnum};
use flate2::read::GzDecoder;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, io::Read, process::ExitCode};

/// Arguments of `stats`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kadence stats deploy -m node-1 --field hostname,success,error")]
pub(super) struct StatsArgs {
    /// Of which operations; of all, if it is left out.
    kind: Option<Of>,
    /// Nodes: names or ranges.
    #[arg(short = 'm', long = "machine", value_name = "NODES")]
    nodes: Vec<String>,
    /// Columns, in this order.
    #[arg(short = 'f', long = "field", value_delimiter = ',', value_name = "NAMES")]
    fields: Vec<String>,
    /// Columns to sort by.
    #[arg(short = 's', long, value_delimiter = ',', value_name = "NAMES")]
    sort: Vec<String>,
    /// At most so many rows.
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Of one operation.
    #[arg(short = 'w', long, value_name = "ID")]
    wid: Option<String>,
    /// Begun then or later: an HTTP date, or Unix time.
    #[arg(short = 'x', long, value_name = "DATE")]
    date_min: Option<String>,
    /// Begun then or earlier.
    #[arg(short = 'y', long, value_name = "DATE")]
    date_max: Option<String>,
    /// With so many retries in a step.
    #[arg(long, value_name = "N")]
    min_retries: Option<u32>,
    /// The part of the operations that failed, by node.
    #[arg(long, conflicts_with_all = ["fields", "sort"])]
    failure_rates: bool,
    /// Only nodes of which at least this part failed, 0 to 1.
    #[arg(long, value_name = "RATE", requires = "failure_rates")]
    min_failure_rate: Option<f64>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Of {
    Deploy,
    Reboot,
    Power,
}

impl StatsArgs {
    pub(super) async fn run(self, client: &Client) -> Result<ExitCode, Failure> {
        let path = match self.kind {
            None => "/stats",
            Some(Of::Deploy) => "/stats/deploy",
            Some(Of::Reboot) => "/stats/reboot",
            Some(Of::Power) => "/stats/power",
        };
        let query = self.query();
        let query: Vec<(&str, &str)> =
            query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if self.failure_rates {
            let rates: BTreeMap<String, f64> = client.get(path, &query).await?;
            let lines = || rates.iter().map(|(node, rate)| format!("{node}: {rate}\n")).collect();
            Printer { json: self.json }.answer(&rates, lines)?;
            return Ok(ExitCode::SUCCESS);
        }
        let packed = client.bytes(path, &query).await?;
        let mut csv = String::new();
        GzDecoder::new(packed.as_slice()).read_to_string(&mut csv)?;
        if self.json {
            Printer { json: true }.document(&self.rows(&csv)?)?;
        } else {
            write_out(&csv)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query: Vec<(&str, String)> = Vec::new();
        let lists = [("nodes", &self.nodes), ("fields", &self.fields), ("sort", &self.sort)];
        for (name, list) in lists {
            query.extend(list.iter().map(|one| (name, one.clone())));
        }
        let texts =
            [("wid", &self.wid), ("date_min", &self.date_min), ("date_max", &self.date_max)];
        for (name, text) in texts {
            query.extend(text.clone().map(|text| (name, text)));
        }
        query.extend(self.limit.map(|many| ("limit", many.to_string())));
        query.extend(self.min_retries.map(|many| ("min_retries", many.to_string())));
        query.extend(self.min_failure_rate.map(|rate| ("min_failure_rate", rate.to_string())));
        if self.failure_rates {
            query.push(("kind", "failure_rates".into()));
        }
        query
    }

    fn rows(&self, text: &str) -> Result<Vec<Map<String, Value>>, Failure> {
        let named: Vec<&str> = if self.fields.is_empty() {
            FIELDS.to_vec()
        } else {
            self.fields.iter().map(String::as_str).collect()
        };
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        let row = |record: csv::StringRecord| {
            let cells = named.iter().zip(record.iter());
            cells.map(|(name, cell)| ((*name).to_owned(), Value::from(cell))).collect()
        };
        let rows = reader.records().map(|record| record.map(row));
        rows.collect::<Result<_, _>>().map_err(|error| Failure::Io(std::io::Error::other(error)))
    }
}
