//! What the checker must accept, and what it must reject, and why.

mod accepted;
mod evidence;
mod format;
mod rejected;
mod reports;
mod story;
