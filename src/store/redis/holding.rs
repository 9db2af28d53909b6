//! Renewals, notes and releases: what only the holder of a lease may do.

use std::sync::Arc;

use redis::Value;

use super::claim::millis;
use super::layout::Group;
use super::scripts::{self, Call, Script};
use super::{Inner, faults, value};
use crate::failpoint::{Planted, planted};
use crate::store::{Answers, GiveUp, GiveUpOutcome, GivenBack, Lease, Release, ReleaseOutcome, RenewOutcome};

pub(super) async fn renew(inner: Arc<Inner>, leases: Vec<Lease>) -> Answers<RenewOutcome> {
    let term = inner.lease_ms();
    let calls: Vec<Call> = leases.iter().map(|lease| inner.by_token(lease, [term.clone()])).collect();
    inner.if_held(&scripts::RENEW, &calls, RenewOutcome::Renewed, RenewOutcome::NotHeld).await
}

pub(super) async fn release(inner: Arc<Inner>, releases: Vec<Release>) -> Answers<ReleaseOutcome> {
    let grace = inner.grace_ms().to_string().into_bytes();
    let number = |number: u32| number.to_string().into_bytes();
    let call = |release: &Release| {
        let (what, attempts, step) = match release.given_back {
            GivenBack::Unstarted => ("unstarted", 0, 0),
            GivenBack::Failed { attempts } => ("failed", attempts, 0),
            GivenBack::GivenUp { attempts } => ("given up", attempts, 0),
            GivenBack::Retried { attempts, step } => ("retried", attempts, step),
        };
        inner.by_token(&release.lease, [what.into(), number(attempts), grace.clone(), number(step)])
    };
    let calls: Vec<Call> = releases.iter().map(call).collect();
    let script = if planted(Planted::StaleRelease) { &scripts::RELEASE_ANY } else { &scripts::RELEASE };
    inner.if_held(script, &calls, ReleaseOutcome::Released, ReleaseOutcome::NotHeld).await
}

pub(super) async fn give_up(inner: Arc<Inner>, items: Vec<GiveUp>) -> Answers<GiveUpOutcome> {
    let kept = millis(inner.terms.grace.max(inner.terms.window)).to_string().into_bytes();
    let call = |GiveUp { lease, attempts, to }: &GiveUp| {
        let attempts = attempts.to_string().into_bytes();
        inner.by_token(lease, [inner.lease_ms(), attempts, value::destination(to), kept.clone()])
    };
    let calls: Vec<Call> = items.iter().map(call).collect();
    inner.if_held(&scripts::GIVE_UP, &calls, GiveUpOutcome::Noted, GiveUpOutcome::NotHeld).await
}

impl Inner {
    /// The length of a lease, as scripts take it.
    fn lease_ms(&self) -> Vec<u8> {
        millis(self.terms.lease).to_string().into_bytes()
    }

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
