//! What is told from inside steps.

use super::Watch;
use crate::{steps::Journalist, types::EventBody};
use automata::{NodeId, SetId};
use std::sync::atomic::Ordering;

impl Journalist for Watch {
    fn message(&self, level: u8, text: String) {
        self.say_of(SetId(self.set.load(Ordering::Relaxed)), level, &text);
    }

    fn progress(&self, node: NodeId, written: u64, total: u64) {
        // It is heard of.
        let _ = self.board().place_mut(node);
        let body = EventBody::Progress { node: self.name(node), written, total };
        self.tell(SetId(self.set.load(Ordering::Relaxed)), body);
    }

    fn broken_stream(&self, cause: &'static str, what: &str) {
        self.feed.count_broken_stream(cause);
        self.message(4, format!("   * In the broadcast: {what}"));
    }

    fn answer(&self, node: NodeId, text: String) {
        self.board().place_mut(node).out = Some(text);
    }

    fn boot_state(&self, node: NodeId, state: &'static str) {
        self.board().place_mut(node).state = state;
    }

    fn command(&self, node: NodeId, text: &str, status: i32, stdout: &[u8], stderr: &[u8]) {
        let Some(debug) = &self.debug else { return };
        let name = self.name(node);
        let rule = "-".repeat(25);
        let mut record = format!("{rule}\nNODE: {name}\n{rule}\nCOMMAND: {text}\n");
        for (stream, bytes) in [("STDOUT", stdout), ("STDERR", stderr)] {
            for line in String::from_utf8_lossy(bytes).lines() {
                record += &format!("{stream}: {line}\n");
            }
        }
        record += &format!("STATUS: {status}\n");
        debug.add(0, Some(&name), SetId(-1), &record);
    }
}
