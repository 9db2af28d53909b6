//! What a claim took before it found the ID done.

use std::collections::BTreeMap;

use super::Inner;
use super::batch::Batch;
use super::layout::Group;
use super::scripts::{self, Call};
use crate::store::Claim;

/// How many leases one script gives back: it holds up everybody else meanwhile, for less than half a millisecond.
const GIVEN_BACK_AT_ONCE: usize = 250;

/// Leases to give back.
#[derive(Default)]
pub(super) struct GiveBack(BTreeMap<Group, Vec<Call>>);

impl GiveBack {
    pub(super) fn add(&mut self, inner: &Inner, claim: &Claim) {
        let group = inner.together_with(&claim.lease.fingerprint);
        let calls = self.0.entry(group).or_default();
        if calls.last().is_none_or(|call| call.keys.len() >= GIVEN_BACK_AT_ONCE) {
            calls.push(Call { group, keys: Vec::new(), args: Vec::new() });
        }
        if let Some(call) = calls.last_mut() {
            call.keys.push(inner.layout.lease(&claim.lease.fingerprint));
            call.args.push(claim.lease.token.as_bytes().to_vec());
        }
    }

    /// The answers need not wait: a lease beside a done ID holds nobody up, and ends by itself if this is lost.
    pub(super) async fn send(self, inner: &Inner) {
        let mut batch = Batch::default();
        self.0.values().flatten().for_each(|call| scripts::GIVE_BACK.push_text(&mut batch, call));
        inner.link.tell(batch).await;
    }
}
