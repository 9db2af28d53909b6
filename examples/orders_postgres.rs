//! An order service whose effect is a row: no second effect, even after a crash in the window that hapax leaves open.
//!
//! **What this shows.** The message's ID is a unique key of the table, and everything that an order changes is changed in
//! the same transaction. A crash after the commit and before hapax recorded the ID lets the order come again:
//! the insert conflicts, and nothing else is changed.
//!
//! **What it promises.** Each order has its effect once in that database, for as long as its row stays, whatever is
//! killed and whenever. It says nothing of what is outside of the transaction: a mail sent from here could be sent twice
//! (see `email.rs`). hapax still spares the database the duplicates, and brings retries, dead letters and commits. Where
//! the database can answer for all that comes, it alone suffices.
//!
//! Run it: `cargo run --example orders_postgres`, with KAFKA, REDIS_URL, DATABASE, TOPIC and GROUP set as needed. Its
//! messages have a header `id`, and the name of what is ordered as payload. It ends with SIGTERM.
#![allow(clippy::print_stdout, reason = "an example tells what happens")]

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use hapax::consumer::{Attempt, Consumer, Failure, Handler};
use hapax::id::HeaderId;
use hapax::record::Record;
use hapax::store::{LeaseTerms, RedisStore};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls};

/// Made by a migration, in a real service; under a lock, for two that make a table at once fail. An ID is unique within its
/// topic.
const TABLES: &str = "
    select pg_advisory_xact_lock(1);
    create table if not exists orders (topic text, message_id bytea, item text not null, primary key (topic, message_id));
    create table if not exists sold (item text primary key, pieces bigint not null);";

struct Orders {
    database: String,
    /// A pool, in a service with more to do.
    connection: Mutex<Option<Client>>,
    /// Where to die, as a test of this asks for: `before-commit` or `after-commit`.
    crash: Option<String>,
}

impl Orders {
    async fn connect(&self) -> Result<Client, Failure> {
        // A database that is away is no fault of the message: that counts no attempt.
        let (client, connection) =
            tokio_postgres::connect(&self.database, NoTls).await.map_err(Failure::unavailable)?;
        tokio::spawn(async move { connection.await.err().map(|error| println!("the connection ended: {error}")) });
        Ok(client)
    }

    fn dies(&self, place: &str) {
        if self.crash.as_deref() == Some(place) {
            std::process::abort();
        }
    }
}

impl Handler for Orders {
    async fn handle(&self, record: Record, _: Attempt) -> Result<(), Failure> {
        let item = record.payload().and_then(|payload| std::str::from_utf8(payload).ok());
        let item = item.ok_or_else(|| Failure::fatal("an order of nothing"))?;
        // What the extractor found. Not the attempt's fingerprint: a dead letter that is replayed has a new one, and its
        // effect may have happened, too.
        let id = record.header_values("id").next().flatten().ok_or_else(|| Failure::fatal("an order without an ID"))?;

        let mut connection = self.connection.lock().await;
        let client = match connection.take().filter(|client| !client.is_closed()) {
            Some(client) => connection.insert(client),
            None => connection.insert(self.connect().await?),
        };
        let order = client.transaction().await?;
        let insert = "insert into orders values ($1, $2, $3) on conflict do nothing";
        if order.execute(insert, &[&record.partition().topic(), &&**id, &item]).await? == 0 {
            println!("{item} was sold before");
            return Ok(());
        }
        let count = "insert into sold values ($1, 1) on conflict (item) do update set pieces = sold.pieces + 1";
        order.execute(count, &[&item]).await?;
        self.dies("before-commit");
        order.commit().await?;
        self.dies("after-commit");
        println!("sold {item}");
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let var = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let group = var("GROUP", "shop");
    let terms = LeaseTerms { lease: Duration::from_secs(3), ..LeaseTerms::default() };
    let store = RedisStore::builder(var("REDIS_URL", "redis://localhost:6379"), group.parse()?).terms(terms).build()?;
    let consumer = Consumer::builder()
        .brokers(var("KAFKA", "localhost:9092"))
        .group(group)
        .topic(var("TOPIC", "orders"))
        .store(Arc::new(store))
        .extractor(HeaderId::new("id"))
        // How soon the group notices that a member crashed.
        .property("session.timeout.ms", "6000")
        .build()?;

    let database = var("DATABASE", "host=localhost user=postgres");
    let orders = Orders { database, connection: Mutex::new(None), crash: env::var("CRASH").ok() };
    let client = orders.connect().await.map_err(|error| error.to_string())?;
    client.batch_execute(TABLES).await?;
    *orders.connection.lock().await = Some(client);

    let mut end = signal(SignalKind::terminate())?;
    consumer
        .run(orders, async {
            end.recv().await;
        })
        .await?;
    Ok(())
}
