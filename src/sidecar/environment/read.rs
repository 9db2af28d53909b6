//! The settings, with all that is to be told of them.

use super::given::{Environment, PREFIX};
use super::names::{nearest, printable};
use super::problem::{Problems, Warning};
use super::reader::{Entry, Reader};
use super::{fill, kafka, kubernetes, table};
use crate::sidecar::Settings;

/// Settings that were read, and where each value came from.
#[derive(Clone, Debug)]
pub struct Read {
    /// The settings, checked.
    pub settings: Settings,
    /// What is in force, in the order of the table; properties of librdkafka at the end.
    pub entries: Vec<Entry>,
    /// What works and is probably not meant.
    pub warnings: Vec<Warning>,
    /// Variables that Kubernetes set for a Service whose name begins with `hapax`, and that were ignored.
    pub ignored: Vec<String>,
}

impl Settings {
    /// Reads and checks everything; connects to nothing.
    ///
    /// # Errors
    ///
    /// [`Problems`]: every mistake at once, each with the name of its variable and the way out, none with its value.
    pub fn from_environment(environment: &Environment) -> Result<Read, Problems> {
        let mut reader = Reader::new(environment);
        let ignored = unknown(&mut reader);
        let filled = fill::settings(&mut reader);
        match filled {
            Some((settings, warnings)) if reader.problems.is_empty() => {
                let place = |entry: &Entry| table::all().position(|variable| variable.name == entry.name);
                let mut entries = reader.entries;
                entries.sort_by_key(|entry| place(entry).unwrap_or(usize::MAX));
                Ok(Read { settings, entries, warnings, ignored })
            }
            _ => {
                let mut problems = reader.problems;
                problems.sort_by(|a, b| a.variable.cmp(&b.variable));
                problems.dedup();
                Err(Problems(problems))
            }
        }
    }
}

/// Complains of names that nobody knows, and answers which ones Kubernetes set.
fn unknown(reader: &mut Reader<'_>) -> Vec<String> {
    let mut names: Vec<String> = table::all().map(|variable| variable.name.to_owned()).collect();
    names.extend(table::all().filter_map(|variable| variable.file()));
    let mut ignored = Vec::new();
    let set: Vec<_> = reader.environment.ours().collect();
    for (name, value) in set {
        if names.contains(&name) {
            continue;
        }
        if kubernetes::is_of_a_service(&name, value.to_str().unwrap_or_default()) {
            ignored.push(name);
            continue;
        }
        if name.starts_with(kafka::PREFIX) {
            continue;
        }
        let way_out = match nearest(&name, names.iter().map(String::as_str)) {
            Some(near) => format!("{near} is meant perhaps; otherwise unset it"),
            None => format!("unset it; `hapax config --markdown` lists what begins with {PREFIX}"),
        };
        reader.wrong(&printable(&name), "is not known", way_out);
    }
    ignored
}
