//! The calls against stores in memory, and the sentence against tables.

mod calls;
mod explained;
mod said;
mod tallied;
