//! What is logged: by consequence, and sampled where it is about single records.

use std::fmt::{Debug, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::advance;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Subscriber};

use super::{partition, record};
use crate::observe::{CommitRefused, FailureKind, Observer, Outcome, PartitionStop, StopCause, WaitsFor};
use crate::record::{Epoch, Origin, Record, TopicPartition};
use crate::store::{Cause, StoreError, Verdict};
use crate::telemetry::Log;

/// Keeps every line from DEBUG up, as in `message field=value`.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<(Level, String)>>>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::DEBUG && metadata.target().starts_with("hapax::telemetry")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().push((*event.metadata().level(), format!("{}{}", line.message, line.fields)));
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => write!(self.fields, " {name}={value:?}").expect("a string takes all"),
        }
    }
}

/// The lines that `act` writes.
fn lines(act: impl FnOnce()) -> Vec<(Level, String)> {
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), act);
    std::mem::take(&mut *lines.0.lock())
}

/// A kind of line about a single record, and how it is caused.
type Sampled = (Level, &'static str, fn(&Log, &Record));

const SAMPLED: &[Sampled] = &[
    (Level::ERROR, "a repeated effect", |log, record| log.on_complete(record, Verdict::Overrun)),
    (Level::WARN, "possibly a repeated effect", |log, record| log.on_complete(record, Verdict::PossibleOverrun)),
    (Level::ERROR, "dead-letter topic", |log, record| log.on_dead_letter(record, 5, "why")),
    (Level::WARN, "was not delivered", |log, record| log.on_delivery_failed(record, "why")),
    (Level::WARN, "tried again", |log, record| log.on_retry(record, 1, Duration::from_millis(200))),
    (Level::WARN, "too old", |log, record| log.on_expire(record, Duration::from_secs(9))),
    (Level::WARN, "lease could not be renewed", |log, record| log.on_lease_lost(record)),
    (Level::WARN, "a commit was refused", |log, record| {
        log.on_commit_failed(record.partition(), 44, &CommitRefused::failed("why"));
    }),
    (Level::WARN, "a conflict", |log, record| {
        log.on_conflict(record, &Origin { partition: partition(), offset: 7 });
    }),
];

#[tokio::test(start_paused = true)]
async fn of_a_kind_and_topic_the_first_is_written_and_then_one_a_second() {
    for (level, words, cause) in SAMPLED {
        let log = Log::new();
        let told = lines(|| (0..1000).for_each(|_| cause(&log, &record())));
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].0, *level, "{told:?}");
        assert!(told[0].1.contains(words) && told[0].1.contains("suppressed=0"), "{told:?}");

        let other = Record::builder(TopicPartition::new("payments", 0), 0).build();
        assert_eq!(lines(|| cause(&log, &other)).len(), 1, "another topic: {words}");

        advance(Duration::from_secs(1)).await;
        let told = lines(|| (0..1000).for_each(|_| cause(&log, &record())));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].1.contains("suppressed=999"), "{told:?}");
    }
}

/// How many of a kind happened, by the lines: each stands for one, and for those that were left out.
fn stated(lines: &[(Level, String)]) -> u64 {
    let suppressed = |line: &str| {
        let number = line.split("suppressed=").nth(1).and_then(|rest| rest.split(' ').next());
        number.expect("a number").parse::<u64>().expect("a number")
    };
    lines.iter().map(|(_, line)| suppressed(line) + u64::from(!line.contains("the end of a burst"))).sum()
}

#[tokio::test(start_paused = true)]
async fn rest_of_a_burst_is_written_when_it_is_over() {
    for (level, _, cause) in SAMPLED {
        let written = Lines::default();
        let _guard = tracing::subscriber::set_default(written.clone());
        let log = Log::new();
        for _ in 0..225 {
            cause(&log, &record());
            advance(Duration::from_millis(10)).await;
        }
        let before = stated(&written.0.lock());
        assert!(before < 225, "{before}");
        // Nothing else happens: the clock goes on by itself.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let lines = written.0.lock().clone();
        assert_eq!(stated(&lines), 225, "{lines:?}");
        let (last_level, last) = lines.last().expect("lines");
        assert_eq!(last_level, level);
        assert!(last.contains("the end of a burst") && last.contains("subject=\"orders\""), "{last}");
        assert!(last.contains("kind="), "{last}");
    }
}

