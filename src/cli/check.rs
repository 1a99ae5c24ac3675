//! `kadence check`: a configuration, looked at.

use super::{ConfigDir, Failure, table::lines};
use crate::client::{Printer, tell, write_out};
use clap::Args;
use config::{Class, KeyDoc, Loaded, Mistakes, Notice, Place};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  kadence check --config-dir ./conf --strict\n  kadence check --explain network/ports/ssh"
)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigDir,
    /// Keys that are unknown, without effect or replaced count as mistakes.
    #[arg(long)]
    strict: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// Explain a key instead, such as network/ports/ssh or `cluster file:timeouts/reboot`.
    #[arg(long, value_name = "KEY")]
    explain: Option<String>,
}

impl CheckArgs {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let printer = Printer { json: self.json };
        if let Some(key) = &self.explain {
            return explain(key, printer);
        }
        let loaded = config::load(&self.config.config_dir).and_then(usable);
        let classed = |loaded: &Loaded| loaded.notices.iter().any(|one| one.class != Class::Note);
        let well = loaded.as_ref().is_ok_and(|loaded| !self.strict || !classed(loaded));
        if self.json {
            printer.document(&document(&loaded, well))?;
        } else {
            match &loaded {
                Ok(loaded) => tell_loaded(loaded)?,
                Err(mistakes) => {
                    tell(mistakes.to_string().trim_end());
                    tell_notices(&mistakes.notices);
                }
            }
        }
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The same if all that it names can be used.
fn usable(loaded: Loaded) -> Result<Loaded, Mistakes> {
    let all = crate::server::look(&loaded.config);
    if all.is_empty() { Ok(loaded) } else { Err(Mistakes { all, notices: loaded.notices }) }
}

fn tell_notices(notices: &[Notice]) {
    for notice in notices {
        if let Some(old) = notice.old() {
            tell(&old);
        }
        tell(&format!("notice: {notice}"));
    }
}

fn tell_loaded(Loaded { config, notices }: &Loaded) -> std::io::Result<()> {
    tell_notices(notices);
    let (clusters, nodes) = (config.clusters.len(), config.nodes().count());
    write_out(&format!(
        "{}: no mistakes, {} notices, {clusters} clusters, {nodes} nodes\n",
        config.dir.display(),
        notices.len()
    ))
}

fn document(loaded: &Result<Loaded, Mistakes>, well: bool) -> Value {
    let (mistakes, notices) = match loaded {
        Ok(loaded) => (&[][..], &loaded.notices[..]),
        Err(mistakes) => (&mistakes.all[..], &mistakes.notices[..]),
    };
    let mistake = |one: &config::Mistake| {
        let mut value = at(&one.place, &one.key);
        value["found"] = json!(one.found);
        value["expected"] = json!(one.expected);
        value["hint"] = json!(one.hint);
        value
    };
    let notice = |one: &config::Notice| {
        let mut value = at(&one.place, &one.key);
        value["class"] = json!(one.class.word());
        value["text"] = json!(one.text);
        value
    };
    json!({
        "ok": well,
        "mistakes": mistakes.iter().map(mistake).collect::<Vec<_>>(),
        "notices": notices.iter().map(notice).collect::<Vec<_>>(),
    })
}

fn at(place: &Place, key: &str) -> Value {
    json!({"file": place.file, "line": place.line, "column": place.column, "key": key})
}

fn explain(key: &str, printer: Printer) -> Result<ExitCode, Failure> {
    let doc = config::explain(key).ok_or_else(|| {
        let hint = "keys are named as in `kadence check`: network/ports/ssh";
        Failure::usage(format!("there is no key {key}"), hint)
    })?;
    let value = json!({
        "file": doc.file, "key": doc.path, "type": doc.kind, "default": doc.default,
        "check": doc.check, "meaning": doc.meaning, "effect": doc.effect,
        "reloadable": doc.reloadable,
    });
    printer.answer(&value, || text(&doc))?;
    Ok(ExitCode::SUCCESS)
}

fn text(doc: &KeyDoc) -> String {
    let KeyDoc { file, path, kind, meaning, effect, .. } = doc;
    let default = match doc.default.as_deref() {
        None => "mandatory".to_owned(),
        Some("") => String::new(),
        Some(default) => format!("default {default}"),
    };
    let facts = [default, doc.check.clone().unwrap_or_default(), effect.clone()];
    let facts = lines(facts.iter().filter(|fact| !fact.is_empty()).map(|f| format!("  {f}")));
    format!("{path} ({file}): {kind}\n  {meaning}\n{facts}")
}
