//! A process that ends with its test, however the test ends.

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;
use tokio::sync::Notify;

/// How many lines of its output are kept.
const LINES_KEPT: usize = 10_000;

/// How long the shell, which only passes orders on, may take to carry one out.
const ORDER_DEADLINE: Duration = Duration::from_secs(30);

/// A signal for a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: please stop.
    Term,
    /// SIGINT: stop at once, but in order; for programs that listen to it, which those here do not by default.
    Interrupt,
    /// SIGKILL: gone.
    Kill,
    /// SIGSTOP: frozen, its connections stay open.
    Stop,
    /// SIGCONT: goes on.
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Interrupt => "INT",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// A process held by `tests/services/guard.sh`, which kills it and removes its working directory when this is dropped
/// or this program ends, by SIGKILL too.
pub(super) struct Guarded {
    what: String,
    directory: PathBuf,
    shell: Child,
    /// `None` once dropped: closing it is the order to end.
    orders: Mutex<Option<ChildStdin>>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    state: Mutex<State>,
    changed: Condvar,
    notify: Notify,
}

/// What the shell reported and the process printed.
#[derive(Default)]
pub(super) struct State {
    pid: u32,
    /// How often the process was started.
    starts: u64,
    /// How it ended, since it was started last; 128 and the number of the signal that killed it.
    pub(super) exit: Option<i32>,
    /// How many signals were sent.
    sent: u64,
    /// What it printed since it was started last.
    lines: VecDeque<String>,
}

impl State {
    /// The first line that contains `text`.
    pub(super) fn line(&self, text: &str) -> Option<String> {
        self.lines.iter().find(|line| line.contains(text)).cloned()
    }

    pub(super) fn output(&self) -> String {
        let lines: Vec<_> = self.lines.iter().map(String::as_str).collect();
        lines.join("\n")
    }
}

impl Guarded {
    /// Starts `command` with `directory` as its working directory. Its output and errors are read as lines.
    pub(super) fn start(what: &str, directory: TempDir, command: &Command) -> Self {
        Self::start_watched(what, directory, command, |_| {})
    }

    /// As [`start`](Self::start); `watch` gets each line, too, as soon as it is read.
    pub(super) fn start_watched(
        what: &str,
        directory: TempDir,
        command: &Command,
        mut watch: impl FnMut(&str) + Send + 'static,
    ) -> Self {
        // From here on the shell removes the directory.
        let directory = directory.keep();
        let mut shell = Command::new("sh");
        shell.args(["-c", include_str!("../../services/guard.sh"), "guard"]).arg(&directory);
        shell.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        // A group of its own: an interrupt from the terminal is for the tests, the pipe tells the shell about it.
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap_or_else(|error| panic!("sh, which holds {what}, did not start: {error}"));
        let orders = shell.stdin.take().expect("piped");
        let output = BufReader::new(shell.stdout.take().expect("piped"));
        let seen = Arc::new(Seen::default());
        let orders = Mutex::new(Some(orders));
        let guarded = Self { what: what.to_owned(), directory, shell, orders, seen: Arc::clone(&seen) };
        std::thread::spawn(move || {
            for line in output.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line);
                if !line.is_empty() && !line.starts_with('\u{1}') {
                    watch(&line);
                }
                seen.change(|state| state.take(&line));
            }
        });
        guarded.wait_blocking("has started", ORDER_DEADLINE, |state| (state.starts == 1).then_some(()));
        guarded
    }

    /// Its working directory.
    #[allow(dead_code, reason = "not every program that shares this file asks")]
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Starts the process again, with the same arguments in the same directory, after it has ended.
    pub(super) fn again(&self) {
        let starts = self.look(|state| {
            assert!(state.exit.is_some(), "{} still runs and cannot be started again", self.what);
            state.starts
        });
        self.order("again");
        self.wait_blocking("has started again", ORDER_DEADLINE, |state| (state.starts > starts).then_some(()));
    }

    /// Sends a signal; when this returns it was sent. A process that has ended gets none.
    pub(super) fn signal(&self, signal: Signal) {
        let sent = self.look(|state| state.sent);
        if self.look(|state| state.exit.is_none()) {
            self.order(signal.name());
            self.wait_blocking("has got its signal", ORDER_DEADLINE, |state| {
                (state.exit.is_some() || state.sent > sent).then_some(())
            });
        }
    }

    /// Kills it and waits for its end.
    pub(super) fn kill(&self) {
        self.signal(Signal::Kill);
        self.wait_blocking("has ended", ORDER_DEADLINE, |state| state.exit);
    }

    pub(super) fn pid(&self) -> u32 {
        self.look(|state| state.pid)
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.seen.state.lock())
    }

    /// Waits until `look` finds something, looking whenever anything changed; panics with its output after `deadline`.
    pub(super) fn wait_blocking<T>(
        &self,
        until: &str,
        deadline: Duration,
        mut look: impl FnMut(&State) -> Option<T>,
    ) -> T {
        let mut found = None;
        let mut state = self.seen.state.lock();
        self.seen.changed.wait_while_for(
            &mut state,
            |state| {
                found = look(state);
                found.is_none()
            },
            deadline,
        );
        found.unwrap_or_else(|| self.late(until, deadline, &state))
    }

    /// As [`wait_blocking`](Self::wait_blocking), without blocking the thread.
    pub(super) async fn wait<T>(
        &self,
        until: &str,
        deadline: Duration,
        mut look: impl FnMut(&State) -> Option<T>,
    ) -> T {
        let looking = async {
            loop {
                let mut changed = std::pin::pin!(self.seen.notify.notified());
                // Before looking, or a change between the two would be missed.
                changed.as_mut().enable();
                if let Some(found) = self.look(&mut look) {
                    return found;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(deadline, looking).await {
            Ok(found) => found,
            Err(_) => self.late(until, deadline, &self.seen.state.lock()),
        }
    }

    fn order(&self, order: &str) {
        let mut orders = self.orders.lock();
        let pipe = orders.as_mut().expect("open until dropped");
        writeln!(pipe, "{order}").unwrap_or_else(|error| panic!("the shell that holds {} is gone: {error}", self.what));
    }

    fn late(&self, until: &str, deadline: Duration, state: &State) -> ! {
        let how = state.exit.map_or("runs".to_owned(), |status| format!("ended with {status}"));
        panic!("not within {deadline:?}: {} {until}; it {how}, and printed:\n{}", self.what, state.output())
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("what", &self.what).field("pid", &self.pid()).finish_non_exhaustive()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.orders.lock().take();
        // Once the shell has ended, port and directory are free. It has no more to do than to kill and to remove, and a
        // test that cannot end would be worse than one that leaves something behind.
        for _ in 0..ORDER_DEADLINE.as_millis() {
            if !matches!(self.shell.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl State {
    fn take(&mut self, line: &str) {
        let Some(report) = line.strip_prefix('\u{1}') else {
            if !line.is_empty() {
                self.lines.push_back(line.to_owned());
                if self.lines.len() > LINES_KEPT {
                    self.lines.pop_front();
                }
            }
            return;
        };
        match report.split_once(' ').unwrap_or((report, "")) {
            ("start", _) => {
                self.exit = None;
                self.lines.clear();
            }
            // Some of its output may be here already.
            ("pid", pid) => {
                self.pid = pid.parse().unwrap_or_default();
                self.starts += 1;
            }
            ("sent", _) => self.sent += 1,
            ("exit", status) => self.exit = status.parse().ok().or(Some(-1)),
            _ => {}
        }
    }
}

impl Seen {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
        self.notify.notify_waiters();
    }
}
