//! What the service answers a second beside a bare warp, how long the answers about many nodes
//! take, how long it takes to start with much to remember, and what it uses while nothing happens.
//!
//! The real program over loopback; the machines are simulated. Prints the goals and nothing is
//! asserted: `scripts/bench control`. `--json FILE` writes them.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

mod goals;
mod load;
mod site;
mod used;

use goals::{Aim, Goals};
use kadence::store::EmbeddedStore;
use load::{cpu, load};
use site::{NODES, Result, Site, kill};
use std::{
    env, fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::time::sleep;
use used::fill;
use warp::Filter;

const CLIENTS: u32 = 64;
const ROUNDS: usize = 3;
/// Of one measurement.
const TIME: Duration = Duration::from_secs(4);
/// Between two questions of a client that waits for its deployment: the old ones leave a second.
const PACE: Duration = Duration::from_millis(250);
/// In the journals of the state that a service starts with.
const RECORDS: u64 = 100_000;
/// Nodes of the deployment that is asked about.
const SOME: u32 = 1_000;

/// This program as the rival: answers as the service does, and does nothing else.
fn bare_warp() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        let answer = warp::path!("version")
            .map(|| warp::reply::json(&serde_json::json!({"version": "bench"})));
        warp::serve(answer).incoming(listener).run().await;
        Ok(())
    })
}

fn start_bare_warp() -> Result<(Child, u16)> {
    let mut child =
        Command::new(env::current_exe()?).arg("--bare-warp").stdout(Stdio::piped()).spawn()?;
    let mut port = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut port)?;
    Ok((child, port.trim().parse()?))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// `GET /version` beside the rival, in turns.
async fn version(service: (&Child, u16), goals: &mut Goals) -> Result<()> {
    let (rival, port) = start_bare_warp()?;
    let mut figures = [(); 2].map(|()| (Vec::new(), Vec::new(), Vec::new()));
    for _ in 0..ROUNDS {
        for (server, (rates, p99, each)) in [service, (&rival, port)].into_iter().zip(&mut figures)
        {
            let one = load(server, "/version", CLIENTS, TIME, Duration::ZERO);
            let one = one.await.map_err(|why| why.to_string())?;
            rates.push(one.rate);
            p99.push(one.percentile(99));
            each.push(one.cpu.as_secs_f64() * 1e6);
        }
    }
    kill(rival)?;
    let [(ours, p99, each), (bare, bare_p99, bare_each)] = &mut figures;
    let beside = |value| Some(("bare warp", value));
    let (rate, other) = (median(ours), beside(median(bare)));
    goals.note("GET /version, 64 connections", (rate, "/s"), other, Aim::RatioAtLeast(0.7));
    let (time, other) = (median(p99), beside(median(bare_p99)));
    goals.note("GET /version, p99", (time, "ms"), other, Aim::AtMost(5.0));
    let (used, other) = (median(each), median(bare_each));
    println!("processor time of an answer: {used:.1} us, bare warp {other:.1} us");
    Ok(())
}

/// Answers about many nodes.
async fn many_nodes(site: &Site, service: &Child, goals: &mut Goals) -> Result<String> {
    let begun = Instant::now();
    let path = site.deploy(SOME).await?;
    let time = begun.elapsed().as_secs_f64() * 1e3;
    goals.note("POST of a deployment of 1 000 nodes", (time, "ms"), None, Aim::AtMost(50.0));
    let asked = load((service, site.port), &path, CLIENTS, TIME, PACE);
    let asked = asked.await.map_err(|why| why.to_string())?;
    println!(
        "its state is {} bytes; {CLIENTS} clients asked for it {:.0} times a second",
        asked.bytes, asked.rate
    );
    let p99 = (asked.percentile(99), "ms");
    goals.note("GET of that deployment, p99", p99, None, Aim::AtMost(5.0));
    for (name, path) in
        [("10 000 nodes and their states", "/nodes"), ("10 000 names", "/nodes?list=true")]
    {
        let listed = load((service, site.port), path, 1, TIME, Duration::ZERO);
        let listed = listed.await.map_err(|why| why.to_string())?;
        goals.note(name, (listed.percentile(50), "ms"), None, Aim::AtMost(30.0));
    }
    Ok(path)
}

/// What the service uses while nothing happens.
async fn idle(service: &Child, goals: &mut Goals) -> Result<()> {
    // What the start left to be done is over.
    sleep(Duration::from_secs(3)).await;
    let at = || cpu(service).map_err(|why| why.to_string());
    let (before, begun) = (at()?, Instant::now());
    sleep(Duration::from_secs(20)).await;
    let used = at()?.saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    goals.note("processor while idle", (used, "%"), None, Aim::AtMost(0.5));
    let status = fs::read_to_string(format!("/proc/{}/status", service.id()))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: f64 = resident.trim().trim_end_matches("kB").trim().parse()?;
    goals.note("memory while idle", (kib / 1024.0, "MiB"), None, Aim::AtMost(40.0));
    Ok(())
}

async fn measure() -> Result<()> {
    kadence::platform::crypto();
    let mut goals = Goals::default();
    let site = Site::new()?;
    let (child, _) = site.start().await?;
    version((&child, site.port), &mut goals).await?;
    let path = many_nodes(&site, &child, &mut goals).await?;
    site.ended(&path).await?;
    kill(child)?;

    let full = Site::of_real_machines()?;
    let store = EmbeddedStore::open(full.dir.path().join("state"))?;
    fill(&store, NODES.into(), RECORDS).await.map_err(|why| why.to_string())?;
    drop(store);
    let mut starts = Vec::new();
    for _ in 0..ROUNDS {
        let (child, time) = full.start().await?;
        starts.push(time.as_secs_f64() * 1e3);
        kill(child)?;
    }
    let name = format!("start with {NODES} nodes and {RECORDS} records");
    goals.note(&name, (median(&mut starts), "ms"), None, Aim::AtMost(1e3));
    let (child, _) = full.start().await?;
    idle(&child, &mut goals).await?;
    kill(child)?;
    goals.write()?;
    Ok(())
}

fn main() -> Result<()> {
    if env::args().any(|word| word == "--bare-warp") {
        return bare_warp();
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure())
}
