//! The layer around a mock service that is polled by hand.

use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use tower_layer::Layer;
use tower_service::Service;
use tower_test::mock::{self, Mock};

use super::scripted::{Fault, Op, Scripted};
use super::{Claimed, LEASE, builder, failed, id, soon, start};
use crate::dedup::{BeginError, Dedup, DedupError, DedupLayer, Deduped, OkIsSuccess, WhenInFlight};
use crate::id::{IdProblem, Identity};
use crate::store::StoreError;

type Request = &'static str;
type Response = &'static str;
type Identify = fn(&Request) -> Result<Identity, IdProblem>;
type Tested<C = OkIsSuccess> = mock::Spawn<Dedup<Mock<Request, Response>, Identify, C>>;
type Handle = mock::Handle<Request, Response>;

fn identify(request: &Request) -> Result<Identity, IdProblem> {
    match *request {
        "" => Err(IdProblem::Empty),
        request => Ok(id(request)),
    }
}

fn service<C: Clone>(layer: DedupLayer<Identify, C>) -> (Tested<C>, Handle) {
    mock::spawn_with(|mock| layer.layer(mock))
}

fn layer(store: &std::sync::Arc<Scripted>) -> DedupLayer<Identify> {
    DedupLayer::new(start(store).0, identify as Identify)
}

/// The next request that reaches the inner service.
async fn next(inner: &mut Handle) -> (Request, mock::SendResponse<Response>) {
    soon(inner.next_request()).await.unwrap()
}

/// Calls the service once it is ready.
macro_rules! call {
    ($service:ident, $request:literal) => {{
        assert!(matches!($service.poll_ready(), Poll::Ready(Ok(()))));
        tokio::spawn($service.call($request))
    }};
}

