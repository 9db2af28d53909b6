//! Lanes as a schedule has them: which records are handled one after the other, and which hold up what follows.

use std::collections::HashMap;

use rand::Rng;
use rand::rngs::StdRng;

use super::super::super::Order;
use super::plan::{Conduct, Entry, Plan, What};
use crate::record::ChunkBuilder;

/// How many records at the head of a log are meant for one another where lanes are tangled.
const TANGLED: usize = 3;

/// Gives records their keys, a few in each log, some none; and notes what that means in this order.
pub(super) fn lay_lanes(rng: &mut StdRng, order: Order, tangled: bool, log: &mut [Vec<Entry>]) {
    for log in log {
        let keys = rng.random_range(1..=5);
        // As most producers have it, an ID comes with one key; but nothing makes them.
        let mut key_of: Option<HashMap<What, usize>> = rng.random_ratio(1, 2).then(HashMap::new);
        let Some(partition) = log.first().map(|entry| entry.record.partition().clone()) else { continue };
        // Records that arrive together share memory, a few of them each time.
        let mut records = Vec::new();
        let mut chunk = ChunkBuilder::new(partition.clone());
        for (index, entry) in log.iter_mut().enumerate() {
            let drawn = if rng.random_ratio(1, 5) { 0 } else { rng.random_range(1..=keys) };
            let key = match &mut key_of {
                _ if tangled && index < TANGLED => 1,
                Some(key_of) => *key_of.entry(entry.what).or_insert(drawn),
                None => drawn,
            };
            let bytes = [key as u8];
            chunk.add(entry.offset, None, (key != 0).then_some(&bytes[..]), Some(b"p"), std::iter::empty());
            if rng.random_ratio(1, 3) {
                records.extend(std::mem::replace(&mut chunk, ChunkBuilder::new(partition.clone())).finish());
            }
            entry.lane = match order {
                Order::Partition => 0,
                Order::Key => key,
                Order::Unordered => index,
            };
        }
        records.extend(chunk.finish());
        log.iter_mut().zip(records).for_each(|(entry, record)| entry.record = record);
    }
}

impl Plan {
    pub(super) fn index_of(&self, partition: usize, offset: crate::record::Offset) -> usize {
        self.log[partition].binary_search_by_key(&offset, |entry| entry.offset).expect("in the log")
    }

    /// Whether a record can never be handled.
    pub(super) fn is_given_up(&self, what: What) -> bool {
        match what {
            What::Id(id) => self.conduct[usize::from(id)].is_given_up(),
            What::Process => false,
            What::Missing => true,
        }
    }

    /// Whether a record stops its partition for a while.
    pub(super) fn mends(&self, partition: usize, index: usize) -> bool {
        let what = self.log[partition][index].what;
        matches!(what, What::Id(id) if matches!(self.conduct[usize::from(id)], Conduct::Mends(_)))
    }

    /// Whether a record stops its partition when it is the first of its lane.
    pub(super) fn stops(&self, entry: &Entry) -> bool {
        !self.config.dead_letter && self.is_given_up(entry.what)
    }

    /// Whether a record may stop its partition: it is the first of its lane that does, or one of those that one call of
    /// a handler takes together; or it lies before that, and stops for a while.
    pub(super) fn may_stop(&self, partition: usize, index: usize, skipped: impl Fn(usize) -> bool) -> bool {
        let log = &self.log[partition];
        let stops = |at: usize| self.stops(&log[at]) && !skipped(at);
        let lane = log[index].lane;
        let first = (0..log.len()).find(|at| log[*at].lane == lane && stops(*at));
        let may = self.stops(&log[index]) || self.mends(partition, index);
        may && (first.is_none_or(|first| index <= first) || self.config.batch > 1)
    }

    /// The index of the first record of a partition that stops it for ever; its length if none does.
    pub(super) fn end(&self, partition: usize, skipped: impl Fn(usize) -> bool) -> usize {
        let log = &self.log[partition];
        (0..log.len()).find(|at| self.stops(&log[*at]) && !skipped(*at)).unwrap_or(log.len())
    }

    /// Up to which index all has to be handled before a partition is at its end. What lies in front of a record that
    /// stops it need not be: in other lanes, or in the same call of a handler, where it may wait for its next attempt.
    pub(super) fn must_be_handled(&self, partition: usize, end: usize) -> usize {
        match (end, self.config.order, self.config.batch) {
            (end, Order::Partition, 1) => end,
            (end, _, _) if end == self.log[partition].len() => end,
            _ => 0,
        }
    }
}
