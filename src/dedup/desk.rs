//! What every entry needs at hand: the way to the store, the terms, the observer, chance.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::{Duration, Instant};

use super::batches::{Answered, Batches};
use super::coalesce::{MAX_BATCH, MAX_UNDER_WAY};
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

/// Requests of one kind that wait for the background work.
#[derive(Debug)]
struct Tray<Req> {
    requests: Vec<(Tag, Req)>,
    /// How many requests are under way or in the hands of the background work.
    handed_over: usize,
}

impl<Req> Default for Tray<Req> {
    fn default() -> Self {
        Self { requests: Vec::new(), handed_over: 0 }
    }
}

impl<Req> Tray<Req> {
    /// Adds a request. Returns whether the background work has to be woken for it: where nothing of the kind is under
    /// way, for the first, and where another batch may leave beside those that are. Any other request leaves when one
    /// of those is answered.
    fn push(&mut self, tag: Tag, request: Req) -> bool {
        self.requests.push((tag, request));
        let gathered = self.requests.len();
        match self.handed_over {
            0 => gathered == 1,
            handed_over => handed_over < MAX_BATCH * MAX_UNDER_WAY && gathered.is_multiple_of(MAX_BATCH / 2),
        }
    }

    fn hand_over(&mut self, push: impl FnMut((Tag, Req))) {
        self.handed_over += self.requests.len();
        self.requests.drain(..).for_each(push);
    }

    fn arrived(&mut self, answers: usize) {
        self.handed_over = self.handed_over.saturating_sub(answers);
    }
}

#[derive(Debug)]
pub(super) struct Desk {
    claims: Tray<Claim>,
    /// With the time at which each was handed over.
    completions: Tray<(Completion, Instant)>,
    renewals: Tray<Lease>,
    releases: Tray<Release>,
    /// Whether the background work has to look at what was pushed.
    wakes: bool,
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
            claims: Tray::default(),
            completions: Tray::default(),
            renewals: Tray::default(),
            releases: Tray::default(),
            wakes: false,
            observer: Arc::clone(&settings.observer),
            lease: store.terms().lease,
            claim_limit: settings.claim_limit,
            handler_limit: settings.handler_limit,
            rng: StdRng::from_rng(&mut rand::rng()),
            zero: now,
        }
    }

    /// Whether the background work has to look at what was pushed since this was last asked.
    pub(super) fn wakes(&mut self) -> bool {
        std::mem::take(&mut self.wakes)
    }

    /// Has the background work look at the state.
    pub(super) fn wake(&mut self) {
        self.wakes = true;
    }

    /// Hands all that was pushed over to the background work.
    pub(super) fn hand_over(&mut self, batches: &mut Batches<Tag>) {
        self.claims.hand_over(|(tag, claim)| batches.claims.push(tag, claim));
        self.completions.hand_over(|(tag, (completion, since))| batches.complete(tag, completion, since));
        self.renewals.hand_over(|(tag, lease)| batches.renewals.push(tag, lease));
        self.releases.hand_over(|(tag, release)| batches.releases.push(tag, release));
        self.wakes = false;
    }

    /// A round trip was answered.
    pub(super) fn arrived(&mut self, answered: &Answered<Tag>) {
        match answered {
            Answered::Claims(items) => self.claims.arrived(items.len()),
            Answered::Completions(items) => self.completions.arrived(items.len()),
            Answered::Renewals(items) => self.renewals.arrived(items.len()),
            Answered::Releases(items) => self.releases.arrived(items.len()),
            // The deduplicator gives nothing up.
            Answered::Notes(_) => {}
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
        self.wakes |= self.claims.push(Tag { lease: *lease, sent_at: now }, claim);
    }

    pub(super) fn complete(&mut self, subject: &Subject, now: Instant) {
        let Subject { lease, record, message, claimed_at } = subject;
        let held_for = now.saturating_duration_since(*claimed_at);
        let completion = Completion { lease: *lease, origin: record.origin(), held_for, message: message.clone() };
        self.wakes |= self.completions.push(Tag { lease: *lease, sent_at: now }, (completion, now));
    }

    pub(super) fn renew(&mut self, lease: Lease, now: Instant) {
        self.wakes |= self.renewals.push(Tag { lease, sent_at: now }, lease);
    }

    pub(super) fn release(&mut self, lease: Lease, given_back: GivenBack, now: Instant) {
        self.wakes |= self.releases.push(Tag { lease, sent_at: now }, Release { lease, given_back });
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
