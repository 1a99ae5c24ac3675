//! An operation watched to its end.

use super::{Client, ClientError, Events, View, events::Heard};
use crate::types::{EventBody, Kind, NodeLists, Poll};
use futures_util::FutureExt;
use std::time::Duration;

/// How often the service is asked where there is no event stream.
const POLL: Duration = Duration::from_secs(1);

/// How often it is asked although there is one: the end may have gone by unheard, when
/// somebody else deletes the operation.
const CHECK: Duration = Duration::from_secs(10);

/// Questions in a row that may stay without an answer: the service may be restarting.
const PATIENCE: u32 = 10;

/// Which operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub wid: String,
}

/// Shows an operation's messages and progress until it has ended; returns its last state.
///
/// # Errors
/// The service does not answer any more, or does not know the operation (any more).
pub async fn follow(
    client: &Client,
    followed: &Followed,
    view: &mut dyn View,
) -> Result<Poll, ClientError> {
    follow_from(client, followed, view, 0).await
}

/// The same, with the messages from `cursor` on.
pub async fn follow_from(
    client: &Client,
    followed: &Followed,
    view: &mut dyn View,
    cursor: usize,
) -> Result<Poll, ClientError> {
    // The stream first: whatever happens after it is open cannot be missed.
    let events = client.events(&followed.wid).await.ok();
    let mut follow = Follow { client, followed, view, events, cursor, silent: 0, named: false };
    loop {
        match follow.look().await {
            Ok(poll) if poll.done => return Ok(poll),
            Ok(_) => {}
            Err(error) if error.passes() && follow.silent < PATIENCE => {
                follow.silent += 1;
                follow.events = None;
            }
            Err(error) => return Err(error),
        }
        follow.listen().await?;
    }
}

struct Follow<'a> {
    client: &'a Client,
    followed: &'a Followed,
    view: &'a mut dyn View,
    events: Option<Events>,
    /// Of the first message not yet shown.
    cursor: usize,
    /// Questions in a row without an answer.
    silent: u32,
    named: bool,
}

/// What an event asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Nothing,
    Messages,
    Look,
}

impl Follow<'_> {
    /// How it stands, and the messages up to there.
    async fn look(&mut self) -> Result<Poll, ClientError> {
        let base = format!("/{}/{}", self.followed.kind.path(), self.followed.wid);
        let poll: Poll = self.client.get(&base, &[]).await?;
        self.silent = 0;
        if let (false, Some(NodeLists::Sorted { ok, ko, processing })) = (self.named, &poll.nodes) {
            let all = [ok, ko, processing.as_ref().unwrap_or(&Vec::new())].map(Clone::clone);
            self.view.begin(&all.concat());
            self.named = true;
        }
        self.messages().await?;
        if poll.debugs == Some(true) {
            let text = self.client.text(&format!("{base}/debugs")).await?;
            for line in text.lines().filter_map(|line| line.split_once('|')) {
                self.view.line(&format!("[dbg] {}", line.1));
            }
        }
        Ok(poll)
    }

    async fn messages(&mut self) -> Result<(), ClientError> {
        let Followed { kind, wid } = self.followed;
        let page = self.client.logs(*kind, wid, self.cursor).await?;
        self.cursor = page.next;
        page.lines.iter().for_each(|(_, text)| self.view.line(text));
        Ok(())
    }

    /// Shows what happens, until the operation should be looked at again.
    async fn listen(&mut self) -> Result<(), ClientError> {
        let deadline = tokio::time::Instant::now() + CHECK;
        while let Some(events) = &mut self.events {
            let Ok(first) = tokio::time::timeout_at(deadline, events.next()).await else {
                return Ok(());
            };
            let mut next = Next::Nothing;
            let mut heard = first;
            loop {
                let Some(one) = heard else {
                    self.events = None;
                    return Ok(());
                };
                next = next.max(self.show(one));
                // All that is there already, so that many messages make one question.
                let Some(events) = &mut self.events else { return Ok(()) };
                match events.next().now_or_never() {
                    Some(more) => heard = more,
                    None => break,
                }
            }
            match next {
                Next::Look => return Ok(()),
                Next::Messages => match self.messages().await {
                    Err(error) if !error.passes() => return Err(error),
                    _ => {}
                },
                Next::Nothing => {}
            }
        }
        tokio::time::sleep(POLL).await;
        Ok(())
    }

    fn show(&mut self, heard: Heard) -> Next {
        let Heard::Event(event) = heard else { return Next::Look };
        self.view.event(&event);
        match event.body {
            EventBody::Ended { .. } => Next::Look,
            EventBody::Message { .. } => Next::Messages,
            _ => Next::Nothing,
        }
    }
}
