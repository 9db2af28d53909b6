//! A hand on a running consumer: paused, resumed, looked at.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use crate::engine::{PartitionState, SkipRefused, Skippable};
use crate::id::Fingerprint;
use crate::kafka::KafkaWatch;
use crate::observe::{KafkaClients, Outcome};
use crate::record::{Offset, TopicPartition};
use crate::store::{Answers, Store};

/// How many questions may wait for the consumer at once; whoever asks more waits.
const QUESTIONS: usize = 8;

/// A question for a running consumer, and where the answer goes.
#[derive(Debug)]
pub(super) enum Question {
    /// For the states of all partitions.
    States(oneshot::Sender<Vec<PartitionState>>),
    /// To try the records again at which partitions stand stopped; the answer is those partitions as they were.
    Retry(Option<TopicPartition>, oneshot::Sender<Vec<PartitionState>>),
    /// For a record that might be skipped.
    Skippable(TopicPartition, Offset, oneshot::Sender<Result<Skippable, SkipRefused>>),
    /// To skip a record.
    Skip(TopicPartition, Offset, SkipAnswer),
    /// To forget these IDs, which the store has forgotten.
    Forgot(Vec<Fingerprint>, oneshot::Sender<()>),
}

/// Where the answer to a skip goes: what became of the record.
pub(super) type SkipAnswer = oneshot::Sender<Result<Outcome, SkipRefused>>;

/// Pauses a consumer, lets it go on, and tells what its partitions do. Clones are one handle. For one consumer: see
/// [`ConsumerBuilder::control`](super::ConsumerBuilder::control).
///
/// While it is paused the consumer stays in its group and keeps its partitions; no handler starts. What runs ends, is
/// recorded and committed; what was claimed ahead is given back; retries that become due wait. Records still arrive until
/// as many are in flight as may be. A revoke and the end of the consumer are as ever. A pause asked for before the
/// consumer starts holds from its start on; none outlives the process.
///
/// # Examples
///
/// ```no_run
/// use hapax::consumer::{Consumer, Control, Shutdown};
/// use hapax::record::Record;
///
/// # async fn example(consumer: hapax::consumer::ConsumerBuilder) -> Result<(), Box<dyn std::error::Error>> {
/// let control = Control::new();
/// let at_night = control.clone();
/// tokio::spawn(async move {
///     at_night.pause("the warehouse is closed");
///     for state in at_night.partitions().await {
///         println!("{}: {} in flight", state.partition, state.in_flight);
///     }
///     at_night.resume();
/// });
/// let store = async |_: Record| Ok::<(), std::io::Error>(());
/// consumer.control(control).build()?.run_until(store, Shutdown::new()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Why it is paused; `None` where it is not.
    reason: watch::Sender<Option<Arc<str>>>,
    /// Where the running consumer takes questions, and its store.
    running: watch::Sender<Option<Running>>,
    /// Why the start has not succeeded yet.
    start_waits: Mutex<Option<String>>,
}

#[derive(Clone, Debug)]
struct Running {
    questions: mpsc::Sender<Question>,
    store: Arc<dyn Store>,
    kafka: KafkaWatch,
}

