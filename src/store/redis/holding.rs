//! Renewals and releases: what only the holder of a lease may do.

use std::sync::Arc;

use redis::Value;

use super::layout::Group;
use super::scripts::{self, Call, Script};
use super::{Inner, faults};
use crate::failpoint::{Planted, planted};
use crate::store::{Answers, GivenBack, Lease, Release, ReleaseOutcome, RenewOutcome};

pub(super) async fn renew(inner: Arc<Inner>, leases: Vec<Lease>) -> Answers<RenewOutcome> {
    let holds = inner.holds_ms().to_string().into_bytes();
    let calls: Vec<Call> = leases.iter().map(|lease| inner.by_token(lease, [holds.clone()])).collect();
    inner.if_held(&scripts::RENEW, &calls, RenewOutcome::Renewed, RenewOutcome::NotHeld).await
}

pub(super) async fn release(inner: Arc<Inner>, releases: Vec<Release>) -> Answers<ReleaseOutcome> {
    let grace = inner.grace_ms().to_string().into_bytes();
    let call = |release: &Release| {
        let left = match release.given_back {
            GivenBack::Unstarted => b"unstarted".to_vec(),
            GivenBack::Failed { attempts } => attempts.to_string().into_bytes(),
        };
        inner.by_token(&release.lease, [left, grace.clone()])
    };
    let calls: Vec<Call> = releases.iter().map(call).collect();
    let script = if planted(Planted::StaleRelease) { &scripts::RELEASE_ANY } else { &scripts::RELEASE };
    inner.if_held(script, &calls, ReleaseOutcome::Released, ReleaseOutcome::NotHeld).await
}

impl Inner {
    fn by_token<const N: usize>(&self, lease: &Lease, args: [Vec<u8>; N]) -> Call {
        let token = lease.token.as_bytes().to_vec();
        let group = Group::of(&lease.fingerprint);
        Call {
            group,
            keys: vec![self.layout.lease(&lease.fingerprint)],
            args: std::iter::once(token).chain(args).collect(),
        }
    }

    /// Runs a script that answers 1 where the token holds the lease, and 0 where it does not.
    async fn if_held<R: Copy>(&self, script: &Script, calls: &[Call], held: R, not_held: R) -> Answers<R> {
        let read = |reply| {
            faults::read("a script on a lease", reply, |reply| match reply {
                Value::Int(1) => Some(held),
                Value::Int(0) => Some(not_held),
                _ => None,
            })
        };
        self.delete_now().await;
        scripts::run(&self.link, script, calls).await.into_iter().map(read).collect()
    }
}
