//! Decides whether a run kept the promises, from its history alone.
//!
//! Each invariant is one function over a [`Past`]. It either holds, or is violated with evidence, or cannot be judged
//! because the history lacks what it needs; a run passes only if none is violated and none lacks its evidence.

mod assignments;
mod commits;
mod duplicates;
mod excuse;
mod honesty;
mod letters;
mod liveness;
mod loss;
mod order;
mod overlaps;
mod past;
mod repeats;
mod settled;
mod verdict;

pub use excuse::Excuse;
pub use liveness::stalls;
pub use past::{NEVER, Part, Past, Span, span};
pub use repeats::Repeats;
pub use verdict::{State, Verdict};

/// All verdicts over a run.
#[derive(Debug)]
pub struct Judgement {
    pub verdicts: Vec<Verdict>,
    pub repeats: Repeats,
}

impl Judgement {
    pub fn passed(&self) -> bool {
        self.verdicts.iter().all(Verdict::passed)
    }

    pub fn verdict(&self, invariant: &str) -> Option<&Verdict> {
        self.verdicts.iter().find(|verdict| verdict.invariant == invariant)
    }
}

/// Judges a run.
pub fn judge(past: &Past) -> Judgement {
    let repeats = Repeats::find(past);
    let verdicts = vec![
        loss::judge(past),
        commits::judge(past),
        repeats.judge(past),
        duplicates::judge(past),
        overlaps::judge(past),
        order::judge(past),
        Verdict::elsewhere("I7", "a stale token changes nothing", "the store's conformance tests and the simulation"),
        assignments::judge(past),
        liveness::judge(past),
        letters::judge(past),
        Verdict::elsewhere("I11", "transactions", "hapax has no transactional mode yet"),
        honesty::judge(past, &repeats),
    ];
    Judgement { verdicts, repeats }
}
