//! Planted bugs: the simulation finds each of them, and names what it breaks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::super::super::Bug;
use super::call::StoreBug;
use super::run;
use super::world::Flaw::{self, Engine, Store};

/// How many schedules may pass until a bug is found.
const BOUND: u64 = 20_000;

/// Each bug, and the invariants that it breaks.
const BUGS: &[(Flaw, &[&str])] = &[
    (Engine(Bug::PastFailed), &["I1", "I2", "I6"]),
    (Engine(Bug::ByLastSuccess), &["I1", "I2"]),
    (Engine(Bug::TwinSettledEarly), &["I4"]),
    (Engine(Bug::InFlightSettled), &["I4"]),
    (Engine(Bug::CommitAfterRevoke), &["I8"]),
    (Engine(Bug::CountedAhead), &["I10"]),
    (Engine(Bug::CountForgotten), &["I10"]),
    (Engine(Bug::KeptBehindParked), &["I9"]),
    (Engine(Bug::TakenAgainAtOnce), &["I9"]),
    (Engine(Bug::ReleaseAfterComplete), &["I7"]),
    (Engine(Bug::UnassignEarly), &["I8"]),
    (Engine(Bug::CompletionGivenUp), &["I2", "I3"]),
    (Engine(Bug::TurnLost), &["I9"]),
    (Engine(Bug::ClaimedWhilePaused), &["I11"]),
    (Engine(Bug::KeptWhilePaused), &["I11"]),
    (Engine(Bug::NoteIgnored), &["I3"]),
    (Engine(Bug::NoteDropped), &["I3"]),
    (Engine(Bug::NotedWithCopy), &["I3"]),
    (Engine(Bug::DoubtForgotten), &["I3"]),
    (Engine(Bug::KeptAtTheEnd), &["I8"]),
    (Engine(Bug::NeverTriedAgain), &["I9"]),
    (Engine(Bug::TryForgetsTheCount), &["I10"]),
    (Engine(Bug::OthersStartDuringATry), &["I13", "I6"]),
    (Engine(Bug::NeighbourSkipped), &["I13"]),
    (Engine(Bug::InFlightForgotten), &["I3"]),
    (Engine(Bug::MemoryFreedEarly), &["I12"]),
    (Store(StoreBug::StaleRelease), &["I7"]),
    (Store(StoreBug::DoneBeforeLease), &["I3"]),
    (Store(StoreBug::NextSliceMissed), &["I3"]),
    (Store(StoreBug::RareDoesNotLookUp), &["I3"]),
    (Store(StoreBug::DeletedEarly), &["I3"]),
    (Store(StoreBug::NoNotice), &["I3"]),
];

/// The first schedule that finds a bug, and what it says.
fn first_to_find(flaw: Flaw) -> Option<(u64, String)> {
    let (next, over, found) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(None::<(u64, String)>));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= BOUND {
                        return;
                    }
                    if let Err(failure) = run(seed, false, Some(flaw)) {
                        over.store(true, Ordering::Relaxed);
                        let mut found = found.lock();
                        if found.as_ref().is_none_or(|(first, _)| seed < *first) {
                            *found = Some((seed, failure.trim().to_owned()));
                        }
                    }
                }
            });
        }
    });
    found.into_inner()
}

#[test]
fn every_planted_bug_is_found() {
    let mut wrong = Vec::new();
    for (flaw, invariants) in BUGS {
        match first_to_find(*flaw) {
            None => wrong.push(format!("{flaw:?} was not found in {BOUND} schedules")),
            Some((seed, failure)) => {
                if !invariants.iter().any(|invariant| failure.starts_with(&format!("{invariant}:"))) {
                    wrong.push(format!("{flaw:?} was taken for something else by {seed}: {failure}"));
                }
                if let Err(failure) = run(seed, false, None) {
                    wrong.push(format!("schedule {seed} fails without {flaw:?}, too: {failure}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
