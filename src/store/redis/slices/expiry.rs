//! Which sets this process has seen to expire.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::plan::Generation;
use super::shard::Shard;
use crate::store::redis::layout::{GROUPS, Group};

/// Remembers which sets were made together with their expiry, so that all later IDs go there by a plain command.
#[derive(Debug, Default)]
pub(in super::super) struct Expiries(Mutex<Given>);

#[derive(Debug, Default)]
struct Given {
    /// Counts how often all was forgotten.
    epoch: u64,
    /// Of each generation a bit per set, group by group.
    sets: HashMap<Generation, Vec<u64>>,
}

impl Expiries {
    /// Changes when a Redis may have lost what was given.
    pub(in super::super) fn epoch(&self) -> u64 {
        self.0.lock().epoch
    }

    /// Which of these sets have their expiry, all asked at once.
    pub(in super::super) fn given(&self, sets: &[(Group, Shard)]) -> Vec<bool> {
        let given = self.0.lock();
        let is_given = |(group, shard): &(Group, Shard)| {
            let (word, bit) = place(*group, shard);
            given.sets.get(&shard.generation).is_some_and(|bits| bits[word] & bit != 0)
        };
        sets.iter().map(is_given).collect()
    }

    /// Notes that sets have their expiry, unless all was forgotten since `epoch`.
    pub(in super::super) fn give(&self, epoch: u64, sets: impl IntoIterator<Item = (Group, Shard)>) {
        let mut given = self.0.lock();
        if given.epoch != epoch {
            return;
        }
        for (group, shard) in sets {
            let (word, bit) = place(group, &shard);
            let words = (GROUPS as usize * shard.generation.shards as usize).div_ceil(64);
            given.sets.entry(shard.generation).or_insert_with(|| vec![0; words])[word] |= bit;
        }
    }

    /// Notes that a set may be without its expiry.
    pub(in super::super) fn doubt(&self, group: Group, shard: Shard) {
        let (word, bit) = place(group, &shard);
        if let Some(bits) = self.0.lock().sets.get_mut(&shard.generation) {
            bits[word] &= !bit;
        }
    }

    /// Forgets slices into which nobody looks any more.
    pub(super) fn since(&self, oldest: u64) {
        self.0.lock().sets.retain(|generation, _| generation.slice >= oldest);
    }

    /// Forgets all, and tells what was given: a Redis that lost its data has been written to without expiries since.
    pub(super) fn take(&self) -> Vec<(Group, Shard)> {
        let sets = {
            let mut given = self.0.lock();
            given.epoch += 1;
            std::mem::take(&mut given.sets)
        };
        let mut all = Vec::new();
        for (generation, bits) in sets {
            for (word, bits) in bits.iter().enumerate() {
                for bit in (0..64).filter(|bit| bits >> bit & 1 == 1) {
                    // Within the counts of groups and shards, each a u32.
                    let place = (word * 64 + bit) as u32;
                    let group = Group::nth(place / generation.shards);
                    all.push((group, Shard { generation, index: place % generation.shards }));
                }
            }
        }
        all
    }
}

fn place(group: Group, shard: &Shard) -> (usize, u64) {
    let place = group.index() * shard.generation.shards as usize + shard.index as usize;
    (place / 64, 1 << (place % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_what_was_given() {
        let expiries = Expiries::default();
        let generation = |shards| Generation { slice: 7, shards, from: 0 };
        let sets: Vec<(Group, Shard)> = [(0, 5, 4), (63, 5, 0), (63, 100, 99), (31, 100, 7)]
            .map(|(group, shards, index)| (Group::nth(group), Shard { generation: generation(shards), index }))
            .to_vec();
        assert_eq!(expiries.given(&sets), [false; 4]);
        expiries.give(expiries.epoch(), sets.clone());
        assert_eq!(expiries.given(&sets), [true; 4]);
        expiries.doubt(sets[1].0, sets[1].1);
        assert_eq!(expiries.given(&sets), [true, false, true, true]);
        let mut taken = expiries.take();
        taken.sort_by_key(|(group, shard)| (shard.generation, group.index()));
        assert_eq!(taken, [sets[0], sets[3], sets[2]]);
        expiries.give(0, sets.clone());
        assert_eq!(expiries.given(&sets), [false; 4], "given to a Redis that has lost it since");
    }
}
