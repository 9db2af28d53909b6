//! What the process tells of itself beside its metrics: log lines and traces.

mod lines;
mod logs;
mod spans;
mod traced;

pub use logs::{check_filter, init_logs};
pub use spans::{Traces, outgoing};
pub use traced::Traced;
