//! Reports of attempts in doubt whose record is not here any more. Where the first attempt came from is looked up before.

use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::id::Fingerprint;
use crate::record::{Origin, Record};
use crate::store::State;

use super::calls::Call;
use super::driver::Driver;

/// How long a look-up may take. The report must not depend on it.
const LOOK_UP: Duration = Duration::from_secs(1);

impl<C: Call> Driver<C> {
    /// Reports a possible repeat: at once, or after a look-up if the store keeps where the first attempt came from.
    pub(super) fn report_doubt(&mut self, record: Record, fingerprint: Fingerprint) {
        if !self.keeps_details {
            return self.parts.observer.on_possible_repeat(&record, None);
        }
        // A task of its own, so that a store that panics does not take the report with it.
        let asked = AbortOnDropHandle::new(tokio::spawn(self.parts.store.inspect(vec![fingerprint])));
        self.doubts.spawn(async move {
            let states = timeout(LOOK_UP, asked).await.ok().and_then(Result::ok);
            let first = match states.and_then(|states| states.into_iter().next()) {
                Some(Ok(State::Done { record, .. })) => record.map(|first| first.origin.clone()),
                _ => None,
            };
            (record, first)
        });
    }

    pub(super) fn doubt_looked_up(&self, looked_up: Result<(Record, Option<Origin>), JoinError>) {
        // None is aborted before the end, and nothing in it panics.
        let Ok((record, first)) = looked_up else { return };
        self.parts.observer.on_possible_repeat(&record, first.as_ref());
    }

    /// Waits for the look-ups that are under way: each is a repeat that would stay hidden.
    pub(super) async fn end_doubts(&mut self) {
        while let Some(looked_up) = self.doubts.join_next().await {
            self.doubt_looked_up(looked_up);
        }
    }
}
