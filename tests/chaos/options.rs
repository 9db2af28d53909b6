//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use super::mode::Mode;

pub const USAGE: &str = "\
tests/chaos/run [--minutes N] [--seed N] [--mode TRAIT,TRAIT…] [--graceful] [--rate N] [--out DIR] [--planted BUG]
tests/chaos/run --ci
tests/chaos/run --judge DIR

--minutes   how long records are produced and things break; 2 by default, fractions allowed
--seed      chooses the plan, and the mode where none is named
--mode      partition key unordered · batch · exact · retry · static · strict (max_exposed 1) ·
            library push mixed pull · aof volatile sentinel cluster · brokers (three of them)
--graceful  only what hapax promises to take without a repeated effect
--planted   commit_before_complete stale_release past_failed look_up_first by_last_success: the run has to catch it
--judge     judges the history of an earlier run once more
--out       where the history goes; a directory of the target directory by default";

/// What a run is to be.
#[derive(Clone, Debug)]
pub struct Options {
    pub length: Duration,
    pub seed: u64,
    pub mode: Option<String>,
    pub graceful: bool,
    pub rate: Option<u64>,
    pub out: Option<PathBuf>,
    pub planted: Option<String>,
    pub ci: bool,
    pub judge: Option<PathBuf>,
}

impl Options {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            length: Duration::from_secs(120),
            seed: rand::random_range(0..1_000_000),
            mode: None,
            graceful: false,
            rate: None,
            out: None,
            planted: None,
            ci: false,
            judge: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--minutes" => options.length = Duration::from_secs_f64(60.0 * number::<f64>(&value()?)?),
                "--seed" => options.seed = number(&value()?)?,
                "--mode" => options.mode = Some(value()?),
                "--rate" => options.rate = Some(number(&value()?)?),
                "--out" => options.out = Some(value()?.into()),
                "--planted" => options.planted = Some(value()?),
                "--graceful" => options.graceful = true,
                "--judge" => options.judge = Some(value()?.into()),
                "--help" => return Err(String::new()),
                "--ci" => options.ci = true,
                other => return Err(format!("{other} is no argument")),
            }
        }
        options.mode()?;
        Ok(options)
    }

    /// The mode, as named or as the seed chooses it.
    pub fn mode(&self) -> Result<Mode, String> {
        let mode = match &self.mode {
            Some(traits) => Mode::named(traits)?,
            None => Mode::by_seed(self.seed),
        };
        Ok(Mode { graceful: self.graceful, ..mode })
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number"))
}
