//! All nodes at once, and nobody waits for a straggler.
//!
//! A set travels together because the broadcast is cheapest with all of it. But
//! a node that takes much longer than the others must not hold them: once no
//! node has become ready for as long as half the time it took until then (three
//! seconds at least), the ready ones are handed over as a set of their own.

use automata::{Context, Failures, NodeId, NodeSet, Outcome, Reason};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use std::{future::Future, time::Duration};
use tokio::time::{Instant, sleep_until};

/// Least time the ready nodes wait for the others: below it, a set of their own
/// costs more than it saves.
const LEAST_GRACE: Duration = Duration::from_secs(3);

/// Gathers the nodes of one step that are ready.
pub(super) struct Gather<'a> {
    cx: &'a Context,
    began: Instant,
    last: Instant,
    ready: Vec<NodeId>,
}

impl<'a> Gather<'a> {
    /// Nobody is ready yet.
    pub(super) fn new(cx: &'a Context) -> Self {
        let now = Instant::now();
        Self { cx, began: now, last: now, ready: Vec::new() }
    }

    /// Does `work` on each of `nodes` at once; returns the nodes that failed, and why.
    pub(super) async fn each<W>(&mut self, nodes: &NodeSet, work: impl Fn(NodeId) -> W) -> Failures
    where
        W: Future<Output = Result<(), Reason>>,
    {
        // Not an async block around it: that would have room for the work twice.
        let one = |id| work(id).map(move |ended| (id, ended));
        let mut under_way: FuturesUnordered<_> = nodes.iter().map(one).collect();
        let mut failed = Failures::new();
        loop {
            // In order: nothing in a run is left to chance, so that it can be repeated.
            tokio::select! {
                biased;
                ended = under_way.next() => match ended {
                    None => return failed,
                    Some((id, Ok(()))) => self.ready(id),
                    Some((id, Err(reason))) => drop(failed.insert(id, reason)),
                },
                () = sleep_until(self.patience()), if !self.ready.is_empty() => self.hand_over(),
            }
        }
    }

    /// The nodes that are ready and those that are not.
    pub(super) fn outcome(self, failed: Failures) -> Outcome {
        Outcome { ok: self.ready.into_iter().collect(), ko: failed }
    }

    fn ready(&mut self, id: NodeId) {
        self.ready.push(id);
        self.last = Instant::now();
    }

    /// When the ready nodes stop waiting.
    fn patience(&self) -> Instant {
        self.last + ((self.last - self.began) / 2).max(LEAST_GRACE)
    }

    fn hand_over(&mut self) {
        self.cx.raise_ok(self.ready.drain(..).collect());
    }
}

/// Does `work` on each of `nodes` at once.
pub(super) async fn each<W>(nodes: &NodeSet, cx: &Context, work: impl Fn(NodeId) -> W) -> Outcome
where
    W: Future<Output = Result<(), Reason>>,
{
    let mut gather = Gather::new(cx);
    let failed = gather.each(nodes, work).await;
    gather.outcome(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    fn nodes(ids: impl IntoIterator<Item = u32>) -> NodeSet {
        ids.into_iter().map(NodeId).collect()
    }

    /// Node n is ready after n seconds; node 0 fails at once.
    async fn after_its_number(id: NodeId) -> Result<(), Reason> {
        sleep(Duration::from_secs(id.0.into())).await;
        if id.0 == 0 { Err("no".into()) } else { Ok(()) }
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_that_keep_together_stay_together() {
        let cx = Context::detached("step");
        let outcome = each(&nodes([0, 10, 12, 14]), &cx, after_its_number).await;
        assert_eq!(outcome.ok, nodes([10, 12, 14]));
        assert_eq!(outcome.ko.keys().copied().collect::<NodeSet>(), nodes([0]));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_straggler() {
        let cx = Context::detached("step");
        let began = Instant::now();
        let outcome = each(&nodes([10, 12, 300]), &cx, after_its_number).await;
        // The first two left at 18 s: half of the 12 s that the later of them took.
        assert_eq!(outcome.ok, nodes([300]));
        assert_eq!(began.elapsed().as_secs(), 300);
    }
}
