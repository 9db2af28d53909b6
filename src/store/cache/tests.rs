use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::*;
use crate::id::Fingerprint;
use crate::record::{Origin, TopicPartition};
use crate::store::{
    Agreement, Answers, Claim, ClaimOutcome, Completion, CompletionOutcome, Lease, LeaseTerms, MemoryStore,
    MessageDetails, OpenError, PayloadHash, Release, ReleaseOutcome, RenewOutcome, State, Store, Token,
};

const MINUTE: Duration = Duration::from_secs(60);

fn id(n: u8) -> Fingerprint {
    Fingerprint::from_bytes([n; 16])
}

fn origin() -> Origin {
    Origin { partition: TopicPartition::new("t", 0), offset: 0 }
}

fn claim(n: u8) -> Claim {
    let lease = Lease { fingerprint: id(n), token: Token::from_bytes([7; 16]) };
    Claim { lease, takes_over: false, origin: origin(), message: None }
}

fn completion(n: u8) -> Completion {
    Completion { lease: claim(n).lease, origin: origin(), held_for: Duration::from_millis(1), message: None }
}

fn outcome(answers: Answers<ClaimOutcome>) -> ClaimOutcome {
    answers.into_iter().next().unwrap().unwrap()
}

const FROM_CACHE: ClaimOutcome = ClaimOutcome::Done { cached: true, first: None };
const FROM_STORE: ClaimOutcome = ClaimOutcome::Done { cached: false, first: None };

fn over(store: &MemoryStore) -> Cached {
    Cached::new(Arc::new(store.clone()), DoneCache::with_window(store.terms().window))
}

#[tokio::test(start_paused = true)]
async fn completions_and_the_stores_answers_feed_the_cache() {
    let store = MemoryStore::default();
    let (here, elsewhere) = (over(&store), over(&store));
    assert!(!here.cache().contains(&id(1)));
    here.complete(vec![completion(1)]).await;
    assert!(here.cache().contains(&id(1)));
    assert_eq!(outcome(here.claim(vec![claim(1)]).await), FROM_CACHE);
    assert_eq!(outcome(elsewhere.claim(vec![claim(1)]).await), FROM_STORE);
    assert_eq!(outcome(elsewhere.claim(vec![claim(1)]).await), FROM_CACHE);
}

#[tokio::test(start_paused = true)]
async fn only_done_is_remembered() {
    let store = MemoryStore::default();
    let (here, elsewhere) = (over(&store), over(&store));
    here.claim(vec![claim(1)]).await;
    here.inspect(vec![id(2)]).await;
    assert!(!here.cache().contains(&id(1)) && !here.cache().contains(&id(2)));
    elsewhere.complete(vec![completion(1)]).await;
    assert_eq!(outcome(here.claim(vec![claim(1)]).await), FROM_STORE, "nothing stood in the way of asking");
}

#[tokio::test(start_paused = true)]
async fn known_and_unknown_items_keep_their_order() {
    let store = MemoryStore::default();
    let here = over(&store);
    here.complete(vec![completion(1), completion(3)]).await;
    store.complete(vec![completion(4)]).await;
    let answers = here.claim((0..5).map(claim).collect()).await;
    let answers: Vec<ClaimOutcome> = answers.into_iter().map(Result::unwrap).collect();
    let claimed = ClaimOutcome::Claimed { attempts: 0, suspect: false };
    assert_eq!(answers, [claimed.clone(), FROM_CACHE, claimed, FROM_CACHE, FROM_STORE]);
}

#[tokio::test(start_paused = true)]
async fn an_entry_ends_with_its_lifetime_and_never_outlives_the_window() {
    let store = MemoryStore::new(LeaseTerms { window: MINUTE, ..LeaseTerms::default() });
    let here = over(&store);
    assert_eq!(here.cache().lifetime(), MINUTE);
    here.complete(vec![completion(1)]).await;
    tokio::time::advance(MINUTE / 2).await;
    // Neither a duplicate nor a second completion extends it.
    assert_eq!(outcome(here.claim(vec![claim(1)]).await), FROM_CACHE);
    here.complete(vec![completion(1)]).await;
    tokio::time::advance(MINUTE / 2).await;
    assert!(!here.cache().contains(&id(1)));
    assert!(matches!(outcome(here.claim(vec![claim(1)]).await), ClaimOutcome::Claimed { .. }));

    let cache = DoneCache::with_window(24 * 60 * MINUTE);
    cache.insert(id(2), Instant::now());
    tokio::time::advance(DoneCache::DEFAULT_LIFETIME - Duration::from_millis(1)).await;
    assert!(cache.contains(&id(2)));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!cache.contains(&id(2)));
}

