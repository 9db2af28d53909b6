//! What is asked for on the command line.

use std::time::Duration;

/// A section of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Rates,
    Concurrency,
    Latency,
    Memory,
}

const PARTS: [(&str, Part); 4] =
    [("rates", Part::Rates), ("concurrency", Part::Concurrency), ("latency", Part::Latency), ("memory", Part::Memory)];

#[derive(Debug)]
pub struct Options {
    /// Turns of what is compared; the table shows their medians.
    pub rounds: usize,
    /// Whether a turn that does not count comes first.
    pub warm_up: bool,
    /// Records of which each turn of the rates handles all; the slowest ways, a share.
    pub records: u64,
    /// Records for handlers that take a while.
    pub slow_records: u64,
    /// How long records come in at a low rate, per turn.
    pub low_load: Duration,
    /// How long memory is watched.
    pub watched: Duration,
    only: Vec<Part>,
}

impl Options {
    /// Without `--bench`, which `cargo bench` adds, somebody only wants to know whether it works: it is quick.
    pub fn from_arguments() -> Self {
        let mut arguments = std::env::args().skip(1);
        let (mut bench, mut quick, mut full, mut only, mut rounds, mut records) =
            (false, false, false, Vec::new(), None, None);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => bench = true,
                "--quick" => quick = true,
                "--full" => full = true,
                "--only" => only = parts(&arguments.next().unwrap_or_default()),
                "--rounds" => rounds = arguments.next().and_then(|rounds| rounds.parse().ok()),
                "--records" => records = arguments.next().and_then(|records| records.parse().ok()),
                other => usage(&format!("unknown argument {other:?}")),
            }
        }
        let seconds = Duration::from_secs;
        let options = match (quick || !bench, full) {
            (true, _) => Self {
                rounds: 1,
                warm_up: false,
                records: 20_000,
                slow_records: 500,
                low_load: seconds(1),
                watched: seconds(3),
                only,
            },
            (false, full) => Self {
                rounds: if full { 7 } else { 5 },
                warm_up: true,
                records: 1_000_000,
                slow_records: 10_000,
                low_load: seconds(5),
                watched: seconds(if full { 600 } else { 30 }),
                only,
            },
        };
        let records = records.unwrap_or(options.records).max(1_000);
        Self { rounds: rounds.unwrap_or(options.rounds).max(1), records, ..options }
    }

    pub fn runs(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// The turns, and whether each counts.
    pub fn turns(&self) -> impl Iterator<Item = (String, bool)> {
        let (warm_up, rounds) = (self.warm_up.then(|| ("warming up".to_owned(), false)), self.rounds);
        warm_up.into_iter().chain((1..=rounds).map(move |turn| (format!("turn {turn} of {rounds}"), true)))
    }
}

fn parts(names: &str) -> Vec<Part> {
    let part = |name: &str| PARTS.iter().find(|(known, _)| *known == name).map(|(_, part)| *part);
    names.split(',').map(|name| part(name).unwrap_or_else(|| usage(&format!("unknown part {name:?}")))).collect()
}

fn usage(problem: &str) -> ! {
    let names = PARTS.map(|(name, _)| name).join(",");
    let usage = "cargo bench --bench pipeline -- [--quick | --full] [--rounds N] [--records N]";
    eprintln!("{problem}\nusage: {usage} [--only {names}]");
    std::process::exit(64)
}
