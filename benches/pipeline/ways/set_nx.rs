//! One `SET NX` per record, awaited: what most examples show. It claims nothing and completes nothing, so a crash between
//! the mark and the effect loses the message.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::{consumer_with, id};
use crate::load::Load;
use crate::meter::connect;
use crate::service::unique;
use crate::watch::Watch;

const WINDOW_S: u64 = 24 * 3_600;

pub async fn consume(load: &Load, redis: &str, watch: &Arc<Watch>) {
    let namespace = unique("seen");
    let mut redis = connect(redis).await;
    let (consumer, watch) = (consumer_with(load, &[("enable.auto.commit", "true")]), watch.clone());
    let runtime = Handle::current();
    let consuming = move || {
        loop {
            let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
            let message = message.expect("a record");
            watch.came();
            let key = [namespace.as_bytes(), b":", id(&message)].concat();
            let mut set = redis::cmd("SET");
            set.arg(key).arg(1).arg("NX").arg("EX").arg(WINDOW_S);
            let fresh: Option<String> = runtime.block_on(set.query_async(&mut redis)).expect("an answer");
            if fresh.is_some() {
                watch.effect();
            }
            if watch.settled(1) {
                return;
            }
        }
    };
    tokio::task::spawn_blocking(consuming).await.expect("a loop that ends");
}
