//! The state that all handles, guards and the background work of one deduplicator share.
//!
//! Callers change the state themselves, under a short lock. They wake the background work only if a request has to leave
//! now. A task that took every call over cost two switches between threads per ID, more than all the rest.
//!
//! Nothing that takes the lock may be dropped under it: a guard that its asker did not take is disarmed, and the last
//! handle ends without the lock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::guard::Ending;
use super::state::State;

/// The shared state.
pub(super) struct Core {
    state: Mutex<State>,
    /// One permit for each ID that may still come in flight. The state returns the permit when an ID has ended.
    pub(super) room: Arc<Semaphore>,
    /// Wakes the background work.
    wake: Notify,
    /// Whether handles and guards are all gone.
    abandoned: AtomicBool,
}

impl Core {
    pub(super) fn new(state: State, room: Arc<Semaphore>) -> Self {
        Self { state: Mutex::new(state), room, wake: Notify::new(), abandoned: AtomicBool::new(false) }
    }

    /// Changes the state, and wakes the background work if that is needed.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state);
        let wakes = state.desk.wakes();
        drop(state);
        if wakes {
            self.wake.notify_one();
        }
        result
    }

    /// Locks the state for the background work, which looks at it again anyway.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Has the background work look at the state.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until the background work has to look at the state.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Whether handles and guards are all gone.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
}

/// A share in the background work, which goes on while one exists: all clones of a deduplicator and all its guards have
/// one.
#[derive(Debug)]
pub(super) struct Handle {
    core: Arc<Core>,
}

impl Handle {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    pub(super) fn core(&self) -> &Core {
        &self.core
    }

    /// Takes the end of a guard.
    pub(super) fn end(&self, ending: Ending) {
        self.core.change(|state| state.end(ending, Instant::now()));
    }
}

impl Drop for Handle {
    /// Takes no lock: the last handle may be dropped while one is held.
    fn drop(&mut self) {
        self.core.abandoned.store(true, Ordering::Release);
        self.core.wake();
    }
}
