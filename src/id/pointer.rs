//! JSON pointers (RFC 6901), as text.

use std::fmt;

/// The most steps that a pointer may have: JSON that is nested deeper is refused when it is read.
pub const MAX_POINTER_DEPTH: usize = 127;

/// One step of a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The name to look for in an object.
    pub(super) name: Box<str>,
    /// The index to look for in an array; `None` where the step is none, such as `-`, `01` or `a`.
    pub(super) index: Option<usize>,
}

/// Splits a pointer into its steps.
pub(super) fn parse(pointer: &str) -> Result<Box<[Step]>, InvalidPointer> {
    if pointer.is_empty() {
        return Ok(Box::default());
    }
    let steps = pointer.strip_prefix('/').ok_or(InvalidPointer::NoSlash)?;
    let steps: Box<[Step]> = steps.split('/').map(step).collect::<Result<_, _>>()?;
    if steps.len() > MAX_POINTER_DEPTH { Err(InvalidPointer::TooDeep { steps: steps.len() }) } else { Ok(steps) }
}

fn step(escaped: &str) -> Result<Step, InvalidPointer> {
    let mut name = String::with_capacity(escaped.len());
    let mut characters = escaped.chars();
    while let Some(character) = characters.next() {
        name.push(match character {
            '~' => match characters.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err(InvalidPointer::BadEscape),
            },
            other => other,
        });
    }
    let plain = name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    let index = if plain { name.parse().ok() } else { None };
    Ok(Step { name: name.into(), index })
}

/// A text that is not a JSON pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidPointer {
    /// It is not empty and does not begin with a slash.
    NoSlash,
    /// A `~` is followed by something other than `0` or `1`.
    BadEscape,
    /// It has more steps than JSON may be nested.
    TooDeep {
        /// How many it has.
        steps: usize,
    },
}

impl fmt::Display for InvalidPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlash => f.write_str("a JSON pointer begins with a slash, such as /order/id; no leading # or $"),
            Self::BadEscape => f.write_str("in a JSON pointer a ~ is written ~0, and a slash within a name ~1"),
            Self::TooDeep { steps } => {
                write!(f, "the JSON pointer has {steps} steps, more than the {MAX_POINTER_DEPTH} that are followed")
            }
        }
    }
}

impl std::error::Error for InvalidPointer {}
