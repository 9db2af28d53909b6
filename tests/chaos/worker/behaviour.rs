//! What a handler does with a record, by the record's nature.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::history::{Attempt, Ended, Event, Journal, Nature, Outcome};
use crate::mode::{HANDLER_LIMIT, LEASE};

/// The header with the number of the sending: copies of a message have one payload, or they would be conflicts.
pub const NUMBER: &str = "n";

/// The payload of a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Payload {
    pub id: Option<String>,
    pub nature: Nature,
}

/// Writes that an attempt was dropped, unless it ended.
struct Open<'a> {
    journal: &'a Journal,
    attempt: &'a Attempt,
    ended: bool,
}

impl Open<'_> {
    fn end(&mut self, outcome: Outcome) -> Outcome {
        self.ended = true;
        self.journal.write(Ended { of: self.attempt.clone(), outcome }).expect("the history is writable");
        outcome
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Outcome::Dropped);
        }
    }
}

/// Handles one record. The answer [`Outcome::Panicked`] is for the caller to act on.
pub async fn act(journal: &Arc<Journal>, attempt: &Attempt, nature: &Nature) -> Outcome {
    journal.write(Event::Started(attempt.clone())).expect("the history is writable");
    let mut open = Open { journal, attempt, ended: false };
    sleep(Duration::from_millis(1)).await;
    let first = attempt.attempt <= 1;
    let outcome = match nature {
        Nature::Poison => Outcome::Retryable,
        Nature::FailsTwice if attempt.attempt <= 2 => Outcome::Retryable,
        Nature::PanicsOnce if first => Outcome::Panicked,
        Nature::Fatal => Outcome::Fatal,
        Nature::TimesOutOnce if first => {
            sleep(HANDLER_LIMIT * 2).await;
            Outcome::Retryable
        }
        Nature::Slow => {
            sleep(LEASE / 2).await;
            effect(journal, attempt);
            Outcome::Ok
        }
        Nature::FailsAfterEffect if first => {
            effect(journal, attempt);
            Outcome::Retryable
        }
        _ => {
            effect(journal, attempt);
            Outcome::Ok
        }
    };
    open.end(outcome)
}

fn effect(journal: &Journal, attempt: &Attempt) {
    pass("before_effect");
    journal.write(Event::Effect(attempt.clone())).expect("the history is writable");
    pass("after_effect");
}

/// The failpoints that only a handler has, as those within hapax.
fn pass(point: &str) {
    static DEATH: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let chosen = std::env::var("FAILPOINT").ok()?;
        let (name, time) = chosen.split_once(':')?;
        Some((name.to_owned(), time.parse().ok()?))
    });
    static PASSED: AtomicU32 = AtomicU32::new(0);
    if let Some((_, time)) = DEATH.as_ref().filter(|(name, _)| name == point)
        && PASSED.fetch_add(1, Relaxed) + 1 == *time
    {
        std::process::abort();
    }
}
