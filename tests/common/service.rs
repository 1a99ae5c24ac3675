//! The process under test.

use super::{Site, User};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead, BufReader},
    ops::Deref,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

/// A running service, ended when it goes out of scope.
pub(crate) struct Service {
    site: Option<Site>,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    /// Keeps its connections.
    pub(super) client: reqwest::Client,
}

impl Service {
    /// A service on a new site.
    pub(crate) fn new() -> Self {
        Self::on(Site::new())
    }

    /// A service on `site`; returns when it is ready.
    pub(crate) fn on(site: Site) -> Self {
        Self::with(site, &[])
    }

    /// The same with further options on its command line.
    pub(crate) fn with(site: Site, options: &[&str]) -> Self {
        let mut command = serve(&site);
        command.args(options);
        Self::run(site, command)
    }

    /// The same with variables in its environment.
    pub(crate) fn within(site: Site, variables: &[(&str, &str)]) -> Self {
        let mut command = serve(&site);
        command.envs(variables.iter().copied());
        Self::run(site, command)
    }

    fn run(site: Site, mut command: Command) -> Self {
        kadence::platform::crypto();
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::<Mutex<Vec<String>>>::default();
        loop {
            let Some(Ok(line)) = lines.next() else { panic!("{:#?}", log.lock().unwrap()) };
            let ready = line.contains("the service is ready");
            log.lock().unwrap().push(line);
            if ready {
                break;
            }
        }
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line));
        });
        Self { site: Some(site), child, log, client: fresh() }
    }

    /// Somebody who uses it.
    pub(crate) fn user<'a>(&'a self, name: &'a str) -> User<'a> {
        User { service: self, name: Some(name) }
    }

    /// Somebody who does not say who he is.
    pub(crate) fn nobody(&self) -> User<'_> {
        User { service: self, name: None }
    }

    /// What the command line says to `words`, run by anna: exit code, standard output and
    /// standard error.
    pub(crate) async fn cli(&self, words: &[&str]) -> (i32, String, String) {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_kadence"));
        command.args(words).args(["--server", &self.url(""), "--user", "anna"]);
        let output = command.current_dir(self.dir()).stdin(Stdio::null()).output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The URL of `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Id of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it as an operator does.
    pub(crate) fn stop(self) -> Site {
        let log = Arc::clone(&self.log);
        let (site, code) = self.stop_with();
        assert_eq!(code, Some(0), "{:#?}", log.lock().unwrap());
        site
    }

    /// The same, whatever its exit code is.
    pub(crate) fn stop_with(mut self) -> (Site, Option<i32>) {
        self.signal(Signal::TERM);
        let code = self.child.wait().unwrap().code();
        (self.site.take().unwrap(), code)
    }

    /// Ends it as a power cut does.
    pub(crate) fn cut(mut self) -> Site {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.site.take().unwrap()
    }
}

impl Deref for Service {
    type Target = Site;

    fn deref(&self) -> &Site {
        self.site.as_ref().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have been stopped already.
        self.child.kill().ok();
        self.child.wait().ok();
        // Whatever a client did: the service itself has nothing to be sorry for.
        let faults = ["panicked", "internal error"];
        let log = self.log();
        let fault = log.iter().find(|line| faults.iter().any(|fault| line.contains(fault)));
        if let (Some(fault), false) = (fault, std::thread::panicking()) {
            panic!("{fault}");
        }
    }
}

/// What a service that cannot start on `site` says.
pub(crate) fn start_refused(site: &Site) -> String {
    let output = serve(site).output().unwrap();
    assert!(!output.status.success(), "it started");
    String::from_utf8(output.stderr).unwrap()
}

fn serve(site: &Site) -> Command {
    // As most systems start a service: few open files, and leave to have more. A limit on the
    // size of files, which a test may set, is to be an error and not a signal.
    let mut command = Command::new("/bin/sh");
    command.args([
        "-c",
        "ulimit -S -n 256; trap '' XFSZ; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_kadence"),
    ]);
    command.arg("serve").arg("--config-dir").arg(site.dir());
    // Of both is the one in effect that the release knows.
    command.env("RUST_LOG", "info").env("KADENCE_LOG", "info").stdin(Stdio::null());
    command
}

/// A client that opens a connection for each request: the service may close one that rests at the
/// moment in which it would be used again.
fn fresh() -> reqwest::Client {
    reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap()
}
