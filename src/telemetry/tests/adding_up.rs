//! At every scrape delivered = settled + given back + in flight, for every topic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::board::Board;
use crate::observe::{Observer, Outcome};
use crate::record::{Record, TopicPartition};
use crate::telemetry::{Metrics, scrape};

const TOPICS: [&str; 2] = ["orders", "payments"];
const OUTCOMES: [Outcome; 7] = [
    Outcome::Handled,
    Outcome::Duplicate,
    Outcome::DeadLettered,
    Outcome::Retried,
    Outcome::Expired,
    Outcome::Skipped,
    Outcome::SkippedByOperator,
];
const SCRAPES: usize = 10_000;

/// Delivers, settles and gives back until told to end; several do so for the same topics.
fn count_at_random(metrics: &Metrics, seed: u64, end: &AtomicBool) {
    let mut rng = StdRng::seed_from_u64(seed);
    let records = TOPICS.map(|topic| Record::builder(TopicPartition::new(topic, 0), 0).build());
    let mut in_flight = [0_usize; 2];
    while !end.load(Ordering::Relaxed) {
        let index = rng.random_range(0..2);
        let (record, held) = (&records[index], &mut in_flight[index]);
        match rng.random_range(0..4) {
            0 if *held < 1000 => {
                let more = rng.random_range(1..10);
                metrics.on_delivered(record.partition(), more);
                *held += more;
            }
            1 if *held > 0 => {
                let some = rng.random_range(1..=*held);
                metrics.on_give_back(record.partition(), some);
                *held -= some;
            }
            _ if *held > 0 => {
                metrics.on_settle(record, OUTCOMES[rng.random_range(0..OUTCOMES.len())], Duration::ZERO);
                *held -= 1;
            }
            _ => {}
        }
    }
}

#[test]
fn the_counts_of_records_add_up_at_every_scrape() {
    let (board, metrics, end) = (Board::default(), Arc::new(Metrics::default()), Arc::new(AtomicBool::new(false)));
    metrics::with_local_recorder(&board, || {
        for topic in TOPICS {
            metrics.on_delivered(&TopicPartition::new(topic, 0), 0);
        }
    });
    let threads: Vec<_> = (0..3)
        .map(|seed| {
            let (metrics, end) = (Arc::clone(&metrics), Arc::clone(&end));
            thread::spawn(move || count_at_random(&metrics, seed, &end))
        })
        .collect();
    let mut wrong = Vec::new();
    let mut delivered = 0.0;
    for _ in 0..SCRAPES {
        let numbers = scrape(|| board.numbers());
        for topic in TOPICS {
            let sum = |name: &str| -> f64 {
                let of = |series: &str| series.starts_with(name) && series.contains(topic);
                numbers.iter().filter(|(series, _)| of(series)).map(|(_, value)| value).sum()
            };
            delivered = sum("hapax_records_delivered_total");
            let rest = sum("hapax_records_settled_total")
                + sum("hapax_records_given_back_total")
                + sum("hapax_records_in_flight");
            if delivered != rest {
                wrong.push((delivered, rest));
            }
        }
    }
    end.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().expect("it only counts"));
    assert!(
        wrong.is_empty(),
        "{} of {} sums, as delivered and the rest: {:?}",
        wrong.len(),
        2 * SCRAPES,
        wrong.first()
    );
    assert!(delivered > 1000.0, "nothing happened meanwhile: {delivered}");
}
