//! What the poll thread knows, and how it gets records.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::BorrowedMessage;
use tokio::time::Instant;

use crate::engine::Assignment;
use crate::failpoint::{self, Point};
use crate::observe::CommitRefused;
use crate::record::{ChunkBuilder, Epoch, Offset, TopicPartition};

use super::commits::{Answer, Commits};
use super::context::{Context, Note};
use super::faults::Missing;
use super::leaders::Leaders;
use super::owned::{self, Names};
use super::rebalance::{Assigning, Rejoin, Revoking};
use super::silence::Silence;
use super::source::{Batch, Ends, SourceEvent};
use super::thread::STALL;
use super::{KafkaSettings, SourceError, native, refusal};

/// One round of polling ends after so many records, so many bytes, or so much time: whichever comes first. It ends
/// before when there is nothing more, so that a single record is handed over at once.
const ROUND_RECORDS: usize = 512;
const ROUND_BYTES: usize = 1024 * 1024;
const ROUND_TIME: Duration = Duration::from_millis(5);

/// A partition that this consumer owns.
pub(super) struct Owned {
    pub(super) epoch: Epoch,
    /// The group wants it back: no records of it are handed over.
    pub(super) revoking: bool,
    /// The offset after the last record that was delivered, or where it starts; `None` for the beginning.
    pub(super) next: Option<Offset>,
    pub(super) leaders: Leaders,
    /// librdkafka went to another position by itself, as the policy for lost offsets says.
    reset: bool,
    pub(super) silence: Silence,
    /// A record of this epoch was delivered. Before, it is not paused: a pause right after an assign can lose the
    /// position at which to start.
    pub(super) delivered: bool,
    /// The driver wants it paused.
    pub(super) wanted: bool,
    /// It is paused. One call per transition: to resume what is not paused can deliver records twice.
    pub(super) paused: bool,
}

impl Owned {
    pub(super) fn new(epoch: Epoch, next: Option<Offset>) -> Self {
        Self {
            epoch,
            revoking: false,
            next,
            leaders: Leaders::default(),
            reset: false,
            silence: Silence::default(),
            delivered: false,
            wanted: false,
            paused: false,
        }
    }

    /// Whether it is paused, or will be.
    pub(super) fn is_paused(&self) -> bool {
        self.paused || self.wanted
    }
}

/// The poll thread's state. All of it belongs to that one thread.
pub(super) struct Poller {
    pub(super) consumer: Rc<BaseConsumer<Context>>,
    pub(super) ends: Ends,
    pub(super) topics: Vec<String>,
    /// Where a partition starts of which nothing was committed.
    pub(super) start_at: rdkafka::Offset,
    pub(super) poll_interval: Duration,
    pub(super) revoke_limit: Duration,

    pub(super) owned: HashMap<TopicPartition, Owned>,
    pub(super) last_epoch: u64,
    pub(super) assigning: Option<Assigning>,
    pub(super) revoking: Option<Revoking>,
    pub(super) rejoin: Rejoin,
    pub(super) commits: Commits,

    /// Control events that wait for room. Never more than one for each command and each change of the assignment.
    pub(super) outbox: VecDeque<SourceEvent>,
    /// Batches that wait for room: those of one round, since there is no further round before they are gone.
    pub(super) pending: VecDeque<Batch>,
    pub(super) pending_since: Option<Instant>,
    /// The hand-over is stuck: everything is paused.
    pub(super) stalled: bool,
    /// Failed or ending: records are thrown away.
    pub(super) discarding: bool,
    /// On the way out of the group: what is still asked is answered without anybody else.
    pub(super) closing: bool,

    last_poll: Instant,
    #[cfg(test)]
    pub(super) longest_gap: Duration,
    pub(super) missing: HashMap<String, Missing>,
    /// When to look for silent partitions.
    pub(super) look_at: Instant,
    round: Round,
    names: Names,
}

/// The records of one round, by assignment.
#[derive(Default)]
struct Round {
    gathered: Vec<Gathered>,
    /// Where the record before went: a fetch brings runs of one partition.
    last: usize,
    records: usize,
    bytes: usize,
    unowned: usize,
}

/// The records of one assignment.
struct Gathered {
    epoch: Epoch,
    chunk: ChunkBuilder,
}

impl Gathered {
    fn finish(self) -> Batch {
        let assignment = Assignment { partition: self.chunk.partition().clone(), epoch: self.epoch };
        Batch { assignment, records: self.chunk.finish() }
    }
}

