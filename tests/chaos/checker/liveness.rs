//! I9: after the faults the lag returns to zero, nothing stands still, nothing grows, nothing is left behind.

use crate::history::{Fault, FaultKind, WRITES_REFUSED, What};

use super::past::{Alive, BROKER_TROUBLE, Part, Past, Span, span};
use super::verdict::Verdict;

/// The signal by which a process is asked to end.
const SIGTERM: i32 = 15;
/// How long a process may take until it waits for that signal, in microseconds.
const BEGINS: u64 = 1_000_000;

/// Judges, in this order:
///
/// * Every partition has no lag at its last sample, and reached that within the limit after the heal.
/// * No partition lags without progress for longer than the limit, not counting the time of faults and of the recovery
///   from them: a session, a lease and a drain.
/// * No worker holds more memory than its limit.
/// * No worker ends but by a fault or after the end, or as [`may_end`] allows; one that was asked to end exits with 0.
/// * No partition is stopped, and nothing is left over.
pub fn judge(past: &Past) -> Verdict {
    let mut verdict = Verdict::new("I9", "everything goes on after the faults");
    let Some(healed_at) = past.healed_at else {
        verdict.unproven("the run never reached the stage `healed`");
        return verdict;
    };
    if past.ended_at.is_none() {
        verdict.unproven("the run never reached the stage `end`");
    }
    let disturbed = disturbed(past);
    for (_, part) in past.consumed() {
        verdict.checked += 1;
        judge_lag(past, part, healed_at, &mut verdict);
        for stall in stalls(part) {
            let undisturbed = without(stall, &disturbed);
            if undisturbed > past.run.stall_limit_ms * 1_000 {
                verdict.violate(stall.begin, || {
                    format!(
                        "{} lagged without progress from {} to {}, {:.1} s of it without a fault; the limit is {:.1} s",
                        part.name(),
                        past.clock(stall.begin),
                        past.clock(stall.end),
                        undisturbed as f64 / 1e6,
                        past.run.stall_limit_ms as f64 / 1e3,
                    )
                });
            }
        }
    }
    judge_memory(past, &mut verdict);
    judge_exits(past, &mut verdict);
    for stop in past.reports.iter().filter(|report| report.what == What::Stopped) {
        verdict.violate(stop.at, || {
            let place = stop.part.map_or_else(|| "a partition".to_owned(), |part| past.part(part).name());
            format!("{} stopped {place}: {}", past.life(stop.life).name(), stop.text.as_deref().unwrap_or("no reason"))
        });
    }
    for (what, count) in past.leftovers.iter().filter(|(_, count)| *count > 0) {
        verdict.violate(past.last_at, || format!("{count} {what} were left over after the end"));
    }
    verdict
}

fn judge_lag(past: &Past, part: &Part, healed_at: u64, verdict: &mut Verdict) {
    let Some(last) = part.samples.last() else {
        if !part.records.is_empty() {
            verdict.unproven(format!("{} was never sampled", part.name()));
        }
        return;
    };
    if last.at < healed_at {
        verdict.unproven(format!("{} was not sampled after the heal", part.name()));
        return;
    }
    let limit = past.run.heal_limit_ms * 1_000;
    if last.lag() != 0 {
        verdict.violate(last.at, || {
            format!(
                "{} lags by {} at its last sample, {:.1} s after the heal (committed {:?}, end {})",
                part.name(),
                last.lag(),
                last.at.saturating_sub(healed_at) as f64 / 1e6,
                last.offset,
                last.end,
            )
        });
        return;
    }
    let caught_up = part.samples.iter().find(|sample| sample.at >= healed_at && sample.lag() == 0);
    if let Some(sample) = caught_up.filter(|sample| sample.at - healed_at > limit) {
        let took = (sample.at - healed_at) as f64 / 1e6;
        verdict.violate(sample.at, || {
            format!(
                "{} took {took:.1} s after the heal until its lag was 0; the limit is {:.1} s",
                part.name(),
                limit as f64 / 1e6
            )
        });
    }
}

