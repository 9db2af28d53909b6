//! The handler that posts.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::client::Client;
use super::exchange::{Exchange, Wanted};
use super::outcome::Outcomes;
use super::ready::Ready;
use super::token::Token;
use super::verdict::verdict;
use super::writer::Writer;
use super::{PushProtocol, PushSettings, TargetState, url};
use crate::consumer::{Attempt, BatchHandler, Failure, Handler};
use crate::error::Problem;
use crate::record::Record;

/// The variable that names the application.
const URL: &str = "HAPAX_PUSH_URL";

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
    ready: Ready,
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
        let target = url::url(URL, &settings.url)?;
        let exchange = Exchange {
            client: Client::new(URL, settings, &target)?,
            token: Token::new(settings.token.as_ref())?,
            time_limit: settings.time_limit,
            retry_after_cap: settings.retry_after_cap,
            longest_answer: settings.max_answer,
        };
        let inner = Inner {
            exchange,
            writer: Writer::new(settings)?,
            outcomes: Outcomes::new(on_stop),
            protocol: settings.protocol,
            ready: Ready::new(settings, target)?,
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

    /// Sends messages again to an application that wanted no more (410), because an operator asks for it. Returns whether
    /// it had wanted no more.
    pub fn reopen(&self) -> bool {
        self.inner.outcomes.target.reopen()
    }

    /// Waits until the application can take messages: [`PushSettings::ready_url`] answers with 2xx or, where there is
    /// none, a connection can be made. Asks without end; what it waits for is logged.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn wait_ready(&self) {
        self.inner.ready.wait(&self.inner.exchange.token).await;
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
            PushProtocol::Dapr => Wanted::Results,
        };
        let sent = self.exchange.send(headers, body, wanted).await;
        let answer = sent.map_err(|fault| self.outcomes.no_answer(fault))?;
        let verdict = verdict(self.protocol, answer.status, &answer.body);
        let follows = self.outcomes.follows(verdict, answer.status, answer.retry_after, || answer.said());
        follows.map_err(|failure| failure.answered(&answer.shown()))
    }
}