impl Control {
    /// A handle that pauses nothing yet.
    pub fn new() -> Self {
        let shared = Shared {
            reason: watch::Sender::new(None),
            running: watch::Sender::new(None),
            start_waits: Mutex::new(None),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Lets nothing new start, for that reason, which is for people. A second one replaces the reason.
    pub fn pause(&self, reason: impl Into<String>) {
        self.shared.reason.send_replace(Some(Arc::from(reason.into())));
    }

    /// Lets it go on. Does nothing where it is not paused.
    pub fn resume(&self) {
        self.shared.reason.send_replace(None);
    }

    /// Why it is paused, or will be from its start on; `None` where it is not.
    pub fn paused(&self) -> Option<String> {
        self.shared.reason.borrow().as_deref().map(str::to_owned)
    }

    /// What every assigned partition is doing, in their order; empty before the consumer has started and after it has
    /// ended. The consumer looks at every record in flight for it: ask once a second, not a thousand times.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed by asking, nor by giving up.
    pub async fn partitions(&self) -> Vec<PartitionState> {
        self.ask(Question::States).await.unwrap_or_default()
    }

    /// Tries the record again at which a partition stands stopped, or those of all partitions. Returns the partitions that
    /// stood stopped, as they were; one whose log is another one cannot try anything, and is left out.
    ///
    /// The claim is made anew and its count goes on, so a record that used its attempts up gets one more. If it fails, the
    /// partition stops there again.
    ///
    /// # Cancel safety
    ///
    /// The question may have been asked already.
    pub async fn retry(&self, partition: Option<TopicPartition>) -> Vec<PartitionState> {
        self.ask(|answer| Question::Retry(partition, answer)).await.unwrap_or_default()
    }

    /// Looks at a record that might be [skipped](Self::skip).
    ///
    /// # Errors
    ///
    /// [`SkipRefused`], if it cannot be.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed by asking, nor by giving up.
    pub async fn skippable(&self, partition: TopicPartition, offset: Offset) -> Result<Skippable, SkipRefused> {
        let asked = self.ask(|answer| Question::Skippable(partition.clone(), offset, answer)).await;
        asked.unwrap_or(Err(SkipRefused::NotAssigned(partition)))
    }

    /// Settles a record that cannot be handled, without handling it: the one at which its partition stands stopped, or one
    /// that waits for its next attempt. Its ID is recorded as done, so that its duplicates are dropped, too. Returns what
    /// became of it: [`Outcome::Duplicate`] if it was handled elsewhere meanwhile.
    ///
    /// While the store is away this waits for it.
    ///
    /// # Errors
    ///
    /// [`SkipRefused`], if it cannot be skipped, or was given up with its partition before that was recorded.
    ///
    /// # Cancel safety
    ///
    /// The record is skipped although the answer is not awaited.
    pub async fn skip(&self, partition: TopicPartition, offset: Offset) -> Result<Outcome, SkipRefused> {
        let asked = self.ask(|answer| Question::Skip(partition.clone(), offset, answer)).await;
        asked.unwrap_or(Err(SkipRefused::NotAssigned(partition)))
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        let running = self.shared.running.borrow().clone()?;
        let (asks, answer) = oneshot::channel();
        running.questions.send(question(asks)).await.ok()?;
        answer.await.ok()
    }

    /// Makes the store forget IDs, then the consumer itself: their messages are handled again when they come again. Other
    /// consumers of the namespace may remember them for as long as their local caches do
    /// ([`ConsumerBuilder::cache`](super::ConsumerBuilder::cache)). One answer for each ID: whether it was known. `None` before
    /// the consumer has started and after it has ended.
    ///
    /// # Cancel safety
    ///
    /// The store may have forgotten the IDs already, while the consumer remembers them: ask again.
    pub async fn forget(&self, ids: Vec<Fingerprint>) -> Option<Answers<bool>> {
        let store = self.store()?;
        let answers = store.forget(ids.clone()).await;
        // Whatever the store answered: not to know is always right.
        self.ask(|answer| Question::Forgot(ids, answer)).await;
        Some(answers)
    }

    /// The store of the consumer; `None` before it has started and after it has ended. To forget IDs, call
    /// [`forget`](Self::forget), for the consumer remembers done IDs itself.
    pub fn store(&self) -> Option<Arc<dyn Store>> {
        self.shared.running.borrow().as_ref().map(|running| Arc::clone(&running.store))
    }

    /// How the Kafka clients of the consumer stand, as they were last seen; `None` before it has started and after it has
    /// ended.
    pub fn kafka(&self) -> Option<KafkaClients> {
        self.shared.running.borrow().as_ref().map(|running| running.kafka.look())
    }

    /// Why the start has not succeeded yet: the service that is away, and its error. `None` before the first attempt has
    /// failed, and once the consumer has started.
    pub fn waits_for(&self) -> Option<String> {
        self.shared.start_waits.lock().clone()
    }

    /// An attempt to start failed, and another one follows.
    pub(super) fn start_waits(&self, why: String) {
        *self.shared.start_waits.lock() = Some(why);
    }

    /// Waits until the consumer has started: store and brokers have answered, and it is about to join its group. At once
    /// where it runs already.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn started(&self) {
        // The sender lives as long as this handle.
        self.shared.running.subscribe().wait_for(Option::is_some).await.ok();
    }

    /// The consumer's side of it, from its start on.
    pub(super) fn attach(&self, store: Arc<dyn Store>, kafka: KafkaWatch) -> Attached {
        *self.shared.start_waits.lock() = None;
        let (questions, asked) = mpsc::channel(QUESTIONS);
        self.shared.running.send_replace(Some(Running { questions, store, kafka }));
        let mut wanted = self.shared.reason.subscribe();
        // What was asked for before the start is news to it.
        wanted.mark_changed();
        Attached { control: self.clone(), asked, wanted, paused: false }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

/// What the consumer is asked through its [`Control`].
#[derive(Debug)]
pub(super) struct Attached {
    /// Keeps both channels open, so that no wait for them ends in a busy loop.
    control: Control,
    asked: mpsc::Receiver<Question>,
    wanted: watch::Receiver<Option<Arc<str>>>,
    paused: bool,
}

/// What is asked of the consumer.
#[derive(Debug)]
pub(super) enum Asked {
    /// To pause, or to go on.
    Paused(bool),
    /// A question, or something to do.
    Question(Question),
}

impl Attached {
    /// Waits until something is asked.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn next(&mut self) -> Asked {
        loop {
            tokio::select! {
                biased;
                Ok(()) = self.wanted.changed() => {
                    let paused = self.wanted.borrow_and_update().is_some();
                    if std::mem::replace(&mut self.paused, paused) != paused {
                        return Asked::Paused(paused);
                    }
                }
                Some(question) = self.asked.recv() => return Asked::Question(question),
                else => std::future::pending().await,
            }
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // Whoever asks from now on is told that there is nothing; a later consumer may have taken its place.
        self.asked.close();
        self.control.shared.running.send_if_modified(|running| {
            let ours = running.as_ref().is_some_and(|running| running.questions.is_closed());
            if ours {
                *running = None;
            }
            ours
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::{LeaseTerms, MemoryStore};

    fn attach(control: &Control) -> Attached {
        control.attach(Arc::new(MemoryStore::new(LeaseTerms::default())), KafkaWatch::still())
    }

    /// What it is asked next; time stands still, so this waits for nothing that does not come.
    async fn next(attached: &mut Attached) -> Asked {
        tokio::time::timeout(Duration::from_secs(1), attached.next()).await.expect("something to be asked")
    }

    #[tokio::test(start_paused = true)]
    async fn a_consumer_hears_of_pauses_once_also_of_one_before_its_start() {
        let control = Control::new();
        control.pause("before");
        let mut attached = attach(&control);
        assert!(matches!(next(&mut attached).await, Asked::Paused(true)));
        control.pause("again");
        assert_eq!(control.paused().as_deref(), Some("again"));
        let asks = control.clone();
        let asking = tokio::spawn(async move { asks.partitions().await });
        let Asked::Question(Question::States(question)) = next(&mut attached).await else {
            panic!("it is paused already")
        };
        question.send(Vec::new()).unwrap();
        assert_eq!(asking.await.unwrap(), []);
        control.resume();
        assert!(matches!(next(&mut attached).await, Asked::Paused(false)));
        assert_eq!(control.paused(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn before_the_start_and_after_the_end_there_is_nothing_to_tell() {
        let control = Control::new();
        assert!(control.partitions().await.is_empty() && control.store().is_none());
        let waits = control.clone();
        let waiting = tokio::spawn(async move { waits.started().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let attached = attach(&control);
        waiting.await.unwrap();
        control.started().await;
        assert!(control.store().is_some());
        let asks = control.clone();
        let asking = tokio::spawn(async move { asks.partitions().await });
        tokio::task::yield_now().await;
        drop(attached);
        assert_eq!(asking.await.unwrap(), []);
        assert!(control.partitions().await.is_empty() && control.store().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_one_consumer_does_not_take_the_handle_from_the_next() {
        let control = Control::new();
        let first = attach(&control);
        let mut second = attach(&control);
        drop(first);
        let asks = control.clone();
        let asking = tokio::spawn(async move { asks.partitions().await });
        let Asked::Question(Question::States(question)) = next(&mut second).await else { panic!("nobody paused it") };
        question.send(Vec::new()).unwrap();
        assert_eq!(asking.await.unwrap(), []);
    }
}
