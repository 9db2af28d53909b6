//! The history of a run: what happened, as each process saw it from outside of hapax.
//!
//! A directory of files `*.jsonl`, each appended by one process; one JSON object per line, an [`Entry`]. Every process
//! writes with a [`Journal`]. `tests/chaos/README.md` describes the format for other writers.

mod clock;
mod entry;
mod fault;
mod handler;
mod journal;
mod kafka;
mod process;
mod reported;
mod run;

pub use clock::now;
pub use entry::{Entry, Event};
pub use fault::{Fault, FaultKind, Target, WRITES_REFUSED};
pub use handler::{Attempt, Ended, Outcome};
pub use journal::Journal;
pub use kafka::{Committed, Copy, Nature, Produced, Unacknowledged};
pub use process::{Counts, Leftover, Life, Memory, Process};
pub use reported::{Reported, What};
pub use run::{Order, Phase, Role, Run, Stage, Topic};
