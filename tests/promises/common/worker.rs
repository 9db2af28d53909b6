//! Worker processes: this program once more, to run one test in a role.

use std::env;
use std::ffi::OsStr;
use std::ops::Deref;
use std::process::Command;

use super::Program;

const ROLE: &str = "TEST_WORKER_ROLE";

/// What every worker prints first; one that ends without it was given the name of a test that does not exist.
const BEGAN: &str = "worker began as";

/// The role of this process, where a test started it as a worker. A test that starts workers asks this first.
pub fn role() -> Option<String> {
    let role = env::var(ROLE).ok()?;
    println!("{BEGAN} {role}");
    Some(role)
}

/// A [`Program`] that runs one test of this program in a [`role`].
#[derive(Debug)]
pub struct Worker {
    test: String,
    program: Program,
}

impl Worker {
    /// Starts a process that runs the test of this name (`module::function`) in this role, with these variables added
    /// to the environment.
    pub fn spawn<K, V>(test: &str, role: &str, envs: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let mut command = Command::new(env::current_exe().expect("the path of this program"));
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]).envs(envs).env(ROLE, role);
        Self { test: test.to_owned(), program: Program::start(&format!("the worker {role} of {test}"), &command) }
    }

    /// As [`Program::exit`]: 0 when the test function returned, 101 when it panicked. Panics when there is no such test.
    pub async fn exit(&self) -> i32 {
        let status = self.program.exit().await;
        let began = self.program.output().contains(BEGAN);
        assert!(began || status != 0, "there is no test called {} that asks for its role", self.test);
        status
    }
}

impl Deref for Worker {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}
