//! Colours, only where a terminal shows them and `NO_COLOR` does not forbid it.

use console::{StyledObject, style};

/// A word that something went wrong, on stderr.
pub(super) fn error() -> StyledObject<&'static str> {
    style("error").for_stderr().red().bold()
}

/// A word that something is odd, on stderr.
pub(super) fn warning() -> StyledObject<&'static str> {
    style("warning").for_stderr().yellow()
}

/// A word on stdout that asks for attention.
pub(super) fn bad(word: &str) -> StyledObject<&str> {
    style(word).red().bold()
}

/// A word on stdout that asks for a look.
pub(super) fn odd(word: &str) -> StyledObject<&str> {
    style(word).yellow()
}

/// A word on stdout that all is well.
pub(super) fn fine(word: &str) -> StyledObject<&str> {
    style(word).green()
}

/// A word on stdout that matters less.
pub(super) fn faint(word: &str) -> StyledObject<&str> {
    style(word).dim()
}
