//! The process under test.

use super::{Site, User};
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
        kadence::platform::crypto();
        let mut child = serve(&site).stderr(Stdio::piped()).spawn().unwrap();
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
        Self { site: Some(site), child, log, client: reqwest::Client::new() }
    }

    /// Somebody who uses it.
    pub(crate) fn user<'a>(&'a self, name: &'a str) -> User<'a> {
        User { service: self, name: Some(name) }
    }

    /// Somebody who does not say who he is.
    pub(crate) fn nobody(&self) -> User<'_> {
        User { service: self, name: None }
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The URL of `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Ends it as an operator does.
    pub(crate) fn stop(mut self) -> Site {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "{:#?}", self.log());
        self.site.take().unwrap()
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
    let mut command = Command::new(env!("CARGO_BIN_EXE_kadence"));
    command.arg("serve").arg("--config-dir").arg(site.dir());
    // Of both is the one in effect that the release knows.
    command.env("RUST_LOG", "info").env("KADENCE_LOG", "info").stdin(Stdio::null());
    command
}
