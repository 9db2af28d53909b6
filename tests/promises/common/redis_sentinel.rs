//! A Redis master with a replica, and sentinels that watch it.

use std::process::Command;
use std::time::Duration;

use super::guard::Guarded;
use super::redis::RedisServer;
use super::redis_cluster::until;
use super::{port, tools};

/// How long the master may be silent before the sentinels replace it.
pub const DOWN_AFTER: Duration = Duration::from_millis(1000);

const SENTINELS: usize = 3;
const NAME: &str = "watched";

/// A master, its replica, three sentinels. All end when this is dropped.
#[derive(Debug)]
pub struct RedisSentinels {
    /// The master at the start, then its replica.
    servers: [RedisServer; 2],
    sentinels: Vec<(u16, Guarded)>,
}

impl RedisSentinels {
    /// Starts them; when this returns the sentinels know each other and the replica.
    pub fn start() -> Self {
        let master = RedisServer::start_with(&["--repl-diskless-sync-delay", "0"]);
        let port = master.port().to_string();
        let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]);
        until("the replica is up to date", || master.cli(&["INFO", "replication"]).contains("state=online"));
        let sentinels = std::thread::scope(|scope| {
            let starting: Vec<_> = (0..SENTINELS).map(|_| scope.spawn(|| sentinel(&port))).collect();
            starting.into_iter().map(|sentinel| sentinel.join().expect("a sentinel")).collect()
        });
        let this = Self { servers: [master, replica], sentinels };
        for (port, _) in &this.sentinels {
            until("the sentinels know all", || {
                let told = cli(*port, &["SENTINEL", "MASTER", NAME]);
                let told: Vec<&str> = told.lines().collect();
                let is = |name: &str, value: &str| told.chunks(2).any(|pair| pair == [name, value]);
                is("num-slaves", "1") && is("num-other-sentinels", "2")
            });
        }
        this
    }

    /// Their address, as `redis+sentinel://127.0.0.1:port,…/name`.
    pub fn url(&self) -> String {
        let sentinels: Vec<String> = self.sentinels.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{}/{NAME}", sentinels.join(","))
    }

    /// The master at the start, then its replica.
    pub fn servers(&self) -> &[RedisServer; 2] {
        &self.servers
    }

    /// Kills a sentinel.
    pub fn kill(&self, sentinel: usize) {
        self.sentinels[sentinel].1.kill();
    }

    /// Runs one command on every sentinel.
    pub fn each(&self, command: &[&str]) {
        self.sentinels.iter().for_each(|(port, _)| drop(cli(*port, command)));
    }

    /// As [`fail_over`](Self::fail_over), where the sentinel agrees: it may have another under way, or no good replica.
    pub fn try_fail_over(&self) {
        let mut cli = Command::new(tools::redis_cli());
        cli.args(["-h", "127.0.0.1", "-p", &self.sentinels[0].0.to_string(), "SENTINEL", "FAILOVER", NAME]);
        drop(cli.output());
    }

    /// Lets a sentinel replace the master although nothing is wrong with it.
    pub fn fail_over(&self) {
        cli(self.sentinels[0].0, &["SENTINEL", "FAILOVER", NAME]);
    }
}

fn cli(port: u16, command: &[&str]) -> String {
    let mut cli = Command::new(tools::redis_cli());
    tools::output_of(cli.args(["-e", "-h", "127.0.0.1", "-p", &port.to_string()]).args(command))
}

fn sentinel(master: &str) -> (u16, Guarded) {
    for port in port::candidates().take(port::TRIES) {
        let directory = tempfile::Builder::new().prefix("hapax-sentinel-").tempdir().expect("a temporary directory");
        let down_after = DOWN_AFTER.as_millis();
        let settings = format!(
            "bind 127.0.0.1\nport {port}\nsentinel monitor {NAME} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {NAME} {down_after}\nsentinel failover-timeout {NAME} 5000\n"
        );
        // It writes down there what it learns.
        std::fs::write(directory.path().join("sentinel.conf"), settings).expect("a file");
        let mut command = Command::new(tools::redis_server());
        command.args(["sentinel.conf", "--sentinel"]);
        let process = Guarded::start("redis-sentinel", directory, &command);
        let started =
            process.wait_blocking("watches", Duration::from_secs(30), |state| match state.line("+monitor master") {
                Some(_) => Some(Ok(())),
                None => state.exit.map(|_| Err(state.output())),
            });
        match started {
            Ok(()) => return (port, process),
            Err(output) if output.contains("Address already in use") => {}
            Err(output) => panic!("a sentinel ended at its start:\n{output}"),
        }
    }
    panic!("a sentinel found no free port");
}
