//! What the process tells of itself beside its metrics: log lines and traces.

mod lines;
mod logs;
mod named;
mod spans;
mod traced;

pub use logs::init_logs;
pub use named::Named;
pub use spans::Traces;
pub(in crate::sidecar) use spans::under_way;
pub use traced::Traced;
