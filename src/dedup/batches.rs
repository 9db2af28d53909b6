//! The questions of the engine and the deduplicator, each kind with its own coalescer, over one store.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::coalesce::{Coalescer, Tagged};
use crate::store::{
    Claim, ClaimOutcome, Completion, CompletionOutcome, GiveUp, GiveUpOutcome, Lease, Release, ReleaseOutcome,
    RenewOutcome, Store,
};

/// Claims, completions, renewals, releases and notes on their way to one store.
///
/// Each kind travels by itself, so a slow batch of claims does not hold up a renewal. There is no order between the
/// kinds, nor within one: push a release only after the claim was answered. As with [`Coalescer`], whoever pushes bounds what is
/// outstanding; when a request was handed over belongs into its tag.
#[derive(Debug)]
pub(crate) struct Batches<Tag> {
    pub(crate) claims: Coalescer<Tag, Claim, ClaimOutcome>,
    completions: Coalescer<Tag, Handed, CompletionOutcome>,
    pub(crate) renewals: Coalescer<Tag, Lease, RenewOutcome>,
    pub(crate) releases: Coalescer<Tag, Release, ReleaseOutcome>,
    pub(crate) notes: Coalescer<Tag, GiveUp, GiveUpOutcome>,
    /// Which kind is polled first: it rotates, so that a store that answers at once starves none.
    first: u8,
}

/// A completion, and when it was handed over.
type Handed = (Completion, Instant);

/// One answered round trip.
#[derive(Debug)]
pub(crate) enum Answered<Tag> {
    Claims(Tagged<Tag, ClaimOutcome>),
    Completions(Tagged<Tag, CompletionOutcome>),
    Renewals(Tagged<Tag, RenewOutcome>),
    Releases(Tagged<Tag, ReleaseOutcome>),
    Notes(Tagged<Tag, GiveUpOutcome>),
}

impl<Tag> Batches<Tag> {
    /// A few round trips of each kind at a time, each with so many items at most.
    pub(crate) fn new(store: &Arc<dyn Store>, most: usize) -> Self {
        let [claim, complete, renew, release, note] = std::array::from_fn(|_| Arc::clone(store));
        Self {
            claims: Coalescer::new(move |batch| claim.claim(batch)).max_batch(most),
            completions: Coalescer::new(move |batch: Vec<Handed>| {
                // The time that they waited for their round trip is part of how long the claims are held.
                let waited = |(completion, since): Handed| Completion {
                    held_for: completion.held_for.saturating_add(since.elapsed()),
                    ..completion
                };
                complete.complete(batch.into_iter().map(waited).collect())
            })
            .max_batch(most),
            renewals: Coalescer::new(move |batch| renew.renew(batch)).max_batch(most),
            releases: Coalescer::new(move |batch| release.release(batch)).max_batch(most),
            notes: Coalescer::new(move |batch| note.give_up(batch)).max_batch(most),
            first: 0,
        }
    }

    /// Puts a completion, handed over at `since`, into the next batch of its kind.
    pub(crate) fn complete(&mut self, tag: Tag, completion: Completion, since: Instant) {
        self.completions.push(tag, (completion, since));
    }

    /// Waits for the next round trip of any kind; pending for ever while all are idle.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: round trips live in the coalescers, not in the returned future. They advance only while it is polled.
    pub(crate) async fn next(&mut self) -> Answered<Tag> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Answered<Tag>> {
        self.first = (self.first + 1) % 5;
        for turn in 0..5 {
            let answered = match (self.first + turn) % 5 {
                0 => self.claims.poll_next(cx).map(Answered::Claims),
                1 => self.completions.poll_next(cx).map(Answered::Completions),
                2 => self.renewals.poll_next(cx).map(Answered::Renewals),
                3 => self.notes.poll_next(cx).map(Answered::Notes),
                _ => self.releases.poll_next(cx).map(Answered::Releases),
            };
            if answered.is_ready() {
                return answered;
            }
        }
        Poll::Pending
    }
}
