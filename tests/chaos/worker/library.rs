//! A worker that uses the library.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hapax::consumer::{Attempt, BatchHandler, Consumer, ConsumerBuilder, Failure, Handler, Shutdown};
use hapax::engine::Order;
use hapax::error::RunError;
use hapax::id::IdPolicy;
use hapax::kafka::SourceError;
use hapax::observe::{Fan, Observer};
use hapax::record::Record;
use hapax::store::{DoneMode, LeaseTerms, RedisStore};
use hapax::telemetry::Metrics;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::behaviour::{Payload, act};
use super::observer::Written;
use super::{Job, counts};
use crate::history::{self, Event, Journal, Outcome};
use crate::mode::*;

pub async fn run(job: &Job) {
    // The log goes to the output, which the harness keeps.
    tracing_subscriber::fmt().with_env_filter("hapax=info,warn").with_ansi(false).init();
    let journal = Arc::new(Journal::open(&job.out, &format!("{}-{}", job.worker, job.incarnation)).expect("a history"));
    let hand = Hand { job: job.clone(), journal: Arc::clone(&journal), calls: Arc::default() };
    let mut terminated = signal(SignalKind::terminate()).expect("SIGTERM");
    let shutdown = Shutdown::new();
    let asked = shutdown.clone();
    let ends = Arc::new(AtomicBool::new(false));
    let ending = Arc::clone(&ends);
    tokio::spawn(async move {
        terminated.recv().await;
        ending.store(true, Relaxed);
        asked.drain();
    });
    let prometheus = PrometheusBuilder::new().install_recorder().expect("the first recorder");
    let counted = (journal.clone(), job.clone());
    tokio::spawn(async move {
        let (journal, job) = counted;
        loop {
            sleep(Duration::from_secs(3)).await;
            prometheus.run_upkeep();
            let text = hapax::telemetry::scrape(|| prometheus.render());
            for counts in counts::read(&text, &job.worker, job.incarnation) {
                journal.write(Event::Counts(counts)).expect("the history is writable");
            }
        }
    });
    let ended = loop {
        let consumer = builder(job, &journal).build().expect("settings that can be");
        let ended = match job.mode.batch {
            1 => consumer.run_until(hand.clone(), shutdown.clone()).await,
            _ => consumer.run_batches(hand.clone(), shutdown.clone()).await,
        };
        match ended {
            // What is away at the start comes back: as the sidecar waits for it, so does this.
            Err(RunError::Open(error)) => println!("not yet: {error}"),
            Err(RunError::Source(error @ SourceError::Unreachable { .. })) => println!("not yet: {error}"),
            ended => break ended,
        }
        if ends.load(Relaxed) {
            break Ok(());
        }
        sleep(Duration::from_millis(500)).await;
    };
    println!("ended: {ended:?}");
    if ended.is_err() {
        std::process::exit(1);
    }
}

fn builder(job: &Job, journal: &Journal) -> ConsumerBuilder {
    let terms = LeaseTerms { lease: LEASE, grace: GRACE, window: WINDOW };
    let mode = if job.mode.exact { DoneMode::Exact } else { DoneMode::Compact };
    let store = RedisStore::builder(job.redis.clone(), job.group.parse().expect("a namespace")).terms(terms).mode(mode);
    let written: Arc<dyn Observer> = Arc::new(Written::new(job, journal.clone()));
    let metrics: Arc<dyn Observer> = Arc::new(Metrics::new());
    let mut builder = Consumer::builder()
        .brokers(&job.brokers)
        .group(&job.group)
        .topic(&job.topic)
        .property("session.timeout.ms", SESSION.as_millis().to_string())
        .property("heartbeat.interval.ms", (SESSION / 5).as_millis().to_string())
        .property("max.poll.interval.ms", POLL.as_millis().to_string())
        .property("topic.metadata.refresh.interval.ms", "2000")
        .store(Arc::new(store.build().expect("a store")))
        .order(match job.mode.order {
            history::Order::Partition => Order::Partition,
            history::Order::Key => Order::Key,
            history::Order::Unordered => Order::Unordered,
        })
        .concurrency(CONCURRENCY)
        .batch(job.mode.batch)
        .max_exposed(job.mode.exposed)
        .max_attempts(MAX_ATTEMPTS)
        .backoff(BACKOFF.0, BACKOFF.1)
        .handler_time_limit(HANDLER_LIMIT)
        .drain_limit(DRAIN)
        .commit_every(COMMIT, 10_000)
        .id_policy(IdPolicy::DeadLetter)
        .dead_letter_topic(&job.dead)
        .observer(Arc::new(Fan::new([metrics, written])));
    if !job.retries.is_empty() {
        // A worker that reads only the last retry topic meets little else than dead letters.
        builder = builder.dead_letter_share(1.0);
    }
    for retry in &job.retries {
        builder = builder.retry_topic(retry, RETRY_DELAY);
    }
    if job.mode.static_members {
        builder = builder.static_member(format!("{}-{}", job.group, job.worker));
    }
    builder
}

#[derive(Clone)]
struct Hand {
    job: Job,
    journal: Arc<Journal>,
    calls: Arc<AtomicU64>,
}

impl Hand {
    async fn one(&self, record: &Record, attempt: &Attempt, call: u64) -> Outcome {
        let payload: Payload = serde_json::from_slice(record.payload().expect("a payload")).expect("our payload");
        let attempt = history::Attempt {
            worker: self.job.worker.clone(),
            incarnation: self.job.incarnation,
            topic: record.topic().to_owned(),
            partition: record.partition().partition(),
            offset: record.offset(),
            id: payload.id,
            attempt: attempt.number,
            call,
        };
        act(&self.journal, &attempt, &payload.nature).await
    }
}

fn answer(outcome: Outcome) -> Result<(), Failure> {
    match outcome {
        Outcome::Ok => Ok(()),
        Outcome::Fatal => Err(Failure::fatal("it can never be handled")),
        Outcome::Panicked => panic!("as this record is meant to"),
        _ => Err(Failure::retryable("as this record is meant to")),
    }
}

impl Handler for Hand {
    async fn handle(&self, record: Record, attempt: Attempt) -> Result<(), Failure> {
        let call = self.calls.fetch_add(1, Relaxed);
        answer(self.one(&record, &attempt, call).await)
    }
}

impl BatchHandler for Hand {
    async fn handle(&self, records: Vec<(Record, Attempt)>) -> Vec<Result<(), Failure>> {
        let call = self.calls.fetch_add(1, Relaxed);
        let mut answers: Vec<Result<(), Failure>> = Vec::with_capacity(records.len());
        // What follows a failure waits for it, as an order asks for.
        for (record, attempt) in &records {
            if self.job.mode.order != history::Order::Unordered && answers.iter().any(Result::is_err) {
                answers.push(Err(Failure::unavailable("one before it failed")));
                continue;
            }
            // A panic would be one of the whole call.
            let outcome = match self.one(record, attempt, call).await {
                Outcome::Panicked => Outcome::Retryable,
                outcome => outcome,
            };
            answers.push(answer(outcome));
        }
        answers
    }
}
