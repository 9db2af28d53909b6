//! A Redis server of one's own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A Redis server on a free loopback port, without persistence. It ends when this is dropped, and when the test's
/// process ends, however it does.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    arguments: Vec<String>,
    directory: TempDir,
    process: parking_lot::Mutex<Child>,
}

/// Runs the server until its own input closes or says `kill`.
const GUARD: &str = r#"exec 3<&0 </dev/null
"$@" 2>&1 &
server=$!
read -r order <&3
kill -s KILL "$server"
wait "$server" 2>/dev/null"#;

impl RedisServer {
    /// Starts one; when this returns it answers.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more arguments.
    pub fn start_with(arguments: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("hapax-redis-").tempdir().unwrap();
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        for _ in 0..20 {
            // Another process may take the port before Redis does; then the next one is tried.
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(process) = run(port, &arguments, &directory) {
                return Self { port, arguments, directory, process: process.into() };
            }
        }
        panic!("redis-server does not start; install it, or look at what it prints");
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Its port on the loopback address.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it with SIGKILL; when this returns it is gone.
    pub fn kill(&self) {
        let mut process = self.process.lock();
        drop(process.stdin.take());
        process.wait().unwrap();
    }

    /// Kills it and starts it again on the same port, empty; when this returns it answers.
    pub fn restart(&self) {
        self.kill();
        *self.process.lock() = run(self.port, &self.arguments, &self.directory).expect("the port is free again");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(port: u16, arguments: &[String], directory: &TempDir) -> Option<Child> {
    let mut process = Command::new("sh")
        .args(["-c", GUARD, "guard", "redis-server", "--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendonly", "no"])
        .args(arguments)
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh");
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    if lines.any(|line| line.contains("Ready to accept connections")) {
        // What it prints later has to be read, or the pipe fills and Redis waits.
        std::thread::spawn(move || lines.for_each(drop));
        return Some(process);
    }
    let _ = process.stdin.take().map(|mut input| input.write_all(b"kill\n"));
    process.wait().unwrap();
    None
}
