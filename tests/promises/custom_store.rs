//! The store of the example: it answers as every store does, and remembers what it must across restarts.

#[path = "../../examples/custom_store/file.rs"]
mod file;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hapax::id::IdKey;
use hapax::store::{Agreement, LeaseTerms, State, Store};
use tempfile::TempDir;

use crate::common::{Program, example};
use crate::conformance::{Bench, LONG, Worker, assert_done, claimed, conformance, until};
use file::FileStore;

/// A file in a directory of its own.
pub struct InFile {
    store: FileStore,
    #[expect(dead_code, reason = "it is removed with this")]
    directory: TempDir,
}

impl InFile {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { store: FileStore::read(&path_in(&directory), LONG).await.unwrap(), directory }
    }
}

impl Bench for InFile {
    fn worker(&self, terms: LeaseTerms) -> Worker {
        Worker(Arc::new(self.store.with_terms(terms)))
    }
}

conformance!(in_file, #[tokio::test], crate::custom_store::InFile::new().await);

async fn read(path: &Path) -> Worker {
    Worker(Arc::new(FileStore::read(path, LONG).await.unwrap()))
}

fn path_in(directory: &TempDir) -> PathBuf {
    directory.path().join("done")
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory);
    let worker = read(&path).await;
    for n in 0..3 {
        worker.claim(n, b'a').await;
    }
    worker.complete(0, b'a').await;
    worker.complete(1, b'a').await;
    assert!(worker.forget(1).await);
    drop(worker);
    let worker = read(&path).await;
    assert_done(&worker.claim(0, b'b').await);
    assert_eq!(worker.claim(1, b'b').await, claimed(0), "what was forgotten stays forgotten");
    assert_eq!(worker.claim(2, b'b').await, claimed(0), "a lease ends with its process");
}

#[tokio::test]
async fn a_line_that_was_cut_off_is_cut_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory);
    let worker = read(&path).await;
    worker.complete(0, b'a').await;
    drop(worker);
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"Done\":[[90,").unwrap();
    let worker = read(&path).await;
    worker.complete(1, b'a').await;
    drop(worker);
    let worker = read(&path).await;
    for n in 0..2 {
        assert_done(&worker.claim(n, b'b').await);
    }
}

#[tokio::test]
async fn the_window_goes_on_while_nobody_runs() {
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory);
    let worker = read(&path).await;
    worker.complete(0, b'a').await;
    drop(worker);
    let past = LeaseTerms { window: Duration::from_millis(1), ..LONG };
    // Read again and again, for the clock may not have moved since.
    until(async || Worker(Arc::new(FileStore::read(&path, past).await.unwrap())).inspect(0).await == State::Absent)
        .await;
}

#[tokio::test]
async fn nobody_else_may_have_the_file_nor_other_settings() {
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory);
    let store = FileStore::read(&path, LONG).await.unwrap();
    store.open(&Agreement::of(&store, "one", &IdKey::default())).await.unwrap();
    assert!(FileStore::read(&path, LONG).await.is_err(), "two do not see each other's claims");
    drop(store);
    let store = FileStore::read(&path, LONG).await.unwrap();
    let refused = store.open(&Agreement::of(&store, "another", &IdKey::default())).await.unwrap_err();
    assert!(refused.to_string().contains("ID rule is one there and another here"), "{refused}");
}

fn lines(program: &Program, wanted: &str) -> usize {
    program.output().lines().filter(|line| *line == wanted).count()
}

#[tokio::test]
async fn a_crash_repeats_the_one_payment_that_was_not_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory);
    let file = path.to_str().unwrap();
    let killed = example("custom_store", &[("FILE", file), ("CRASH", "3")]);
    assert_eq!(killed.exit().await, 128 + 6, "{}", killed.output());
    let second = example("custom_store", &[("FILE", file)]);
    assert_eq!(second.exit().await, 0, "{}", second.output());
    let paid = |n: u32| lines(&killed, &format!("paid {n}")) + lines(&second, &format!("paid {n}"));
    assert_eq!([1, 2, 3, 4, 5].map(paid), [1, 1, 2, 1, 1]);
    let dropped = |n: u32| lines(&second, &format!("dropped a duplicate of {n}"));
    assert_eq!([1, 2, 3, 4, 5].map(dropped), [2, 2, 1, 1, 1]);
}
