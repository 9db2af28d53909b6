//! The files of a history, parsed on several threads.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use crate::history::Entry;

const BATCH: usize = 1_024;
const READERS: usize = 3;

/// Calls `add` with every entry of the directory; the entries of one file come in its order.
pub fn files(directory: &Path, mut add: impl FnMut(Entry)) -> Result<(), String> {
    let listing = fs::read_dir(directory).map_err(|error| format!("cannot read {}: {error}", directory.display()))?;
    let mut files: Vec<PathBuf> = listing
        .filter_map(|file| Some(file.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    if files.is_empty() {
        return Err(format!("{} has no files *.jsonl, so it is no history", directory.display()));
    }
    // The largest first, so that no thread is left with it at the end.
    files.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).map_or(0, |metadata| metadata.len())));
    let next = AtomicUsize::new(0);
    let (sender, receiver) = sync_channel(64);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let (files, next, sender) = (&files, &next, sender.clone());
                scope.spawn(move || -> Result<(), String> {
                    while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        file(path, &sender)?;
                    }
                    Ok(())
                })
            })
            .collect();
        drop(sender);
        receiver.iter().flatten().for_each(&mut add);
        readers.into_iter().try_for_each(|reader| reader.join().map_err(|_| "a reader of the history panicked")?)
    })
}

fn file(path: &Path, sender: &SyncSender<Vec<Entry>>) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display, line: usize| format!("{}, line {line}: {error}", path.display());
    let mut reader = BufReader::with_capacity(1 << 18, File::open(path).map_err(|error| failed(&error, 0))?);
    let (mut line, mut number, mut batch) = (Vec::new(), 0, Vec::with_capacity(BATCH));
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(|error| failed(&error, number))?;
        number += 1;
        // A process that was killed leaves a last line without its end.
        if read == 0 || !line.ends_with(b"\n") {
            return sender.send(batch).map_err(|error| failed(&error, number));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        batch.push(Entry::parse(&line).map_err(|error| failed(&error, number))?);
        if batch.len() == BATCH {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            sender.send(full).map_err(|error| failed(&error, number))?;
        }
    }
}
