//! The handler that posts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use reqwest::Url;
use tokio::sync::watch;

use super::body::LONGEST_BODY;
use super::exchange::{Exchange, Wanted};
use super::outcome::Outcomes;
use super::token::Token;
use super::verdict::verdict;
use super::writer::Writer;
use super::{PushProtocol, PushSettings, TargetState, client, ready};
use crate::consumer::{Attempt, BatchHandler, Failure, Handler};
use crate::error::Problem;
use crate::record::Record;

/// Posts records to an application: a [`Handler`], and for batches a [`BatchHandler`].
///
/// Clones share connections and state: one goes to the consumer, another to whoever asks how the application is.
/// [What is sent, and what answers mean](super).
#[derive(Clone)]
pub struct Push {
    inner: Arc<Inner>,
}

/// What clones share.
pub(super) struct Inner {
    pub(super) exchange: Exchange,
    pub(super) writer: Writer,
    pub(super) outcomes: Outcomes,
    pub(super) protocol: PushProtocol,
    ready_url: Option<Url>,
}

impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl Push {
    /// Reads the settings and the files that they name; nothing is sent yet. `on_stop` is called once, where the
    /// application answers that it wants no more messages (410), with what it said.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn new(settings: &PushSettings, on_stop: Arc<dyn Fn(&str) + Send + Sync>) -> Result<Self, Problem> {
        let exchange = Exchange {
            url: client::url("HAPAX_PUSH_URL", &settings.url)?,
            client: client::client(settings)?,
            token: Token::new(settings.token.as_ref())?,
            retry_after_cap: settings.retry_after_cap,
            http2: settings.http2,
            spoken: AtomicBool::new(false),
        };
        let ready_url =
            settings.ready_url.as_deref().map(|url| client::url("HAPAX_PUSH_READY_URL", url)).transpose()?;
        let inner = Inner {
            exchange,
            writer: Writer::new(settings)?,
            outcomes: Outcomes::new(on_stop),
            protocol: settings.protocol,
            ready_url,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What is known of the application.
    pub fn state(&self) -> TargetState {
        self.inner.outcomes.target.state()
    }

    /// As [`state`](Self::state), and what it becomes.
    pub fn watch(&self) -> watch::Receiver<TargetState> {
        self.inner.outcomes.target.watch()
    }

    /// Waits until the application can take messages: [`PushSettings::ready_url`] answers with 2xx or, where there is
    /// none, a connection can be made. Asks without end; what it waits for is logged.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn wait_ready(&self) {
        ready::wait(&self.inner.exchange, self.inner.ready_url.as_ref()).await;
        self.inner.outcomes.target.ready();
    }
}

impl Handler for Push {
    async fn handle(&self, record: Record, attempt: Attempt) -> Result<(), Failure> {
        self.inner.one(&record, &attempt).await
    }
}

impl BatchHandler for Push {
    async fn handle(&self, records: Vec<(Record, Attempt)>) -> Vec<Result<(), Failure>> {
        self.inner.many(&records).await
    }
}

impl Inner {
    async fn one(&self, record: &Record, attempt: &Attempt) -> Result<(), Failure> {
        self.outcomes.may_send()?;
        let (headers, body) = self.writer.one(record, attempt).map_err(Failure::fatal)?;
        let wanted = match self.protocol {
            PushProtocol::Http => Wanted::Nothing,
            PushProtocol::Dapr => Wanted::Results(LONGEST_BODY),
        };
        let sent = self.exchange.send(headers, body, wanted).await;
        let answer = sent.map_err(|fault| self.outcomes.no_answer(fault))?;
        let verdict = verdict(self.protocol, answer.status, answer.body.as_deref());
        self.outcomes.follows(verdict, answer.status, answer.retry_after, || answer.said())
    }
}
