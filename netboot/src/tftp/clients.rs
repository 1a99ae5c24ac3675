//! What each client has, and may have.

use super::Limits;
use crate::known::Reported;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::time::Instant;

/// Clients that are remembered before those are forgotten of whom nothing is to be remembered.
const REMEMBERED: usize = 4096;

/// The clients of a server, by address.
///
/// A request says who it comes from, and that may be a lie: what is sent then hits another machine.
/// So an address gets few answers that it has not acknowledged, and its requests only at a rate.
#[derive(Default)]
pub(super) struct Clients {
    by_address: HashMap<IpAddr, Client>,
    remembered: usize,
    told: Reported<IpAddr>,
}

struct Client {
    /// Requests it may send at once; grows with time.
    credit: f64,
    since: Instant,
    held: Arc<Held>,
}

/// What the transfers of one client count.
#[derive(Default)]
struct Held {
    transfers: AtomicUsize,
    heard: AtomicUsize,
}

/// The place of one transfer, until it is dropped.
pub(super) struct Place {
    held: Arc<Held>,
    /// The client has answered.
    heard: AtomicBool,
}

impl Clients {
    /// Whether a request of `client` is looked at now.
    pub(super) fn admits(&mut self, client: IpAddr, limits: &Limits, now: Instant) -> bool {
        let rate = f64::from(limits.requests);
        if self.by_address.len() >= 2 * self.remembered.max(REMEMBERED) {
            self.forget(now, limits);
        }
        let client = self.by_address.entry(client).or_insert_with(|| Client {
            credit: burst(limits),
            since: now,
            held: Arc::default(),
        });
        let grown = client.credit + now.duration_since(client.since).as_secs_f64() * rate;
        (client.credit, client.since) = (grown.min(burst(limits)), now);
        if client.credit < 1.0 {
            return false;
        }
        client.credit -= 1.0;
        true
    }

    /// A place for another transfer of `client`.
    pub(super) fn place(&mut self, client: IpAddr, limits: &Limits) -> Option<Place> {
        let held = &self.by_address.get(&client)?.held;
        let transfers = held.transfers.load(Ordering::Relaxed);
        let unheard = transfers - held.heard.load(Ordering::Relaxed);
        if transfers >= limits.per_client || unheard >= limits.unheard {
            return None;
        }
        held.transfers.fetch_add(1, Ordering::Relaxed);
        Some(Place { held: Arc::clone(held), heard: AtomicBool::new(false) })
    }

    /// Whether this is the first time that it is to be told that `client` asks too much.
    pub(super) fn tell(&self, client: IpAddr) -> bool {
        self.told.first(client)
    }

    /// Drops those who would be the same if they came anew.
    fn forget(&mut self, now: Instant, limits: &Limits) {
        let (full, rate) = (burst(limits), f64::from(limits.requests));
        self.by_address.retain(|_, client| {
            let grown = client.credit + now.duration_since(client.since).as_secs_f64() * rate;
            grown < full || Arc::strong_count(&client.held) > 1
        });
        self.remembered = self.by_address.len();
    }
}

/// Two seconds' worth: a loader asks for a dozen names in one go.
fn burst(limits: &Limits) -> f64 {
    2.0 * f64::from(limits.requests)
}

impl Place {
    /// The client has answered: it is the one who asked.
    pub(super) fn hear(&self) {
        if !self.heard.swap(true, Ordering::Relaxed) {
            self.held.heard.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the client has answered.
    pub(super) fn heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.heard() {
            self.held.heard.fetch_sub(1, Ordering::Relaxed);
        }
        self.held.transfers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn requests_come_at_a_rate() {
        let limits = Limits { requests: 10, ..Limits::default() };
        let (mut clients, start) = (Clients::default(), Instant::now());
        let one = IpAddr::from([10, 0, 0, 1]);
        let mut admitted = |after: u64| {
            let now = start + Duration::from_millis(after);
            (0..100).filter(|_| clients.admits(one, &limits, now)).count()
        };
        assert_eq!([0, 500, 500, 100_000].map(&mut admitted), [20, 5, 0, 20]);
        assert!(
            clients.admits(IpAddr::from([10, 0, 0, 2]), &limits, start),
            "others have their own"
        );
    }

    #[test]
    fn answers_that_nobody_acknowledges_are_few() {
        let limits = Limits { unheard: 2, per_client: 3, ..Limits::default() };
        let (mut clients, one) = (Clients::default(), IpAddr::from([10, 0, 0, 1]));
        assert!(clients.admits(one, &limits, Instant::now()));
        let first = clients.place(one, &limits).unwrap();
        let second = clients.place(one, &limits).unwrap();
        assert!(clients.place(one, &limits).is_none());
        first.hear();
        first.hear();
        let third = clients.place(one, &limits).unwrap();
        assert!(clients.place(one, &limits).is_none());
        second.hear();
        third.hear();
        assert!(clients.place(one, &limits).is_none(), "three at once are the most");
        drop((first, second));
        let _fourth = clients.place(one, &limits).unwrap();
    }

    #[test]
    fn the_memory_of_clients_is_bounded() {
        let (limits, mut clients) = (Limits::default(), Clients::default());
        let start = Instant::now();
        for number in 0..10 * REMEMBERED {
            let number = u32::try_from(number).unwrap();
            let now = start + Duration::from_millis(100) * number;
            clients.admits(std::net::Ipv4Addr::from_bits(number).into(), &limits, now);
        }
        assert!(clients.by_address.len() <= 2 * REMEMBERED);
    }
}
