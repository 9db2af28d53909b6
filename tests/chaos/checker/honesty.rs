//! I12: the metrics add up, and no repeat stays unreported.

use std::collections::HashMap;

use crate::history::What;

use super::excuse::Excuse;
use super::past::{NEVER, Past, Report, Try};
use super::repeats::{Repeat, Repeats};
use super::verdict::Verdict;

/// What happened, and what was reported of it.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    reported: u64,
    cut_off: u64,
    unknowable: u64,
}

pub fn judge(past: &Past, repeats: &Repeats) -> Verdict {
    let mut verdict = Verdict::new("I12", "the metrics add up, and every repeat is reported");
    judge_sums(past, &mut verdict);
    judge_growth(past, &mut verdict);
    let reports = Reports::of(past);
    let mut tally = Tally::default();
    for repeat in &repeats.all {
        verdict.checked += 1;
        if reports.tell_of(past, repeat) {
            tally.reported += 1;
        } else if unknowable(past, repeat) {
            tally.unknowable += 1;
        } else if reporter_died(past, repeat) {
            tally.cut_off += 1;
        } else {
            verdict.violate(repeat.again.effect, || {
                format!(
                    "the repeat of ID {} at {} ({}) was reported by no worker: no overrun, no takeover of a suspect, no \
                     failed attempt, no loss of the store",
                    past.ids.name(repeat.id),
                    past.clock(repeat.again.effect),
                    past.describe(&repeat.again),
                )
            });
        }
    }
    judge_false_alarms(past, &reports, &mut verdict);
    verdict.note(format!(
        "{} repeats happened: {} reported, {} whose reporter was killed first, {} that no process could know of",
        repeats.all.len(),
        tally.reported,
        tally.cut_off,
        tally.unknowable,
    ));
    if past.counts.is_empty() {
        verdict.unproven("no worker's metrics were read");
    }
    verdict
}

/// Within each scrape: delivered = settled (all outcomes) + given back + in flight.
fn judge_sums(past: &Past, verdict: &mut Verdict) {
    for (at, life, counts) in &past.counts {
        verdict.checked += 1;
        let settled: u64 = counts.settled.values().sum();
        if counts.delivered != settled + counts.given_back + counts.in_flight {
            verdict.violate(*at, || {
                format!(
                    "{} at {}, topic {}: {} delivered, but {settled} settled + {} given back + {} in flight",
                    past.life(*life).name(),
                    past.clock(*at),
                    counts.topic,
                    counts.delivered,
                    counts.given_back,
                    counts.in_flight,
                )
            });
        }
    }
}

/// A counter of one life never falls.
fn judge_growth(past: &Past, verdict: &mut Verdict) {
    let mut last: HashMap<(u32, &str), (u64, u64, u64)> = HashMap::new();
    for (at, life, counts) in &past.counts {
        let now = (counts.delivered, counts.settled.values().sum(), counts.given_back);
        let before = last.insert((*life, &counts.topic), now).unwrap_or_default();
        if now.0 < before.0 || now.1 < before.1 || now.2 < before.2 {
            verdict.violate(*at, || {
                format!(
                    "{} at {}, topic {}: counters fell from {before:?} to {now:?} (delivered, settled, given back)",
                    past.life(*life).name(),
                    past.clock(*at),
                    counts.topic,
                )
            });
        }
    }
}

/// An overrun that hapax reports is a second success of its ID: it must have two, or one and a dead letter.
fn judge_false_alarms(past: &Past, reports: &Reports<'_>, verdict: &mut Verdict) {
    for report in reports.overruns.iter().filter(|report| report.what == What::CompletedOverrun) {
        let Some(id) = report.id else { continue };
        verdict.checked += 1;
        let successes = past.attempts(id).iter().filter(|each| each.succeeded() && each.ended <= report.at).count();
        let letters = past.letters(id, crate::history::Role::DeadLetter).count();
        if successes + letters < 2 {
            verdict.violate(report.at, || {
                format!(
                    "{} reported at {} that the effect of ID {} was a repeat, but it succeeded {successes} times",
                    past.life(report.life).name(),
                    past.clock(report.at),
                    past.ids.name(id),
                )
            });
        }
    }
}

