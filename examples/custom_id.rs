//! IDs from an extractor of one's own: two fields of the payload, which only together name the message.
//!
//! **What this shows.** Each shop numbers its orders itself, so an order is named by shop and number. Its copies are
//! recognised however their JSON is written. A message without these fields is not guessed at: it goes to the dead letters,
//! or, where there is no topic for them, its partition stops with an error that says what is missing and the ways out
//! (`IdPolicy` has the others).
//!
//! **What it promises.** An order that was handled is not handled again within the window; a crash in between can repeat
//! it. All rests on the extractor: two answers for one message repeat its effect, one answer for two loses one of them.
//!
//! Run it: `cargo run --example custom_id`, with KAFKA, REDIS_URL, TOPIC, GROUP and DEAD_LETTERS set as needed. Its
//! messages are like `{"shop": "a", "number": 1}`. It ends with SIGTERM.
#![allow(clippy::print_stdout, reason = "an example tells what happens")]

use std::env;
use std::error::Error;
use std::sync::Arc;

use hapax::consumer::{Consumer, Failure};
use hapax::id::{IdProblem, Identity, MessageId, ScopeRule, extract_fn};
use hapax::record::Record;
use hapax::store::RedisStore;
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};

/// What names an order. Other fields are left alone; one that occurs twice is an error, for others could read the other.
#[derive(Deserialize)]
struct Named {
    shop: String,
    number: u64,
}

fn named(record: &Record) -> Result<Named, IdProblem> {
    // Problems name the part, never its value: they are logged.
    let payload = record.payload().ok_or_else(|| IdProblem::Null { part: "payload".into() })?;
    serde_json::from_slice(payload).map_err(|_| IdProblem::Invalid {
        part: "payload".into(),
        problem: "is not JSON with one text `shop` and one whole number `number`".to_owned(),
    })
}

fn identify(record: &Record) -> Result<Identity, IdProblem> {
    let Named { shop, number } = named(record)?;
    // One after the other would not do: order 11 of shop `a` would be order 1 of shop `a1`, and be lost. What has one
    // spelling for each pair will: a JSON array.
    let both = serde_json::json!([shop, number]).to_string();
    Ok(Identity::new(ScopeRule::Topic.scope_of(record)?, MessageId::new(both)?))
}

async fn ship(record: Record) -> Result<(), Failure> {
    let Named { shop, number } = named(&record).map_err(Failure::fatal)?;
    println!("shipped order {number} of {shop}");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let var = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let group = var("GROUP", "shipping");
    let store = RedisStore::builder(var("REDIS_URL", "redis://localhost:6379"), group.parse()?).build()?;
    let mut builder = Consumer::builder()
        .brokers(var("KAFKA", "localhost:9092"))
        .group(group)
        .topic(var("TOPIC", "orders"))
        .store(Arc::new(store))
        // The name stands for all that `identify` does: another rule gets another name, and processes with different ones
        // refuse to share a namespace.
        .extractor(extract_fn("shop and number, v1", identify));
    if let Ok(topic) = env::var("DEAD_LETTERS") {
        builder = builder.dead_letter_topic(topic);
    }

    let mut end = signal(SignalKind::terminate())?;
    builder
        .build()?
        .run(ship, async {
            end.recv().await;
        })
        .await?;
    Ok(())
}
