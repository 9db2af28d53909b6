//! The verdict over one invariant.

/// How many findings are kept with their evidence.
const KEPT: usize = 20;

/// What an invariant comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Held,
    Violated,
    /// The history lacks what is needed to judge it.
    Unproven(String),
    /// Something else proves it.
    Elsewhere(String),
}

/// One violation, with its evidence.
#[derive(Clone, Debug)]
pub struct Finding {
    /// When it shows; 0 where it has no time.
    pub at: u64,
    pub text: String,
}

/// The verdict over one invariant.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub invariant: &'static str,
    pub title: &'static str,
    pub state: State,
    /// How many things were looked at.
    pub checked: u64,
    /// How many violations there are; only the first have their evidence in `findings`.
    pub violations: u64,
    pub findings: Vec<Finding>,
    pub notes: Vec<String>,
}

impl Verdict {
    pub fn new(invariant: &'static str, title: &'static str) -> Self {
        let (findings, notes) = (Vec::new(), Vec::new());
        Self { invariant, title, state: State::Held, checked: 0, violations: 0, findings, notes }
    }

    pub fn elsewhere(invariant: &'static str, title: &'static str, by: &str) -> Self {
        Self { state: State::Elsewhere(by.to_owned()), ..Self::new(invariant, title) }
    }

    pub fn violate(&mut self, at: u64, text: impl FnOnce() -> String) {
        self.state = State::Violated;
        self.violations += 1;
        if self.findings.len() < KEPT {
            self.findings.push(Finding { at, text: text() });
        }
    }

    /// Says what is missing, unless it is violated already.
    pub fn unproven(&mut self, why: impl Into<String>) {
        if self.state == State::Held {
            self.state = State::Unproven(why.into());
        }
    }

    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    pub fn passed(&self) -> bool {
        matches!(self.state, State::Held | State::Elsewhere(_))
    }
}
