//! What the checker must accept, and what it must reject, and why.

mod format;
