//! How done IDs are kept: as members of compact sets, or each as a key of its own.

use redis::Value;

use super::batch::{Batch, Reply};
use super::layout::Group;
use super::slices::{Known, Lookups, member};
use super::{Inner, faults, value};
use crate::id::Fingerprint;
use crate::store::{DoneRecord, StoreError};

/// How a [`RedisStore`](super::RedisStore) keeps done IDs. All processes of a namespace need the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DoneMode {
    /// About nine bytes per ID, as a 64-bit number in one of many sets, for one to two windows. The default.
    ///
    /// 64 bits and the set, of which a namespace has at least 2880, identify an ID. The odds that any of a window's
    /// million IDs is taken for another are about 1 in 7 × 10^10, of its billion 1 in 4 × 10^7, since the sets grow in
    /// number, too ([how that is counted](crate::docs::guarantees)).
    #[default]
    Compact,
    /// A key per ID, for exactly the window: about 210 bytes and the ID's own. Tells where the first one came from, and
    /// when another message comes under its ID.
    Exact,
}

/// Where IDs are looked up.
pub(super) enum Lookup {
    Sets(Lookups),
    Keys,
}

/// What the look-ups of one ID found.
pub(super) enum Found {
    Nothing,
    /// With what the exact mode remembers of the first one.
    Done(Option<Box<DoneRecord>>),
    /// Something that another version wrote.
    Unreadable,
}

impl Lookup {
    pub(super) fn by(mode: DoneMode, known: &Known) -> Self {
        match mode {
            DoneMode::Compact => Self::Sets(known.lookups()),
            DoneMode::Exact => Self::Keys,
        }
    }

    /// How many commands look an ID up.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Sets(sets) => sets.len(),
            Self::Keys => 1,
        }
    }

    /// Whether these look-ups asked wherever an ID could lie by now.
    pub(super) fn covers(&self, known: &Known) -> bool {
        match self {
            Self::Sets(sets) => known.is_covered_by(sets),
            Self::Keys => true,
        }
    }
}

impl Inner {
    /// The keys in which an ID could lie.
    pub(super) fn done_keys(&self, lookup: &Lookup, fingerprint: &Fingerprint) -> Vec<Vec<u8>> {
        match lookup {
            Lookup::Sets(sets) => {
                let group = Group::of(fingerprint);
                sets.of(fingerprint).map(|shard| self.layout.set(group, &shard)).collect()
            }
            Lookup::Keys => vec![self.layout.done(fingerprint)],
        }
    }

    /// Adds the commands that look an ID up.
    pub(super) fn look_up(&self, lookup: &Lookup, fingerprint: &Fingerprint, batch: &mut Batch) {
        let group = Group::of(fingerprint);
        match lookup {
            Lookup::Sets(sets) => {
                for shard in sets.of(fingerprint) {
                    batch.look_up(group, 3, |words| {
                        words.add(b"SISMEMBER");
                        self.layout.with_set(group, &shard, |length, write| words.add_by(length, write));
                        words.number(member(fingerprint));
                    });
                }
            }
            // Not `EXISTS`: a done ID of another version is not a duplicate, and a foreign key in its place is an
            // error, not a message to drop.
            Lookup::Keys => batch.look_up(group, 2, |words| {
                words.add(b"GET");
                words.add_by(self.layout.key_length(), |key| self.layout.write_done(key, fingerprint));
            }),
        }
    }
}

impl Inner {
    /// Looks IDs up, and tells of each what was found.
    pub(super) async fn find<'a>(
        &self,
        lookup: &Lookup,
        ids: impl ExactSizeIterator<Item = &'a Fingerprint>,
    ) -> Vec<Result<Found, StoreError>> {
        let count = ids.len();
        let mut batch = Batch::with_capacity(lookup.len() * count, self.layout.roomy(lookup.len() * count));
        ids.for_each(|id| self.look_up(lookup, id, &mut batch));
        let mut replies = self.link.ask(batch).await.into_iter();
        (0..count).map(|_| lookup.read(&mut replies)).collect()
    }
}

impl Lookup {
    /// What their replies say. One hit is enough, whatever became of the others.
    pub(super) fn read(&self, replies: &mut impl Iterator<Item = Reply>) -> Result<Found, StoreError> {
        let mut found = Ok(Found::Nothing);
        for _ in 0..self.len() {
            // None missing is a promise of whoever asked; taken for "nothing found" it would repeat an effect.
            let reply = replies.next().unwrap_or_else(|| Err(faults::of_misfit("a look-up").into()));
            found = match (reply, found) {
                (_, Ok(Found::Done(first))) => Ok(Found::Done(first)),
                (Ok(Value::Int(1)), _) => Ok(Found::Done(None)),
                (Ok(Value::BulkString(done)), _) => Ok(match value::read_done(&done) {
                    Some(first) => Found::Done(Some(Box::new(first))),
                    None => Found::Unreadable,
                }),
                (Ok(Value::Int(0) | Value::Nil), found) => found,
                (Ok(_), _) => Err(faults::of_misfit("a look-up")),
                (Err(fault), _) => Err(fault.error),
            };
        }
        found
    }
}
