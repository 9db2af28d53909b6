//! Why an effect may be repeated: the faults that excuse it, each by its own rule.
//!
//! A pair is judged: the effect that happened first, and the one that repeated it. If an effect has several before it,
//! each of these needs an excuse of its own, because the record of any one of them would have kept it from happening.

use crate::history::{Fault, FaultKind, Outcome};

use super::past::{FROZEN, NEVER, Past, Span, Try, span};

/// What the claim of a started handler has left at least. hapax renews a claim that has less before it starts a handler,
/// and a running one at a third of the lease.
const LEASE_LEFT: (u64, u64) = (2, 3);
/// What timers, and the times in the history, are late by.
const SLACK: u64 = 200_000;
/// How long after a success its completion is answered, while nothing is broken.
const RECORDING: u64 = 5_000_000;
/// How long a worker needs to reach the store again, after it can.
const RECONNECT: u64 = 1_000_000;

/// A reason that excuses a repeated effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Excuse {
    /// The process was killed after the effect, before it was recorded.
    Killed,
    /// The process was frozen, or starved, for longer than the lease.
    Frozen,
    /// The process could not reach the store for longer than the lease.
    StoreAway,
    /// The store's clock jumped ahead, so the lease or the memory of the ID ended early.
    StoreClock,
    /// The store lost the record of the first effect.
    RecordLost,
    /// The store lost the lease of the first effect's handler.
    LeaseLost,
    /// The first effect was longer ago than the window.
    WindowOver,
    /// The handler had its effect, and then answered that it failed.
    FailedAfterEffect,
    /// The handler had its effect, and then outlasted the time limit.
    TimeLimit,
    /// The process was asked to end, and the handler outlasted the drain limit.
    DrainOver,
    /// The process was asked to end while the store was away, so that what ended could not be recorded.
    EndedStoreAway,
}

impl Excuse {
    pub fn text(self) -> &'static str {
        match self {
            Self::Killed => "the process was killed between the effect and its recording",
            Self::Frozen => "the process was frozen or starved for longer than its lease",
            Self::StoreAway => "the store could not be reached for longer than the lease",
            Self::StoreClock => "the store's clock jumped ahead",
            Self::RecordLost => "the store lost the record of the effect",
            Self::LeaseLost => "the store lost the lease of the handler",
            Self::WindowOver => "the effect was longer ago than the window",
            Self::FailedAfterEffect => "the handler itself failed after its effect",
            Self::TimeLimit => "the handler outlasted its time limit after its effect",
            Self::DrainOver => "the process ended while the handler outlasted the drain limit",
            Self::EndedStoreAway => "the process ended while the store was away",
        }
    }

    /// Whether hapax allows it without any fault.
    pub fn needs_no_fault(self) -> bool {
        matches!(self, Self::WindowOver | Self::FailedAfterEffect | Self::TimeLimit)
    }

    /// Whether what it excuses is bounded by `max_exposed`, for each life of a worker and each fault.
    pub fn is_bounded(self) -> bool {
        matches!(self, Self::Killed | Self::Frozen | Self::StoreAway | Self::EndedStoreAway | Self::DrainOver)
    }

    /// Whether two handlers of one ID may run at once because of it.
    pub fn allows_overlap(self) -> bool {
        matches!(self, Self::Frozen | Self::StoreAway | Self::StoreClock | Self::LeaseLost)
    }
}

/// An excuse, and the fault that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excused {
    pub by: Excuse,
    pub fault: Option<u64>,
}

/// Finds what excuses that `again` happened although `first` had.
pub fn find(past: &Past, first: &Try, again: &Try) -> Option<Excused> {
    let excused = |by, fault: Option<&Fault>| fault.map(|fault| Excused { by, fault: Some(fault.number) });
    let plain = |by, holds: bool| holds.then_some(Excused { by, fault: None });
    plain(Excuse::FailedAfterEffect, failed_after_effect(first, again))
        .or_else(|| plain(Excuse::TimeLimit, time_limit(past, first, again)))
        .or_else(|| plain(Excuse::WindowOver, window_over(past, first, again)))
        .or_else(|| excused(Excuse::Killed, killed(past, first, again)))
        .or_else(|| excused(Excuse::RecordLost, record_lost(past, first, again)))
        .or_else(|| excused(Excuse::Frozen, overrun(past, first, again, FROZEN)))
        .or_else(|| excused(Excuse::StoreAway, overrun(past, first, again, STORE_AWAY)))
        .or_else(|| excused(Excuse::StoreClock, clock_jumped(past, first, again)))
        .or_else(|| excused(Excuse::LeaseLost, lease_lost(past, first, again)))
        .or_else(|| excused(Excuse::DrainOver, drain_over(past, first, again)))
        .or_else(|| excused(Excuse::EndedStoreAway, ended_store_away(past, first, again)))
}

