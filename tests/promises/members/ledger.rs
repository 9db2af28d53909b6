//! What members wrote down: one line and one write for each thing, so that a kill leaves whole lines.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use hapax::record::Offset;

use crate::consuming::Place;

/// When each dead member was killed, or dropped.
pub type Deaths = BTreeMap<String, u128>;

/// Nanoseconds since the Unix epoch: all members run on one machine, by one clock.
pub fn now() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970").as_nanos()
}

/// What a line tells. The first three are the handlers' own; the others are what the observer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Began,
    Effect,
    /// Ended without an effect, since its lease was lost.
    Heeded,
    First,
    Overrun,
    PossibleOverrun,
    Duplicate,
    Assigned,
    Revoked,
    Lost,
    Committed,
    Stopped,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::Began,
        Self::Effect,
        Self::Heeded,
        Self::First,
        Self::Overrun,
        Self::PossibleOverrun,
        Self::Duplicate,
        Self::Assigned,
        Self::Revoked,
        Self::Lost,
        Self::Committed,
        Self::Stopped,
    ];

    /// Whether it tells that an effect was recorded, and as what.
    pub fn is_verdict(self) -> bool {
        matches!(self, Self::First | Self::Overrun | Self::PossibleOverrun)
    }

    fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|kind| format!("{kind:?}") == name).expect("a kind")
    }
}

/// One line of one member.
#[derive(Clone, Debug)]
pub struct Line {
    pub at: u128,
    pub member: String,
    pub kind: Kind,
    pub place: Place,
    /// The message's ID, where it is about one.
    pub message: String,
}

/// What a member writes into.
#[derive(Debug)]
pub struct Writer(File);

impl Writer {
    pub fn open(path: &str) -> Self {
        Self(OpenOptions::new().create(true).append(true).open(path).expect("the member's file"))
    }

    pub fn write(&self, kind: Kind, (partition, offset): (i32, Offset), message: &str) {
        let line = format!("{} {kind:?} {partition} {offset} {message}\n", now());
        (&self.0).write_all(line.as_bytes()).expect("the line is written");
    }
}

/// What all members wrote, by time.
#[derive(Clone, Debug, Default)]
pub struct Ledger(pub Vec<Line>);

impl Ledger {
    pub(super) fn read(directory: &Path) -> Self {
        let mut lines = Vec::new();
        for file in std::fs::read_dir(directory).expect("the members' files") {
            let file = file.expect("a member's file");
            let member = file.file_name().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(file.path()).expect("a member's lines");
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            lines.extend(whole.lines().map(|line| {
                let mut words = line.splitn(5, ' ');
                let mut word = || words.next().expect("five words");
                Line {
                    at: word().parse().expect("a time"),
                    member: member.clone(),
                    kind: Kind::of(word()),
                    place: (word().parse().expect("a partition"), word().parse().expect("an offset")),
                    message: word().to_owned(),
                }
            }));
        }
        lines.sort_by_key(|line| line.at);
        Self(lines)
    }

    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Line> {
        self.0.iter().filter(move |line| line.kind == kind)
    }

    pub fn effects(&self) -> impl Iterator<Item = &Line> {
        self.of(Kind::Effect)
    }

    pub fn count(&self, member: &str, kind: Kind) -> usize {
        self.of(kind).filter(|line| line.member == member).count()
    }

    /// The effects of each message, by time.
    pub fn by_message(&self) -> BTreeMap<&str, Vec<&Line>> {
        let mut messages: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
        self.effects().for_each(|line| messages.entry(&line.message).or_default().push(line));
        messages
    }

    /// The messages that had more than one effect.
    pub fn repeated(&self) -> BTreeMap<&str, Vec<&Line>> {
        self.by_message().into_iter().filter(|(_, effects)| effects.len() > 1).collect()
    }

    /// Messages that a member was handling at a time: begun, and not told to be recorded.
    pub fn exposed(&self, member: &str, at: u128) -> Vec<&str> {
        let before = |line: &&Line| line.member == member && line.at <= at;
        let recorded =
            |message: &str| self.0.iter().filter(before).any(|l| l.kind.is_verdict() && l.message == message);
        let begun = self.of(Kind::Began).filter(before).map(|line| line.message.as_str());
        let mut exposed: Vec<&str> = begun.filter(|message| !recorded(message)).collect();
        exposed.sort_unstable();
        exposed.dedup();
        exposed
    }

    /// Nothing is lost: every message of `0..messages` had its effect, and no others had one.
    #[track_caller]
    pub fn check_complete(&self, messages: usize) {
        let had = self.by_message();
        let lost: Vec<usize> =
            (0..messages).filter(|message| !had.contains_key(message.to_string().as_str())).collect();
        assert!(lost.is_empty(), "{} messages have no effect: {:?}", lost.len(), &lost[..lost.len().min(20)]);
        assert_eq!(had.len(), messages, "messages that nobody sent");
    }

    /// Every effect but the last of a message is one of a member that died of it: it was had before the member's death,
    /// and its repeat came after. Of one death there are at most `exposed`. Answers how many there are in all.
    #[track_caller]
    pub fn check_repeats(&self, deaths: &Deaths, exposed: usize) -> usize {
        let mut by_death: BTreeMap<&str, usize> = BTreeMap::new();
        for (message, effects) in self.repeated() {
            for pair in effects.windows(2) {
                let (earlier, later) = (pair[0], pair[1]);
                let death = deaths.get(&earlier.member);
                let explained = death.is_some_and(|death| later.at > *death);
                assert!(explained, "{message} was repeated without a reason: {effects:#?}, deaths: {deaths:#?}");
                *by_death.entry(&earlier.member).or_default() += 1;
            }
        }
        for (member, repeats) in &by_death {
            assert!(*repeats <= exposed, "the death of {member} repeated {repeats} effects, more than {exposed}");
        }
        by_death.values().sum()
    }

    /// The first effects of each partition are in the order of the log.
    #[track_caller]
    pub fn check_order(&self) {
        let mut reached: BTreeMap<i32, &Line> = BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        for line in self.effects().filter(|line| seen.insert(line.place)) {
            if let Some(before) = reached.insert(line.place.0, line) {
                assert!(before.place.1 < line.place.1, "out of order: {before:?}, then {line:?}");
            }
        }
    }
}
