//! What makes the counts of records add up whenever they are read.

use parking_lot::{RwLock, RwLockReadGuard};

/// Held shared by whoever moves a record from one count to another, and alone by a scrape.
///
/// One for the whole process, as the installed recorder is: several consumers count into the same numbers.
static GATE: RwLock<()> = RwLock::new(());

/// Holds off scrapes until it is dropped.
pub(super) fn account() -> RwLockReadGuard<'static, ()> {
    GATE.read()
}

/// Reads the metrics at a moment at which they add up.
///
/// `read` renders or copies what the installed recorder holds. While it runs, no record moves from one count to
/// another, so for every topic: delivered = settled, of all outcomes, + given back + in flight. The numbers are
/// separate atomics; whoever reads them without this call may see a record that has left one and not yet reached the
/// other.
///
/// It holds up every consumer of the process for as long as `read` takes, a millisecond or so: only take the text
/// inside, and write it to a socket afterwards. Where the recorder has upkeep of its own, do that at intervals and
/// outside, so that a scrape finds little left to do.
///
/// `read` must not call an [`Observer`](crate::observe::Observer), nor `scrape` again: it would wait for itself.
///
/// ```
/// # let render = || String::from("hapax_records_in_flight 0\n");
/// let text = hapax::telemetry::scrape(|| render());
/// # assert!(text.starts_with("hapax_"));
/// ```
pub fn scrape<T>(read: impl FnOnce() -> T) -> T {
    let _alone = GATE.write();
    read()
}
