//! A history in memory, put together and compact: what the checker judges.

mod build;
mod faults;
mod names;
mod read;

use std::path::Path;

use crate::history::{Counts, Nature, Order, Outcome, Role, Run, What};

use build::Builder;
pub use faults::{BROKER_TROUBLE, FROZEN, Faults, Span, span};
pub use names::Names;

/// No time: the event did not happen, or was not seen.
pub const NEVER: u64 = u64::MAX;

/// A loaded history. Indices stand for names: of IDs, lives and partitions.
#[derive(Debug)]
pub struct Past {
    pub run: Run,
    /// When the stages began.
    pub faults_at: u64,
    pub healed_at: Option<u64>,
    pub ended_at: Option<u64>,
    /// The time of the last line.
    pub last_at: u64,
    pub ids: Names,
    /// The nature of each ID, an index of `natures`.
    pub nature_of: Vec<u8>,
    pub natures: Vec<Nature>,
    pub lives: Vec<Alive>,
    pub parts: Vec<Part>,
    /// All attempts, sorted by ID and time; those of one ID: [`Past::attempts`].
    pub tries: Vec<Try>,
    first_try: Vec<u32>,
    /// All copies in dead-letter and retry topics, sorted by ID and time.
    pub letters: Vec<Letter>,
    /// What hapax reported, without the first completions of the IDs, in order of time.
    pub reports: Vec<Report>,
    pub first_completions: u64,
    pub counts: Vec<(u64, u32, Counts)>,
    pub faults: Faults,
    pub memory: Vec<(u64, u32, u64)>,
    pub leftovers: Vec<(String, u64)>,
    pub unacknowledged: u64,
    pub lines: u64,
}

/// One life of a worker: one process.
#[derive(Clone, Debug)]
pub struct Alive {
    pub worker: String,
    pub incarnation: u32,
    pub started: Option<u64>,
    pub ready: Option<u64>,
    pub exited: Option<u64>,
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

impl Alive {
    pub fn name(&self) -> String {
        format!("{}#{}", self.worker, self.incarnation)
    }
}

/// One partition.
#[derive(Debug)]
pub struct Part {
    pub topic: String,
    pub partition: i32,
    pub role: Role,
    /// Sorted by offset.
    pub records: Vec<Rec>,
    /// Samples of the group's offset, sorted by time.
    pub samples: Vec<Sample>,
}

impl Part {
    pub fn name(&self) -> String {
        format!("{}/{}", self.topic, self.partition)
    }

    pub fn record(&self, offset: i64) -> Option<&Rec> {
        self.records.binary_search_by_key(&offset, |rec| rec.offset).ok().map(|index| &self.records[index])
    }
}

/// One record of a partition that is consumed.
#[derive(Clone, Copy, Debug)]
pub struct Rec {
    pub offset: i64,
    pub at: u64,
    pub id: u32,
    /// The number of its key; `u32::MAX` for none.
    pub key: u32,
    pub copy: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub at: u64,
    pub offset: Option<i64>,
    pub end: i64,
}

impl Sample {
    pub fn lag(&self) -> i64 {
        self.end - self.offset.unwrap_or(0)
    }
}

/// One attempt at one record. Times are [`NEVER`] where they were not seen.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    pub started: u64,
    /// When its handler was called: with the first record of the same call.
    pub called: u64,
    pub effect: u64,
    pub ended: u64,
    /// When hapax reported that its effect is recorded as done.
    pub recorded: u64,
    pub offset: i64,
    pub call: u64,
    pub id: u32,
    pub life: u32,
    pub part: u32,
    pub attempt: u32,
    pub outcome: Option<Outcome>,
}

impl Try {
    pub fn has_effect(&self) -> bool {
        self.effect != NEVER
    }

    /// The handler returned success, so hapax may record it as done.
    pub fn succeeded(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Ok | Outcome::Skip))
    }

    /// The first time at which it was seen.
    pub fn seen(&self) -> u64 {
        self.started.min(self.effect).min(self.ended)
    }
}

/// A record in a dead-letter or retry topic.
#[derive(Clone, Debug)]
pub struct Letter {
    pub id: u32,
    /// Its timestamp, on the clock of the history.
    pub at: u64,
    pub role: Role,
    /// Where the copy is.
    pub part: u32,
    pub offset: i64,
    pub origin: (u32, i64),
    pub reason: String,
}

#[derive(Clone, Debug)]
pub struct Report {
    pub at: u64,
    pub life: u32,
    pub what: What,
    pub part: Option<u32>,
    pub offset: Option<i64>,
    pub id: Option<u32>,
    pub count: u64,
    pub text: Option<String>,
}

impl Past {
    /// Reads all files of a directory.
    pub fn load(directory: &Path) -> Result<Self, String> {
        let mut builder = Builder::default();
        read::files(directory, |entry| builder.add(entry))?;
        builder.finish()
    }

    /// The attempts at one ID, in order of time.
    pub fn attempts(&self, id: u32) -> &[Try] {
        let bound = |id: usize| self.first_try.get(id).map_or(self.tries.len(), |first| *first as usize);
        &self.tries[bound(id as usize)..bound(id as usize + 1)]
    }

    /// The effects of one ID, in order of their times.
    pub fn effects(&self, id: u32) -> Vec<Try> {
        let mut effects: Vec<Try> = self.attempts(id).iter().filter(|each| each.has_effect()).copied().collect();
        effects.sort_by_key(|each| each.effect);
        effects
    }

    /// The copies of one ID in topics of a role, in order of time.
    pub fn letters(&self, id: u32, role: Role) -> impl Iterator<Item = &Letter> {
        let from = self.letters.partition_point(|letter| letter.id < id);
        self.letters[from..].iter().take_while(move |letter| letter.id == id).filter(move |letter| letter.role == role)
    }

    pub fn nature(&self, id: u32) -> Option<&Nature> {
        self.nature_of.get(id as usize).and_then(|index| self.natures.get(usize::from(*index)))
    }

    pub fn life(&self, life: u32) -> &Alive {
        &self.lives[life as usize]
    }

    /// When a life is known to be over; [`NEVER`] where it is not.
    pub fn exit(&self, life: u32) -> u64 {
        self.life(life).exited.unwrap_or(NEVER)
    }

    pub fn part(&self, part: u32) -> &Part {
        &self.parts[part as usize]
    }

    /// The partitions that the group consumes.
    pub fn consumed(&self) -> impl Iterator<Item = (u32, &Part)> {
        (0_u32..).zip(&self.parts).filter(|(_, part)| part.role != Role::DeadLetter)
    }

    /// The time for people: seconds since the stage of faults began.
    pub fn clock(&self, at: u64) -> String {
        if at == NEVER {
            return "never".to_owned();
        }
        format!("{:.3} s", (at as f64 - self.faults_at as f64) / 1e6)
    }

    /// A record for people.
    pub fn place(&self, part: u32, offset: i64) -> String {
        format!("{}@{offset}", self.part(part).name())
    }

    /// An attempt for people.
    pub fn describe(&self, each: &Try) -> String {
        format!(
            "{} at {} by {}",
            self.place(each.part, each.offset),
            self.clock(each.seen()),
            self.life(each.life).name()
        )
    }

    pub fn is_ordered(&self) -> bool {
        self.run.order != Order::Unordered
    }

    pub fn lease(&self) -> u64 {
        self.run.lease_ms * 1_000
    }

    pub fn window(&self) -> u64 {
        self.run.window_ms * 1_000
    }
}
