//! The effects of one worker: lines in a file, one write each, so that a kill leaves whole lines.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// One effect.
#[derive(Clone, Copy, Debug)]
pub struct Effect {
    /// When, in nanoseconds since the Unix epoch; all workers run on one machine.
    pub at: u128,
    /// Of which message.
    pub message: usize,
}

/// A worker's file of effects.
#[derive(Debug)]
pub struct Effects(PathBuf);

impl Effects {
    /// The file of the worker of this name.
    pub fn of(worker: &str, directory: &Path) -> Self {
        Self(directory.join(worker))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// How many effects there are now.
    pub fn count(&self) -> usize {
        std::fs::read(&self.0).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
    }

    /// All effects.
    pub fn read(&self) -> Vec<Effect> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let effect = |line: &str| {
            let (at, message) = line.split_once(' ').expect("a time and a message");
            Effect { at: at.parse().expect("a time"), message: message.parse().expect("a message") }
        };
        text.lines().map(effect).collect()
    }
}

/// Appends effects to a file.
#[derive(Debug)]
pub struct Writer(File);

impl Writer {
    /// Opens the file.
    pub fn open(path: &str) -> Self {
        Self(OpenOptions::new().create(true).append(true).open(path).expect("the file of effects"))
    }

    /// The effect of one message.
    pub fn happen(&self, message: &str) {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970").as_nanos();
        (&self.0).write_all(format!("{at} {message}\n").as_bytes()).expect("the effect is written");
    }
}