fn judge_memory(past: &Past, verdict: &mut Verdict) {
    let Some((at, life, most)) = past.memory.iter().max_by_key(|(.., bytes)| *bytes) else {
        verdict.unproven("the memory of no worker was sampled");
        return;
    };
    verdict.note(format!("the most memory of a worker was {} MiB ({})", most >> 20, past.life(*life).name()));
    if *most > past.run.memory_limit_bytes {
        verdict.violate(*at, || {
            let limit = past.run.memory_limit_bytes >> 20;
            format!(
                "{} held {} MiB at {}; the limit is {limit} MiB",
                past.life(*life).name(),
                most >> 20,
                past.clock(*at)
            )
        });
    }
}

fn judge_exits(past: &Past, verdict: &mut Verdict) {
    for life in &past.lives {
        let Some(exited) = life.exited else { continue };
        let killed = [FaultKind::WorkerKill, FaultKind::WorkerFailpoint];
        let killed = past.faults.hitting(&killed, &life.worker, life.incarnation).any(|f| f.begin <= exited);
        let asked = past
            .faults
            .hitting(&[FaultKind::WorkerTerm, FaultKind::Rebalance], &life.worker, life.incarnation)
            .any(|fault| fault.begin <= exited)
            || past.ended_at.is_some_and(|end| exited >= end);
        if killed || may_end(past, life, exited, asked) {
            continue;
        }
        if !asked || life.code != Some(0) {
            verdict.violate(exited, || {
                let how = match (life.code, life.signal) {
                    (_, Some(signal)) => format!("by signal {signal}"),
                    (Some(code), None) => format!("with code {code}"),
                    (None, None) => "in an unknown way".to_owned(),
                };
                let why = if asked { "although it was asked to end" } else { "without a fault that ends it" };
                format!("{} exited {how} at {}, {why}", life.name(), past.clock(exited))
            });
        }
    }
}

/// Whether hapax ends by itself here, as it is documented:
///
/// * With 64 at its start, while the store refuses a command that it needs. (A library worker tries again instead.)
/// * With 1, as a static member after trouble with a broker. librdkafka sends a commit again that was under way, after it
///   has joined as a new member. The broker takes the two for two consumers, and fences the member.
/// * By the signal that asked it to end, within its first second: it had not begun to wait for the signal.
fn may_end(past: &Past, life: &Alive, exited: u64, asked: bool) -> bool {
    let started = life.started.unwrap_or(0);
    // Other faults of its kind refuse no command.
    let refuses = |it: &Fault| it.text.as_deref() == Some(WRITES_REFUSED) && span(it).overlaps(started, exited);
    let is_static = || past.run.mode.split(',').any(|it| it == "static");
    let begins = || life.ready.is_none() && exited <= started + BEGINS;
    match life.code {
        None => life.signal == Some(SIGTERM) && asked && begins(),
        Some(64) => life.ready.is_none() && past.faults.of(&[FaultKind::StoreBusy]).any(refuses),
        Some(1) => is_static() && past.faults.any_within(BROKER_TROUBLE, started, exited),
        _ => false,
    }
}

/// The times at which a partition lagged, and its committed offset stayed where it was.
pub fn stalls(part: &Part) -> Vec<Span> {
    let mut stalls = Vec::new();
    let mut since: Option<Span> = None;
    let mut committed = None;
    for sample in &part.samples {
        let standing = sample.lag() > 0 && sample.offset == committed;
        committed = sample.offset;
        match &mut since {
            Some(stall) if standing => stall.end = sample.at,
            _ => {
                stalls.extend(since.take());
                since = (sample.lag() > 0).then_some(Span { begin: sample.at, end: sample.at });
            }
        }
    }
    stalls.extend(since);
    stalls
}

/// The times of faults, each with the recovery after it, put together and in order.
fn disturbed(past: &Past) -> Vec<Span> {
    let recovery = (past.run.session_ms + past.run.lease_ms + past.run.drain_ms) * 1_000;
    let mut spans: Vec<Span> = Vec::new();
    for fault in past.faults.all() {
        let Span { begin, end } = span(fault);
        let end = end.saturating_add(recovery);
        match spans.last_mut().filter(|last| begin <= last.end) {
            Some(last) => last.end = last.end.max(end),
            None => spans.push(Span { begin, end }),
        }
    }
    spans
}

/// How much of a time lies outside of these.
fn without(time: Span, spans: &[Span]) -> u64 {
    let covered = |span: &Span| time.end.min(span.end).saturating_sub(time.begin.max(span.begin));
    time.length().saturating_sub(spans.iter().map(covered).sum())
}
