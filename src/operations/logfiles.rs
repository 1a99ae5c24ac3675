//! The files that a site may have written about its operations: what was said, and what was
//! done to each node.

use super::{archive, log::Line, operation::Operation};
use crate::store::{StatRow, StatStep};
use config::Server;
use std::{fs::OpenOptions, io, io::Write, path::Path};

/// Copies messages, as far as the configuration wants them.
pub(super) async fn messages(server: &Server, operation: &Operation, lines: &[Line]) {
    let Some(file) = server.logs.debugfile.as_deref() else { return };
    let (wid, user) = (&operation.wid, &operation.user);
    let wanted = lines.iter().filter(|line| line.level <= server.verbosity.logs);
    let text: String = wanted.map(|line| format!("{wid}|{user} -> {}\n", line.text)).collect();
    append(file, text).await;
}

/// Writes a row for each node of an operation that has ended.
pub(super) async fn rows(server: &Server, operation: &Operation) {
    let Some(file) = server.logs.logfile.as_deref() else { return };
    let mut writer = csv::Writer::from_writer(Vec::new());
    let rows = archive::statistics(operation);
    let written = rows.iter().try_for_each(|row| writer.write_record(cells(row)));
    // Into memory: neither can fail.
    let text = written.ok().and_then(|()| writer.into_inner().ok()).unwrap_or_default();
    append(file, String::from_utf8(text).unwrap_or_default()).await;
}

fn cells(row: &StatRow) -> Vec<String> {
    let step = |number: usize| row.steps.get(number).cloned().unwrap_or_default();
    let steps = [step(0), step(1), step(2)];
    let each = |cell: fn(&StatStep) -> String| steps.iter().map(cell).collect::<Vec<_>>();
    let mut cells = vec![row.wid.clone(), row.hostname.clone(), row.user.clone()];
    cells.extend(each(|step| step.name.clone()));
    cells.extend(each(|step| step.timeout.to_string()));
    cells.extend(each(|step| step.retries.to_string()));
    cells.push(row.start.to_string());
    cells.extend(each(|step| step.duration.to_string()));
    let anonymous = row.anonymous.map(|anonymous| anonymous.to_string()).unwrap_or_default();
    cells.extend([row.environment.clone(), anonymous, row.md5.clone()]);
    cells.extend([row.success.unwrap_or_default().to_string(), row.error.clone()]);
    cells
}

/// Appends in one piece. Each time the file is opened anew: it may have been rotated.
async fn append(file: &Path, text: String) {
    if text.is_empty() {
        return;
    }
    let path = file.to_owned();
    let write = move || -> io::Result<()> {
        OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
    };
    let written = tokio::task::spawn_blocking(write).await;
    if let Ok(Err(error)) = written {
        tracing::error!(file = %file.display(), %error, "cannot be written");
    }
}
