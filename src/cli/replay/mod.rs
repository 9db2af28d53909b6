//! `hapax replay`: dead letters back to the topics that they came from.
//!
//! Nothing need be forgotten for it: what goes back says in a header that it is a replay, which makes it another message
//! for this namespace alone. Run twice, the second is recognised as a duplicate. The dead letters stay where they are.

mod choice;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use self::choice::{Chosen, Filter, Stays, choose};
use crate::kafka::{KafkaSettings, Publisher, Range, SourceError};
use crate::record::Record;
use crate::sidecar::Settings;
use crate::sidecar::settings::{ConsumerSettings, Delivery};

/// How many records are on their way at once.
const UNDER_WAY: usize = 1000;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Sends them. Without it, only what would be sent is told.
    #[arg(long)]
    execute: bool,
    /// The dead-letter topic to read; default: those of the settings.
    #[arg(long, value_name = "TOPIC")]
    from: Option<String>,
    /// Only those that came from this topic.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Only those whose reason holds this text.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only those written at that time or later, as in 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<i64>,
    /// Only those written before that time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<i64>,
    /// At most so many.
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
}

fn time(text: &str) -> std::result::Result<i64, String> {
    let format = &time::format_description::well_known::Rfc3339;
    let time =
        time::OffsetDateTime::parse(text, format).map_err(|_| "write it as in 2026-01-31T12:00:00Z".to_owned())?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).map_err(|_| "it is too far away".to_owned())
}

/// What was found.
#[derive(Debug, Default)]
struct Tally {
    /// By topic and reason.
    go: BTreeMap<(Arc<str>, String), u64>,
    stay: BTreeMap<Stays, u64>,
}

/// Tells what would go back, and, where it was asked for, sends it.
pub(super) async fn run(settings: &Settings, options: &Options) -> Result<()> {
    let Delivery::Push(push) = &settings.delivery else {
        return Err("there are no dead letters with HAPAX_DELIVERY=pull: whoever reads the topic writes them".into());
    };
    let consumer = &push.0;
    let sources = sources(consumer, options)?;
    let filter = Filter {
        namespace: settings.namespace.clone(),
        group: consumer.kafka.group.clone(),
        topics: consumer
            .kafka
            .topics
            .iter()
            .filter(|it| options.topic.as_ref().is_none_or(|only| only == *it))
            .cloned()
            .collect(),
        reason: options.reason.clone(),
        since: options.since,
        until: options.until,
    };
    // The same range twice: what comes meanwhile was not told.
    let mut ranges = Vec::new();
    let mut tally = Tally::default();
    let mut left = options.limit.unwrap_or(u64::MAX);
    for source in &sources {
        let range = range(&consumer.kafka, source).await?;
        let mut read = Reading::start(&consumer.kafka, source, &range, "looking")?;
        while let Some(record) = read.next().await? {
            left -= tally.count(choose(&record, &filter), left);
        }
        ranges.push((source, range));
    }
    print(&tally, &sources)?;
    let count: u64 = tally.go.values().sum();
    if count == 0 || !options.execute {
        if count > 0 {
            writeln!(io::stdout(), "nothing was sent; run it again with --execute")?;
        }
        return Ok(());
    }
    let mut topics: Vec<_> = tally.go.keys().map(|(topic, _)| Arc::clone(topic)).collect();
    topics.dedup();
    let publisher = Publisher::start(&consumer.kafka, &topics).await?;
    let sent = send(consumer, &ranges, &filter, &publisher, count).await?;
    writeln!(io::stdout(), "sent {sent} records back; the dead letters stay where they are")?;
    Ok(())
}

fn sources(consumer: &ConsumerSettings, options: &Options) -> Result<Vec<String>> {
    if let Some(topic) = &options.from {
        return Ok(vec![topic.clone()]);
    }
    match consumer.dead_letter_topics() {
        none if none.is_empty() => Err("set HAPAX_DEAD_LETTER_TOPIC, or name the topic with --from".into()),
        topics => Ok(topics),
    }
}

impl Tally {
    /// Returns how many of `left` it took.
    fn count(&mut self, chosen: std::result::Result<Chosen, Stays>, left: u64) -> u64 {
        match chosen {
            Ok(Chosen { outgoing, reason }) if left > 0 => {
                *self.go.entry((outgoing.topic, reason)).or_default() += 1;
                1
            }
            Ok(_) => {
                *self.stay.entry(Stays::Filtered).or_default() += 1;
                0
            }
            Err(stays) => {
                *self.stay.entry(stays).or_default() += 1;
                0
            }
        }
    }
}

