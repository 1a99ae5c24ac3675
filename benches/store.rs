//! The cost of a durable change, beside that of a plain log, and of opening a state again.
//!
//! Prints a table; nothing is asserted. What is compared is measured in turns, because other
//! work on the machine and its disk changes more than the store does.
//!
//!     cargo bench --bench store [-- --dir DIRECTORY]     default: the system's temporary directory
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]
#![expect(clippy::cast_precision_loss, reason = "counts and bytes of a benchmark are small")]

mod goals;
mod used;

use goals::{Aim, Goals};
use kadence::store::{Change, EmbeddedStore, Store};
use std::{
    error::Error,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use used::{body, fill};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(1);
const NODES: u64 = 10_000;
const RECORDS: u64 = 100_000;
const KILLS: usize = 10;

/// Set for the process that is killed.
const VICTIM: &str = "KADENCE_BENCH_VICTIM";

/// Something that makes a transition durable.
#[async_trait::async_trait]
trait Journal: Send + Sync {
    async fn append(&self, wid: &str, n: u64) -> Result<()>;
}

#[async_trait::async_trait]
impl Journal for EmbeddedStore {
    async fn append(&self, wid: &str, n: u64) -> Result<()> {
        Ok(self.commit(Change::new().append(wid, n, body(n)?)).await?)
    }
}

type Line = (Vec<u8>, oneshot::Sender<std::io::Result<()>>);

/// The floor: a file to which lines are appended, with one sync for all that wait.
struct Log(mpsc::Sender<Line>);

impl Log {
    fn create(path: &Path) -> Result<Self> {
        let mut file = File::options().append(true).create(true).open(path)?;
        let (lines, mut waiting) = mpsc::channel::<Line>(1024);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            while let Some(first) = waiting.blocking_recv() {
                let mut group = vec![first];
                while group.len() < 512
                    && let Ok(line) = waiting.try_recv()
                {
                    group.push(line);
                }
                let text: Vec<u8> = group.iter().flat_map(|(line, _)| line.clone()).collect();
                let written = file.write_all(&text).and_then(|()| file.sync_data());
                for (_, done) in group {
                    let answer = written.as_ref().copied();
                    let _ = done.send(answer.map_err(|why| std::io::Error::from(why.kind())));
                }
            }
        })?;
        Ok(Self(lines))
    }
}

#[async_trait::async_trait]
impl Journal for Log {
    async fn append(&self, wid: &str, n: u64) -> Result<()> {
        let (done, answer) = oneshot::channel();
        let line = format!("{wid} {n} {}\n", body(n)?.get());
        self.0.send((line.into_bytes(), done)).await?;
        Ok(answer.await??)
    }
}

/// Transitions per second of so many producers, each waiting for its own, and the 99th
/// percentile of what one waits. They are those of so many `operations`.
async fn rate(
    journal: &Arc<dyn Journal>,
    producers: u64,
    operations: u64,
) -> Result<(f64, Duration)> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for producer in 0..producers {
        let journal = Arc::clone(journal);
        tasks.spawn(async move {
            let operation = producer % operations;
            let wid = format!("D-{operation:08}-0000-4000-8000-000000000000");
            let mut waits = Vec::new();
            while begun.elapsed() < ROUND {
                let asked = Instant::now();
                journal.append(&wid, waits.len() as u64).await?;
                waits.push(asked.elapsed());
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(waits)
        });
    }
    let mut waits = Vec::new();
    for done in tasks.join_all().await {
        waits.extend(done?);
    }
    waits.sort_unstable();
    let slow = waits.get(waits.len() * 99 / 100).copied().unwrap_or_default();
    Ok((waits.len() as f64 / begun.elapsed().as_secs_f64(), slow))
}

fn median<T: Copy + PartialOrd>(values: &mut [T]) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values[values.len() / 2]
}

/// What this thread has had of the processor, which other work on the machine does not change.
fn processor() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// What this process has had of the processors so far.
fn process() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(") ").next().unwrap_or_default().split(' ');
    // utime and stime, in ticks of 10 ms.
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

