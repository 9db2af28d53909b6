//! When a silent partition is asked for anew.

use std::time::Duration;

use tokio::time::{Instant, advance};

use super::super::silence::Silence;

async fn later(seconds: u64) -> Instant {
    advance(Duration::from_secs(seconds)).await;
    Instant::now()
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_should_deliver_and_does_not_is_sought_once_a_minute_at_most() {
    let mut silence = Silence::default();
    assert!(!silence.look(Instant::now(), 5, 9));
    assert!(!silence.look(later(29).await, 5, 9));
    assert!(silence.look(later(1).await, 5, 9));
    assert!(!silence.look(later(1).await, 5, 10), "not within a minute");
    assert!(!silence.look(later(58).await, 5, 10));
    assert!(silence.look(later(1).await, 5, 10));
    assert!(!silence.look(later(600).await, 5, 10), "not again for what may be no record");
    assert!(silence.look(later(1).await, 5, 11));
}

#[tokio::test(start_paused = true)]
async fn a_partition_at_its_end_or_paused_or_delivering_is_left_alone() {
    let mut silence = Silence::default();
    assert!(!silence.look(Instant::now(), 9, 9));
    assert!(!silence.look(later(100).await, 9, 9));
    assert!(!silence.look(later(1).await, 9, 10));
    silence.excuse();
    assert!(!silence.look(later(40).await, 9, 10), "the time of a pause does not count");
    assert!(!silence.delivered());
    assert!(!silence.look(later(40).await, 10, 12), "nor the time before a record");
    assert!(silence.look(later(30).await, 10, 12));
    assert!(silence.delivered(), "the seek woke it");
    assert!(!silence.delivered());
}
