//! A payment service in a `tower` stack that handles each message once.
//!
//! **What this shows.** Every message is sent twice at the same time; each payment is made once. A payment that failed
//! is made when its message is sent again.
//!
//! **What it promises.** With the memory store: an ID whose call succeeded is not handled again while this process
//! lives and the window lasts. Shared by several processes, and across restarts, the same holds with the Redis store,
//! except that a crash between an effect and its record can repeat that effect.
//!
//! Run it: `cargo run --example tower_stack --no-default-features`

#![allow(clippy::print_stdout, reason = "an example tells what happens")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hapax::dedup::{DedupLayer, Deduped, Deduplicator, WhenInFlight};
use hapax::id::{IdKey, IdProblem, Identity, MessageId, Scope};
use hapax::store::{Agreement, MemoryStore, Store};
use parking_lot::Mutex;
use tower::{ServiceBuilder, ServiceExt, service_fn};

#[derive(Clone, Debug)]
struct Payment {
    id: String,
    amount: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the bank is closed")]
struct BankClosed;

/// What makes two payments the same message: their ID, among all payments.
fn identify(payment: &Payment) -> Result<Identity, IdProblem> {
    Ok(Identity::new(Scope::Name("payments".into()), MessageId::new(payment.id.clone())?))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Processes that share a namespace agree on what an ID is before they ask for one.
    let store = Arc::new(MemoryStore::default());
    store.open(&Agreement::of(&*store, "payment id", &IdKey::default())).await?;
    let dedup = Deduplicator::new(store)?;

    // The effect: what the bank was told to pay. It is closed when it is asked for the first time.
    let ledger: Arc<Mutex<Vec<u64>>> = Arc::default();
    let bank = Arc::clone(&ledger);
    let opened = Arc::new(AtomicBool::new(false));
    let pay = service_fn(move |payment: Payment| {
        let (bank, opened) = (Arc::clone(&bank), Arc::clone(&opened));
        async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if !opened.swap(true, Ordering::Relaxed) {
                return Err(BankClosed);
            }
            bank.lock().push(payment.amount);
            Ok(payment.amount)
        }
    });

    // A message whose ID is in flight waits for the end of the first: a duplicate then, or to be handled after all.
    let once = DedupLayer::new(dedup.clone(), identify).when_in_flight(WhenInFlight::Wait(Duration::from_secs(5)));
    let service = ServiceBuilder::new().layer(once).service(pay);

    let payments = (1..=5).map(|n| Payment { id: format!("payment-{n}"), amount: n * 100 });
    let twice = payments.flat_map(|payment| [payment.clone(), payment]);
    let calls: Vec<_> =
        twice.map(|payment| (payment.id.clone(), tokio::spawn(service.clone().oneshot(payment)))).collect();
    for (id, call) in calls {
        match call.await? {
            Ok(Deduped::Handled(amount)) => println!("{id}: paid {amount}"),
            Ok(Deduped::Duplicate) => println!("{id}: a duplicate, dropped"),
            // Not recorded as done, so its other copy is handled.
            Err(error) => println!("{id}: {error} ({})", error.source().map_or_else(String::new, ToString::to_string)),
        }
    }

    let mut paid = std::mem::take(&mut *ledger.lock());
    paid.sort_unstable();
    assert_eq!(paid, [100, 200, 300, 400, 500], "each payment has one effect");
    println!("paid, each once: {paid:?}");

    // Waits for completions and releases still under way.
    dedup.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
