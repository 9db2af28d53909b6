//! I10: what cannot be handled becomes a dead letter, after the attempts that it has; what can be does not.

use crate::history::{Fault, FaultKind, Nature, Outcome, Role, What};

use super::excuse;
use super::past::{Letter, NEVER, Past, Try, span};
use super::verdict::Verdict;

/// How many attempts a nature needs, and whether it ends as a dead letter.
enum Expected {
    /// It is handled after so many failed attempts.
    Handled(u32),
    /// It is a dead letter after all its attempts, after one, or without any.
    Letter(u32),
    Either,
}

fn expected(past: &Past, nature: Option<&Nature>) -> Expected {
    let limit = past.run.max_attempts;
    match nature {
        Some(Nature::Plain | Nature::Slow) => Expected::Handled(0),
        Some(Nature::FailsTwice) => Expected::Handled(2),
        Some(Nature::PanicsOnce | Nature::TimesOutOnce | Nature::FailsAfterEffect) => Expected::Handled(1),
        Some(Nature::Poison) => Expected::Letter(limit),
        Some(Nature::Fatal) => Expected::Letter(1),
        Some(Nature::NoId) => Expected::Letter(0),
        Some(Nature::Other(_)) | None => Expected::Either,
    }
}

/// Judges every ID of which the log is read to its end.
pub fn judge(past: &Past) -> Verdict {
    let mut verdict = Verdict::new("I10", "dead letters are those that cannot be handled, and only those");
    let suspects = suspects(past);
    let committed = committed_ids(past);
    for id in 0..u32::try_from(past.nature_of.len()).unwrap_or(u32::MAX) {
        let letter = past.letters(id, Role::DeadLetter).next();
        let attempts = past.attempts(id);
        match expected(past, past.nature(id)) {
            Expected::Either => {}
            Expected::Letter(needed) => {
                verdict.checked += 1;
                match letter {
                    None if committed[id as usize] => {
                        verdict.violate(attempts.first().map_or(0, Try::seen), || {
                            format!("{} cannot be handled and is committed, but it has no dead letter", name(past, id))
                        });
                    }
                    None => {}
                    Some(letter) => judge_attempts(past, letter, needed, suspects_of(&suspects, id), &mut verdict),
                }
            }
            Expected::Handled(failures) => {
                verdict.checked += 1;
                if let Some(letter) = letter {
                    judge_healthy(past, letter, failures, suspects_of(&suspects, id), &mut verdict);
                }
            }
        }
    }
    let letters = past.letters.iter().filter(|letter| letter.role == Role::DeadLetter).count();
    verdict.note(format!("{letters} dead letters"));
    verdict
}

/// Whether a record of each ID is below the committed offset of its partition.
fn committed_ids(past: &Past) -> Vec<bool> {
    let mut committed = vec![false; past.ids.len()];
    for (_, part) in past.consumed().filter(|(_, part)| part.role == Role::Source) {
        let offset = part.samples.iter().filter_map(|sample| sample.offset).max().unwrap_or(0);
        for record in part.records.iter().take_while(|record| record.offset < offset) {
            committed[record.id as usize] = true;
        }
    }
    // What went to a retry topic and waits there has not had its last attempt.
    for (_, part) in past.consumed().filter(|(_, part)| part.role == Role::Retry) {
        let offset = part.samples.iter().filter_map(|sample| sample.offset).max().unwrap_or(0);
        for record in part.records.iter().filter(|record| record.offset >= offset) {
            committed[record.id as usize] = false;
        }
    }
    committed
}

/// The takeovers of suspects, as reported, sorted by ID.
fn suspects(past: &Past) -> Vec<(u32, u64)> {
    let suspects = past.reports.iter().filter(|report| report.what == What::Suspect);
    let mut suspects: Vec<_> = suspects.filter_map(|report| Some((report.id?, report.at))).collect();
    suspects.sort_unstable();
    suspects
}

fn suspects_of(suspects: &[(u32, u64)], id: u32) -> &[(u32, u64)] {
    &suspects[suspects.partition_point(|(other, _)| *other < id)..suspects.partition_point(|(other, _)| *other <= id)]
}

/// How an ID used up its attempts before a time.
struct Used {
    /// Attempts that failed, without those that found something unavailable: these are not counted by hapax.
    failed: u32,
    /// Attempts that never ended, and takeovers: a crash or an overrun each.
    cut_off: u32,
}

fn used(past: &Past, id: u32, before: u64, suspects: &[(u32, u64)]) -> Used {
    let attempts = past.attempts(id).iter().filter(|each| each.seen() <= before);
    let (mut failed_ones, mut cut_off) = (0, 0);
    for attempt in attempts {
        match attempt.outcome {
            None => cut_off += 1,
            Some(_) => failed_ones += u32::from(failed(attempt)),
        }
    }
    let taken_over = suspects.iter().filter(|(_, at)| *at <= before).count();
    Used { failed: failed_ones, cut_off: cut_off.max(u32::try_from(taken_over).unwrap_or(u32::MAX)) }
}

