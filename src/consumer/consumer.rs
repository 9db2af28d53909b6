//! A consumer that was built, and runs.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::ConsumerBuilder;
use super::age::Age;
use super::calls::{Call, OneByOne, Together};
use super::control::Control;
use super::driver::{Driver, Parts};
use super::handler::{BatchHandler, Handler};
use super::shutdown::Shutdown;
use super::start::Patience;
use super::topics::OtherTopics;
use crate::engine::{Engine, EngineConfig};
use crate::error::RunError;
use crate::id::Identifier;
use crate::kafka::{KafkaSettings, Publisher, Source, SourceEvents};
use crate::observe::Observer;
use crate::store::{Agreement, Store};

/// A consumer that handles each message once: built, not yet started.
#[derive(Debug)]
pub struct Consumer {
    pub(super) kafka: KafkaSettings,
    pub(super) topics: OtherTopics,
    /// Topics that are written to, and must exist.
    pub(super) written: Vec<Arc<str>>,
    pub(super) age: Age,
    pub(super) identifier: Identifier,
    pub(super) agreement: Agreement,
    pub(super) store: Arc<dyn Store>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) control: Control,
    pub(super) engine: EngineConfig,
    pub(super) handler_time_limit: Duration,
    pub(super) drain_limit: Duration,
    pub(super) start_timeout: Duration,
}

impl Consumer {
    /// Starts with the defaults; see [`ConsumerBuilder`].
    pub fn builder() -> ConsumerBuilder {
        ConsumerBuilder::default()
    }

    /// Opens the namespace, joins the group and handles records until `shutdown` resolves, then drains and leaves. The
    /// end takes at most twice the drain limit, also while store or brokers are away.
    ///
    /// Offsets are committed only for records that were handled and recorded as done, or recognised as duplicates of
    /// such, or that need nothing more by a policy that was chosen. A record that cannot be handled goes to the
    /// dead-letter topic, or stops its partition where there is none; the others go on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the consumer as a crash would: nothing is drained, released or committed. No message is
    /// lost; what was running may run again elsewhere, once its lease has run out.
    ///
    /// # Errors
    ///
    /// [`RunError::Open`] when the store cannot be reached or other processes of the namespace have other settings,
    /// [`RunError::Source`] when the brokers cannot be reached, a topic does not exist, or the source fails for good.
    /// At the start, services that are away are tried again for [`ConsumerBuilder::start_timeout`].
    /// [`RunError::is_retryable`] tells whether starting again can help.
    pub async fn run<H: Handler>(self, handler: H, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        self.drive(OneByOne(handler), 1, shutdown, std::future::pending()).await
    }

    /// [`run`](Self::run) until a [`Shutdown`] is asked for, or a [`CancellationToken`](tokio_util::sync::CancellationToken)
    /// is cancelled.
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_until<H: Handler>(self, handler: H, shutdown: impl Into<Shutdown>) -> Result<(), RunError> {
        let shutdown = shutdown.into();
        self.drive(OneByOne(handler), 1, shutdown.drain_asked(), shutdown.at_once_asked()).await
    }

    /// [`run_until`](Self::run_until), with a handler that takes up to [`ConsumerBuilder::batch`] records at once:
    /// whatever is ready when a call may start. Nothing waits for a batch to fill up.
    ///
    /// Each record is claimed, answered for and recorded by itself, so a crash repeats those whose completion was not
    /// answered, and [`max_exposed`](ConsumerBuilder::max_exposed) bounds them. A call that exceeds its time limit or panics
    /// is a failed attempt of all its records.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use hapax::consumer::{ConsumerBuilder, Failure, Shutdown};
    /// use hapax::engine::Order;
    /// use hapax::record::Record;
    ///
    /// /// One insert for all rows; those that the table refuses are told apart.
    /// async fn insert(records: Vec<Record>) -> Vec<Result<(), Failure>> {
    ///     let row = |record: &Record| match record.payload() {
    ///         Some(_) => Ok(()),
    ///         None => Err(Failure::fatal("a row without a payload")),
    ///     };
    ///     records.iter().map(row).collect()
    /// }
    ///
    /// # async fn example(consumer: ConsumerBuilder) -> Result<(), Box<dyn std::error::Error>> {
    /// let shutdown = Shutdown::new();
    /// let on_signal = shutdown.clone();
    /// tokio::spawn(async move {
    ///     tokio::signal::ctrl_c().await.ok();
    ///     on_signal.drain();
    /// });
    /// consumer
    ///     .order(Order::Unordered) // What fails is tried again behind others.
    ///     .batch(200)
    ///     .concurrency(4)
    ///     .build()?
    ///     .run_batches(insert, shutdown)
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_batches<H: BatchHandler>(self, handler: H, shutdown: impl Into<Shutdown>) -> Result<(), RunError> {
        let (shutdown, batch) = (shutdown.into(), self.engine.batch);
        self.drive(Together(handler), batch, shutdown.drain_asked(), shutdown.at_once_asked()).await
    }

    /// Opens the store, then the clients of Kafka: tried again while they are away, for as long as the start may take.
    async fn start(&self) -> Result<(Option<Publisher>, Source, SourceEvents), RunError> {
        let patience = Patience::new(self.start_timeout);
        let waits = |why| self.control.start_waits(why);
        let open = |_| async { self.store.open(&self.agreement).await.map_err(RunError::Open) };
        patience.until("the store", waits, open).await?;
        let kafka = |left: Option<Duration>| {
            let limit = self.kafka.start_limit;
            KafkaSettings { start_limit: left.map_or(limit, |left| limit.min(left)), ..self.kafka.clone() }
        };
        let publisher = match self.written.as_slice() {
            [] => None,
            // Before anything is read: a topic that is missing should be reported before the first message needs it.
            topics => {
                let start = |left| {
                    let kafka = kafka(left);
                    async move { Publisher::start(&kafka, topics).await.map_err(RunError::Source) }
                };
                Some(patience.until("Kafka", waits, start).await?)
            }
        };
        let start = |left| {
            let kafka = kafka(left);
            async move { Source::start(kafka).await.map_err(RunError::Source) }
        };
        let (source, events) = patience.until("Kafka", waits, start).await?;
        Ok((publisher, source, events))
    }

    async fn drive<C: Call>(
        mut self,
        handler: C,
        batch: usize,
        drain: impl Future<Output = ()>,
        at_once: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        self.engine.batch = batch;
        let mut drain = pin!(drain);
        let (publisher, source, events) = tokio::select! {
            started = self.start() => started?,
            // Nothing was claimed or joined, so an end need not wait for services that do not answer.
            () = &mut drain => return Ok(()),
        };
        let kafka = source.watch(publisher.clone());
        let attached = self.control.attach(Arc::clone(&self.store), kafka.clone());
        let parts = Parts {
            engine: Engine::new(self.engine, Arc::clone(&self.observer), rand::random()),
            observer: self.observer,
            identifier: self.identifier,
            store: self.store,
            topics: self.topics,
            publisher,
            kafka,
            age: self.age,
            handler_time_limit: self.handler_time_limit,
            drain_limit: self.drain_limit,
        };
        Driver::new(parts, handler, source).run(events, attached, drain, at_once).await
    }
}
