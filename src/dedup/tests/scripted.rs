//! A store of a few lines whose replies can be lost, late, refused or held back.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};

use crate::id::Fingerprint;
use crate::store::{
    Agreement, Answers, Cause, Claim, ClaimOutcome, Completion, CompletionOutcome, GivenBack, Lease, LeaseTerms,
    OpenError, Release, ReleaseOutcome, RenewOutcome, State, Store, StoreError, Token,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Claim,
    Complete,
    Renew,
    Release,
}

/// What happens to one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Executed; the reply is lost.
    ReplyLost,
    /// Not executed, which the caller cannot know.
    RequestLost,
    /// Certainly not executed.
    Unavailable,
    /// Certainly not executed, nor ever.
    Refused,
    /// One answer too few.
    Short,
}

/// Of whatever is not a release.
const NONE: GivenBack = GivenBack::Unstarted;
/// Who holds what another process held, or what was given back after a takeover.
const NOBODY: Token = Token::from_bytes([9; 16]);

/// One batch as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) op: Op,
    pub(crate) leases: Vec<Lease>,
    /// How a release gives back.
    pub(crate) given_back: Vec<GivenBack>,
}

#[derive(Debug)]
pub(crate) struct Scripted {
    terms: LeaseTerms,
    latency: Duration,
    inner: Arc<Mutex<Inner>>,
    /// How many batches have arrived; also the gate's bell.
    arrived: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Inner {
    held: HashMap<Fingerprint, Held>,
    idle: HashMap<Fingerprint, u32>,
    done: HashSet<Fingerprint>,
    faults: HashMap<Op, VecDeque<Fault>>,
    outage: HashMap<Op, Fault>,
    closed: HashSet<Op>,
    batches: Vec<Batch>,
    held_for: Vec<Duration>,
}

#[derive(Debug)]
struct Held {
    token: Token,
    attempts: u32,
    suspect: bool,
    until: Instant,
}

impl Scripted {
    pub(crate) fn new() -> Arc<Self> {
        Self::with_lease(super::LEASE)
    }

    pub(crate) fn with_lease(lease: Duration) -> Arc<Self> {
        Arc::new(Self {
            terms: LeaseTerms { lease, ..LeaseTerms::default() },
            latency: Duration::from_millis(1),
            inner: Arc::default(),
            arrived: watch::Sender::new(0),
        })
    }

    /// Lets the next batches of a kind fail, one after the other.
    pub(crate) fn fail(&self, op: Op, faults: impl IntoIterator<Item = Fault>) {
        self.inner.lock().faults.entry(op).or_default().extend(faults);
    }

    /// Lets all batches of a kind fail, until told otherwise.
    pub(crate) fn outage(&self, op: Op, fault: impl Into<Option<Fault>>) {
        let mut inner = self.inner.lock();
        match fault.into() {
            Some(fault) => inner.outage.insert(op, fault),
            None => inner.outage.remove(&op),
        };
    }

    /// Holds batches of a kind back before they execute.
    pub(crate) fn close(&self, op: Op) {
        self.inner.lock().closed.insert(op);
    }

    pub(crate) fn open(&self, op: Op) {
        self.inner.lock().closed.remove(&op);
        self.arrived.send_modify(|_| {});
    }

    /// All batches of a kind that have arrived.
    pub(crate) fn batches(&self, op: Op) -> Vec<Batch> {
        self.inner.lock().batches.iter().filter(|batch| batch.op == op).cloned().collect()
    }

    /// The leases of all batches of a kind, one after the other.
    pub(crate) fn leases(&self, op: Op) -> Vec<Lease> {
        self.batches(op).into_iter().flat_map(|batch| batch.leases).collect()
    }

    /// How long the claims were held, of all completions.
    pub(crate) fn held_for(&self) -> Vec<Duration> {
        self.inner.lock().held_for.clone()
    }

    /// How all releases gave back.
    pub(crate) fn given_back(&self) -> Vec<GivenBack> {
        self.batches(Op::Release).into_iter().flat_map(|batch| batch.given_back).collect()
    }

