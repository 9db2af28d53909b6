//! The background work: carries requests to the store and answers back, and keeps the time.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::{Instant, Sleep, sleep_until};

use super::batches::Batches;
use super::core::Core;
use super::desk::Tag;

/// The background work of a [`Deduplicator`](super::Deduplicator): it sends what all handles ask in batches, renews
/// leases, and brings completions and releases to their end.
///
/// It ends when it was shut down, or when all handles and guards are gone and everything they left behind was
/// answered.
#[derive(Debug)]
#[must_use = "nothing is claimed nor completed unless the actor runs"]
pub struct Actor {
    core: Arc<Core>,
    batches: Batches<Tag>,
}

impl Actor {
    pub(super) fn new(core: Arc<Core>, batches: Batches<Tag>) -> Self {
        Self { core, batches }
    }

    /// Runs until it is shut down or nothing needs it.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropped, it leaves completions unrecorded and leases to run out.
    pub async fn run(mut self) {
        let mut alarm = Alarm::default();
        loop {
            {
                let mut state = self.core.lock();
                let now = Instant::now();
                if state.next_tick().is_some_and(|at| at <= now) {
                    state.tick(now);
                }
                state.desk.hand_over(&mut self.batches);
                if state.is_over(now, self.core.is_abandoned()) {
                    return;
                }
                alarm.set(state.alarm());
            }
            tokio::select! {
                answered = self.batches.next() => {
                    {
                        let mut state = self.core.lock();
                        state.desk.arrived(&answered);
                        state.answered(answered, Instant::now());
                    }
                    // The callers that were answered ask again before the next answers are read. So their requests reach
                    // the store while others are answered; otherwise client and store would work in turns.
                    tokio::task::yield_now().await;
                }
                () = self.core.woken() => {}
                () = alarm.ring() => {}
            }
        }
    }
}

impl Drop for Actor {
    /// Nothing is answered any more: every caller that waits learns that.
    fn drop(&mut self) {
        self.core.room.close();
        self.core.lock().end_all();
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
