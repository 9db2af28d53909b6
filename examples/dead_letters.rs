//! Dead letters and their replay: what cannot be handled steps aside, and comes back when it can.
//!
//! **What this shows.** A handler that knows only some currencies refuses the others: their payments go to the dead-letter
//! topic, and those behind them are made. Once the handler is mended, `hapax replay --execute` sends the dead letters
//! back, and each is paid once, also when it is run twice: a header makes the replay a new message for this group, and for
//! no other.
//!
//! **What it promises.** No payment is lost: the offset is committed only when the dead letter is in its topic. A crash
//! at that moment can leave it there twice; replayed, both have the same number, and one is dropped as a duplicate. The
//! dead letters stay in their topic for as long as its retention says. A replay does not keep its place in the order.
//!
//! Run it: `cargo run --example dead_letters`, with KAFKA, REDIS_URL, TOPIC, GROUP, DEAD_LETTERS and CURRENCIES set as
//! needed. Its messages have a header `id`, and a payload like `12 EUR`. It ends with SIGTERM. Then, with the same
//! group and topics:
//!
//! ```sh
//! HAPAX_BROKERS=localhost:9092 HAPAX_GROUP=payments HAPAX_TOPICS=payments HAPAX_ID=header:id \
//!     HAPAX_DEAD_LETTER_TOPIC=payments-dlt HAPAX_REDIS_URL=redis://localhost:6379 \
//!     HAPAX_PUSH_URL=http://localhost:8000 hapax replay --execute
//! ```
#![allow(clippy::print_stdout, reason = "an example tells what happens")]

use std::env;
use std::error::Error;
use std::sync::Arc;

use hapax::consumer::{Consumer, Failure};
use hapax::id::HeaderId;
use hapax::record::Record;
use hapax::store::RedisStore;
use tokio::signal::unix::{SignalKind, signal};

fn pay(record: &Record, currencies: &[String]) -> Result<(), Failure> {
    let payment = record.payload().and_then(|payload| std::str::from_utf8(payload).ok());
    let payment = payment.ok_or_else(|| Failure::fatal("the payment is no text"))?;
    let currency = payment.rsplit(' ').next().unwrap_or_default();
    if !currencies.iter().any(|known| known == currency) {
        // Fatal: trying again cannot help. What can is a `Failure::retryable`, and steps aside after ten attempts.
        // The reason is written into the dead letter, so it names what is wrong, not whose payment it is.
        return Err(Failure::fatal("no account in that currency"));
    }
    println!("paid {payment}");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let var = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let group = var("GROUP", "payments");
    let currencies: Arc<[String]> = var("CURRENCIES", "EUR").split(',').map(str::to_owned).collect();
    let store = RedisStore::builder(var("REDIS_URL", "redis://localhost:6379"), group.parse()?).build()?;
    let consumer = Consumer::builder()
        .brokers(var("KAFKA", "localhost:9092"))
        .group(group)
        .topic(var("TOPIC", "payments"))
        .store(Arc::new(store))
        .extractor(HeaderId::new("id"))
        .dead_letter_topic(var("DEAD_LETTERS", "payments-dlt"))
        // Where more than this share is refused something else is wrong, and the partition stops instead: the default.
        .dead_letter_share(0.1)
        .build()?;

    let mut end = signal(SignalKind::terminate())?;
    let handler = move |record: Record| {
        let paid = pay(&record, &currencies);
        async { paid }
    };
    consumer
        .run(handler, async {
            end.recv().await;
        })
        .await?;
    Ok(())
}