impl Poller {
    pub(super) fn new(
        consumer: Rc<BaseConsumer<Context>>,
        settings: &KafkaSettings,
        ends: Ends,
    ) -> Result<Self, SourceError> {
        let poll_interval = settings.poll_interval()?;
        Ok(Self {
            consumer,
            ends,
            topics: settings.topics.clone(),
            start_at: settings.start_at.offset(),
            poll_interval,
            revoke_limit: settings.revoke_limit(poll_interval),
            owned: HashMap::new(),
            last_epoch: 0,
            assigning: None,
            revoking: None,
            rejoin: Rejoin::No,
            commits: Commits::default(),
            outbox: VecDeque::new(),
            pending: VecDeque::new(),
            pending_since: None,
            stalled: false,
            discarding: false,
            closing: false,
            last_poll: Instant::now(),
            #[cfg(test)]
            longest_gap: Duration::ZERO,
            missing: HashMap::new(),
            look_at: Instant::now(),
            round: Round::default(),
            names: Names::default(),
        })
    }

    /// Does what needs no poll: what the group waits for, commits, pauses.
    pub(super) fn advance(&mut self) {
        self.advance_assignment();
        self.send_commits();
        self.advance_missing();
        self.advance_stall();
        self.settle_pauses();
        self.advance_silence();
    }