    /// Waits until that many batches of a kind have arrived.
    pub(crate) async fn arrived(&self, op: Op, batches: usize) {
        super::soon(self.arrived.subscribe().wait_for(|_| self.batches(op).len() >= batches)).await.unwrap();
    }

    pub(crate) fn is_done(&self, fingerprint: Fingerprint) -> bool {
        self.inner.lock().done.contains(&fingerprint)
    }

    /// Whether a lease holds, and by whose clock it does not matter: there is one.
    pub(crate) fn is_held(&self, fingerprint: Fingerprint) -> bool {
        self.inner.lock().held.get(&fingerprint).is_some_and(|held| held.until > Instant::now())
    }

    /// The count of a lease that ran out.
    pub(crate) fn run_out(&self, fingerprint: Fingerprint) -> Option<u32> {
        let inner = self.inner.lock();
        inner.held.get(&fingerprint).filter(|held| held.until <= Instant::now()).map(|held| held.attempts)
    }

    pub(crate) fn idle(&self, fingerprint: Fingerprint) -> Option<u32> {
        self.inner.lock().idle.get(&fingerprint).copied()
    }

    /// What another process does: it takes the ID for a whole lease.
    pub(crate) fn take(&self, fingerprint: Fingerprint, attempts: u32) {
        let held = Held { token: NOBODY, attempts, suspect: false, until: Instant::now() + self.terms.lease };
        self.inner.lock().held.insert(fingerprint, held);
    }

    /// What another process does: it finishes the ID.
    pub(crate) fn finish(&self, fingerprint: Fingerprint) {
        let mut inner = self.inner.lock();
        inner.held.remove(&fingerprint);
        inner.done.insert(fingerprint);
    }

    fn run<Req: Send + 'static, Res: Send + 'static>(
        &self,
        op: Op,
        batch: Vec<Req>,
        describe: impl Fn(&Req) -> (Lease, GivenBack),
        execute: impl Fn(&mut Inner, Req, Duration) -> Res + Send + 'static,
    ) -> BoxFuture<'static, Answers<Res>> {
        let (leases, given_back) = batch.iter().map(describe).unzip();
        self.inner.lock().batches.push(Batch { op, leases, given_back });
        self.arrived.send_modify(|arrived| *arrived += 1);
        let (inner, mut bell) = (Arc::clone(&self.inner), self.arrived.subscribe());
        let (latency, lease) = (self.latency, self.terms.lease);
        async move {
            sleep(latency).await;
            bell.wait_for(|_| !inner.lock().closed.contains(&op)).await.unwrap();
            let mut inner = inner.lock();
            let scripted = inner.faults.get_mut(&op).and_then(VecDeque::pop_front);
            let fault = scripted.or_else(|| inner.outage.get(&op).copied());
            let all = |error: StoreError| batch.iter().map(|_| Err(error.clone())).collect();
            match fault {
                Some(Fault::RequestLost) => return all(StoreError::Unknown(Cause::new("lost"))),
                Some(Fault::Unavailable) => return all(StoreError::Unavailable(Cause::new("away"))),
                Some(Fault::Refused) => return all(StoreError::Refused(Cause::new("wrong password"))),
                Some(Fault::ReplyLost) => {
                    let lost = all(StoreError::Unknown(Cause::new("reply lost")));
                    batch.into_iter().for_each(|item| drop(execute(&mut inner, item, lease)));
                    return lost;
                }
                Some(Fault::Short) | None => {}
            }
            let mut answers: Answers<Res> =
                batch.into_iter().map(|item| Ok(execute(&mut inner, item, lease))).collect();
            if fault == Some(Fault::Short) {
                answers.pop();
            }
            answers
        }
        .boxed()
    }
}

