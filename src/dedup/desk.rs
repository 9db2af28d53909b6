//! What every entry needs at hand: the way to the store, the terms, the observer, chance.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::{Duration, Instant};

use super::batches::Batches;
use super::entry::Subject;
use super::{backoff, settings::Settings};
use crate::id::Fingerprint;
use crate::observe::Observer;
use crate::store::{Claim, Completion, GivenBack, Lease, Release, Store, StoreError, Token, Verdict};

/// What a request carries through the store and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    pub(super) lease: Lease,
    /// When it was handed over, before it was sent.
    pub(super) sent_at: Instant,
}

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) batches: Batches<Tag>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) lease: Duration,
    pub(super) claim_limit: Duration,
    pub(super) handler_limit: Duration,
    rng: StdRng,
    /// What [`Verdict::of`] counts from.
    zero: Instant,
}

impl Desk {
    pub(super) fn new(store: &Arc<dyn Store>, settings: &Settings, now: Instant) -> Self {
        Self {
            batches: Batches::new(store),
            observer: Arc::clone(&settings.observer),
            lease: store.terms().lease,
            claim_limit: settings.claim_limit,
            handler_limit: settings.handler_limit,
            rng: StdRng::from_rng(&mut rand::rng()),
            zero: now,
        }
    }

    /// A new claim's lease: never with a token that was used before.
    pub(super) fn draw(&mut self, fingerprint: Fingerprint) -> Lease {
        Lease { fingerprint, token: Token::random(&mut self.rng) }
    }

    pub(super) fn pause(&mut self, tries: u32) -> Duration {
        backoff::pause(tries, &mut self.rng)
    }

    /// Only an ID whose handler starts directly afterwards is claimed here, so every claim may take over.
    pub(super) fn claim(&mut self, subject: &Subject, now: Instant) {
        let Subject { lease, record, message, .. } = subject;
        let claim = Claim { lease: *lease, takes_over: true, origin: record.origin(), message: message.clone() };
        self.batches.claims.push(Tag { lease: *lease, sent_at: now }, claim);
    }

    pub(super) fn complete(&mut self, subject: &Subject, now: Instant) {
        let Subject { lease, record, message, claimed_at } = subject;
        let held_for = now.saturating_duration_since(*claimed_at);
        let completion = Completion { lease: *lease, origin: record.origin(), held_for, message: message.clone() };
        self.batches.complete(Tag { lease: *lease, sent_at: now }, completion);
    }

    pub(super) fn renew(&mut self, lease: Lease, now: Instant) {
        self.batches.renewals.push(Tag { lease, sent_at: now }, lease);
    }

    pub(super) fn release(&mut self, lease: Lease, given_back: GivenBack, now: Instant) {
        self.batches.releases.push(Tag { lease, sent_at: now }, Release { lease, given_back });
    }

    pub(super) fn failed(&self, operation: &'static str, error: &StoreError) {
        self.observer.on_store_error(operation, error);
    }

    pub(super) fn verdict(
        &self,
        outcome: crate::store::CompletionOutcome,
        unsure: u32,
        now: Instant,
        alone_until: Option<Instant>,
    ) -> Verdict {
        let since = |at: Instant| at.saturating_duration_since(self.zero);
        Verdict::of(outcome, unsure, since(now), alone_until.map(since))
    }
}
