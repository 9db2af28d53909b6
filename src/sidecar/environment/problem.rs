//! What has to be changed, and what should be known.

use std::borrow::Cow;
use std::fmt;

/// A variable that has to be changed. Never holds its value, secret or not: a value may stand under the wrong name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The variable.
    pub variable: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub way_out: String,
}

impl Problem {
    pub(in crate::sidecar) fn new(
        variable: impl Into<String>,
        problem: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Self {
        Self { variable: variable.into(), problem: problem.into(), way_out: way_out.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}; {}", self.variable, self.problem, self.way_out)
    }
}

impl std::error::Error for Problem {}

/// All of them at once, one on each line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration cannot be used:{}", .0.iter().map(|problem| format!("\n  {problem}")).collect::<String>())]
pub struct Problems(pub Vec<Problem>);

/// Something that works, and is probably not meant. Holds no value either.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The variable.
    pub variable: String,
    /// What follows from it.
    pub text: String,
}

impl Warning {
    pub(super) fn new(variable: &str, text: &str) -> Self {
        Self { variable: variable.to_owned(), text: text.to_owned() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.variable, self.text)
    }
}

/// Why a value cannot be read; where it has no way out of its own, how values of that kind are written is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) problem: Cow<'static, str>,
    pub(super) way_out: Option<Cow<'static, str>>,
}

impl Complaint {
    pub(super) const fn new(problem: &'static str) -> Self {
        Self { problem: Cow::Borrowed(problem), way_out: None }
    }

    pub(super) fn with(problem: impl Into<Cow<'static, str>>, way_out: impl Into<Cow<'static, str>>) -> Self {
        Self { problem: problem.into(), way_out: Some(way_out.into()) }
    }
}

pub(super) type Parsed<T> = Result<T, Complaint>;