#[tokio::test(start_paused = true)]
async fn a_request_is_handled_once() {
    let store = Scripted::new();
    let (mut service, mut inner) = service(layer(&store));
    inner.allow(2);
    let first = call!(service, "a");
    next(&mut inner).await.1.send_response("paid");
    assert_eq!(first.await.unwrap().unwrap(), Deduped::Handled("paid"));
    assert!(store.is_done(store.leases(Op::Claim)[0].fingerprint), "recorded before the response is returned");
    let second = call!(service, "a");
    assert_eq!(second.await.unwrap().unwrap(), Deduped::Duplicate);
    assert!(inner.next_request().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn it_is_ready_when_the_inner_service_is() {
    let (mut service, mut inner) = service(layer(&Scripted::new()));
    inner.allow(0);
    assert!(service.poll_ready().is_pending());
    inner.allow(1);
    assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));
    inner.send_error("broken");
    match service.poll_ready() {
        Poll::Ready(Err(DedupError::Inner(error))) => assert_eq!(error.to_string(), "broken"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_instance_that_was_ready_is_the_one_that_is_called() {
    let (mut service, mut inner) = service(layer(&Scripted::new()));
    inner.allow(1);
    // The mock panics when an instance is called that was not polled ready; a fresh clone of it is not.
    let first = call!(service, "a");
    let (_, reply) = next(&mut inner).await;
    assert!(service.poll_ready().is_pending());
    reply.send_response("done");
    first.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_response_waits_for_the_record() {
    let store = Scripted::new();
    let (mut service, mut inner) = service(layer(&store));
    inner.allow(1);
    store.fail(Op::Complete, [Fault::Unavailable; 3]);
    let call = call!(service, "a");
    next(&mut inner).await.1.send_response("paid");
    store.arrived(Op::Complete, 2).await;
    assert!(!call.is_finished());
    assert_eq!(call.await.unwrap().unwrap(), Deduped::Handled("paid"));
    assert_eq!(store.batches(Op::Complete).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_failed_request_is_given_back_and_handled_again() {
    let store = Scripted::new();
    let (mut service, mut inner) = service(layer(&store));
    inner.allow(2);
    let first = call!(service, "a");
    next(&mut inner).await.1.send_error("declined");
    let error = first.await.unwrap().unwrap_err().into_inner().unwrap();
    assert_eq!(error.to_string(), "declined");
    assert_eq!(store.given_back(), [failed(1)]);
    let second = call!(service, "a");
    next(&mut inner).await.1.send_response("paid");
    assert_eq!(second.await.unwrap().unwrap(), Deduped::Handled("paid"));
}

#[tokio::test(start_paused = true)]
async fn the_classifier_decides_what_counts() {
    let store = Scripted::new();
    let classify = |result: Result<&Response, &tower::BoxError>| match result {
        Ok(response) => *response != "503",
        Err(error) => error.to_string() == "exists already",
    };
    let (mut service, mut inner) = service(layer(&store).classify(classify));
    inner.allow(4);
    let unavailable = call!(service, "a");
    next(&mut inner).await.1.send_response("503");
    assert_eq!(unavailable.await.unwrap().unwrap(), Deduped::Handled("503"));
    let exists = call!(service, "a");
    next(&mut inner).await.1.send_error("exists already");
    assert!(matches!(exists.await.unwrap(), Err(DedupError::Inner(_))));
    assert_eq!(call!(service, "a").await.unwrap().unwrap(), Deduped::Duplicate);
    assert_eq!((store.leases(Op::Release).len(), store.leases(Op::Complete).len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_releases() {
    let store = Scripted::new();
    let (mut service, mut inner) = service(layer(&store));
    inner.allow(2);
    let call = call!(service, "a");
    let (_, _reply) = next(&mut inner).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    store.arrived(Op::Release, 1).await;
    assert_eq!(store.given_back(), [failed(1)], "the inner service had started");

    // Dropped unpolled, nothing was claimed.
    assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));
    drop(service.call("b"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(store.leases(Op::Claim).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_after_the_effect_is_recorded() {
    let store = Scripted::new();
    let (mut service, mut inner) = service(layer(&store));
    inner.allow(1);
    store.close(Op::Complete);
    let call = call!(service, "a");
    next(&mut inner).await.1.send_response("paid");
    store.arrived(Op::Complete, 1).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    store.open(Op::Complete);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(store.is_done(store.leases(Op::Claim)[0].fingerprint));
    assert!(store.batches(Op::Release).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_is_rejected() {
    let (mut service, mut inner) = service(layer(&Scripted::new()));
    inner.allow(2);
    let first = call!(service, "a");
    let (_, reply) = next(&mut inner).await;
    match call!(service, "a").await.unwrap() {
        Err(DedupError::InFlight(remaining)) => assert!(remaining > LEASE / 2 && remaining <= LEASE),
        other => panic!("{other:?}"),
    }
    reply.send_response("paid");
    first.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_is_waited_for() {
    let store = Scripted::new();
    let (mut service, mut inner) = service(layer(&store).when_in_flight(WhenInFlight::Wait(LEASE)));
    inner.allow(3);
    let first = call!(service, "a");
    let (_, reply) = next(&mut inner).await;
    let second = call!(service, "a");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!second.is_finished());
    reply.send_response("paid");
    assert_eq!(first.await.unwrap().unwrap(), Deduped::Handled("paid"));
    assert_eq!(second.await.unwrap().unwrap(), Deduped::Duplicate);

    let first = call!(service, "never ends");
    let (_, _reply) = next(&mut inner).await;
    inner.allow(1);
    let second = call!(service, "never ends");
    assert!(matches!(second.await.unwrap(), Err(DedupError::InFlight(_))));
    first.abort();
}

#[tokio::test(start_paused = true)]
async fn without_an_id_or_a_store_the_inner_service_is_not_called() {
    let store = Scripted::new();
    let (mut service, mut inner) = service(layer(&store));
    inner.allow(2);
    assert!(matches!(call!(service, "").await.unwrap(), Err(DedupError::Id(IdProblem::Empty))));
    store.outage(Op::Claim, Fault::Refused);
    let refused = call!(service, "a").await.unwrap();
    assert!(matches!(refused, Err(DedupError::Begin(BeginError::Store(StoreError::Refused(_))))));
    assert!(inner.next_request().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_before_the_record_is_told() {
    let store = Scripted::new();
    let dedup = builder(&store).0.build().unwrap();
    let (mut service, mut inner) = service(DedupLayer::new(dedup.clone(), identify as Identify));
    inner.allow(1);
    store.outage(Op::Complete, Fault::Unavailable);
    let call = call!(service, "a");
    next(&mut inner).await.1.send_response("paid");
    store.arrived(Op::Complete, 1).await;
    dedup.shutdown(Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(call.await.unwrap(), Err(DedupError::Unrecorded)));
}

#[tokio::test(start_paused = true)]
async fn concurrent_calls_share_batches() {
    let store = Scripted::new();
    let dedup = start(&store).0;
    let inner = tower::service_fn(|request: Request| async move { Ok::<_, std::convert::Infallible>(request) });
    let service = DedupLayer::new(dedup.clone(), identify as Identify).layer(inner);
    let calls = (0..256).map(|n| {
        let mut service = service.clone();
        tokio::spawn(async move { service.call(Box::leak(format!("m{n}").into_boxed_str())).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    assert_eq!(store.leases(Op::Complete).len(), 256);
    assert!(store.batches(Op::Claim).len() + store.batches(Op::Complete).len() <= 8);
    // The same deduplicator serves loops and layers.
    drop(dedup.begin(&id("beside")).await.claimed());
}
