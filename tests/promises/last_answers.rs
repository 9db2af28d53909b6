//! What the store answers after a consumer has given its partitions back: an answer may tell of a repeat.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hapax::id::Fingerprint;
use hapax::observe::{FailureKind, Observer};
use hapax::record::{Epoch, Origin, Record, TopicPartition};
use hapax::store::{
    Agreement, Answers, Claim, ClaimOutcome, Completion, CompletionOutcome, GiveUp, GiveUpOutcome, Lease, LeaseTerms,
    MemoryStore, OpenError, Release, ReleaseOutcome, RenewOutcome, State, Store, StoreHealth,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::common::{Kafka, Message, unique};
use super::consuming::{Journal, consumer, handler};

/// What happens at the end of a consumer, in its order.
#[derive(Debug)]
struct End {
    failed: CancellationToken,
    revoked: CancellationToken,
    repeats: Semaphore,
}

impl End {
    fn new() -> Arc<Self> {
        let (failed, revoked) = (CancellationToken::new(), CancellationToken::new());
        Arc::new(Self { failed, revoked, repeats: Semaphore::new(0) })
    }
}

impl Observer for End {
    fn on_failure(&self, _: &Record, _: u32, _: FailureKind) {
        self.failed.cancel();
    }

    fn on_revoke(&self, _: &TopicPartition, _: Epoch, _: bool) {
        self.revoked.cancel();
    }

    fn on_possible_repeat(&self, _: &Record, _: Option<&Origin>) {
        self.repeats.add_permits(1);
    }
}

/// A store that answers a release once the partitions are given back, and then that the lease is not held any more; or
/// never.
#[derive(Debug)]
struct Late {
    store: MemoryStore,
    end: Arc<End>,
    answers: bool,
}

impl Store for Late {
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
        self.store.claim(claims)
    }

    fn complete(&self, completions: Vec<Completion>) -> BoxFuture<'static, Answers<CompletionOutcome>> {
        self.store.complete(completions)
    }

    fn renew(&self, leases: Vec<Lease>) -> BoxFuture<'static, Answers<RenewOutcome>> {
        self.store.renew(leases)
    }

    fn give_up(&self, items: Vec<GiveUp>) -> BoxFuture<'static, Answers<GiveUpOutcome>> {
        self.store.give_up(items)
    }

    fn release(&self, releases: Vec<Release>) -> BoxFuture<'static, Answers<ReleaseOutcome>> {
        let (end, answers) = (Arc::clone(&self.end), self.answers);
        Box::pin(async move {
            end.revoked.cancelled().await;
            if !answers {
                std::future::pending::<()>().await;
            }
            releases.iter().map(|_| Ok(ReleaseOutcome::NotHeld)).collect()
        })
    }

    fn inspect(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<State>> {
        self.store.inspect(ids)
    }

    fn forget(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<bool>> {
        self.store.forget(ids)
    }

    fn health(&self) -> StoreHealth {
        self.store.health()
    }
}

/// Runs a handler beyond its time limit, ends the consumer, and counts the possible repeats that it reported.
async fn possible_repeats(answers: bool, lease: Duration) -> usize {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("orders"), unique("billing"));
    kafka.create_topic(&topic, 1).await;
    kafka.produce(&topic, [Message::new().payload("1").header("ce_id", "1").header("ce_source", "/tests")]).await;
    let end = End::new();
    let store = MemoryStore::new(LeaseTerms { lease, ..LeaseTerms::default() });
    let consumer = consumer(kafka, &group, &topic, &Journal::default())
        .store(Arc::new(Late { store, end: Arc::clone(&end), answers }))
        .observer(Arc::clone(&end) as Arc<dyn Observer>)
        .renewal(false)
        .handler_time_limit(Duration::from_millis(100))
        .drain_limit(Duration::from_millis(300));
    let never = handler(|_| std::future::pending());
    consumer.build().unwrap().run_until(never, end.failed.clone()).await.unwrap();
    end.repeats.available_permits()
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_after_the_drain_tells_of_a_possible_repeat() {
    assert_eq!(possible_repeats(true, Duration::from_secs(60)).await, 1);
}

/// The lease has run out, so that another worker may have had the ID, and nobody will hear of it.
#[tokio::test(flavor = "multi_thread")]
async fn release_without_an_answer_is_a_possible_repeat() {
    assert_eq!(possible_repeats(false, Duration::from_millis(200)).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn release_without_an_answer_within_its_lease_is_no_repeat() {
    assert_eq!(possible_repeats(false, Duration::from_secs(60)).await, 0);
}
