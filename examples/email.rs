//! A sender of e-mails: one mail per message, also after a crash between the sending and its record.
//!
//! **What this shows.** The provider is given the message's fingerprint as its idempotency key: the same for every attempt,
//! redelivery and copy of the message. The consumer crashes when the first mail is on its way and not yet recorded; the one
//! that follows asks for that mail again, and the provider, which knows the key, sends no second one.
//!
//! **What it promises.** No mail is missing; none is sent twice while the provider remembers its key, which most do for a
//! day. A dead letter that is replayed is a new message with a new key: replay those of which no mail was sent.
//!
//! Run it: `cargo run --example email`, with KAFKA, REDIS_URL, TOPIC and GROUP set as needed. Its messages have a header
//! `id`, and an address as payload. It ends with SIGTERM.
#![allow(clippy::print_stdout, reason = "an example tells what happens")]

use std::collections::HashSet;
use std::env;
use std::error::Error;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use hapax::consumer::{Attempt, Consumer, Failure, Handler};
use hapax::id::{Fingerprint, HeaderId};
use hapax::record::Record;
use hapax::store::{LeaseTerms, RedisStore};
use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// Stands for the provider: an API with an idempotency key. It is elsewhere, so it outlives the crash.
#[derive(Debug, Default)]
struct Provider {
    keys: Mutex<HashSet<Fingerprint>>,
}

impl Provider {
    /// `POST /mails` with the header `Idempotency-Key`; both of the answers are 2xx.
    fn send(&self, key: Fingerprint, address: &str) {
        match self.keys.lock().insert(key) {
            true => println!("a mail to {address}"),
            false => println!("no second mail to {address}"),
        }
    }
}

#[derive(Debug)]
struct Sender {
    provider: Arc<Provider>,
    /// Told after the first mail, in place of an answer: the process would die here.
    crash: Option<Arc<Notify>>,
}

impl Handler for Sender {
    async fn handle(&self, record: Record, attempt: Attempt) -> Result<(), Failure> {
        let address = record.payload().and_then(|payload| std::str::from_utf8(payload).ok());
        let address = address.ok_or_else(|| Failure::fatal("a message without an address"))?;
        // There is one: by default no message without an ID comes here.
        let key = attempt.fingerprint.ok_or_else(|| Failure::fatal("a message without an ID"))?;
        self.provider.send(key, address);
        if let Some(crash) = &self.crash {
            crash.notify_one();
            pending::<()>().await;
        }
        Ok(())
    }
}

fn consumer() -> Result<Consumer, Box<dyn Error>> {
    let var = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let group = var("GROUP", "mails");
    // Of a short lease what a crash left in flight is soon taken over; while a handler runs it is renewed.
    let terms = LeaseTerms { lease: Duration::from_secs(3), ..LeaseTerms::default() };
    let store = RedisStore::builder(var("REDIS_URL", "redis://localhost:6379"), group.parse()?).terms(terms).build()?;
    let builder = Consumer::builder().brokers(var("KAFKA", "localhost:9092")).group(group).topic(var("TOPIC", "mails"));
    Ok(builder.store(Arc::new(store)).extractor(HeaderId::new("id")).build()?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let provider = Arc::new(Provider::default());

    // Dropped where it is, a consumer ends as by a crash: it records and commits nothing more.
    let crash = Arc::new(Notify::new());
    let sender = Sender { provider: Arc::clone(&provider), crash: Some(Arc::clone(&crash)) };
    tokio::select! {
        ended = consumer()?.run(sender, pending()) => return Ok(ended?),
        () = crash.notified() => println!("crashed before it was recorded"),
    }

    let mut end = signal(SignalKind::terminate())?;
    let sender = Sender { provider, crash: None };
    consumer()?
        .run(sender, async {
            end.recv().await;
        })
        .await?;
    Ok(())
}
