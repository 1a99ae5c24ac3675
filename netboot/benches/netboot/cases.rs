//! What is measured.

use crate::{
    http, report,
    servers::{self, Place, Server},
    tftp::{self, Done, Load, Until},
};
use std::{fs, path::Path, time::Duration};

const MIB: usize = 1024 * 1024;
/// Block of every transfer: what fits an Ethernet frame with room for a tunnel.
const BLOCK: usize = 1428;
/// How long small requests are sent.
const SMALL: Duration = Duration::from_millis(1500);
/// A node's profile.
const PROFILE: &str = "pxelinux.cfg/01-aa";

/// The files that are served: names and contents.
pub(crate) struct Files(Vec<(&'static str, Vec<u8>)>);

impl Files {
    fn write(root: &Path) -> Self {
        fs::create_dir(root.join("pxelinux.cfg")).expect("a directory");
        let sizes = [(PROFILE, 400), ("image8", 8 * MIB), ("kernel", 10 * MIB)];
        let sizes = sizes.into_iter().chain([("initrd", 40 * MIB), ("image64", 64 * MIB)]);
        let files = sizes.map(|(name, size)| (name, bytes(name, size))).collect::<Vec<_>>();
        for (name, content) in &files {
            fs::write(root.join(name), content).expect("a file");
        }
        Self(files)
    }

    fn get(&self, name: &'static str) -> (&'static str, &[u8]) {
        let (_, content) = self.0.iter().find(|(file, _)| *file == name).expect("it was written");
        (name, content)
    }
}

/// What a case counts, beside the rate.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Unit {
    /// MB/s, and processor time per GB.
    Bytes,
    /// Requests per second, and processor time of each.
    Requests,
}

/// One thing that is measured.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    pub(crate) kind: Kind,
    place: Place,
}

/// Which clients.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Clients, jobs, files, window.
    Fetch(u64, u64, &'static [&'static str], usize),
    /// Clients that ask for a profile, or for what is missing, as fast as they can.
    Small(u64, bool),
    /// Downloads at once, how often each, file.
    Http(u64, u64, &'static str),
}

pub(crate) const CASES: [Case; 11] = [
    case(
        "TFTP 64 MiB, window 1, one processor",
        Unit::Bytes,
        Kind::Fetch(1, 1, &["image64"], 1),
        Place::One,
    ),
    case("TFTP 64 MiB, window 16", Unit::Bytes, Kind::Fetch(1, 4, &["image64"], 16), Place::Free),
    case("TFTP 64 MiB, window 64", Unit::Bytes, Kind::Fetch(1, 4, &["image64"], 64), Place::Free),
    case(
        "TFTP kernel + initrd to 16",
        Unit::Bytes,
        Kind::Fetch(16, 16, &["kernel", "initrd"], 16),
        Place::Free,
    ),
    case("TFTP kernel to 256", Unit::Bytes, Kind::Fetch(256, 256, &["kernel"], 16), Place::Free),
    case("TFTP profiles to 16", Unit::Requests, Kind::Small(16, false), Place::Free),
    case("TFTP profiles to 256", Unit::Requests, Kind::Small(256, false), Place::Free),
    case("TFTP missing name, 16", Unit::Requests, Kind::Small(16, true), Place::Free),
    case("HTTP 64 MiB to 1", Unit::Bytes, Kind::Http(1, 8, "image64"), Place::Free),
    case("HTTP 64 MiB to 64", Unit::Bytes, Kind::Http(64, 1, "image64"), Place::Free),
    case("HTTP 8 MiB to 512", Unit::Bytes, Kind::Http(512, 1, "image8"), Place::Free),
];

const fn case(name: &'static str, unit: Unit, kind: Kind, place: Place) -> Case {
    Case { name, unit, kind, place }
}

/// One measurement.
pub(crate) struct Sample {
    /// MB or requests per second.
    pub(crate) rate: f64,
    /// Seconds per GB, or microseconds per request, of the server's processor time.
    pub(crate) cost: f64,
    pub(crate) failures: usize,
    /// Requests that clients had to send again.
    pub(crate) repeated: u64,
}