/// A dead letter that had to be: neither too early nor too late.
///
/// Too early: fewer attempts failed or were cut off by a crash than it has. Too late: more attempts failed in a row than it
/// has and one more (hapax does not count the start with which a suspect is taken over). A row ends where a fault may have
/// kept a process from giving the ID back with its count: failures are counted in the process, and stored when it gives
/// the ID back.
fn judge_attempts(past: &Past, letter: &Letter, needed: u32, suspects: &[(u32, u64)], verdict: &mut Verdict) {
    let Used { failed, cut_off } = used(past, letter.id, last_attempt(letter), suspects);
    if failed + cut_off < needed {
        verdict.violate(letter.at, || {
            format!(
                "{} became a dead letter at {} ({}) after {failed} failed attempts and {cut_off} that were cut off; it has {needed}",
                name(past, letter.id),
                past.clock(letter.at),
                letter.reason,
            )
        });
    }
    let row = longest_row(past, past.attempts(letter.id));
    if needed > 0 && row > needed + 1 {
        verdict.violate(letter.at, || {
            format!(
                "{} failed {row} times in a row before its dead letter; it has {needed} attempts",
                name(past, letter.id)
            )
        });
    }
}

/// How often an ID failed before its count was forgotten or it became a dead letter.
fn longest_row(past: &Past, attempts: &[Try]) -> u32 {
    let (mut longest, mut row) = (0, 0);
    let mut before: Option<&Try> = None;
    for attempt in attempts {
        if before.is_some_and(|before| may_forget(past, before, attempt)) {
            row = 0;
        }
        row += u32::from(failed(attempt));
        longest = longest.max(row);
        before = Some(attempt);
    }
    longest
}

/// Whether the count of failures may have been forgotten between two attempts: in another life after a fault of the first
/// one or of the store, or after the grace.
fn may_forget(past: &Past, before: &Try, next: &Try) -> bool {
    let between =
        |fault: &Fault| fault.what != FaultKind::WorkerJoin && span(fault).overlaps(before.seen(), next.seen());
    next.seen().saturating_sub(before.seen()) >= past.run.grace_ms * 1_000
        || past.faults.losses().any(|(fault, _)| between(fault))
        || (before.life != next.life && past.faults.all().iter().any(between))
}

fn failed(attempt: &Try) -> bool {
    matches!(attempt.outcome, Some(Outcome::Retryable | Outcome::Panicked | Outcome::Fatal | Outcome::Dropped))
}

/// A dead letter of what can be handled. It is excused where crashes used up its attempts: together with the failures of
/// its nature they are as many as it has. If it was handled, too, one of the two must be excused as a repeat.
fn judge_healthy(past: &Past, letter: &Letter, failures: u32, suspects: &[(u32, u64)], verdict: &mut Verdict) {
    let Used { failed, cut_off } = used(past, letter.id, last_attempt(letter), suspects);
    let by_crashes = cut_off > 0 && failed.min(failures) + cut_off >= past.run.max_attempts;
    if !by_crashes {
        verdict.violate(letter.at, || {
            format!(
                "{} can be handled, and became a dead letter at {} ({}) after {failed} failed attempts and {cut_off} that were cut off",
                name(past, letter.id),
                past.clock(letter.at),
                letter.reason,
            )
        });
        return;
    }
    // Written by the process that made the last attempt before it, as far as can be seen.
    let Some(last) = past.attempts(letter.id).iter().rfind(|each| each.seen() <= letter.at.saturating_add(1_000))
    else {
        return;
    };
    let recorded = past.reports.iter().find(|r| r.what == What::DeadLettered && r.id == Some(letter.id));
    let given_up = Try {
        started: letter.at,
        effect: letter.at,
        ended: letter.at,
        recorded: recorded.map_or(NEVER, |report| report.at),
        life: recorded.map_or(last.life, |report| report.life),
        outcome: Some(Outcome::Ok),
        ..*last
    };
    for effect in past.effects(letter.id) {
        let (first, again) = if effect.effect < letter.at { (&effect, &given_up) } else { (&given_up, &effect) };
        if excuse::find(past, first, again).is_none() {
            verdict.violate(letter.at.max(effect.effect), || {
                format!(
                    "{} was handled at {} ({}) and became a dead letter at {}, and no fault excuses it",
                    name(past, letter.id),
                    past.clock(effect.effect),
                    past.describe(&effect),
                    past.clock(letter.at),
                )
            });
        }
    }
}

/// The last time at which an attempt counts for a letter: its timestamp is a millisecond of another clock.
fn last_attempt(letter: &Letter) -> u64 {
    letter.at.saturating_add(super::settled::WALL_SLACK)
}

fn name(past: &Past, id: u32) -> String {
    let nature = past.nature(id).map_or_else(|| "of an unknown nature".to_owned(), |nature| format!("{nature:?}"));
    format!("ID {} ({nature})", past.ids.name(id))
}
