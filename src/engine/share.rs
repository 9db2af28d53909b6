//! How many of the last records became dead letters: a handler that is broken must not empty a topic into them.

use std::collections::VecDeque;

use crate::observe::Outcome;

/// How many outcomes are remembered.
const OUTCOMES: usize = 1000;
/// From which dead letter on their share counts: a few at the start say nothing.
const FIRST_THAT_COUNTS: usize = 20;

/// What became of the last records of the process: dead letter or not.
///
/// A dead letter counts when it is decided on, not when it is delivered: while the topic is away, many may wait.
#[derive(Debug, Default)]
pub(super) struct Share {
    ring: VecDeque<bool>,
    letters: usize,
}

/// How many of how many records would be dead letters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    pub(super) letters: usize,
    pub(super) of: usize,
}

impl Share {
    /// Takes one more dead letter in, unless that makes them more than `share` of the last outcomes.
    pub(super) fn admit(&mut self, share: f64) -> Result<(), TooMany> {
        let oldest = self.ring.len() == OUTCOMES && self.ring.front() == Some(&true);
        let (letters, of) = (self.letters + 1 - usize::from(oldest), (self.ring.len() + 1).min(OUTCOMES));
        if share < 1.0 && letters >= FIRST_THAT_COUNTS && letters as f64 > share * of as f64 {
            return Err(TooMany { letters, of });
        }
        self.note(true);
        Ok(())
    }

    /// A record settled.
    pub(super) fn settled(&mut self, outcome: Outcome) {
        // Dead letters were noted when they were admitted.
        if outcome != Outcome::DeadLettered {
            self.note(false);
        }
    }

    fn note(&mut self, letter: bool) {
        if self.ring.len() == OUTCOMES {
            let oldest = self.ring.pop_front() == Some(true);
            self.letters -= usize::from(oldest);
        }
        self.ring.push_back(letter);
        self.letters += usize::from(letter);
    }
}
