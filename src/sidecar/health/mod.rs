//! Whether the process lives and may be given work, and its metrics: for probes and scrapes from outside the pod.
//!
//! | path | answers |
//! |---|---|
//! | `GET /health` | 200 while the process lives |
//! | `GET /ready` | 200 when every part has started once and the end has not begun, else 503; JSON names each part |
//! | `GET /metrics` | the metrics, in Prometheus' text format |
//!
//! No token is asked for, so nothing here is secret: parts tell fixed words, never an address or a value.
//!
//! A part that started once and fails later stays ready. The process runs beside an application: an outage of Kafka or
//! Redis takes every pod's sidecar at once, and if they all became unready, no pod of the Service would be left to answer
//! what does not need the messages. The failure shows in the JSON and in the metrics.

mod parts;
mod recorder;
mod router;

pub use parts::{Health, Part, Report, Standing};
pub use recorder::{install_recorder, keep_up};
pub use router::router;
