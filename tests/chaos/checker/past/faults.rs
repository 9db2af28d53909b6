//! The faults, and questions about them.

use crate::history::{Fault, FaultKind, Target};

use super::NEVER;

/// A time with a beginning and an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub begin: u64,
    pub end: u64,
}

impl Span {
    pub fn overlaps(&self, begin: u64, end: u64) -> bool {
        self.begin <= end && begin <= self.end
    }

    pub fn length(&self) -> u64 {
        self.end.saturating_sub(self.begin)
    }
}

/// What breaks a broker, or a connection to it.
pub const BROKER_TROUBLE: &[FaultKind] = &[
    FaultKind::BrokerKill,
    FaultKind::BrokerTerm,
    FaultKind::BrokerFreeze,
    FaultKind::BrokerCut,
    FaultKind::BrokerHang,
    FaultKind::BrokerSlow,
];
/// What keeps a process from running.
pub const FROZEN: &[FaultKind] = &[FaultKind::WorkerFreeze, FaultKind::WorkerStarve];

/// The faults of a run, in order of their beginnings.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

/// When a fault was over; a fault that was never reported as over lasts for ever.
pub fn span(fault: &Fault) -> Span {
    Span { begin: fault.begin, end: fault.end.unwrap_or(NEVER) }
}

impl Faults {
    pub fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| (fault.begin, fault.number));
        Self(faults)
    }

    pub fn all(&self) -> &[Fault] {
        &self.0
    }

    pub fn are_graceful(&self) -> bool {
        self.0.iter().all(|fault| fault.graceful)
    }

    pub fn of(&self, what: &[FaultKind]) -> impl Iterator<Item = &Fault> {
        self.0.iter().filter(move |fault| what.contains(&fault.what))
    }

    /// Faults of these kinds that hit one life of a worker.
    pub fn hitting<'a>(
        &'a self,
        what: &'a [FaultKind],
        worker: &'a str,
        incarnation: u32,
    ) -> impl Iterator<Item = &'a Fault> {
        self.of(what).filter(move |fault| hits(&fault.target, worker, incarnation))
    }

    /// What the store may have lost, and when.
    pub fn losses(&self) -> impl Iterator<Item = (&Fault, u64)> {
        self.0.iter().filter_map(|fault| Some((fault, fault.lost_from?)))
    }

    /// The times of these faults, where they hit this life, with those that touch or overlap put together.
    pub fn spans(&self, what: &[FaultKind], worker: &str, incarnation: u32, join: u64) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for fault in self.hitting(what, worker, incarnation) {
            let next = span(fault);
            match spans.last_mut().filter(|last| next.begin <= last.end.saturating_add(join)) {
                Some(last) => last.end = last.end.max(next.end),
                None => spans.push(next),
            }
        }
        spans
    }

    /// Whether one of these faults lasts at some time within this time.
    pub fn any_within(&self, what: &[FaultKind], begin: u64, end: u64) -> bool {
        self.of(what).any(|fault| span(fault).overlaps(begin, end))
    }
}

/// A fault of a server hits every worker; one of connections hits the worker that it names.
fn hits(target: &Target, worker: &str, incarnation: u32) -> bool {
    match target {
        Target::Worker { worker: of, incarnation: life } => of == worker && *life == incarnation,
        Target::Link { worker: Some(of) } => of == worker,
        Target::Workers | Target::Link { worker: None } | Target::Broker(_) | Target::Store(_) => true,
    }
}
