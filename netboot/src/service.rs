//! One request for a boot file, from its arrival to its end, for both transports.

use crate::{
    Asset, AssetPath, Assets, Client, Event, Known, Outcome, Refusal, Server, Stage, Watcher,
    known::Admission,
};
use futures_util::FutureExt;
use std::{
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, timeout};

/// An asset must be opened within this time; boot loaders give up after a few seconds anyway.
const OPEN_WITHIN: Duration = Duration::from_secs(30);

/// What the TFTP and the HTTP server answer from. Cheap to clone.
#[derive(Clone)]
pub struct BootService {
    assets: Arc<dyn Assets>,
    known: Arc<Known>,
    watcher: Arc<dyn Watcher>,
}

impl BootService {
    /// Answers the `known` machines with `assets` and tells `watcher`.
    pub fn new(assets: Arc<dyn Assets>, known: Arc<Known>, watcher: Arc<dyn Watcher>) -> Self {
        Self { assets, known, watcher }
    }

    /// Opens what `client` names `raw`. The request is reported now, and its end
    /// when the returned delivery is dropped; a refusal is reported at once.
    ///
    /// # Errors
    /// Why there is nothing for this client; what to tell it is up to the transport.
    pub async fn open(
        &self,
        server: Server,
        raw: &str,
        client: IpAddr,
    ) -> Result<(Asset, Delivery), Refusal> {
        let client = client.to_canonical();
        let mut delivery = self.begin(server, raw, client).ok_or(Refusal::Stranger)?;
        let opened = match raw.parse::<AssetPath>() {
            Ok(path) => self.look_up(&path, client).await,
            Err(bad) => Err(bad.into()),
        };
        match opened {
            Ok(asset) => Ok((asset, delivery)),
            Err(refusal) => {
                delivery.finish(Outcome::Refused(refusal.to_string().into()));
                Err(refusal)
            }
        }
    }

    async fn look_up(&self, path: &AssetPath, client: IpAddr) -> Result<Asset, Refusal> {
        let mut opening = self.assets.open(path, client);
        // Mostly it is there at once, and needs no clock.
        if let Some(opened) = (&mut opening).now_or_never() {
            return opened;
        }
        let opened = timeout(OPEN_WITHIN, opening).await;
        opened.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }

    /// Reports a request that the transport itself refused.
    pub(crate) fn refused(&self, server: Server, raw: &str, client: IpAddr, why: &str) {
        if let Some(mut delivery) = self.begin(server, raw, client.to_canonical()) {
            delivery.finish(Outcome::Refused(why.into()));
        }
    }

    /// Reports the request; nothing for strangers, of whom each is reported once.
    fn begin(&self, server: Server, raw: &str, client: IpAddr) -> Option<Delivery> {
        let admission = self.known.admit(client);
        if admission == Admission::Stranger {
            return None;
        }
        let mut delivery = Delivery::new(self, server, client, raw);
        if admission == Admission::NewStranger {
            delivery.finish(Outcome::Stranger);
            return None;
        }
        delivery.emit(Stage::Asked);
        Some(delivery)
    }
}

/// One answer on its way. Reports the end when it is dropped: as a failure
/// unless [`Delivery::finish`] said otherwise.
pub struct Delivery {
    watcher: Arc<dyn Watcher>,
    server: Server,
    client: Client,
    what: Arc<str>,
    began: Instant,
    bytes: u64,
    outcome: Option<Outcome>,
}

impl Delivery {
    fn new(service: &BootService, server: Server, ip: IpAddr, what: &str) -> Self {
        Self {
            watcher: Arc::clone(&service.watcher),
            server,
            client: Client { ip: Some(ip), mac: None },
            what: printable(what),
            began: Instant::now(),
            bytes: 0,
            outcome: None,
        }
    }

    /// That many bytes of content are on their way.
    pub fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// The outcome to report.
    pub fn finish(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    fn emit(&self, stage: Stage) {
        let (server, client, what) = (self.server, self.client, Arc::clone(&self.what));
        tracing::debug!(?server, %client, %what, ?stage, "boot file");
        self.watcher.seen(&Event { server, client, what, at: SystemTime::now(), stage });
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| Outcome::Failed("given up".into()));
        self.emit(Stage::Ended { outcome, bytes: self.bytes, took: self.began.elapsed() });
    }
}

/// Names come from the network and go to logs and terminals.
fn printable(name: &str) -> Arc<str> {
    /// Longest name shown; the longest a file system allows.
    const NAME: usize = 255;
    if name.len() <= NAME && name.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return name.into();
    }
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    name.chars().take(NAME).map(shown).collect::<String>().into()
}
