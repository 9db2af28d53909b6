//! What was set, and where.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

/// What every variable of ours begins with.
pub(super) const PREFIX: &str = "HAPAX_";

/// Variables and flags, as they were given. `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    flags: BTreeMap<String, OsString>,
}

impl Environment {
    /// The variables of a process, such as those of [`std::env::vars_os`].
    pub fn new<N: Into<OsString>, V: Into<OsString>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, flags: BTreeMap::new() }
    }

    /// Adds a flag, by the name of its variable. It stands before the variable.
    #[must_use]
    pub fn flag(mut self, variable: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.flags.insert(variable.into(), value.into());
        self
    }

    pub(super) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    pub(super) fn flag_of(&self, name: &str) -> Option<&OsStr> {
        self.flags.get(name).map(OsString::as_os_str)
    }

    /// Whether a variable was set, by whichever way.
    pub(super) fn has(&self, name: &str) -> bool {
        self.variable(name).is_some() || self.flag_of(name).is_some()
    }

    /// The variables that begin as ours do. A name that is not UTF-8 comes with its strange bytes replaced, and so is
    /// unknown.
    pub(super) fn ours(&self) -> impl Iterator<Item = (String, &OsStr)> {
        let named = self.variables.iter().map(|(name, value)| (name.to_string_lossy().into_owned(), value.as_os_str()));
        named.filter(|(name, _)| name.starts_with(PREFIX))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.ours().map(|(name, _)| name).collect();
        f.debug_struct("Environment").field("variables", &names).field("flags", &self.flags.keys()).finish()
    }
}
