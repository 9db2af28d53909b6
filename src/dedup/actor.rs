//! The loop that carries messages between handles, guards and the store.

use std::future::pending;
use std::pin::Pin;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant, Sleep, sleep, sleep_until};

use super::error::Unfinished;
use super::guard::Ending;
use super::state::{Inquiry, State};

/// How many messages are taken from a channel at once.
const TAKEN_AT_ONCE: usize = 256;

/// A wish to stop, until a deadline.
#[derive(Debug)]
pub(super) struct Shutdown {
    pub(super) limit: Duration,
    pub(super) reply: oneshot::Sender<Result<(), Unfinished>>,
}

/// The background work of a [`Deduplicator`](super::Deduplicator): it batches what all handles ask, renews leases, and
/// brings completions and releases to their end.
///
/// It ends when it was shut down, or when all handles and guards are gone and everything they left behind was
/// answered.
#[derive(Debug)]
#[must_use = "nothing is claimed nor completed unless the actor runs"]
pub struct Actor {
    pub(super) state: State,
    pub(super) inquiries: mpsc::Receiver<Inquiry>,
    pub(super) endings: mpsc::Receiver<Ending>,
    pub(super) shutdowns: mpsc::Receiver<Shutdown>,
    pub(super) max_in_flight: usize,
}

impl Actor {
    /// Runs until it is shut down or nobody needs it.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropped, it leaves completions unrecorded and leases to run out.
    pub async fn run(self) {
        let Self { mut state, mut inquiries, mut endings, mut shutdowns, max_in_flight } = self;
        let mut asked = Vec::with_capacity(TAKEN_AT_ONCE);
        let mut ended = Vec::with_capacity(TAKEN_AT_ONCE);
        let mut alarm = Alarm::default();
        let mut closing: Option<Closing> = None;
        let mut handles = true;
        while handles || state.len() > 0 {
            alarm.set(state.next_tick());
            // Once closed, the answer to an inquiry is known without room for it.
            let room = if closing.is_some() { TAKEN_AT_ONCE } else { max_in_flight.saturating_sub(state.len()) };
            tokio::select! {
                answered = state.desk.batches.next() => state.answered(answered, Instant::now()),
                _ = endings.recv_many(&mut ended, TAKEN_AT_ONCE), if !endings.is_closed() || !endings.is_empty() => {
                    let now = Instant::now();
                    ended.drain(..).for_each(|ending| state.end(ending, now));
                }
                taken = inquiries.recv_many(&mut asked, room.min(TAKEN_AT_ONCE)), if handles && room > 0 => {
                    handles = taken > 0;
                    let now = Instant::now();
                    asked.drain(..).for_each(|inquiry| state.begin(inquiry, now));
                }
                () = alarm.ring() => state.tick(Instant::now()),
                Some(shutdown) = shutdowns.recv() => {
                    inquiries.close();
                    state.close(Instant::now());
                    closing.get_or_insert_default().add(shutdown);
                }
                () = expired(&mut closing) => break,
            }
        }
        let left = state.len();
        for reply in closing.into_iter().flat_map(|closing| closing.replies) {
            // Who asked may have gone.
            reply.send(if left == 0 { Ok(()) } else { Err(Unfinished { ids: left }) }).ok();
        }
    }
}

/// What waits for the end; the earliest deadline counts.
#[derive(Default)]
struct Closing {
    deadline: Option<Pin<Box<Sleep>>>,
    replies: Vec<oneshot::Sender<Result<(), Unfinished>>>,
}

impl Closing {
    fn add(&mut self, Shutdown { limit, reply }: Shutdown) {
        let deadline = sleep(limit);
        if self.deadline.as_ref().is_none_or(|earlier| deadline.deadline() < earlier.deadline()) {
            self.deadline = Some(Box::pin(deadline));
        }
        self.replies.push(reply);
    }
}

async fn expired(closing: &mut Option<Closing>) {
    match closing.as_mut().and_then(|closing| closing.deadline.as_mut()) {
        Some(deadline) => deadline.as_mut().await,
        None => pending().await,
    }
}

/// One timer for all entries, set anew only when it would ring too late: that costs more than ringing in vain.
#[derive(Default)]
struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    fn set(&mut self, at: Option<Instant>) {
        match (&mut self.sleep, at) {
            (_, None) => {}
            (Some(sleep), Some(at)) if sleep.deadline() <= at => {}
            (Some(sleep), Some(at)) => sleep.as_mut().reset(at),
            (sleep @ None, Some(at)) => *sleep = Some(Box::pin(sleep_until(at))),
        }
    }

    async fn ring(&mut self) {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().await,
            None => return pending().await,
        }
        self.sleep = None;
    }
}
