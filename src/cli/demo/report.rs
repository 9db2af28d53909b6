//! The table at the end, and whether the promise held.

use std::fmt;
use std::time::Duration;

use super::cluster::Plan;
use super::effects::{Effects, Worker};

/// What was counted.
#[derive(Debug)]
pub(in crate::cli) struct Report {
    delivered: u64,
    effects: u64,
    repeated: u64,
    explained: u64,
    lost: u64,
    complete: bool,
    took: Duration,
}

impl Report {
    pub(super) fn new(plan: &Plan, effects: &Effects, killed: Option<Worker>, complete: bool, took: Duration) -> Self {
        let by_message = effects.all();
        let lost = (0..plan.records).filter(|message| !by_message.contains_key(message)).count() as u64;
        let all: u64 = by_message.values().map(|workers| workers.len() as u64).sum();
        let explained = |workers: &&Vec<Worker>| {
            // A crash can repeat the effect that it did not live to record, once.
            workers.len() == 2 && workers.first().copied() == killed
        };
        let repeats = |workers: &Vec<Worker>| workers.len() as u64 - 1;
        Self {
            delivered: plan.deliveries(),
            effects: all,
            repeated: by_message.values().map(repeats).sum(),
            explained: by_message.values().filter(explained).map(repeats).sum(),
            lost,
            complete,
            took,
        }
    }

    /// Whether nothing was lost, every repeated effect is explained, and everything is committed.
    pub(in crate::cli) fn holds(&self) -> bool {
        self.lost == 0 && self.repeated == self.explained && self.complete
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.delivered as f64 / self.took.as_secs_f64().max(0.001);
        let dropped = (self.delivered + self.repeated).saturating_sub(self.effects);
        writeln!(f)?;
        writeln!(f, "  delivered            {:>9}   records in the topic, duplicates included", self.delivered)?;
        writeln!(f, "  handled              {:>9}   effects, counted where they happened", self.effects)?;
        writeln!(f, "  duplicates dropped   {dropped:>9}   records without an effect of their own")?;
        writeln!(f, "  repeated effects     {:>9}   of which {} by the killed worker", self.repeated, self.explained)?;
        writeln!(f, "  lost                 {:>9}", self.lost)?;
        writeln!(f, "  rate                 {rate:>9.0}   records a second, the take-over included")?;
        writeln!(f)?;
        let verdict = match (self.holds(), self.complete) {
            (true, _) => "The promise held: nothing lost, no repeated effect but what the kill explains.",
            (false, false) => "THE PROMISE DID NOT HOLD: some records were never committed.",
            (false, true) => "THE PROMISE DID NOT HOLD.",
        };
        write!(f, "{verdict}")
    }
}