/// Rates of the store and of the log, in turns.
async fn transitions(
    dir: &Path,
    (producers, operations): (u64, u64),
    goals: &mut Goals,
) -> Result<()> {
    let store: Arc<dyn Journal> = Arc::new(EmbeddedStore::open(dir.join("store"))?);
    let log: Arc<dyn Journal> = Arc::new(Log::create(&dir.join("log"))?);
    let (mut ours, mut floor, mut ratios, mut slow) = (vec![], vec![], vec![], vec![]);
    let mut work = vec![];
    for _ in 0..ROUNDS {
        let before = process();
        let (store, wait) = rate(&store, producers, operations).await?;
        let worked = process().saturating_sub(before);
        work.push(worked.as_secs_f64() * 1e6 / (store * ROUND.as_secs_f64()));
        let (log, _) = rate(&log, producers, operations).await?;
        ours.push(store);
        floor.push(log);
        ratios.push(store / log);
        slow.push(wait);
    }
    println!(
        "{producers:>3} producers of {operations:>2} operations: {:>8.0} transitions/s, {:.1} us of a processor each, p99 {:>6.2} ms; plain log {:>8.0}; ratio {:.2}   (load {})",
        median(&mut ours),
        median(&mut work),
        median(&mut slow).as_secs_f64() * 1e3,
        median(&mut floor),
        median(&mut ratios),
        load(),
    );
    if (producers, operations) == (64, 64) {
        let rate = (median(&mut ours), "/s");
        let beside = Some(("a plain log", median(&mut floor)));
        goals.note("durable transitions, 64 producers", rate, beside, Aim::AtLeast(40_000.0));
    }
    Ok(())
}

/// What is killed: fills the state if it is new, then writes until it dies.
async fn victim(dir: PathBuf) -> Result<()> {
    let store = EmbeddedStore::open(&dir)?;
    if store.nodes().await?.is_empty() {
        fill(&store, NODES, RECORDS).await?;
    }
    for n in 0.. {
        store.append("D-victim", n).await?;
        println!("{n}");
    }
    Ok(())
}

/// Opens a state whose service was killed with SIGKILL, and reads all a start reads.
async fn reopening(dir: &Path, goals: &mut Goals) -> Result<()> {
    let (mut opening, mut working, mut reading) = (vec![], vec![], vec![]);
    for _ in 0..KILLS {
        let mut child = Command::new(std::env::current_exe()?)
            .env(VICTIM, dir)
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        let written = BufReader::new(out).lines().nth(200);
        child.kill()?;
        child.wait()?;
        written.ok_or("the victim died by itself")??;
        let (begun, before) = (Instant::now(), processor());
        let store = EmbeddedStore::open(dir)?;
        opening.push(begun.elapsed().as_secs_f64() * 1e3);
        working.push(processor().saturating_sub(before).as_secs_f64() * 1e3);
        let begun = Instant::now();
        let (operations, nodes) = (store.operations().await?, store.nodes().await?);
        let mut records = 0;
        for operation in &operations {
            records += store.journal(&operation.id, 0, usize::MAX).await?.len() as u64;
        }
        reading.push(begun.elapsed().as_secs_f64() * 1e3);
        assert_eq!((nodes.len() as u64, records), (NODES, RECORDS));
    }
    let size = fs::metadata(dir.join("state.redb"))?.len() as f64 / 1e6;
    let worst = opening.iter().copied().fold(0.0, f64::max);
    println!(
        "open after kill -9, {NODES} nodes and {RECORDS} journal records, {size:.1} MB: {:.1} ms, at most {worst:.1} ms, {:.1} ms of it on the processor; reading all of it {:.1} ms   (load {})",
        median(&mut opening),
        median(&mut working),
        median(&mut reading),
        load(),
    );
    let opened = (median(&mut opening), "ms");
    goals.note("open after kill -9", opened, None, Aim::AtMost(100.0));
    Ok(())
}

/// What requests cost among few and among many others.
async fn age(dir: &Path) -> Result<()> {
    for records in [1_000, 10_000, 100_000, 1_000_000] {
        let store = EmbeddedStore::open(dir.join(records.to_string()))?;
        fill(&store, 1000, records).await?;
        let wid = "D-00000000-0000-4000-8000-000000000000";
        let (mut page, mut one, mut commit) = (vec![], vec![], vec![]);
        for n in 0..200 {
            let begun = Instant::now();
            store.journal(wid, 500, 100).await?;
            page.push(begun.elapsed().as_secs_f64() * 1e6);
            let begun = Instant::now();
            store.operation(wid).await?;
            one.push(begun.elapsed().as_secs_f64() * 1e6);
            let begun = Instant::now();
            store.append("D-new", n).await?;
            commit.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        println!(
            "among {records:>7} records: 100 lines of a journal {:>6.0} us, an operation {:>5.0} us, a commit {:>6.0} us   (load {})",
            median(&mut page),
            median(&mut one),
            median(&mut commit),
            load(),
        );
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    if let Some(dir) = std::env::var_os(VICTIM) {
        return victim(dir.into()).await;
    }
    let parent = goals::option("--dir");
    let parent = parent.map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(&parent)?;
    println!("in {}, {} rounds of {ROUND:?} each, medians", parent.display(), ROUNDS);
    let mut goals = Goals::default();
    for producers in [(64, 64), (64, 1), (512, 8), (1, 1)] {
        let dir = tempfile::tempdir_in(dir.path())?;
        transitions(dir.path(), producers, &mut goals).await?;
    }
    reopening(&dir.path().join("killed"), &mut goals).await?;
    age(dir.path()).await?;
    goals.write()?;
    Ok(())
}
