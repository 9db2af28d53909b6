//! The deduplicator against a store whose faults are scripted, under paused time.

mod begins;
mod coalescer;
mod conflicts;
mod dropping;
mod endings;
mod layer;
mod leases;
mod scripted;
mod unknown;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Begin, Builder, Deduplicator, Guard};
use crate::id::{Identity, MessageId, Scope};
use crate::observe::{DuplicateBy, Observer};
use crate::record::{Origin, Record};
use crate::store::GivenBack::{self, Unstarted};
use crate::store::{StoreError, Verdict};
use scripted::Scripted;

const LEASE: Duration = Duration::from_secs(60);

/// How a claim is given back after that many attempts.
const fn failed(attempts: u32) -> GivenBack {
    GivenBack::Failed { attempts }
}

fn id(text: &'static str) -> Identity {
    Identity::new(Scope::Name("tests".into()), MessageId::new(text).unwrap())
}

/// Waits for what has to come; a day of paused time is over at once.
async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(24 * 3600), event).await.expect("what was awaited never came")
}

/// What the observer saw, in order.
#[derive(Debug, Default)]
struct Seen {
    lines: Mutex<Vec<String>>,
    news: Notify,
}

impl Seen {
    fn note(&self, line: impl Into<String>) {
        self.lines.lock().push(line.into());
        self.news.notify_waiters();
    }

    fn count(&self, line: &str) -> usize {
        self.lines.lock().iter().filter(|seen| *seen == line).count()
    }

    /// Waits until a line was seen.
    async fn until(&self, line: &str) {
        soon(async {
            loop {
                let news = self.news.notified();
                if self.count(line) > 0 {
                    return;
                }
                news.await;
            }
        })
        .await;
    }
}

impl Observer for Seen {
    fn on_claim(&self, _: &Record, attempts: u32, suspect: bool) {
        self.note(format!("claim {attempts} {suspect}"));
    }
    fn on_conflict(&self, record: &Record, first: &Origin) {
        self.note(format!("conflict {} {first}", record.origin()));
    }
    fn on_duplicate(&self, _: &Record, by: DuplicateBy, _: Option<&Origin>) {
        self.note(format!("duplicate {by:?}"));
    }
    fn on_complete(&self, _: &Record, verdict: Verdict) {
        self.note(format!("complete {verdict:?}"));
    }
    fn on_lease_lost(&self, _: &Record) {
        self.note("lost");
    }
    fn on_store_error(&self, operation: &'static str, error: &StoreError) {
        self.note(format!("{operation} {}", error.kind()));
    }
}

fn builder(store: &Arc<Scripted>) -> (Builder, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let store: Arc<Scripted> = Arc::clone(store);
    (Deduplicator::builder(store).observer(Arc::clone(&seen) as _), seen)
}

fn start(store: &Arc<Scripted>) -> (Deduplicator, Arc<Seen>) {
    let (builder, seen) = builder(store);
    (builder.build().unwrap(), seen)
}

trait Claimed {
    fn claimed(self) -> Guard;
}

impl Claimed for Result<Begin, super::BeginError> {
    #[track_caller]
    fn claimed(self) -> Guard {
        match self {
            Ok(Begin::Claimed(guard)) => guard,
            other => panic!("expected a claim, got {other:?}"),
        }
    }
}
