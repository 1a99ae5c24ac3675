//! The log files: `error.log`, `output.log` (what is said at the start, and what others print on
//! our standard output), `httpd.log` for the HTTP server, `access.log` with a line for each request.

use super::Line;
use jiff::Zoned;
use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Notify;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, filter::Targets, fmt::layer, layer::Context, layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The files.
pub(super) struct Logs {
    output: Option<LogFile>,
    /// Standard error without a redirection.
    error: Option<LogFile>,
    httpd: LogFile,
    access: LogFile,
}

/// One file, which may be opened anew under the same name.
#[derive(Clone)]
struct LogFile {
    path: Arc<PathBuf>,
    file: Arc<Mutex<File>>,
}

impl LogFile {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = append(&path)?;
        Ok(Self { path: Arc::new(path), file: Arc::new(Mutex::new(file)) })
    }

    fn reopen(&self) -> io::Result<()> {
        let file = append(&self.path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }

    fn with<T>(&self, on: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        on(&mut self.file.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.with(Write::flush)
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

impl Logs {
    /// Opens them in `dir`.
    pub(super) fn open(dir: &Path, line: &Line) -> io::Result<Self> {
        let open = |name: &str| LogFile::open(dir.join(name));
        let wanted = |option: &str, name: &str| {
            if line.has(option) { Ok(None) } else { open(name).map(Some) }
        };
        Ok(Self {
            output: wanted("no-stdout-redirect", "output.log")?,
            error: wanted("no-stderr-redirect", "error.log")?,
            httpd: open("httpd.log")?,
            access: open("access.log")?,
        })
    }

    /// From now on they are written. `ready` is told when the service serves; what came of a
    /// reload that a signal asked for is written to the file `reload`, for init scripts.
    pub(super) fn install(&self, ready: Arc<Notify>, reload: PathBuf, detailed: bool) {
        let level = if detailed { Level::DEBUG } else { Level::INFO };
        let error: Box<dyn Fn() -> Box<dyn Write> + Send + Sync> = match self.error.clone() {
            Some(file) => Box::new(move || Box::new(file.clone())),
            None => Box::new(|| Box::new(io::stderr())),
        };
        let httpd = self.httpd.clone();
        let of_http = Targets::new()
            .with_target("kadence::api", Level::INFO)
            .with_target("kadence::api::listen", Level::DEBUG);
        tracing_subscriber::registry()
            .with(
                layer()
                    .with_ansi(false)
                    .with_writer(error)
                    .with_filter(Targets::new().with_default(level)),
            )
            .with(layer().with_ansi(false).with_writer(move || httpd.clone()).with_filter(of_http))
            .with(
                Watch { access: self.access.clone(), ready, reload }.with_filter(
                    Targets::new()
                        .with_target("kadence::api::routes", Level::DEBUG)
                        .with_target("kadence::server", Level::INFO)
                        .with_target("kadence::server::reload", Level::DEBUG),
                ),
            )
            .init();
    }

    /// What others print on standard output and error goes to the files as well.
    pub(super) fn redirect(&self) -> io::Result<()> {
        if let Some(output) = &self.output {
            output.with(|file| Ok(rustix::stdio::dup2_stdout(file)?))?;
        }
        if let Some(error) = &self.error {
            error.with(|file| Ok(rustix::stdio::dup2_stderr(file)?))?;
        }
        Ok(())
    }

    /// Opens all of them anew: they were moved away.
    pub(super) fn reopen(&self) -> io::Result<()> {
        let files = [&self.httpd, &self.access].into_iter().chain(&self.output).chain(&self.error);
        files.into_iter().try_for_each(LogFile::reopen)
    }

    /// A text among the errors.
    pub(super) fn tell(&self, text: &str) {
        match self.error.clone() {
            // A disk may be full.
            Some(mut file) => drop(writeln!(file, "{text}")),
            None => super::warn(text),
        }
    }
}

/// Sees in the events of the service when it serves, each request that it answers, and what comes
/// of a reload.
struct Watch {
    access: LogFile,
    ready: Arc<Notify>,
    reload: PathBuf,
}

impl Watch {
    /// Tells whoever waits for the file: 0 and what was done, or 1 and why it was not. It is there
    /// as a whole or not at all.
    fn reloaded(&self, seen: &Seen) {
        let (status, text) =
            if seen.problem.is_empty() { (0, &seen.message) } else { (1, &seen.problem) };
        let part = self.reload.with_extension("part");
        let written = std::fs::write(&part, format!("{status}\n{text}\n"));
        // Where there is no such directory nobody waits.
        let _ = written.and_then(|()| std::fs::rename(&part, &self.reload));
    }
}

impl<S: Subscriber> Layer<S> for Watch {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut seen = Seen::default();
        event.record(&mut seen);
        match seen.message.as_str() {
            "the service is ready" => self.ready.notify_one(),
            _ if seen.why == "SIGHUP" => self.reloaded(&seen),
            "answered" => {
                // A disk may be full.
                let _ = writeln!(self.access.clone(), "{}", seen.line(&Zoned::now()));
            }
            _ => {}
        }
    }
}

/// The fields of an event.
#[derive(Debug, Default)]
struct Seen {
    message: String,
    peer: String,
    method: String,
    path: String,
    status: String,
    bytes: String,
    /// Why the configuration was loaded anew.
    why: String,
    /// Why it could not be.
    problem: String,
}

impl Seen {
    /// In the common log format.
    fn line(&self, now: &Zoned) -> String {
        let time = now.strftime("%d/%b/%Y:%H:%M:%S %z");
        let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        // A path is percent-encoded: it has no quotes of its own.
        format!(
            "{} - - [{time}] \"{} {} HTTP/1.1\" {} {}",
            or_dash(&self.peer),
            self.method,
            self.path.replace(['"', '\n', '\r'], "?"),
            self.status,
            or_dash(&self.bytes)
        )
    }

    fn put(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = text,
            "peer" => self.peer = text,
            "method" => self.method = text,
            "path" => self.path = text,
            "status" => self.status = text,
            "bytes" => self.bytes = text,
            "why" => self.why = text,
            "problem" => self.problem = text,
            _ => {}
        }
    }
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_line_of_the_common_format() {
        let seen = Seen {
            peer: "127.0.0.1".into(),
            method: "GET".into(),
            path: "/a\"b".into(),
            status: "200".into(),
            ..Seen::default()
        };
        let now: Zoned = "2026-11-30T17:01:02+00:00[UTC]".parse().unwrap();
        let line = "127.0.0.1 - - [30/Nov/2026:17:01:02 +0000] \"GET /a?b HTTP/1.1\" 200 -";
        assert_eq!(seen.line(&now), line);
    }
}
