//! Clients of an HTTP server that ask the same thing again and again, each on one connection that
//! stays open.

use std::{
    error::Error,
    fs,
    process::Child,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How it went.
pub(crate) struct Load {
    /// Answers in a second.
    pub(crate) rate: f64,
    /// How long an answer took, by order.
    pub(crate) times: Vec<Duration>,
    /// Processor time of the server for an answer.
    pub(crate) cpu: Duration,
    /// Bytes of the last answer.
    pub(crate) bytes: usize,
}

impl Load {
    /// What so much of a hundred answers were faster than, milliseconds.
    pub(crate) fn percentile(&self, part: usize) -> f64 {
        let index = (self.times.len() * part / 100).min(self.times.len().saturating_sub(1));
        self.times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }
}

/// So many `clients` send `request` to the server for that `time`: as soon as the answer is
/// there, or at that `pace`.
pub(crate) async fn load(
    (server, port): (&Child, u16),
    path: &str,
    clients: u32,
    time: Duration,
    pace: Duration,
) -> Result<Load> {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Kadeploy-User: bench\r\n\r\n");
    let (begun, used) = (Instant::now(), cpu(server)?);
    let end = begun + time;
    let mut tasks = JoinSet::new();
    for number in 0..clients {
        let request = request.clone();
        // Not all at one moment.
        let first = pace * number / clients;
        tasks.spawn(async move {
            sleep(first).await;
            ask(port, request.as_bytes(), end, pace).await
        });
    }
    let (mut times, mut bytes) = (Vec::new(), 0);
    while let Some(asked) = tasks.join_next().await {
        let asked = asked??;
        times.extend(asked.0);
        bytes = asked.1;
    }
    let rate = f64::from(u32::try_from(times.len())?) / begun.elapsed().as_secs_f64();
    let cpu = cpu(server)?.saturating_sub(used) / u32::try_from(times.len().max(1))?;
    times.sort_unstable();
    Ok(Load { rate, times, cpu, bytes })
}

/// One client: how long each answer took, and the bytes of the last one.
async fn ask(
    port: u16,
    request: &[u8],
    end: Instant,
    pace: Duration,
) -> Result<(Vec<Duration>, usize)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (mut times, mut answer) = (Vec::new(), Vec::with_capacity(1 << 16));
    while Instant::now() < end {
        let begun = Instant::now();
        stream.write_all(request).await?;
        answer.clear();
        while !whole(&answer)? {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the server closed a connection".into());
            }
        }
        times.push(begun.elapsed());
        sleep(pace.saturating_sub(begun.elapsed())).await;
    }
    Ok((times, answer.len()))
}

/// Whether `answer` is there as a whole.
fn whole(answer: &[u8]) -> Result<bool> {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(false);
    };
    let text = str::from_utf8(&answer[..head])?;
    if !text.starts_with("HTTP/1.1 200") {
        return Err(text.to_owned().into());
    }
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    Ok(answer.len() >= head + 4 + length.ok_or("an answer without a length")??)
}

/// Processor time that a process has used.
pub(crate) fn cpu(process: &Child) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id()))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no stat")?;
    // proc_pid_stat(5): fields 14 and 15, in ticks of 10 ms; the second was cut off.
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(Duration::from_millis(10 * ticks.sum::<std::result::Result<u64, _>>()?))
}