    /// When `advance` has something to do at the latest.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let stall = self.pending_since.filter(|_| !self.stalled).map(|since| since + STALL);
        [stall, self.assignment_deadline()].into_iter().flatten().min()
    }

    /// While records wait for room no more are taken, unless everything is paused: then a poll brings callbacks.
    pub(super) fn may_poll(&self) -> bool {
        self.pending.is_empty() || self.stalled
    }

    /// Takes what librdkafka has, for one round. Returns whether there may be more.
    pub(super) fn poll_records(&mut self) -> bool {
        let started = Instant::now();
        self.check_gap();
        #[cfg(test)]
        {
            self.longest_gap = self.longest_gap.max(started.duration_since(self.last_poll));
        }
        let consumer = self.consumer.clone();
        let more = loop {
            let served = consumer.context().served();
            match consumer.poll(Duration::ZERO) {
                None => {
                    self.take_notes();
                    if consumer.context().served() == served {
                        break false;
                    }
                }
                Some(Ok(message)) => self.accept(&message),
                Some(Err(error)) => self.poll_failed(&error),
            }
            let round = &self.round;
            let full = round.records >= ROUND_RECORDS || round.bytes >= ROUND_BYTES;
            // While stalled, a record came from a partition that is not paused yet: pause it before it sends more.
            if full || self.stalled || (round.records.is_multiple_of(32) && started.elapsed() > ROUND_TIME) {
                break true;
            }
        };
        self.last_poll = Instant::now();
        consumer.context().keep_contact(consumer.client());
        self.end_round();
        more
    }

    fn accept(&mut self, message: &BorrowedMessage<'_>) {
        let known = self.round.gathered.get(self.round.last).map(|gathered| gathered.chunk.partition());
        let known = known
            .filter(|partition| partition.partition() == message.partition() && partition.topic() == message.topic());
        let partition = match known {
            Some(partition) => partition.clone(),
            None => TopicPartition::new(message.topic(), message.partition()),
        };
        // One lookup, which also finds the shared name of the topic.
        let Some(owned) = self.owned.get_mut(&partition).filter(|owned| !owned.revoking && !self.discarding) else {
            self.round.unowned += 1;
            return;
        };
        if std::mem::take(&mut owned.reset) {
            let from = owned.next;
            self.was_reset(&partition, from, message.offset());
        }
        let Some(owned) = self.owned.get_mut(&partition) else { return };
        if owned.silence.delivered() {
            tracing::warn!(%partition, offset = message.offset(), "a partition had stood still and was woken");
        }
        owned.delivered = true;
        owned.next = Some(message.offset() + 1);
        owned.leaders.delivered(message.offset(), native::leader_epoch(message));
        let epoch = owned.epoch;
        let chunk = self.round.chunk(partition, epoch);
        let bytes = owned::copy(message, chunk, &mut self.names);
        self.round.records += 1;
        self.round.bytes += bytes;
    }

    fn end_round(&mut self) {
        if self.round.unowned > 0 {
            tracing::debug!(records = self.round.unowned, "dropped records of partitions that are not owned");
        }
        let round = std::mem::take(&mut self.round);
        if round.gathered.is_empty() {
            return;
        }
        self.pending_since.get_or_insert_with(Instant::now);
        self.pending.extend(round.gathered.into_iter().map(Gathered::finish));
    }

    /// Throws away what was not yet handed over of partitions that are no longer delivered.
    pub(super) fn drop_pending(&mut self) {
        let owned = &self.owned;
        let current = |partition: &TopicPartition, epoch: Epoch| {
            owned.get(partition).is_some_and(|held| held.epoch == epoch && !held.revoking)
        };
        self.pending.retain(|batch| current(&batch.assignment.partition, batch.assignment.epoch));
        self.round.gathered.retain(|gathered| current(gathered.chunk.partition(), gathered.epoch));
        self.round.last = 0;
    }

    fn take_notes(&mut self) {
        while let Some(note) = self.consumer.context().take_note() {
            match note {
                Note::Assign(partitions) => self.assign_requested(partitions),
                Note::Reset(partition) => {
                    if let Some(owned) = self.owned.get_mut(&partition) {
                        owned.reset = true;
                    }
                }
                Note::Revoke { partitions, lost } => self.revoke_requested(partitions, lost),
                Note::Committed(answers) => {
                    for (partition, offset, result) in answers {
                        let answers = self.commits.answered(&partition, offset, result);
                        self.tell_answers(answers);
                    }
                }
            }
        }
    }

    /// Ends a partition's assignment and begins another, in place: the log it reads is not the one it read before.
    pub(super) fn begin_anew(&mut self, partition: &TopicPartition, next: Offset) {
        let Some(owned) = self.owned.get_mut(partition) else { return };
        self.last_epoch += 1;
        let epoch = Epoch(self.last_epoch);
        let old = Assignment { partition: partition.clone(), epoch: owned.epoch };
        // What is paused stays so, until it is settled what should be.
        *owned = Owned { paused: owned.paused, ..Owned::new(epoch, Some(next)) };
        let answers = self.commits.begin_anew(partition, epoch, "the partition's log is another one");
        self.tell_answers(answers);
        self.drop_pending();
        self.tell(SourceEvent::Lost(vec![old]));
        self.tell(SourceEvent::Assigned(vec![Assignment { partition: partition.clone(), epoch }]));
    }

    pub(super) fn ask_commit(&mut self, assignment: Assignment, offset: Offset) {
        let current = self.owned.get(&assignment.partition).is_some_and(|owned| owned.epoch == assignment.epoch);
        if !current {
            let over = "the assignment is over: the partition's next owner reads these records again";
            let result = Err(CommitRefused::by_rebalance(over));
            return self.tell(SourceEvent::Committed { assignment, offset, result });
        }
        let refused = self.commits.ask(assignment, offset);
        self.tell_answers(refused);
    }

    /// Acts where this thread stood still for longer than the group tolerates.
    fn check_gap(&mut self) {
        let gap = self.last_poll.elapsed();
        if gap > self.poll_interval {
            self.poll_gap(gap);
        }
    }

    /// Sends what waits, all partitions in one request.
    pub(super) fn send_commits(&mut self) {
        // Here too, not only before a poll: the process may have been stopped since, and a commit would be the first
        // thing it does with partitions that have another owner.
        self.check_gap();
        let offsets = self.commits.send();
        if offsets.is_empty() {
            return;
        }
        failpoint::pass(Point::BeforeCommit);
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        let mut sent = Ok(());
        for (partition, offset) in &offsets {
            let leaders = self.owned.get_mut(partition).map(|owned| &mut owned.leaders);
            let epoch = leaders.and_then(|leaders| {
                leaders.committed(*offset);
                leaders.of_commit(*offset)
            });
            let added = native::add_commit(&mut list, partition, *offset, epoch);
            sent = sent.and(added.map_err(|error| refusal::of(&error)));
        }
        // Not at once: a commit that waited for an answer would keep this thread from polling.
        let sent = sent.and_then(|()| native::commit(&self.consumer, &list).map_err(refusal::of_code));
        if let Err(refused) = sent {
            for (partition, offset) in offsets {
                let answers = self.commits.answered(&partition, offset, Err(refused.clone()));
                self.tell_answers(answers);
            }
        }
        failpoint::pass(Point::AfterCommit);
    }

    pub(super) fn tell_answers(&mut self, answers: impl IntoIterator<Item = Answer>) {
        for (assignment, offset, result) in answers {
            self.tell(SourceEvent::Committed { assignment, offset, result });
        }
    }
}

impl Round {
    /// Where records of an assignment are gathered.
    fn chunk(&mut self, partition: TopicPartition, epoch: Epoch) -> &mut ChunkBuilder {
        let fits = |gathered: &Gathered| gathered.epoch == epoch && *gathered.chunk.partition() == partition;
        if !self.gathered.get(self.last).is_some_and(fits) {
            self.last = self.gathered.iter().position(fits).unwrap_or(self.gathered.len());
        }
        if self.last == self.gathered.len() {
            self.gathered.push(Gathered { epoch, chunk: ChunkBuilder::new(partition) });
        }
        &mut self.gathered[self.last].chunk
    }
}
