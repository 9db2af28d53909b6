//! A store that writes down what it must not forget, and leaves all else to the reference.
//!
//! What makes a store hard is what happens between claims: leases, takeovers, tokens, counts of attempts. None of it is
//! here; it is [`MemoryStore`]'s. That is right for one process alone, whose leases end with it. (Of many processes each
//! must see the claims of the others: take `RedisStore`.) What is left are the three rules of [`hapax::store`]:
//!
//! * *In flight elsewhere is not a duplicate*: only what a completion wrote is read as done.
//! * *An unknown outcome is its own result*: a write that failed may have reached the disk, so it is answered with
//!   [`StoreError::Unknown`], and asked again.
//! * *Complete always writes done*, to the disk, before it is answered.
//!
//! Its limits: it keeps no notes of what is given up (`Store::give_up`), so a crash at that moment may have a message
//! handled that lies in the dead-letter topic; counts of attempts end with the process, so a message that kills it is not given up by them; the file only
//! grows, where a real one would be written anew now and then; a clock that is set back or forth shortens or stretches what
//! is left of the window when the file is next read.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use hapax::id::Fingerprint;
use hapax::record::{Origin, TopicPartition};
use hapax::store::{
    Agreement, Answers, Cause, Claim, ClaimOutcome, Completion, CompletionOutcome, Lease, LeaseTerms, MemoryStore,
    OpenError, Release, ReleaseOutcome, RenewOutcome, State, Store, StoreError, Token,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

/// A line of the file, as JSON.
#[derive(Serialize, Deserialize)]
enum Line {
    Agreed(Agreement),
    /// At that many milliseconds since the Unix epoch.
    Done([u8; 16], u64),
    Forgotten([u8; 16]),
}

#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    /// How much of the file is whole lines.
    length: u64,
    agreed: Option<Agreement>,
}

impl Log {
    /// Writes lines so that they outlive this machine's power.
    fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        // What a write before this one left unfinished is cut off.
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(&text)?;
        self.file.sync_data()?;
        self.length += text.len() as u64;
        Ok(())
    }
}

impl Drop for Log {
    /// Closing the file would not do: a child process that is just being started has it open, too, for a moment.
    fn drop(&mut self) {
        self.file.unlock().ok();
    }
}

/// Remembers in this process, and done IDs in a file, too. Clones share both.
#[derive(Clone, Debug)]
pub(crate) struct FileStore {
    memory: MemoryStore,
    log: Arc<Mutex<Log>>,
}

impl FileStore {
    /// Reads a file, or makes one. It is this process's alone until the last clone is dropped: two that do not see each
    /// other's claims would handle the same message.
    pub(crate) async fn read(path: &Path, terms: LeaseTerms) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.try_lock()?;
        let (mut length, mut agreed, mut done) = (0, None, HashMap::new());
        let window = terms.window.as_millis() as u64;
        let mut reader = BufReader::new(&file);
        let mut text = Vec::new();
        // A last line without its end was never acknowledged.
        while reader.read_until(b'\n', &mut text)? > 0 && text.ends_with(b"\n") {
            match serde_json::from_slice(&text)? {
                Line::Agreed(agreement) => agreed = Some(agreement),
                // A second completion within the window does not extend it.
                Line::Done(id, at) => {
                    let first = done.entry(id).or_insert(at);
                    *first = if at >= first.saturating_add(window) { at } else { *first };
                }
                Line::Forgotten(id) => drop(done.remove(&id)),
            }
            length += text.len() as u64;
            text.clear();
        }
        let memory = MemoryStore::new(terms);
        for (id, at) in done {
            let left = Duration::from_millis((at + window).saturating_sub(now()));
            if !left.is_zero() {
                memory.with_terms(LeaseTerms { window: left, ..terms }).complete(vec![of_the_file(id)]).await;
            }
        }
        let log = Log { path: path.to_owned(), file, length, agreed };
        Ok(Self { memory, log: Arc::new(Mutex::new(log)) })
    }

    /// The same namespace, seen by a worker with other terms.
    #[must_use]
    pub(crate) fn with_terms(&self, terms: LeaseTerms) -> Self {
        Self { memory: self.memory.with_terms(terms), log: Arc::clone(&self.log) }
    }

    /// Writes lines, and only then changes the memory. Both under the lock, or file and memory could differ in what came
    /// first; and where nobody can stop it between the two.
    fn written<T: Send + 'static>(
        &self,
        lines: Vec<Line>,
        then: impl FnOnce(MemoryStore) -> BoxFuture<'static, Answers<T>> + Send + 'static,
    ) -> BoxFuture<'static, Answers<T>> {
        let Self { memory, log } = self.clone();
        Box::pin(async move {
            let (count, runtime) = (lines.len(), Handle::current());
            let writing = spawn_blocking(move || {
                let mut log = log.lock();
                log.append(&lines).map(|()| runtime.block_on(then(memory)))
            });
            let unknown = |cause: Cause| vec![StoreError::Unknown(cause); count].into_iter().map(Err).collect();
            match writing.await {
                Ok(Ok(answers)) => answers,
                Ok(Err(error)) => unknown(Cause::new(error)),
                Err(error) => unknown(Cause::new(error)),
            }
        })
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// A completion of before: whose it was does not matter any more.
fn of_the_file(id: [u8; 16]) -> Completion {
    let lease = Lease { fingerprint: Fingerprint::from_bytes(id), token: Token::from_bytes([0; 16]) };
    let origin = Origin { partition: TopicPartition::new("", 0), offset: 0 };
    Completion { lease, origin, held_for: Duration::from_millis(1), message: None }
}

impl Store for FileStore {
    fn open<'a>(&'a self, agreement: &'a Agreement) -> BoxFuture<'a, Result<(), OpenError>> {
        Box::pin(async move {
            let mut log = self.log.lock();
            let Some(agreed) = &log.agreed else {
                log.append(&[Line::Agreed(agreement.clone())])
                    .map_err(|error| StoreError::Unknown(Cause::new(error)))?;
                log.agreed = Some(agreement.clone());
                return Ok(());
            };
            match agreement.differences(agreed) {
                differences if differences.is_empty() => Ok(()),
                differences => Err(OpenError::Disagreement { namespace: log.path.display().to_string(), differences }),
            }
        })
    }

    fn mode(&self) -> &'static str {
        "file"
    }

    fn terms(&self) -> LeaseTerms {
        self.memory.terms()
    }

    fn complete(&self, completions: Vec<Completion>) -> BoxFuture<'static, Answers<CompletionOutcome>> {
        let at = now();
        let line = |completion: &Completion| Line::Done(*completion.lease.fingerprint.as_bytes(), at);
        self.written(completions.iter().map(line).collect(), |memory| memory.complete(completions))
    }

    /// Written as well, or the ID would be done again after a restart, and its message lost.
    fn forget(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<bool>> {
        let line = |id: &Fingerprint| Line::Forgotten(*id.as_bytes());
        self.written(ids.iter().map(line).collect(), |memory| memory.forget(ids))
    }

    fn claim(&self, claims: Vec<Claim>) -> BoxFuture<'static, Answers<ClaimOutcome>> {
        self.memory.claim(claims)
    }

    fn renew(&self, leases: Vec<Lease>) -> BoxFuture<'static, Answers<RenewOutcome>> {
        self.memory.renew(leases)
    }

    fn release(&self, releases: Vec<Release>) -> BoxFuture<'static, Answers<ReleaseOutcome>> {
        self.memory.release(releases)
    }

    fn inspect(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<State>> {
        self.memory.inspect(ids)
    }
}
