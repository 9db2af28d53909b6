//! Without de-duplication: what there is to be had.

use std::sync::Arc;

use rdkafka::Message;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::message::BorrowedMessage;
use tokio::sync::{Semaphore, mpsc};

use super::{OURS, consumer, consumer_with, id, poll};
use crate::load::Load;
use crate::watch::Watch;

/// Takes records, reads their IDs, commits.
pub async fn consume(load: &Load, watch: &Arc<Watch>) {
    take(load, watch, |_| {}).await;
}

/// Takes records and copies them, as every consumer does that passes records to other threads.
pub async fn own(load: &Load, watch: &Arc<Watch>) {
    take(load, watch, |message| {
        std::hint::black_box(message.detach());
    })
    .await;
}

/// Takes records, hands their payloads to a handler, commits.
pub async fn handle(load: &Load, watch: &Arc<Watch>, handler: impl Fn(&[u8]) + Send + 'static) {
    take(load, watch, move |message| handler(message.payload().unwrap_or_default())).await;
}

async fn take(load: &Load, watch: &Arc<Watch>, handler: impl Fn(&BorrowedMessage<'_>) + Send + 'static) {
    let (consumer, watch) = (consumer_with(load, &OURS), watch.clone());
    let consuming = move || {
        loop {
            let messages = poll(&consumer);
            if messages.is_empty() {
                continue;
            }
            watch.came();
            for message in &messages {
                std::hint::black_box(id(message));
                handler(message);
                watch.effect();
            }
            consumer.commit_consumer_state(CommitMode::Async).expect("a commit");
            if watch.settled(messages.len() as u64) {
                return;
            }
        }
    };
    tokio::task::spawn_blocking(consuming).await.expect("a loop that ends");
}

/// A task per record, so many at once: numbers of records from memory.
pub async fn concurrently<F>(records: u64, at_once: usize, watch: &Arc<Watch>, handler: impl Fn(u64) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(at_once));
    watch.came();
    for n in 0..records {
        let turn = room.clone().acquire_owned().await.expect("nobody closes it");
        let (handling, watch) = (handler(n), watch.clone());
        tokio::spawn(async move {
            handling.await;
            watch.effect();
            watch.settled(1);
            drop(turn);
        });
    }
    watch.done().await;
}

/// The same with records from Kafka, which a thread takes; nothing is committed.
pub async fn concurrently_from_kafka<F>(load: &Load, at_once: usize, watch: &Arc<Watch>, handler: impl Fn(u64) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (taken, mut records) = mpsc::channel(1_000);
    let (consumer, watcher) = (consumer(load), watch.clone());
    let consuming = tokio::task::spawn_blocking(move || {
        loop {
            for message in poll(&consumer) {
                watcher.came();
                if taken.blocking_send(message.detach()).is_err() {
                    return;
                }
            }
            if taken.is_closed() {
                return;
            }
        }
    });
    let room = Arc::new(Semaphore::new(at_once));
    for _ in 0..load.records {
        let turn = room.clone().acquire_owned().await.expect("nobody closes it");
        let record = records.recv().await.expect("a record");
        let (handling, watch) = (handler(record.offset() as u64), watch.clone());
        tokio::spawn(async move {
            handling.await;
            watch.effect();
            watch.settled(1);
            drop((turn, record));
        });
    }
    watch.done().await;
    drop(records);
    consuming.await.expect("a thread that ends");
}
