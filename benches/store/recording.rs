//! The commands that the store sends, recorded by a proxy between it and Redis, to be sent again by a bare client.
//!
//! So the bare client sends what the store sends today, whatever that is.

use std::sync::Arc;

use hapax::id::Fingerprint;
use hapax::record::Origin;
use hapax::store::{Claim, ClaimOutcome, Completion, Lease, Store, Token};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

use crate::subject::{redis_store, source};

/// Commands, each as its words, close together in memory.
#[derive(Clone, Debug, Default)]
pub struct Commands {
    bytes: Vec<u8>,
    /// Where each word ends.
    words: Vec<u32>,
    /// How many words each command has.
    commands: Vec<u32>,
}

impl Commands {
    pub fn push<'a>(&mut self, words: impl IntoIterator<Item = &'a [u8]>) {
        let before = self.words.len();
        for word in words {
            self.bytes.extend_from_slice(word);
            self.words.push(u32::try_from(self.bytes.len()).expect("a recording below 4 GB"));
        }
        self.commands.push((self.words.len() - before) as u32);
    }

    pub fn iter(&self) -> impl Iterator<Item = redis::Cmd> {
        let (mut words, mut start) = (self.words.iter(), 0);
        self.commands.iter().map(move |count| {
            let mut command = redis::Cmd::new();
            for end in words.by_ref().take(*count as usize) {
                command.arg(&self.bytes[start..*end as usize]);
                start = *end as usize;
            }
            command
        })
    }
}

/// What one batch of claims and its completion make a client send.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Sent together, and answered before the handlers start.
    pub claim: Commands,
    /// Sent together, and answered before the IDs count as recorded.
    pub complete: Commands,
    /// Sent afterwards; nobody reads the answers.
    pub tell: Commands,
}

/// Lets a store claim and complete these IDs in batches of that size, and takes down what it sends.
pub async fn record(redis: u16, namespace: &str, ids: &[Fingerprint], batch: usize) -> Vec<Batch> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("redis://{}/", listener.local_addr().expect("bound"));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let proxy = tokio::spawn(listen(listener, redis, heard.clone()));
    let store = redis_store(&url, namespace);
    store.inspect(vec![ids[0]]).await;
    heard.lock().clear();

    let mut batches = Vec::with_capacity(ids.len().div_ceil(batch));
    for (n, ids) in ids.chunks(batch).enumerate() {
        let lease = |i: usize, fingerprint: &Fingerprint| {
            let mut token = [0; 16];
            token[..8].copy_from_slice(&crate::ids::mix(n as u64).to_be_bytes());
            token[8..].copy_from_slice(&crate::ids::mix(i as u64).to_be_bytes());
            Lease { fingerprint: *fingerprint, token: Token::from_bytes(token) }
        };
        let leases: Vec<Lease> = ids.iter().enumerate().map(|(i, id)| lease(i, id)).collect();
        let origin = || Origin { partition: source(), offset: n as i64 };
        let claims =
            leases.iter().map(|lease| Claim { lease: *lease, takes_over: true, origin: origin(), message: None });
        for answer in store.claim(claims.collect()).await {
            assert!(matches!(answer, Ok(ClaimOutcome::Claimed { .. })), "{answer:?}");
        }
        let claim = std::mem::take(&mut *heard.lock());
        let held_for = std::time::Duration::from_millis(1);
        let completions =
            leases.iter().map(|lease| Completion { lease: *lease, origin: origin(), held_for, message: None });
        for answer in store.complete(completions.collect()).await {
            answer.expect("an answer");
        }
        // What was sent before it on the same connection has been heard when it is answered.
        store.renew(vec![leases[0]]).await;
        let mut complete = std::mem::take(&mut *heard.lock());
        truncate_at_script(&mut complete);
        let (tell, complete) = split(&complete);
        batches.push(Batch { claim: all(&claim), complete, tell });
    }
    proxy.abort();
    batches
}

/// Leaves out the renewal at the end: the last script.
fn truncate_at_script(heard: &mut Vec<u8>) {
    let (mut at, mut last) = (0, heard.len());
    while let Some((words, next)) = parse(heard, at) {
        if words[0].eq_ignore_ascii_case(b"EVALSHA") || words[0].eq_ignore_ascii_case(b"EVAL") {
            last = at;
        }
        at = next;
    }
    heard.truncate(last);
}

/// What every store asks now and then, however many IDs there are: the time, the plan, samples of its sets.
fn is_upkeep(command: &[u8]) -> bool {
    [&b"TIME"[..], b"HGETALL", b"SCARD", b"CONFIG", b"INFO"].iter().any(|name| command.eq_ignore_ascii_case(name))
}

fn all(heard: &[u8]) -> Commands {
    let (mut commands, mut at) = (Commands::default(), 0);
    while let Some((words, next)) = parse(heard, at) {
        if !is_upkeep(words[0]) {
            commands.push(words);
        }
        at = next;
    }
    commands
}

/// Deletions are what the store tells without reading an answer.
fn split(heard: &[u8]) -> (Commands, Commands) {
    let (mut tell, mut complete, mut at) = (Commands::default(), Commands::default(), 0);
    while let Some((words, next)) = parse(heard, at) {
        let told = [&b"DEL"[..], b"UNLINK", b"EVAL"].iter().any(|name| words[0].eq_ignore_ascii_case(name));
        match told {
            true => tell.push(words),
            false if is_upkeep(words[0]) => {}
            false => complete.push(words),
        }
        at = next;
    }
    (tell, complete)
}

/// The words of the command at `at`, and where the next one begins.
fn parse(heard: &[u8], at: usize) -> Option<(Vec<&[u8]>, usize)> {
    let (count, mut at) = number(heard, at, b'*')?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let (length, start) = number(heard, at, b'$')?;
        words.push(heard.get(start..start + length)?);
        at = start + length + 2;
    }
    (at <= heard.len()).then_some((words, at))
}

fn number(heard: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    let line = heard.get(at..)?;
    let end = line.iter().position(|byte| *byte == b'\n')?;
    assert_eq!(line[0], kind, "not the protocol of Redis");
    let number = std::str::from_utf8(&line[1..end]).ok()?.trim().parse().ok()?;
    Some((number, at + end + 1))
}

async fn listen(listener: TcpListener, redis: u16, heard: Arc<Mutex<Vec<u8>>>) {
    while let Ok((client, _)) = listener.accept().await {
        let heard = heard.clone();
        tokio::spawn(async move {
            let server = TcpStream::connect(("127.0.0.1", redis)).await.expect("Redis");
            server.set_nodelay(true).and_then(|()| client.set_nodelay(true)).expect("a socket");
            let (mut from, mut back) = client.into_split();
            let (mut answers, mut to) = server.into_split();
            tokio::spawn(async move { copy(&mut answers, &mut back).await });
            let mut buffer = vec![0; 1 << 16];
            while let Ok(read @ 1..) = from.read(&mut buffer).await {
                heard.lock().extend_from_slice(&buffer[..read]);
                if to.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        });
    }
}