/// One process that ended leaves thousands of leases, which must not read like thousands of ends.
#[tokio::test(start_paused = true)]
async fn takeovers_are_one_line_per_partition_and_burst() {
    let written = Lines::default();
    let _guard = tracing::subscriber::set_default(written.clone());
    let log = Log::new();
    let other = Record::builder(TopicPartition::new("orders", 8), 0).build();
    for _ in 0..3000 {
        log.on_claim(&record(), 1, true);
        log.on_claim(&other, 1, true);
        advance(Duration::from_millis(3)).await;
    }
    let lines = written.0.lock().clone();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines.iter().all(|(level, line)| *level == Level::WARN && line.contains("the leases of their owner ran out"))
    );
    tokio::time::sleep(Duration::from_secs(20)).await;
    let lines = written.0.lock().clone();
    assert_eq!((lines.len(), stated(&lines)), (4, 6000), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn rest_of_bursts_adds_up_whenever_they_come() {
    let written = Lines::default();
    let _guard = tracing::subscriber::set_default(written.clone());
    let log = Log::new();
    let mut happened = 0;
    for (round, pause) in [1, 999, 1, 1000, 1999, 2000, 2001, 1, 5000, 300].into_iter().enumerate() {
        for _ in 0..=round * 7 {
            log.on_retry(&record(), 1, Duration::ZERO);
            happened += 1;
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
        assert!(stated(&written.0.lock()) <= happened, "nothing is stated twice");
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(stated(&written.0.lock()), happened, "{written:?}");
}

#[test]
fn rest_is_written_when_the_log_is_dropped() {
    let lines = lines(|| {
        let log = Log::new();
        (0..225).for_each(|_| log.on_retry(&record(), 1, Duration::ZERO));
    });
    assert_eq!((lines.len(), stated(&lines)), (2, 225), "{lines:?}");
}

/// The log may live on, as in a program with several runtimes.
#[test]
fn rest_is_written_when_the_runtime_ends() {
    let log = Log::new();
    let lines = lines(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async { (0..225).for_each(|_| log.on_retry(&record(), 1, Duration::ZERO)) });
        drop(runtime);
    });
    assert_eq!((lines.len(), stated(&lines)), (2, 225), "{lines:?}");
}

#[test]
fn no_kind_holds_up_another() {
    let log = Log::new();
    let told = lines(|| SAMPLED.iter().for_each(|(_, _, cause)| cause(&log, &record())));
    assert_eq!(told.len(), SAMPLED.len(), "{told:?}");
}

#[test]
fn a_line_names_the_record_and_never_what_it_holds() {
    let log = Log::new();
    let record = Record::builder(partition(), 42).key("secret-key").payload("secret-payload").build();
    let told = lines(|| SAMPLED.iter().for_each(|(_, _, cause)| cause(&log, &record)));
    for (_, line) in told {
        assert!(line.contains("orders-7") && !line.contains("secret"), "{line}");
    }
}

#[test]
fn single_records_that_went_well_are_traced_only() {
    let log = Log::new();
    let told = lines(|| {
        log.on_claim(&record(), 0, false);
        log.on_park(&record(), None);
        log.on_handled(&record(), 1, Duration::ZERO);
        log.on_failure(&record(), 1, FailureKind::Retryable);
        log.on_complete(&record(), Verdict::First);
        log.on_settle(&record(), Outcome::Handled, Duration::ZERO);
    });
    assert_eq!(told, []);
}

#[test]
fn an_outage_of_the_store_is_no_line_per_item() {
    let log = Log::new();
    let error = StoreError::Unavailable(Cause::new("away"));
    let told = lines(|| (0..1000).for_each(|_| log.on_store_error("claim", &error)));
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, Level::DEBUG);
}

#[test]
fn a_stall_is_one_warning_in_words_and_its_end_is_told() {
    let log = Log::new();
    let told = lines(|| log.on_stall(&partition(), 42, Duration::from_secs(30), &WaitsFor::Completion));
    assert_eq!(told.len(), 1, "{told:?}");
    let (level, line) = &told[0];
    assert_eq!(*level, Level::WARN);
    for words in ["makes no progress", "waits for the store", "partition=orders-7", "offset=42", "since=30s"] {
        assert!(line.contains(words), "{words}: {line}");
    }
    let told = lines(|| log.on_stall_over(&partition()));
    assert_eq!(told.iter().map(|(level, _)| *level).collect::<Vec<_>>(), [Level::INFO]);
}

#[test]
fn what_happens_to_a_partition_is_written_each_time() {
    let log = Log::new();
    let told = lines(|| {
        for _ in 0..2 {
            log.on_stop(&partition(), &PartitionStop::new(42, StopCause::NoId, "why"));
            log.on_lost(&partition(), Epoch(1));
            log.on_assign(&partition(), Epoch(2));
        }
    });
    let levels: Vec<_> = told.iter().map(|(level, _)| *level).collect();
    assert_eq!(levels, [Level::ERROR, Level::WARN, Level::INFO, Level::ERROR, Level::WARN, Level::INFO]);
}
