//! A program that ends with its test: the binary, an example, this program as a worker.

use std::process::Command;
use std::time::Duration;

use super::guard::{Guarded, Signal};

/// How long a program may take to print a line or to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process under the eyes of a test. It ends with the test, at the latest.
#[derive(Debug)]
pub struct Program {
    what: String,
    process: Guarded,
}

impl Program {
    /// Starts a command, called `what` in what is said of it. Its working directory is its own and is removed with it;
    /// what it writes to its output and its errors is kept as lines.
    pub fn start(what: &str, command: &Command) -> Self {
        let directory = tempfile::Builder::new().prefix("hapax-program-").tempdir().expect("a temporary directory");
        Self { what: what.to_owned(), process: Guarded::start(what, directory, command) }
    }

    /// As [`start`](Self::start); `watch` gets each line as soon as it is read.
    pub fn start_watched(what: &str, command: &Command, watch: impl FnMut(&str) + Send + 'static) -> Self {
        let directory = tempfile::Builder::new().prefix("hapax-program-").tempdir().expect("a temporary directory");
        Self { what: what.to_owned(), process: Guarded::start_watched(what, directory, command, watch) }
    }

    /// Its status, as [`exit`](Self::exit) answers it, where it has ended.
    pub fn status(&self) -> Option<i32> {
        self.process.look(|state| state.exit)
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends a signal; when this returns it was sent.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits until it has printed a line that contains `text`, and answers that line. Panics with all it printed when
    /// it ends without, or takes longer than two minutes.
    pub async fn line(&self, text: &str) -> String {
        let what = format!("prints {text:?}");
        let line = self.process.wait(&what, PATIENCE, |state| match state.line(text) {
            Some(line) => Some(Ok(line)),
            None => state.exit.map(Err),
        });
        match line.await {
            Ok(line) => line,
            Err(status) => panic!("{} ended with {status} before it printed {text:?}:\n{}", self.what, self.output()),
        }
    }

    /// Waits for its end and answers its status, or 128 and the number of the signal that killed it. Panics when it
    /// takes longer than two minutes.
    pub async fn exit(&self) -> i32 {
        self.process.wait("ends", PATIENCE, |state| state.exit).await
    }

    /// Whether it has not ended yet.
    pub fn runs(&self) -> bool {
        self.process.look(|state| state.exit.is_none())
    }

    /// What it printed, the last ten thousand lines.
    pub fn output(&self) -> String {
        self.process.look(|state| state.output())
    }
}