fn print(tally: &Tally, sources: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "in {}:", sources.join(", "))?;
    for ((topic, reason), count) in &tally.go {
        // What a handler said may hold anything.
        writeln!(out, "  {count:>8} to {topic}: {}", reason.escape_debug())?;
    }
    for (stays, count) in &tally.stay {
        let why = match stays {
            Stays::Unmarked => "stay: they do not say where they came from",
            Stays::OtherGroup => "stay: another group gave them up",
            Stays::OtherTopic => "stay: they came from topics that are not asked for",
            Stays::Filtered => "stay: the filters leave them out",
            Stays::Unreadable => "stay: their header hapax-replay cannot be read",
        };
        writeln!(out, "  {count:>8} {why}")?;
    }
    if tally.go.is_empty() {
        writeln!(out, "  nothing to send back")?;
    }
    Ok(())
}

async fn send(
    consumer: &ConsumerSettings,
    ranges: &[(&String, Range)],
    filter: &Filter,
    publisher: &Publisher,
    count: u64,
) -> Result<u64> {
    let (mut sent, mut handed) = (0, 0);
    let mut under_way = FuturesUnordered::new();
    for (source, range) in ranges {
        let mut read = Reading::start(&consumer.kafka, source, range, "sending")?;
        while let Some(record) = read.next().await? {
            if handed == count {
                break;
            }
            let Ok(Chosen { outgoing, .. }) = choose(&record, filter) else { continue };
            handed += 1;
            // Handed over in their order, so those of one key stay in it.
            let mut publishing = Box::pin(publisher.publish(outgoing));
            match futures_util::poll!(&mut publishing) {
                std::task::Poll::Ready(result) => {
                    result.map_err(|error| stopped(sent, error))?;
                    sent += 1;
                }
                std::task::Poll::Pending => under_way.push(publishing),
            }
            if under_way.len() >= UNDER_WAY
                && let Some(result) = under_way.next().await
            {
                result.map_err(|error| stopped(sent, error))?;
                sent += 1;
            }
        }
    }
    while let Some(result) = under_way.next().await {
        result.map_err(|error| stopped(sent, error))?;
        sent += 1;
    }
    Ok(sent)
}

fn stopped(sent: u64, error: impl Error) -> String {
    format!(
        "stopped after {sent} records: {error}. Run it again with the same filters: what was sent already is recognised as \
         a duplicate"
    )
}

async fn range(kafka: &KafkaSettings, topic: &str) -> Result<Range> {
    let (kafka, topic) = (kafka.clone(), topic.to_owned());
    Ok(tokio::task::spawn_blocking(move || kafka.range(&topic)).await??)
}

/// A topic that is read on a thread, a bounded way ahead.
struct Reading {
    records: mpsc::Receiver<(Record, u64)>,
    thread: Option<tokio::task::JoinHandle<std::result::Result<(), SourceError>>>,
    bar: ProgressBar,
}

impl Reading {
    fn start(kafka: &KafkaSettings, topic: &str, range: &Range, message: &'static str) -> Result<Self> {
        let (sender, records) = mpsc::channel(UNDER_WAY);
        let (kafka, topic, range) = (kafka.clone(), topic.to_owned(), range.clone());
        let style = ProgressStyle::with_template("{msg:<8} {wide_bar} {pos}/{len} {per_sec}")?;
        let bar = ProgressBar::new(range.len()).with_style(style).with_message(message);
        let thread = tokio::task::spawn_blocking(move || {
            kafka.read(&topic, &range, |record, passed| match sender.blocking_send((record, passed)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            })
        });
        Ok(Self { records, thread: Some(thread), bar })
    }

    async fn next(&mut self) -> Result<Option<Record>> {
        if let Some((record, passed)) = self.records.recv().await {
            self.bar.set_position(passed);
            return Ok(Some(record));
        }
        self.bar.finish_and_clear();
        match self.thread.take() {
            Some(thread) => thread.await?.map(|()| None).map_err(Into::into),
            None => Ok(None),
        }
    }
}
