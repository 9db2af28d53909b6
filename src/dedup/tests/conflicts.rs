//! Another payload under a done ID, against the exact memory store.

use std::sync::Arc;

use tokio::time::Duration;

use super::{Claimed, LEASE, Seen, id};
use crate::dedup::{Begin, DedupError, DedupLayer, Deduplicator};
use crate::id::{Fingerprint, Identity, MessageId, Scope};
use crate::record::{Origin, Record, TopicPartition};
use crate::store::{Completion, Lease, LeaseTerms, MemoryStore, MessageDetails, State, Store, Token};

fn start(store: &MemoryStore) -> (Deduplicator, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    (Deduplicator::builder(Arc::new(store.clone())).observer(seen.clone()).build().unwrap(), seen)
}

fn record(offset: i64, payload: &'static str) -> Record {
    Record::builder(TopicPartition::new("orders", 0), offset).payload(payload).build()
}

fn first() -> Origin {
    record(1, "").origin()
}

const X: Fingerprint = Fingerprint::from_bytes([1; 16]);

#[tokio::test(start_paused = true)]
async fn another_payload_is_no_duplicate() {
    let store = MemoryStore::exact(LeaseTerms::default());
    let (dedup, seen) = start(&store);
    let begin = |offset, payload| dedup.begin_record(X, record(offset, payload), Duration::ZERO);
    begin(1, "one").await.claimed().complete().await.unwrap();
    assert!(matches!(begin(2, "one").await, Ok(Begin::Duplicate)));
    match begin(3, "two").await {
        Ok(Begin::Conflict { first: origin }) => assert_eq!(origin, first()),
        other => panic!("{other:?}"),
    }
    assert_eq!(seen.count("conflict orders-0@3 orders-0@1"), 1);
    assert!(matches!(dedup.begin_fingerprint(X).await, Ok(Begin::Duplicate)), "nothing is known of its payload");

    // Any other store is not told, and tells nothing.
    let (dedup, seen) = start(&MemoryStore::default());
    let begin = |offset, payload| dedup.begin_record(X, record(offset, payload), Duration::ZERO);
    begin(1, "one").await.claimed().complete().await.unwrap();
    assert!(matches!(begin(3, "two").await, Ok(Begin::Duplicate)));
    assert_eq!(seen.count("conflict orders-0@3 orders-0@1"), 0);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_first_does_not_hide_another_payload() {
    let store = MemoryStore::exact(LeaseTerms::default());
    let (dedup, seen) = start(&store);
    let guard = dedup.begin_record(X, record(1, "one"), Duration::ZERO).await.claimed();
    let wait = |offset, payload| {
        let dedup = dedup.clone();
        tokio::spawn(async move { dedup.begin_record(X, record(offset, payload), LEASE).await })
    };
    let (same, other) = (wait(2, "one"), wait(3, "two"));
    tokio::task::yield_now().await;
    guard.complete().await.unwrap();
    assert!(matches!(same.await.unwrap(), Ok(Begin::Duplicate)));
    assert!(matches!(other.await.unwrap(), Ok(Begin::Conflict { .. })));
    assert_eq!(seen.count("conflict orders-0@3 orders-0@1"), 1);
}

/// Without a payload only the ID can be told, and told it is.
#[tokio::test(start_paused = true)]
async fn an_identity_is_told_in_full() {
    let store = MemoryStore::exact(LeaseTerms::default());
    let (dedup, _) = start(&store);
    dedup.begin(&id("a")).await.claimed().complete().await.unwrap();
    let State::Done { record: Some(record), .. } =
        store.inspect(vec![dedup.fingerprint(&id("a"))]).await.pop().unwrap().unwrap()
    else {
        panic!("no record")
    };
    assert_eq!((record.message_id.as_ref(), record.payload_hash), (Some(&id("a")), None));
}

/// What a layer can meet only where another message has the fingerprint of its own.
#[tokio::test(start_paused = true)]
async fn a_layer_answers_with_an_error() {
    use tower::{ServiceBuilder, ServiceExt};

    let store = MemoryStore::exact(LeaseTerms::default());
    let (dedup, _) = start(&store);
    let other = Identity::new(Scope::Name("tests".into()), MessageId::new("b").unwrap());
    let message = Some(Arc::new(MessageDetails { identity: Some(other), payload_hash: None }));
    let lease = Lease { fingerprint: dedup.fingerprint(&id("a")), token: Token::from_bytes([1; 16]) };
    let completion = Completion { lease, origin: first(), held_for: Duration::from_secs(1), message };
    store.complete(vec![completion]).await.pop().unwrap().unwrap();

    let handled = |(): ()| async { Ok::<(), std::convert::Infallible>(()) };
    let service = ServiceBuilder::new().layer(DedupLayer::new(dedup, |(): &()| Ok(id("a")))).service_fn(handled);
    let error = service.oneshot(()).await.unwrap_err();
    assert!(matches!(&error, DedupError::Conflict { first: origin } if *origin == first()), "{error:?}");
}