/// What one server did in one case.
pub(crate) struct Row {
    pub(crate) case: &'static Case,
    pub(crate) server: &'static str,
    pub(crate) samples: Vec<Sample>,
}

/// Measures every case with `word` in its name on every server, in turns; prints the memory of ours.
pub(crate) fn run(rounds: usize, word: &str, only: Option<&str>) -> Vec<Row> {
    static CASES_: [Case; CASES.len()] = CASES;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let (root, work) = (dir.path().join("root"), dir.path().join("work"));
    fs::create_dir(&root).and(fs::create_dir(&work)).expect("directories");
    let files = Files::write(&root);
    // Servers that change their user must be able to read it.
    fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("ours");
    let mut servers = servers::start(&root, &work);
    servers.retain(|server| only.is_none_or(|name| server.name == name));
    let mut rows = Vec::new();
    for case in CASES_.iter().filter(|case| case.name.contains(word)) {
        let able: Vec<&Server> = servers.iter().filter(|server| can(server, case)).collect();
        let mut samples: Vec<Vec<Sample>> = able.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (server, samples) in able.iter().zip(&mut samples) {
                samples.push(measure(case, server, &files));
            }
        }
        let case_rows = able.iter().zip(samples);
        let case_rows =
            case_rows.map(|(server, samples)| Row { case, server: server.name, samples });
        let case_rows: Vec<Row> = case_rows.collect();
        report::print(&case_rows);
        rows.extend(case_rows);
    }
    println!("# peak memory of {}: {:.0} MiB", servers[0].name, servers[0].peak());
    rows
}

fn can(server: &Server, case: &Case) -> bool {
    match case.kind {
        Kind::Fetch(.., window) => server.tftp.is_some() && (window == 1 || server.windows),
        Kind::Small(..) => server.tftp.is_some(),
        Kind::Http(..) => server.http.is_some(),
    }
}

fn measure(case: &Case, server: &Server, files: &Files) -> Sample {
    server.place(case.place);
    let before = server.cpu();
    let done = load(case.kind, server, files);
    let cpu = server.cpu() - before;
    server.place(Place::Free);
    for failure in done.failures.iter().take(3) {
        eprintln!("# {}, {}: {failure}", case.name, server.name);
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (bytes, jobs) = (done.bytes as f64, done.jobs as f64);
    let (rate, cost) = match case.unit {
        Unit::Bytes => (bytes / 1e6 / done.wall, cpu / (bytes / 1e9)),
        Unit::Requests => (jobs / done.wall, cpu * 1e6 / jobs),
    };
    Sample { rate, cost, failures: done.failures.len(), repeated: done.repeated }
}

fn load(kind: Kind, server: &Server, files: &Files) -> Done {
    let tftp = |clients, until, files, window| {
        let load = Load { clients, until, files, block: BLOCK, window };
        tftp::run(&load, server.tftp.expect("it can"))
    };
    match kind {
        Kind::Fetch(clients, jobs, names, window) => {
            let files = names.iter().map(|name| files.get(name)).collect();
            tftp(clients, Until::Jobs(jobs), files, window)
        }
        Kind::Small(clients, true) => tftp(clients, Until::Time(SMALL), Vec::new(), 1),
        Kind::Small(clients, false) => {
            tftp(clients, Until::Time(SMALL), vec![files.get(PROFILE)], 1)
        }
        Kind::Http(downloads, times, name) => {
            let (name, content) = files.get(name);
            http::run(downloads, times, name, content, server.http.expect("it can"))
        }
    }
}

/// Bytes that repeat nowhere near a block.
fn bytes(seed: &str, size: usize) -> Vec<u8> {
    let mut state = seed
        .bytes()
        .fold(0x9e37_79b9_7f4a_7c15_u64, |state, byte| state.rotate_left(8) ^ u64::from(byte));
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
