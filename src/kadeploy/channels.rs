//! Where the programs write: standard output and error, and two more descriptors that whoever
//! calls them may have opened, 3 for what commands printed and 4 for the HTTP traffic.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// Where things are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Channels {
    debug: Option<Arc<Mutex<File>>>,
    trace: Option<Arc<Mutex<File>>>,
}

impl Channels {
    /// What the process was started with. Must be called before it opens anything itself.
    pub(super) fn inherited() -> Self {
        // Both are looked at before either is opened: what is opened takes the next number.
        let open = [3, 4].map(is_writable);
        let [debug, trace] = [(3, open[0]), (4, open[1])].map(|(number, open)| {
            let path = format!("/proc/self/fd/{number}");
            let file = OpenOptions::new().append(true).open(path).ok().filter(|_| open)?;
            Some(Arc::new(Mutex::new(file)))
        });
        Self { debug, trace }
    }

    /// A line that a command on a node printed.
    pub(super) fn debug(&self, text: &str) {
        write(self.debug.as_deref(), text);
    }

    /// What went over the wire.
    pub(super) fn trace(&self, text: &str) {
        write(self.trace.as_deref(), text);
    }
}

/// Whether the descriptor is there and may be written to.
fn is_writable(number: u8) -> bool {
    /// The bits that tell reading from writing.
    const ACCESS: u32 = 0o3;
    // Not by opening it: that may take its very number.
    if !Path::new(&format!("/proc/self/fd/{number}")).is_symlink() {
        return false;
    }
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & ACCESS != 0)
}

fn write(to: Option<&Mutex<File>>, text: &str) {
    match to {
        None => say(text),
        // Whoever opened it may have gone.
        Some(file) => {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = writeln!(file, "{text}");
        }
    }
}

/// A line on standard output. A reader that has gone has had enough.
pub(super) fn say(text: &str) {
    say_raw(&format!("{text}\n"));
}

/// The same without an end of line.
pub(super) fn say_raw(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A line on standard error.
pub(super) fn warn(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
