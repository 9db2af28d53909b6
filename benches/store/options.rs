//! What is asked for on the command line.

/// A section of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Memory,
    Rates,
    Alone,
    Growth,
    Alternatives,
}

const PARTS: [(&str, Part); 5] = [
    ("memory", Part::Memory),
    ("rates", Part::Rates),
    ("alone", Part::Alone),
    ("growth", Part::Growth),
    ("alternatives", Part::Alternatives),
];

#[derive(Debug)]
pub struct Options {
    /// Turns of what is compared; the table shows their medians.
    pub rounds: usize,
    /// Fresh IDs that each turn handles.
    pub ids: u64,
    /// IDs that one caller alone handles in each turn.
    pub alone: u64,
    /// IDs remembered, for memory and growth.
    pub remembered: Vec<u64>,
    only: Vec<Part>,
}

impl Options {
    /// Without `--bench`, which `cargo bench` adds, somebody only wants to know whether it works: it is quick.
    pub fn from_arguments() -> Self {
        let mut arguments = std::env::args().skip(1);
        let (mut bench, mut quick, mut full, mut only, mut rounds) = (false, false, false, Vec::new(), None);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => bench = true,
                "--quick" => quick = true,
                "--full" => full = true,
                "--only" => only = parts(&arguments.next().unwrap_or_default()),
                "--rounds" => rounds = arguments.next().and_then(|rounds| rounds.parse().ok()),
                other => usage(&format!("unknown argument {other:?}")),
            }
        }
        let options = match (quick || !bench, full) {
            (true, _) => Self { rounds: 1, ids: 2_000, alone: 50, remembered: vec![10_000], only },
            (false, false) => Self { rounds: 5, ids: 100_000, alone: 1_000, remembered: vec![10_000, 1_000_000], only },
            (false, true) => {
                let remembered = vec![10_000, 1_000_000, 10_000_000];
                Self { rounds: 7, ids: 100_000, alone: 1_000, remembered, only }
            }
        };
        Self { rounds: rounds.unwrap_or(options.rounds).max(1), ..options }
    }

    pub fn runs(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

fn parts(names: &str) -> Vec<Part> {
    let part = |name: &str| PARTS.iter().find(|(known, _)| *known == name).map(|(_, part)| *part);
    names.split(',').map(|name| part(name).unwrap_or_else(|| usage(&format!("unknown part {name:?}")))).collect()
}

fn usage(problem: &str) -> ! {
    let names = PARTS.map(|(name, _)| name).join(",");
    eprintln!("{problem}\nusage: cargo bench --bench store -- [--quick | --full] [--rounds N] [--only {names}]");
    std::process::exit(64)
}
