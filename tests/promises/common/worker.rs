//! Worker processes: this program once more, to run one test in a role.

use std::env;
use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use super::guard::{Guarded, Signal};

const ROLE: &str = "TEST_WORKER_ROLE";

/// What every worker prints first; one that ends without it was given the name of a test that does not exist.
const BEGAN: &str = "worker began as";

/// How long a worker may take to print a line or to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// The role of this process, where a test started it as a worker. A test that starts workers asks this first.
pub fn role() -> Option<String> {
    let role = env::var(ROLE).ok()?;
    println!("{BEGAN} {role}");
    Some(role)
}

/// A process that runs one test of this program in a [`role`]. It ends with the test that started it, at the latest.
#[derive(Debug)]
pub struct Worker {
    test: String,
    process: Guarded,
}

impl Worker {
    /// Starts a process that runs the test of this name (`module::function`) in this role, with these variables added
    /// to the environment. Its working directory is its own and is removed with it.
    pub fn spawn<K, V>(test: &str, role: &str, envs: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let directory = tempfile::Builder::new().prefix("hapax-worker-").tempdir().expect("a temporary directory");
        let mut command = Command::new(env::current_exe().expect("the path of this program"));
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]).envs(envs).env(ROLE, role);
        let process = Guarded::start(&format!("the worker {role} of {test}"), directory, &command);
        Self { test: test.to_owned(), process }
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends a signal; when this returns it was sent.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits until the worker has printed a line that contains `text`, and answers that line. Panics with all it
    /// printed when it ends without, or takes longer than two minutes.
    pub async fn line(&self, text: &str) -> String {
        let what = format!("prints {text:?}");
        let line = self.process.wait(&what, PATIENCE, |state| match state.line(text) {
            Some(line) => Some(Ok(line)),
            None => state.exit.map(Err),
        });
        match line.await {
            Ok(line) => line,
            Err(status) => panic!("{} ended with {status} before it printed {text:?}:\n{}", self.test, self.output()),
        }
    }

    /// Waits for its end and answers its status: 0 when the test function returned, 101 when it panicked, 128 and the
    /// number of the signal when one killed it. Panics when it takes longer than two minutes.
    pub async fn exit(&self) -> i32 {
        let status = self.process.wait("ends", PATIENCE, |state| state.exit).await;
        let began = self.process.look(|state| state.line(BEGAN));
        assert!(began.is_some() || status != 0, "there is no test called {} that asks for its role", self.test);
        status
    }

    /// Whether it has not ended yet.
    pub fn runs(&self) -> bool {
        self.process.look(|state| state.exit.is_none())
    }

    /// What it printed.
    pub fn output(&self) -> String {
        self.process.look(|state| state.output())
    }
}