impl Inner {
    fn claim(&mut self, claim: &Claim, lease: Duration) -> ClaimOutcome {
        let Lease { fingerprint, token } = claim.lease;
        let now = Instant::now();
        if self.done.contains(&fingerprint) {
            return ClaimOutcome::Done { cached: false, first: None };
        }
        let (attempts, suspect) = match self.held.get(&fingerprint) {
            Some(held) if held.token == token => (held.attempts, held.suspect),
            Some(held) if held.until > now => return ClaimOutcome::InFlight { remaining: held.until - now },
            Some(held) if !claim.takes_over => return ClaimOutcome::Suspect { attempts: held.attempts },
            Some(held) => (held.attempts + 1, true),
            None => (self.idle.remove(&fingerprint).unwrap_or(0), false),
        };
        self.held.insert(fingerprint, Held { token, attempts, suspect, until: now + lease });
        ClaimOutcome::Claimed { attempts, suspect }
    }

    fn release(&mut self, Lease { fingerprint, token }: Lease, given_back: GivenBack) -> ReleaseOutcome {
        let Some(held) = self.held.get_mut(&fingerprint).filter(|held| held.token == token) else {
            return ReleaseOutcome::NotHeld;
        };
        let attempts = match given_back {
            GivenBack::Unstarted if held.suspect => {
                *held = Held { token: NOBODY, attempts: held.attempts - 1, suspect: true, until: Instant::now() };
                return ReleaseOutcome::Released;
            }
            GivenBack::Unstarted => held.attempts,
            GivenBack::Failed { attempts } | GivenBack::GivenUp { attempts } | GivenBack::Retried { attempts, .. } => {
                attempts
            }
        };
        self.held.remove(&fingerprint);
        if attempts > 0 {
            self.idle.insert(fingerprint, attempts);
        }
        ReleaseOutcome::Released
    }
}

impl Store for Scripted {
    fn open<'a>(&'a self, _: &'a Agreement) -> BoxFuture<'a, Result<(), OpenError>> {
        async { Ok(()) }.boxed()
    }

    fn mode(&self) -> &'static str {
        "scripted"
    }

    fn terms(&self) -> LeaseTerms {
        self.terms
    }

    fn claim(&self, claims: Vec<Claim>) -> BoxFuture<'static, Answers<ClaimOutcome>> {
        self.run(Op::Claim, claims, |claim| (claim.lease, NONE), |inner, claim, lease| inner.claim(&claim, lease))
    }

    fn complete(&self, completions: Vec<Completion>) -> BoxFuture<'static, Answers<CompletionOutcome>> {
        self.inner.lock().held_for.extend(completions.iter().map(|completion| completion.held_for));
        self.run(
            Op::Complete,
            completions,
            |completion| (completion.lease, NONE),
            |inner, completion, _| {
                inner.held.remove(&completion.lease.fingerprint);
                match inner.done.insert(completion.lease.fingerprint) {
                    true => CompletionOutcome::Recorded,
                    false => CompletionOutcome::AlreadyDone,
                }
            },
        )
    }

    fn renew(&self, leases: Vec<Lease>) -> BoxFuture<'static, Answers<RenewOutcome>> {
        self.run(
            Op::Renew,
            leases,
            |lease| (*lease, NONE),
            |inner, renewed, lease| {
                let held = inner.held.get_mut(&renewed.fingerprint).filter(|held| held.token == renewed.token);
                match held {
                    Some(held) => {
                        held.until = Instant::now() + lease;
                        RenewOutcome::Renewed
                    }
                    None => RenewOutcome::NotHeld,
                }
            },
        )
    }

    fn release(&self, releases: Vec<Release>) -> BoxFuture<'static, Answers<ReleaseOutcome>> {
        self.run(
            Op::Release,
            releases,
            |release| (release.lease, release.given_back),
            |inner, Release { lease, given_back }, _| inner.release(lease, given_back),
        )
    }

    fn inspect(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<State>> {
        async move { ids.iter().map(|_| Ok(State::Unreadable)).collect() }.boxed()
    }

    fn forget(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<bool>> {
        async move { ids.iter().map(|_| Ok(false)).collect() }.boxed()
    }
}
