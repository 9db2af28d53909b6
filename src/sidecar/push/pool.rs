//! Connections in HTTP/1.1 that are free.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::line::Line;

/// How long a connection may be idle. Servers commonly close theirs after two to five seconds, and a request that
/// crosses such a close on its way counts an attempt; a new connection costs less.
pub(super) const IDLE: Duration = Duration::from_millis(1500);

/// Free connections, the last used one at the end. There are never more than there were requests at once.
#[derive(Debug, Default)]
pub(super) struct Pool {
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    lines: Vec<(Line, Instant)>,
    /// Whether a task closes what is idle for too long.
    is_swept: bool,
}

impl Pool {
    /// Takes the connection that was used last.
    pub(super) fn take(&self) -> Option<Line> {
        let mut free = self.free.lock();
        while let Some((line, since)) = free.lines.pop() {
            if since.elapsed() < IDLE && !line.is_closed() {
                return Some(line);
            }
        }
        None
    }

    /// Gives a connection back whose answer was read to its end.
    pub(super) fn give(self: &Arc<Self>, line: Line) {
        if line.is_closed() {
            return;
        }
        let mut free = self.free.lock();
        free.lines.push((line, Instant::now()));
        if !free.is_swept {
            free.is_swept = true;
            drop(tokio::spawn(sweep(Arc::downgrade(self))));
        }
    }
}

/// Closes what is idle, until nothing is left.
async fn sweep(pool: Weak<Pool>) {
    loop {
        sleep(IDLE).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut free = pool.free.lock();
        free.lines.retain(|(line, since)| since.elapsed() < IDLE && !line.is_closed());
        if free.lines.is_empty() {
            free.is_swept = false;
            return;
        }
    }
}
