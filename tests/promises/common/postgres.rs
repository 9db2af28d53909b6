//! A PostgreSQL server of one's own.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::guard::{Guarded, Signal};
use super::tools;

const START_DEADLINE: Duration = Duration::from_secs(60);

/// How long it may take to end in order.
const END_DEADLINE: Duration = Duration::from_secs(20);

/// A number that is nobody's: the server refuses to run as root.
const NOBODY: u32 = 65_534;

/// What it is made with and started by, in its own directory. It listens at a socket there, and at no port; it need not
/// outlive this machine's power; its shared memory is files, which end with the directory.
const START: &str = r#"
    "$1/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync >/dev/null || exit
    exec "$1/postgres" -D data -k "$PWD" -c listen_addresses= -c fsync=off -c dynamic_shared_memory_type=mmap
"#;

/// A PostgreSQL server with an empty database. It ends when this is dropped.
#[derive(Debug)]
pub struct PostgresServer {
    directory: PathBuf,
    process: Guarded,
}

impl PostgresServer {
    /// Starts one; when this returns it answers.
    pub fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("hapax-postgres-").tempdir().expect("a temporary directory");
        let path = directory.path().to_owned();
        // Whoever made the directory is who we are.
        let root = path.metadata().expect("just made").uid() == 0;
        let mut command = Command::new(if root { "setpriv" } else { "sh" });
        if root {
            chown(&path, Some(NOBODY), Some(NOBODY)).expect("root may");
            let nobody = NOBODY.to_string();
            command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups", "sh"]);
        }
        command.args(["-c", START, "postgres"]).arg(tools::postgres_bin()).env("LC_ALL", "C");
        let process = Guarded::start("the PostgreSQL server", directory, &command);
        let ready = process.wait_blocking("accepts connections", START_DEADLINE, |state| {
            match state.line("database system is ready to accept connections") {
                Some(_) => Some(Ok(())),
                None => state.exit.map(|_| Err(state.output())),
            }
        });
        ready.unwrap_or_else(|output| panic!("the PostgreSQL server ended at its start:\n{output}"));
        Self { directory: path, process }
    }

    /// How to connect to it, in PostgreSQL's own words.
    pub fn address(&self) -> String {
        format!("host={} user=postgres dbname=postgres", self.directory.display())
    }

    /// Runs one statement and answers its rows: a line each, with `|` between the columns.
    pub fn ask(&self, statement: &str) -> String {
        let mut psql = Command::new(tools::postgres_bin().join("psql"));
        tools::output_of(psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement, &self.address()]))
    }
}

impl Drop for PostgresServer {
    /// In order, for a server that is killed leaves a piece of shared memory behind.
    fn drop(&mut self) {
        self.process.signal(Signal::Interrupt);
        for _ in 0..END_DEADLINE.as_millis() / 5 {
            if self.process.look(|state| state.exit.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
