//! I3: an effect is repeated only where a fault excuses it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::excuse::{self, Excuse, Excused};
use super::past::{Past, Try};
use super::verdict::Verdict;

/// One repeated effect.
#[derive(Clone, Debug)]
pub struct Repeat {
    pub id: u32,
    /// The last effect before it that has no excuse, or the last one.
    pub first: Try,
    pub again: Try,
    pub excused: Option<Excused>,
}

/// One effect: its ID, partition and offset, and when it was.
type Effect = (u32, u32, i64, u64);

/// All repeated effects of a run, in order of time.
#[derive(Debug, Default)]
pub struct Repeats {
    pub all: Vec<Repeat>,
    pub effects: u64,
    /// Effects per excuse, fault and life of the first effect: what one fault repeated.
    exposed: BTreeMap<(Excuse, u64, u32), HashSet<Effect>>,
}

impl Repeats {
    /// Finds the repeats, and what excuses each.
    pub fn find(past: &Past) -> Self {
        let mut found = Self::default();
        for id in 0..u32::try_from(past.ids.len()).unwrap_or(u32::MAX) {
            let effects = past.attempts(id).iter().filter(|each| each.has_effect()).count();
            found.effects += effects as u64;
            if effects > 1 {
                found.of(past, id);
            }
        }
        found.all.sort_by_key(|repeat| repeat.again.effect);
        found
    }

    fn of(&mut self, past: &Past, id: u32) {
        let effects = past.effects(id);
        for (before, again) in effects.iter().enumerate().skip(1) {
            // Each effect before it needs an excuse: the record of any one of them would have stopped this one.
            let mut repeat = Repeat { id, first: effects[before - 1], again: *again, excused: None };
            for first in effects[..before].iter().rev() {
                // A handler that lost its lease may have its effect after the one that took the record over.
                let late = excuse::began(past, again) < excuse::began(past, first);
                let (excused, of) = match excuse::find(past, first, again) {
                    None if late => (excuse::find(past, again, first), again),
                    excused => (excused, first),
                };
                if let Some(Excused { by, fault: Some(fault) }) = excused {
                    let effect = (of.id, of.part, of.offset, of.effect);
                    self.exposed.entry((by, fault, of.life)).or_default().insert(effect);
                }
                if excused.is_none() {
                    (repeat.first, repeat.excused) = (*first, None);
                    break;
                }
                repeat.excused = repeat.excused.or(excused);
            }
            self.all.push(repeat);
        }
    }

    /// How many repeats each excuse stands for.
    pub fn by_excuse(&self) -> BTreeMap<Option<Excuse>, u64> {
        let mut counts = BTreeMap::new();
        for repeat in &self.all {
            *counts.entry(repeat.excused.map(|excused| excused.by)).or_default() += 1;
        }
        counts
    }

    /// How many repeats each fault stands for.
    pub fn by_fault(&self) -> HashMap<u64, u64> {
        let mut counts = HashMap::new();
        for fault in self.all.iter().filter_map(|repeat| repeat.excused?.fault) {
            *counts.entry(fault).or_default() += 1;
        }
        counts
    }

    pub fn judge(&self, past: &Past) -> Verdict {
        let mut verdict = Verdict::new("I3", "no effect is repeated without a fault that excuses it");
        verdict.checked = self.effects;
        let graceful = past.faults.are_graceful();
        for repeat in &self.all {
            let Some(excused) = repeat.excused else {
                verdict.violate(repeat.again.effect, || self.unexcused(past, repeat));
                continue;
            };
            if graceful && !excused.by.needs_no_fault() {
                verdict.violate(repeat.again.effect, || {
                    format!(
                        "ID {} was repeated ({}: {}), although every fault of this run was graceful",
                        past.ids.name(repeat.id),
                        past.describe(&repeat.again),
                        excused.by.text(),
                    )
                });
            }
        }
        self.judge_exposure(past, &mut verdict);
        for (excuse, count) in self.by_excuse() {
            if let Some(excuse) = excuse {
                verdict.note(format!("{count} repeats: {}", excuse.text()));
            }
        }
        if self.effects == 0 {
            verdict.unproven("there was no effect");
        } else if past.first_completions == 0 {
            verdict.unproven("no worker reported which effects are recorded (`completed_first`)");
        }
        verdict
    }

    /// One crash, or one overrun, of one process repeats at most what was exposed in it.
    fn judge_exposure(&self, past: &Past, verdict: &mut Verdict) {
        for ((excuse, fault, life), effects) in self.exposed.iter().filter(|((excuse, ..), _)| excuse.is_bounded()) {
            if effects.len() <= past.run.max_exposed {
                continue;
            }
            let at = past.faults.all().iter().find(|each| each.number == *fault).map_or(0, |fault| fault.begin);
            verdict.violate(at, || {
                format!(
                    "fault {fault} at {} repeated {} effects of {} ({}); max_exposed is {}",
                    past.clock(at),
                    effects.len(),
                    past.life(*life).name(),
                    excuse.text(),
                    past.run.max_exposed,
                )
            });
        }
    }

    fn unexcused(&self, past: &Past, repeat: &Repeat) -> String {
        let Repeat { first, again, .. } = repeat;
        let life = past.life(first.life);
        let near: Vec<String> = past
            .faults
            .all()
            .iter()
            .filter(|fault| fault.begin <= again.effect && fault.end.unwrap_or(u64::MAX) >= first.seen())
            .take(4)
            .map(|fault| format!("{} {:?} at {}", fault.number, fault.what, past.clock(fault.begin)))
            .collect();
        format!(
            "ID {} had its effect at {} ({}; outcome {}, recorded {}, process ended {}), and again at {} ({}); no fault \
             excuses it. Faults meanwhile: {}",
            past.ids.name(repeat.id),
            past.clock(first.effect),
            past.describe(first),
            first.outcome.map_or_else(|| "none".to_owned(), |outcome| format!("{outcome:?}")),
            past.clock(first.recorded),
            life.exited.map_or_else(|| "never".to_owned(), |at| past.clock(at)),
            past.clock(again.effect),
            past.describe(again),
            if near.is_empty() { "none".to_owned() } else { near.join(", ") },
        )
    }
}
