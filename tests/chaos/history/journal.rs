//! The file that one process appends to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::{Entry, Event, now};

/// One process's file of a history.
///
/// Each line is one write call to a file opened for appending. A line is in the kernel's hands when [`Journal::write`]
/// returns, so a kill of the process does not take it back. It need not be synced: the machine itself does not crash.
#[derive(Clone, Debug)]
pub struct Journal(Arc<File>);

impl Journal {
    /// Opens `<directory>/<name>.jsonl` for appending.
    pub fn open(directory: &Path, name: &str) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join(format!("{name}.jsonl"));
        Ok(Self(Arc::new(OpenOptions::new().create(true).append(true).open(path)?)))
    }

    /// Appends an event that happens now; returns its time.
    pub fn write(&self, event: impl Into<Event>) -> io::Result<u64> {
        let at = now();
        self.write_at(at, event)?;
        Ok(at)
    }

    /// Appends an event of an earlier time.
    pub fn write_at(&self, at: u64, event: impl Into<Event>) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Entry { at, event: event.into() })?;
        line.push(b'\n');
        (&*self.0).write_all(&line)
    }
}
