//! The clock of a history.

use rustix::time::{ClockId, clock_gettime};

/// Returns the microseconds of the machine's monotonic clock: the same for all processes of one machine.
///
/// The system call is made directly, so a library that turns the clocks of a process (libfaketime) does not turn this.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000
}
