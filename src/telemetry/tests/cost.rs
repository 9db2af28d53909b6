//! What one record costs here. Not a check: run it with `--ignored --nocapture`.

use std::hint::black_box;
use std::time::Duration;

use metrics_util::debugging::DebuggingRecorder;
use tokio::time::Instant;

use crate::observe::{DuplicateBy, Observer, Outcome};
use crate::record::{Record, TopicPartition};
use crate::store::Verdict;
use crate::telemetry::Telemetry;

const BATCH: usize = 500;
const ROUNDS: usize = 2000;

#[test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout, reason = "a measurement is printed")]
fn cost_of_a_record() {
    for (topics, recorded) in [(1, true), (2, true), (20, true), (1, false), (20, false)] {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        let telemetry = Telemetry::new();
        // Each partition names its topic with an allocation of its own.
        let records: Vec<_> = (0..BATCH)
            .map(|n| Record::builder(TopicPartition::new(format!("orders-{}", n % topics), 0), 0).timestamp(1).build())
            .collect();
        let rounds = |each: &dyn Fn(&Telemetry, &Record)| {
            let mut least = Duration::MAX;
            for _ in 0..ROUNDS / 20 {
                let start = Instant::now();
                for _ in 0..20 {
                    telemetry.on_delivered(black_box(records[0].partition()), BATCH);
                    records.iter().for_each(|record| each(black_box(&telemetry), black_box(record)));
                }
                least = least.min(start.elapsed());
                // Empties the histograms.
                drop(snapshotter.snapshot());
            }
            least.as_nanos() as f64 / (20 * BATCH) as f64
        };
        // What a topic's first record finds is what its counters belong to.
        let first = || records.iter().for_each(|record| telemetry.on_claim(record, 0, false));
        if recorded {
            metrics::with_local_recorder(&recorder, first)
        } else {
            first()
        }
        let handled = rounds(&|telemetry, record| {
            telemetry.on_claim(record, 0, false);
            telemetry.on_handled(record, 1, Duration::from_millis(1));
            telemetry.on_complete(record, Verdict::First);
            telemetry.on_settle(record, Outcome::Handled, Duration::from_millis(1));
        });
        let duplicate = rounds(&|telemetry, record| {
            telemetry.on_duplicate(record, DuplicateBy::Store, None);
            telemetry.on_settle(record, Outcome::Duplicate, Duration::from_millis(1));
        });
        let recorder = if recorded { "atomics" } else { "no recorder" };
        println!("{topics} topics, {recorder}: handled {handled:.0} ns, duplicate {duplicate:.0} ns a record");
    }
}