/// A cached fact would hide that another payload came under a done ID.
#[tokio::test(start_paused = true)]
async fn a_store_that_keeps_details_is_always_asked() {
    let here = over(&MemoryStore::exact(LeaseTerms::default()));
    assert!(here.keeps_details());
    let with = |payload: &[u8]| {
        let payload_hash = Some(PayloadHash::of(Some(payload)));
        Some(Arc::new(MessageDetails { identity: None, payload_hash }))
    };
    here.complete(vec![Completion { message: with(b"x"), ..completion(1) }]).await;
    let known = ClaimOutcome::Done { cached: false, first: Some(origin()) };
    for _ in 0..2 {
        assert_eq!(outcome(here.claim(vec![Claim { message: with(b"x"), ..claim(1) }]).await), known);
        let conflict = outcome(here.claim(vec![Claim { message: with(b"y"), ..claim(1) }]).await);
        assert_eq!(conflict, ClaimOutcome::Conflict { first: origin() });
    }
    assert!(!here.cache().contains(&id(1)));
}

#[tokio::test(start_paused = true)]
async fn the_latest_are_kept() {
    let cache = DoneCache::new(10, MINUTE, MINUTE);
    for n in 0..100 {
        cache.insert(id(n), Instant::now());
    }
    cache.entries().run_pending_tasks();
    let kept: Vec<u8> = (0..100).filter(|n| cache.contains(&id(*n))).collect();
    assert_eq!(kept, (90..100).collect::<Vec<u8>>());
}

/// Executes claims and completions at once, and answers them when it is told to.
#[derive(Debug)]
struct Slow {
    store: MemoryStore,
    reached: Arc<Notify>,
    answer: Arc<Notify>,
}

impl Slow {
    fn slowly<T: Send + 'static>(&self, executing: BoxFuture<'static, T>) -> BoxFuture<'static, T> {
        let (reached, answer) = (self.reached.clone(), self.answer.clone());
        async move {
            let answers = executing.await;
            reached.notify_one();
            answer.notified().await;
            answers
        }
        .boxed()
    }
}

impl Store for Slow {
    fn open<'a>(&'a self, agreement: &'a Agreement) -> BoxFuture<'a, Result<(), OpenError>> {
        self.store.open(agreement)
    }
    fn mode(&self) -> &'static str {
        self.store.mode()
    }
    fn terms(&self) -> LeaseTerms {
        self.store.terms()
    }
    fn claim(&self, claims: Vec<Claim>) -> BoxFuture<'static, Answers<ClaimOutcome>> {
        self.slowly(self.store.claim(claims))
    }
    fn complete(&self, completions: Vec<Completion>) -> BoxFuture<'static, Answers<CompletionOutcome>> {
        self.slowly(self.store.complete(completions))
    }
    fn renew(&self, leases: Vec<Lease>) -> BoxFuture<'static, Answers<RenewOutcome>> {
        self.store.renew(leases)
    }
    fn release(&self, releases: Vec<Release>) -> BoxFuture<'static, Answers<ReleaseOutcome>> {
        self.store.release(releases)
    }
    fn inspect(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<State>> {
        self.store.inspect(ids)
    }
    fn forget(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<bool>> {
        self.store.forget(ids)
    }
}

/// A claim finds the ID done; then it is forgotten; then the claim's answer arrives. It must not be remembered.
#[tokio::test(start_paused = true)]
async fn an_answer_from_before_a_forget_is_not_remembered() {
    let store = MemoryStore::default();
    store.complete(vec![completion(1)]).await;
    let slow = Slow { store: store.clone(), reached: Arc::default(), answer: Arc::default() };
    let (reached, answer) = (slow.reached.clone(), slow.answer.clone());
    let here = Cached::new(Arc::new(slow), DoneCache::with_window(MINUTE));
    let claiming = tokio::spawn(here.claim(vec![claim(1)]));
    reached.notified().await;
    assert!(here.forget(vec![id(1)]).await.pop().unwrap().unwrap());
    answer.notify_one();
    assert_eq!(outcome(claiming.await.unwrap()), FROM_STORE);
    assert!(!here.cache().contains(&id(1)));
}

/// The window counts from when the store recorded the ID, not from when its answer arrived.
#[tokio::test(start_paused = true)]
async fn a_late_answer_to_a_completion_does_not_extend_the_window() {
    let store = MemoryStore::new(LeaseTerms { window: MINUTE, ..LeaseTerms::default() });
    let slow = Slow { store, reached: Arc::default(), answer: Arc::default() };
    let (reached, answer) = (slow.reached.clone(), slow.answer.clone());
    let here = Cached::new(Arc::new(slow), DoneCache::with_window(MINUTE));
    let completing = tokio::spawn(here.complete(vec![completion(1)]));
    reached.notified().await;
    tokio::time::advance(MINUTE / 2).await;
    answer.notify_one();
    completing.await.unwrap().pop().unwrap().unwrap();
    assert!(here.cache().contains(&id(1)));
    tokio::time::advance(MINUTE / 2).await;
    assert!(!here.cache().contains(&id(1)));
}
