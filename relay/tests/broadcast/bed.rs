//! A server and its relays, each a process with an address of its own on loopback.

use relay::{
    message::{Ticket, Timing},
    source::{self, Broadcast, Member, Report, Shape},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt,
    net::TcpListener,
    process::{Child, Command},
    time::{sleep, timeout},
};

pub(crate) const BLOCK: usize = 64 * 1024;
pub(crate) const RING: usize = 4;

/// Nothing here takes so long, on the busiest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) fn relay() -> Command {
    Command::new(env!("CARGO_BIN_EXE_kadence-relay"))
}

pub(crate) struct Bed {
    pub(crate) dir: TempDir,
    pub(crate) job: Broadcast,
    pub(crate) image: Vec<u8>,
    listener: Option<TcpListener>,
    /// The relays' processes, by member.
    pub(crate) relays: Arc<Mutex<Vec<Option<Child>>>>,
    /// The most that each member's progress was.
    pub(crate) progress: Arc<Mutex<Vec<u64>>>,
}

impl Bed {
    /// `members` nodes that will run `command` on a file of `size` bytes. The command
    /// finds its member's index in `$NODE` and a path of its own in `$OUT`.
    pub(crate) async fn new(members: usize, size: usize, command: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let image = bytes(size);
        let file = dir.path().join("image");
        fs::write(&file, &image).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let job = Broadcast {
            file,
            members: (0..members).map(|index| member(index, command)).collect(),
            server: listener.local_addr().unwrap(),
            deadline: PATIENCE,
            timing: Timing { beat: Duration::from_millis(200), ..Timing::default() },
            block: BLOCK,
            ring: RING,
            shape: Shape::default(),
            rate: None,
            total_rate: None,
            run: None,
            leaving: Arc::default(),
        };
        Self {
            dir,
            job,
            image,
            listener: Some(listener),
            relays: Arc::new(Mutex::new((0..members).map(|_| None).collect())),
            progress: Arc::new(Mutex::new(vec![0; members])),
        }
    }

    /// The path that member `index` knows as `$OUT`.
    pub(crate) fn out(&self, index: usize) -> PathBuf {
        self.dir.path().join(format!("out{index}"))
    }

    /// Starts the relay of a member in the foreground, as a child of the test.
    pub(crate) async fn launch(&self, index: usize, ticket: Ticket) -> Result<(), String> {
        let mut child = relay()
            .arg("run")
            .env("OUT", self.out(index))
            .env("NODE", index.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&serde_json::to_vec(&ticket).unwrap()).await.unwrap();
        self.relays.lock().unwrap()[index] = Some(child);
        Ok(())
    }

    /// Runs the broadcast with every ticket as it is.
    pub(crate) async fn run(&mut self) -> Report {
        self.run_with(async |_, ticket| Ok(ticket)).await
    }

    /// Runs it with tickets passed through `alter`; an error is that of the launch.
    pub(crate) async fn run_with(
        &mut self,
        alter: impl AsyncFn(usize, Ticket) -> Result<Ticket, String>,
    ) -> Report {
        let listener = self.listener.take().unwrap();
        let (bed, alter) = (&*self, &alter);
        let launch = async |index, ticket| bed.launch(index, alter(index, ticket).await?).await;
        let progress = |index: usize, taken| {
            let most = &mut bed.progress.lock().unwrap()[index];
            assert!(taken > *most, "progress goes forward");
            *most = taken;
        };
        let broadcast = source::broadcast(listener, &bed.job, launch, &progress);
        timeout(PATIENCE * 2, broadcast).await.expect("the broadcast is bounded").unwrap()
    }

    pub(crate) fn pid(&self, index: usize) -> Pid {
        let id = self.relays.lock().unwrap()[index].as_ref().unwrap().id().unwrap();
        Pid::from_raw(id.try_into().unwrap()).unwrap()
    }

    /// Waits until the relay of a member has exited by itself.
    pub(crate) async fn exited(&self, index: usize) {
        let mut child = self.relays.lock().unwrap()[index].take().unwrap();
        timeout(PATIENCE, child.wait()).await.expect("the relay exits").unwrap();
    }

    pub(crate) fn assert_received(&self, index: usize) {
        assert!(fs::read(self.out(index)).unwrap() == self.image, "member {index} has the image");
    }
}

pub(crate) fn member(index: usize, command: &str) -> Member {
    let last = u8::try_from(index + 2).unwrap();
    let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
    let (name, group) = (format!("node{index}"), String::new());
    Member { name, address, command: command.to_owned(), group, resumes: false }
}

/// Bytes without a period that a block could hide in.
pub(crate) fn bytes(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(size).collect()
}

/// Waits for a condition that another process brings about.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "{what}");
}

/// The process id that a command wrote to `path`, once it has.
pub(crate) async fn written_pid(path: &Path) -> Pid {
    let read = || fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'));
    until("the command writes its pid", || read().is_some()).await;
    Pid::from_raw(read().unwrap().trim().parse().unwrap()).unwrap()
}

/// Is the process gone, or a corpse that its new parent has not buried?
pub(crate) fn is_dead(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.map_or(true, |stat| stat.rsplit(") ").next().unwrap().starts_with('Z'))
}

pub(crate) fn kill(pid: Pid, signal: Signal) {
    kill_process(pid, signal).unwrap();
}