/// What ends a process without any chance to act.
const DEATHS: &[FaultKind] = &[FaultKind::WorkerKill, FaultKind::WorkerFailpoint];
/// What keeps a process from the store.
const STORE_AWAY: &[FaultKind] = &[
    FaultKind::StoreKill,
    FaultKind::StoreTerm,
    FaultKind::StoreFreeze,
    FaultKind::StoreFailover,
    FaultKind::StoreSplit,
    FaultKind::StoreBusy,
    FaultKind::StoreCut,
    FaultKind::StoreHang,
    FaultKind::StoreSlow,
];

/// The handler returned a failure after its effect, so hapax tries again, as it must.
fn failed_after_effect(first: &Try, again: &Try) -> bool {
    let failed =
        matches!(first.outcome, Some(Outcome::Retryable | Outcome::Fatal | Outcome::Unavailable | Outcome::Panicked));
    failed && again.seen() >= first.ended
}

/// hapax dropped the handler at its time limit, after its effect, so it tries again.
fn time_limit(past: &Past, first: &Try, again: &Try) -> bool {
    let limit = past.run.handler_limit_ms * 1_000;
    first.outcome == Some(Outcome::Dropped)
        && again.seen() >= first.ended
        && first.ended.saturating_sub(first.called) + SLACK >= limit
}

/// The ID was recorded as done, and the window that it is remembered for had passed when the repeat began.
fn window_over(past: &Past, first: &Try, again: &Try) -> bool {
    first.recorded != NEVER && again.seen().saturating_sub(first.recorded) >= past.window()
}

/// The first process died between the effect and its recording. All of these hold:
///
/// * A kill, or a failpoint, hit this very life of the worker, and its exit was seen, after the effect.
/// * It never reported that the effect was recorded.
/// * The repeat began after the kill began.
/// * If the handler had returned success, that was at most 5 s before the exit; more only while the store was away or
///   the process frozen.
/// * The lease had run out, unless the store lost it or its clock jumped.
fn killed<'a>(past: &'a Past, first: &Try, again: &Try) -> Option<&'a Fault> {
    if first.recorded != NEVER || past.exit(first.life) == NEVER {
        return None;
    }
    let exit = past.exit(first.life);
    let life = past.life(first.life);
    let fault = past
        .faults
        .hitting(DEATHS, &life.worker, life.incarnation)
        .find(|fault| fault.begin <= exit && first.effect <= exit && again.seen() >= fault.begin)?;
    let recording_since = if first.succeeded() { first.ended } else { exit };
    let in_time = exit.saturating_sub(recording_since) <= RECORDING
        || past
            .faults
            .hitting(STORE_AWAY, &life.worker, life.incarnation)
            .chain(past.faults.hitting(FROZEN, &life.worker, life.incarnation))
            .any(|away| span(away).overlaps(recording_since, exit));
    let lease_ran_out = again.seen() + SLACK >= began(past, first).saturating_add(lease_left(past))
        || lease_lost(past, first, again).is_some()
        || clock_jumped(past, first, again).is_some();
    (in_time && lease_ran_out).then_some(fault)
}

/// The lease of the first handler ran out while it was being handled or recorded. All of these hold:
///
/// * Faults of these kinds hit its life for at least two thirds of the lease (less 1 s, which it takes to reconnect)
///   before the repeat began. Faults that follow each other within 1 s count as one.
/// * The handler had started before the fault was over, and its effect was not recorded when the fault began.
/// * The repeat began at least two thirds of the lease after the fault did, and after the first had started.
/// * The first was not reported as recorded before the repeat began.
fn overrun<'a>(past: &'a Past, first: &Try, again: &Try, kinds: &'a [FaultKind]) -> Option<&'a Fault> {
    if !was_open(past, first, again) {
        return None;
    }
    let life = past.life(first.life);
    let spans = past.faults.spans(kinds, &life.worker, life.incarnation, RECONNECT);
    let spans = spans.into_iter().find(|away| {
        let lasted = away.end.min(again.seen()).saturating_sub(away.begin);
        lasted + RECONNECT >= lease_left(past)
            && began(past, first) <= away.end.saturating_add(RECONNECT)
            && (first.recorded == NEVER || first.recorded >= away.begin)
            && again.seen() + SLACK >= away.begin.saturating_add(lease_left(past))
            && again.seen() >= began(past, first)
    })?;
    fault_within(past, kinds, first.life, spans)
}

/// The store's clock was moved ahead, or back and then ahead, by so much that the lease ended (for a handler that was
/// running or being recorded) or the memory of the ID (for one that was recorded before).
fn clock_jumped<'a>(past: &'a Past, first: &Try, again: &Try) -> Option<&'a Fault> {
    past.faults.of(&[FaultKind::StoreClock]).find(|fault| {
        // A clock that was set back jumps ahead when it is set right.
        let ahead = fault.clock_ms.unwrap_or(0).unsigned_abs() * 1_000;
        let (moved, again_at) = (span(fault), again.seen());
        let lease_ended = was_open(past, first, again)
            && began(past, first) <= moved.end
            && (first.recorded == NEVER || first.recorded >= moved.begin)
            && again_at.saturating_sub(began(past, first)) + ahead + SLACK >= lease_left(past);
        let forgotten = first.recorded != NEVER
            && first.recorded <= moved.end
            && again_at.saturating_sub(first.recorded) + ahead >= past.window();
        ahead > 0
            && again_at >= moved.begin
            && again_at <= moved.end.saturating_add(past.lease())
            && (lease_ended || forgotten)
    })
}

