//! A Redis server of one's own.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::guard::{Guarded, Signal};
use super::{port, tools};

const START_DEADLINE: Duration = Duration::from_secs(30);

/// A Redis server on a free loopback port, without persistence unless its arguments say otherwise. It ends when this
/// is dropped.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    process: Guarded,
    /// What redis-cli needs to reach it, beside the port.
    cli: Vec<String>,
}

impl RedisServer {
    /// Starts one; when this returns it answers.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more arguments (`["--appendonly", "yes"]`), which overrule the usual ones.
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_on(port::candidates(), arguments)
    }

    /// Starts one on the first of these ports that it can have.
    pub fn start_on(ports: impl IntoIterator<Item = u16>, arguments: &[&str]) -> Self {
        Self::start_at(ports, |port| vec!["--port".to_owned(), port.to_string()], arguments, &[], &[])
    }

    /// Starts one with these variables in its environment, and more arguments.
    pub fn start_in(environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let listen = |port: u16| vec!["--port".to_owned(), port.to_string()];
        Self::start_at(port::candidates(), listen, arguments, &[], environment)
    }

    /// Starts one that speaks TLS only, with these files (certificate, key, CA), and lets redis-cli use them, too.
    pub fn start_tls([certificate, key, ca]: [&str; 3], arguments: &[&str]) -> Self {
        let files = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", ca];
        let arguments = [&files[..], arguments].concat();
        let port = |port: u16| ["--port", "0", "--tls-port", &port.to_string()].map(str::to_owned).to_vec();
        let cli = ["--tls", "--cert", certificate, "--key", key, "--cacert", ca];
        Self::start_at(port::candidates(), port, &arguments, &cli, &[])
    }

    fn start_at(
        ports: impl IntoIterator<Item = u16>,
        listen: impl Fn(u16) -> Vec<String>,
        arguments: &[&str],
        cli: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        for port in ports.into_iter().take(port::TRIES) {
            let directory = tempfile::Builder::new().prefix("hapax-redis-").tempdir().expect("a temporary directory");
            let mut command = Command::new(tools::redis_server());
            command.args(["--bind", "127.0.0.1"]).args(listen(port));
            command.args(["--save", "", "--appendonly", "no"]).args(arguments);
            command.envs(environment.iter().copied());
            let process = Guarded::start("redis-server", directory, &command);
            match wait_ready(&process) {
                Ok(()) => return Self { port, process, cli: cli.iter().map(|&word| word.to_owned()).collect() },
                Err(output) if output.contains("Address already in use") => {}
                Err(output) => panic!("redis-server ended at its start:\n{output}"),
            }
        }
        panic!("redis-server found none of its ports free");
    }

    /// Its address, as `redis://127.0.0.1:port/`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Its port on the loopback address.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory in which it keeps its data.
    pub fn directory(&self) -> PathBuf {
        self.cli(&["CONFIG", "GET", "dir"]).lines().last().expect("two lines").into()
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Runs one command through redis-cli and answers what it prints; panics when Redis answers with an error.
    pub fn cli(&self, command: &[&str]) -> String {
        let mut cli = Command::new(tools::redis_cli());
        let port = self.port.to_string();
        tools::output_of(cli.args(["-e", "-h", "127.0.0.1", "-p", &port]).args(&self.cli).args(command))
    }

    /// As [`cli`](Self::cli); nothing where the server does not answer within seconds, or answers with an error.
    pub fn try_cli(&self, command: &[&str]) -> Option<String> {
        let mut cli = Command::new("timeout");
        cli.arg("5").arg(tools::redis_cli()).args(["-e", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        let output = cli.args(&self.cli).args(command).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// As [`cli`](Self::cli), whatever the server's certificate is.
    pub fn cli_untrusting(&self, command: &[&str]) -> String {
        self.cli(&[&["--insecure"], command].concat())
    }

    /// Sends it a signal; when this returns it was sent.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Kills it with SIGKILL; when this returns it is gone.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Kills it if it runs and starts it again on the same port; when this returns it answers. What it remembers is
    /// what its arguments made it write down: nothing, usually.
    pub fn restart(&self) {
        self.kill();
        self.process.again();
        if let Err(output) = wait_ready(&self.process) {
            panic!("redis-server ended at its restart:\n{output}");
        }
    }
}

/// Its own word for it is awaited: on a port that another process had taken, somebody else would answer.
fn wait_ready(process: &Guarded) -> Result<(), String> {
    process.wait_blocking("accepts connections", START_DEADLINE, |state| {
        match state.line("Ready to accept connections") {
            Some(_) => Some(Ok(())),
            None => state.exit.map(|_| Err(state.output())),
        }
    })
}
