//! A store of one's own: done IDs in a file, for one process alone that must remember across its restarts.
//!
//! **What this shows.** The store itself is in `file.rs`: what is asked of a store is decided by the reference, and
//! remembered by a file. hapax' conformance suite runs against it (`tests/promises/custom_store.rs`). Here a loop of
//! payments uses it; where CRASH names one, the process dies when that is made and not yet recorded.
//!
//! **What it promises.** A payment that was recorded is not made again, by this process or the next one on the file, within
//! the window. A crash between a payment and its record repeats that one payment: so it does with every store.
//!
//! Run it twice: `cargo run --example custom_store`, with FILE and CRASH set as needed.
#![allow(clippy::print_stdout, reason = "an example tells what happens")]

#[expect(dead_code, reason = "workers that differ in their terms are the conformance suite's")]
mod file;

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use hapax::dedup::{Begin, Deduplicator};
use hapax::id::{IdKey, Identity, MessageId, Scope};
use hapax::store::{Agreement, LeaseTerms, Store};

use file::FileStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = env::var("FILE").unwrap_or_else(|_| "payments.done".to_owned());
    let crash: Option<u64> = env::var("CRASH").ok().map(|payment| payment.parse()).transpose()?;
    let store = Arc::new(FileStore::read(path.as_ref(), LeaseTerms::default()).await?);
    store.open(&Agreement::of(&*store, "payment number", &IdKey::default())).await?;
    let dedup = Deduplicator::new(store)?;

    // Each is sent twice.
    for payment in (1..=5).chain(1..=5) {
        let id = Identity::new(Scope::Name("payments".into()), MessageId::whole_number(payment));
        match dedup.begin(&id).await? {
            Begin::Claimed(guard) => {
                println!("paid {payment}");
                if crash == Some(payment) {
                    std::process::abort();
                }
                guard.complete().await?;
            }
            Begin::Duplicate => println!("dropped a duplicate of {payment}"),
            // Nobody else has this file.
            other => return Err(format!("payment {payment}: {other:?}").into()),
        }
    }
    dedup.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
