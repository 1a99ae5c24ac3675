//! Orders to machines take turns, and machines rest between them.
//!
//! Over the whole service one order at a time is under way for a node and for a BMC address,
//! and after one both are left alone for a quiet period: a BMC that is pressed again while it
//! acts may lose one order, or both. The period begins when the order was given; one that
//! was watched for longer than that afterwards delays nobody. An order that was refused did
//! nothing, so the next one, with more force, follows at once. What came of an order that was
//! broken off is not known: the period begins when that happens; nor is what was ordered
//! before the service was started: the period of all begins then.

use crate::{nodes::Node, platform::PowerError};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, sleep_until, timeout},
};

/// How long an order may wait for its turn: a chassis of a dozen nodes has one BMC, which
/// takes some seconds for each of them.
const LIMIT: Duration = Duration::from_secs(600);

/// The turns of all nodes and BMCs.
#[derive(Debug)]
pub struct Turns {
    quiet: Duration,
    /// What was done before is not known: all rest from then on.
    began: Instant,
    lines: Mutex<HashMap<String, Line>>,
}

#[derive(Debug, Default)]
struct Line {
    /// Whoever holds it acts.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Until when it is left alone.
    rests: Option<Instant>,
}

/// The right to give one order. Dropped without a word, the order was broken off.
#[derive(Debug)]
pub(super) struct Turn<'t> {
    turns: &'t Turns,
    names: Vec<String>,
    _held: Vec<OwnedMutexGuard<()>>,
    /// Since when machine and BMC rest; none if they need not.
    since: Option<Since>,
}

#[derive(Clone, Copy, Debug)]
enum Since {
    Drop,
    At(Instant),
}

impl Turns {
    /// The service begins: nobody waits. `quiet` is how long nodes and BMCs are left alone after an order.
    pub fn new(quiet: Duration) -> Self {
        Self { quiet, began: Instant::now(), lines: Mutex::default() }
    }

    /// Waits for the turn of `node` and its BMC, and until both have rested.
    ///
    /// # Errors
    /// Another order is not over in time.
    pub(super) async fn take(&self, node: &Node) -> Result<Turn<'_>, PowerError> {
        self.take_all(names(node)).await
    }

    /// Waits for the turn of `node` alone: nodes of one BMC get an order together.
    ///
    /// # Errors
    /// Another order is not over in time.
    pub(super) async fn take_node(&self, node: &Node) -> Result<Turn<'_>, PowerError> {
        self.take_all(vec![node.name.clone()]).await
    }

    async fn take_all(&self, names: Vec<String>) -> Result<Turn<'_>, PowerError> {
        let mut held = Vec::with_capacity(names.len());
        // The node first, everywhere: nobody waits for one who waits for him.
        for name in &names {
            let turn = Arc::clone(&self.lines().entry(name.clone()).or_default().turn);
            let turn = timeout(LIMIT, turn.lock_owned()).await;
            held.push(turn.map_err(|_| PowerError::Busy { address: name.clone(), after: LIMIT })?);
        }
        let rested = {
            let lines = self.lines();
            let known = names.iter().filter_map(|name| lines.get(name)?.rests);
            known.chain([self.began + self.quiet]).max()
        };
        sleep_until(rested.unwrap_or(self.began)).await;
        Ok(Turn { turns: self, names, _held: held, since: Some(Since::Drop) })
    }

    fn rest(&self, names: &[String], since: Instant) {
        let mut lines = self.lines();
        for name in names {
            lines.entry(name.clone()).or_default().rests = Some(since + self.quiet);
        }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<String, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The order is over.
    pub(super) fn over<T>(mut self, how: &Result<T, PowerError>) {
        let now = Instant::now();
        self.since = match how {
            Ok(_) => Some(Since::At(now)),
            Err(PowerError::NoEffect { after, .. } | PowerError::Silent { after, .. }) => {
                Some(Since::At(now.checked_sub(*after).unwrap_or(now)))
            }
            Err(_) => None,
        };
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        match self.since {
            None => {}
            Some(Since::At(at)) => self.turns.rest(&self.names, at),
            Some(Since::Drop) => self.turns.rest(&self.names, Instant::now()),
        }
    }
}

/// What must be free, and rested, for an order to `node`.
fn names(node: &Node) -> Vec<String> {
    let bmc = node.bmc.as_ref().map(|bmc| format!("the BMC at {}", bmc.place()));
    [Some(node.name.clone()), bmc].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        nodes::{Bmc, BmcDriver},
        platform::{PowerAction, PowerState},
    };
    use tokio::{join, time::sleep};

    const QUIET: Duration = Duration::from_secs(5);

    /// A node with a BMC at `bmc`.
    fn node(name: &str, bmc: Option<&str>) -> Node {
        let bmc = bmc.map(|address| Bmc {
            driver: BmcDriver::Ipmi,
            address: address.into(),
            port: None,
            user: String::new(),
            password_file: "/".into(),
        });
        Node { name: name.into(), bmc, ..Node::example() }
    }

    fn refused() -> Result<(), PowerError> {
        Err(PowerError::Refused("no".into()))
    }

    /// Milliseconds until the next order to `second` may begin, after one to `first` that took
    /// two seconds and ended like this.
    async fn gap(first: &Node, second: &Node, how: Result<(), PowerError>) -> u128 {
        let turns = Turns::new(QUIET);
        let turn = turns.take(first).await.unwrap();
        sleep(Duration::from_secs(2)).await;
        turn.over(&how);
        let over = Instant::now();
        drop(turns.take(second).await.unwrap());
        over.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_and_its_bmc_rest_after_an_order() {
        let [one, twin, other] = [("n1", Some("b1")), ("n2", Some("b1")), ("n3", Some("b3"))]
            .map(|(name, bmc)| node(name, bmc));
        assert_eq!(gap(&one, &one, Ok(())).await, 5_000);
        assert_eq!(gap(&one, &twin, Ok(())).await, 5_000);
        assert_eq!(gap(&one, &other, Ok(())).await, 0);
        assert_eq!(gap(&node("n4", None), &node("n5", None), Ok(())).await, 0);
        assert_eq!(gap(&one, &one, refused()).await, 0);
        let no_effect = |after| PowerError::NoEffect {
            action: PowerAction::Off,
            state: PowerState::On,
            after: Duration::from_secs(after),
        };
        assert_eq!(gap(&one, &one, Err(no_effect(15))).await, 0);
        assert_eq!(gap(&one, &one, Err(no_effect(1))).await, 4_000);
    }

    #[tokio::test(start_paused = true)]
    async fn one_order_at_a_time_and_one_that_was_broken_off_is_not_known() {
        let (turns, one, twin) = (Turns::new(QUIET), node("n1", Some("b")), node("n2", Some("b")));
        let began = Instant::now();
        let broken_off = async {
            let _turn = turns.take(&one).await.unwrap();
            sleep(Duration::from_secs(3)).await;
        };
        let waits = async {
            tokio::task::yield_now().await;
            turns.take(&twin).await.unwrap().over(&refused());
            began.elapsed().as_secs()
        };
        let ((), second) = join!(broken_off, waits);
        // Five seconds after the start, three of the first, five of rest.
        assert_eq!(second, 13);
        // One that never ends keeps others waiting for a bounded time, with the reason.
        let _held = turns.take(&one).await.unwrap();
        let why = turns.take(&twin).await.unwrap_err().to_string();
        assert_eq!(why, "the BMC at b was busy with another action for 10m");
    }
}