/// The effect was reported as recorded, within the time of which the store lost what it had acknowledged; the repeat began
/// after that, and after the loss.
fn record_lost<'a>(past: &'a Past, first: &Try, again: &Try) -> Option<&'a Fault> {
    let lost = |fault: &Fault, from: u64| {
        let until = span(fault).end.saturating_add(RECONNECT);
        first.recorded <= again.seen()
            && (from..=until).contains(&first.recorded)
            && again.seen() >= gone_at(fault, from)
    };
    past.faults.losses().find(|(fault, from)| lost(fault, *from)).map(|(fault, _)| fault)
}

/// The store lost the lease of a handler that was running, being recorded, or claimed ahead: its claim was at most a third
/// of the lease before it started, or it would have been renewed. The repeat began after the loss, and before the first
/// was reported as recorded.
fn lease_lost<'a>(past: &'a Past, first: &Try, again: &Try) -> Option<&'a Fault> {
    let lost = |fault: &Fault, from: u64| {
        let claimed_by = began(past, first).saturating_sub(past.lease() - lease_left(past));
        was_open(past, first, again)
            && claimed_by <= span(fault).end.saturating_add(SLACK)
            && (first.recorded == NEVER || first.recorded >= fault.begin)
            && again.seen() >= gone_at(fault, from)
    };
    past.faults.losses().find(|(fault, from)| lost(fault, *from)).map(|(fault, _)| fault)
}

/// The process was asked to end, and the handler still ran when the drain limit was over, so it was dropped; the repeat
/// began after the request.
fn drain_over<'a>(past: &'a Past, first: &Try, again: &Try) -> Option<&'a Fault> {
    let life = past.life(first.life);
    past.faults.hitting(&[FaultKind::WorkerTerm], &life.worker, life.incarnation).find(|fault| {
        let limit = (fault.begin + past.run.drain_ms * 1_000).saturating_sub(SLACK);
        let ran_on = !first.succeeded() && (first.ended == NEVER || first.ended >= limit);
        first.recorded == NEVER && began(past, first) <= limit && ran_on && again.seen() >= limit
    })
}

/// The process was asked to end while the store was away: the handler had returned success, which could not be recorded
/// before the process was gone.
fn ended_store_away<'a>(past: &'a Past, first: &Try, again: &Try) -> Option<&'a Fault> {
    let (life, exit) = (past.life(first.life), past.exit(first.life));
    let away = || {
        past.faults
            .hitting(STORE_AWAY, &life.worker, life.incarnation)
            .any(|away| first.succeeded() && exit != NEVER && span(away).overlaps(first.ended, exit))
    };
    past.faults
        .hitting(&[FaultKind::WorkerTerm], &life.worker, life.incarnation)
        .find(|fault| first.recorded == NEVER && again.seen() >= fault.begin && fault.begin <= exit && away())
}

/// When it was decided to call the handler. A freeze of its process can lie between that and the call.
pub fn began(past: &Past, each: &Try) -> u64 {
    let life = past.life(each.life);
    let froze = past.faults.hitting(FROZEN, &life.worker, life.incarnation).map(span);
    // A process goes on a moment before the end of its freeze is noted.
    let between = |frozen: &Span| frozen.begin <= each.called && frozen.end.saturating_add(SLACK) >= each.called;
    froze.filter(between).map(|frozen| frozen.begin).fold(each.called, u64::min)
}

fn lease_left(past: &Past) -> u64 {
    past.lease() * LEASE_LEFT.0 / LEASE_LEFT.1
}

/// Whether the first was not yet recorded when the repeat began. Its report may be earlier than the start of the repeat by
/// the time from a claim to its handler, and by a freeze of the repeating process.
fn was_open(past: &Past, first: &Try, again: &Try) -> bool {
    let life = past.life(again.life);
    let froze = |from: u64| {
        past.faults.hitting(FROZEN, &life.worker, life.incarnation).any(|f| span(f).overlaps(from, again.seen()))
    };
    first.recorded == NEVER || first.recorded + RECONNECT >= again.seen() || froze(first.recorded)
}

/// From when on the loss shows: from the beginning of the fault; with two masters at once from where they part.
fn gone_at(fault: &Fault, from: u64) -> u64 {
    if fault.what == FaultKind::StoreSplit { from } else { fault.begin }
}

fn fault_within<'a>(past: &'a Past, kinds: &'a [FaultKind], life: u32, within: Span) -> Option<&'a Fault> {
    let life = past.life(life);
    past.faults
        .hitting(kinds, &life.worker, life.incarnation)
        .find(|fault| span(fault).overlaps(within.begin, within.end))
}