/// The reports that tell of repeats, in order of time.
struct Reports<'a> {
    overruns: Vec<&'a Report>,
    by_id: HashMap<u32, Vec<&'a Report>>,
    losses: Vec<&'a Report>,
}

impl<'a> Reports<'a> {
    fn of(past: &'a Past) -> Self {
        let mut reports = Self { overruns: Vec::new(), by_id: HashMap::new(), losses: Vec::new() };
        for report in &past.reports {
            match report.what {
                What::CompletedOverrun | What::CompletedPossibleOverrun => reports.overruns.push(report),
                What::RecordsLost => reports.losses.push(report),
                What::Suspect | What::LeaseLost | What::Failed => {}
                _ => continue,
            }
            if let Some(id) = report.id {
                reports.by_id.entry(id).or_default().push(report);
            }
        }
        reports
    }

    /// Whether hapax reported this repeat. One of these is enough:
    ///
    /// * A completion of this ID after its first effect had the verdict `overrun` or `possible_overrun`.
    /// * The repeating worker took the ID over as a suspect, between the two effects.
    /// * A failure of the first attempt was reported, where it failed after its effect.
    /// * The store's loss was reported by any worker, where that is the excuse.
    fn tell_of(&self, past: &Past, repeat: &Repeat) -> bool {
        let Repeat { first, again, .. } = repeat;
        let of_id = self.by_id.get(&repeat.id).map_or(&[][..], Vec::as_slice);
        let excuse = repeat.excused.map(|excused| excused.by);
        let told = of_id.iter().any(|report| match report.what {
            What::CompletedOverrun | What::CompletedPossibleOverrun => report.at >= again.effect.min(again.seen()),
            What::Suspect => report.life == again.life && report.at >= first.seen() && report.at <= again.effect,
            What::LeaseLost => report.life == first.life && report.at >= first.seen(),
            What::Failed => {
                report.life == first.life
                    && report.at >= first.effect
                    && matches!(excuse, Some(Excuse::FailedAfterEffect | Excuse::TimeLimit))
            }
            _ => false,
        });
        let lost = matches!(excuse, Some(Excuse::RecordLost | Excuse::LeaseLost))
            && repeat.excused.and_then(|excused| excused.fault).is_some_and(|number| {
                let fault = past.faults.all().iter().find(|fault| fault.number == number);
                fault.is_some_and(|fault| self.losses.iter().any(|report| report.at >= fault.begin))
            });
        told || lost
    }
}

/// Whether no process can know of the repeat, by what the documentation promises: the window was over, or the lease with
/// its grace, so that the store remembered nothing; or the first effect was never completed and the store had lost its
/// lease.
fn unknowable(past: &Past, repeat: &Repeat) -> bool {
    let Repeat { first, again, .. } = repeat;
    let forgotten = (past.run.lease_ms + past.run.grace_ms) * 1_000;
    let by = repeat.excused.map(|excused| excused.by);
    match by {
        Some(Excuse::WindowOver) => true,
        Some(Excuse::Killed | Excuse::DrainOver | Excuse::EndedStoreAway) => {
            again.seen().saturating_sub(first.seen()) >= forgotten
                || past.faults.losses().any(|(fault, _)| fault.begin >= first.seen() && fault.begin <= again.seen())
        }
        _ => false,
    }
}

/// Whether the process that would have reported it was gone before it could: the second effect's success was never
/// answered before its process exited. hapax reports an overrun with the answer to the later completion, so the attempt
/// counts whose effect was not recorded.
fn reporter_died(past: &Past, repeat: &Repeat) -> bool {
    let gone = |each: &Try| {
        let life = past.life(each.life);
        let deaths = [crate::history::FaultKind::WorkerKill, crate::history::FaultKind::WorkerFailpoint];
        each.recorded == NEVER
            && past
                .faults
                .hitting(&deaths, &life.worker, life.incarnation)
                .any(|fault| fault.begin <= past.exit(each.life) && past.exit(each.life) != NEVER)
    };
    gone(&repeat.again) || (gone(&repeat.first) && repeat.excused.map(|e| e.by) != Some(Excuse::Killed))
}
