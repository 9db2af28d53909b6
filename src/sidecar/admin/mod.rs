//! Administration: what is going on, and why; pause, resume, retry, skip, inspect, explain, forget.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `GET /` | | the status page, for a browser |
//! | `GET /v1/status` | | what is wrong in one sentence, and everything that it was told from |
//! | `GET /v1/partitions` | | what each assigned partition is doing |
//! | `POST /v1/pause` | `{"reason": "…"}` | `{"paused": "…"}`: no handler starts any more, what runs ends |
//! | `POST /v1/resume` | `{}` | `{"paused": null}` |
//! | `POST /v1/retry` | `{}`, or `{"topic": "orders", "partition": 3}` | `{"retried": […]}`: stopped partitions try their records again, or that one; with `{}` also an application that asked for an end of delivery |
//! | `POST /v1/skip` | `{"record": "orders/3/42", "reason": "…", "confirm": true}` | what the record is; with `confirm` it settles without being handled |
//! | `POST /v1/inspect` | `{"ids": […]}` | the state of each ID in the store |
//! | `POST /v1/explain` | `{"ids": […]}` | the same, and a sentence that says what would become of a message with this ID now |
//! | `POST /v1/forget` | `{"ids": […], "confirm": true}` | of each ID, whether it was remembered; its message is handled when it comes again |
//!
//! An ID is `{"scope": "orders", "id": "a7"}` or `{"fingerprint": "32 hexadecimal digits"}`. The scope is what the
//! namespace's rule makes of it, a topic, a header's value or a name; `{"scope": {"topic": "orders"}}` names another
//! kind. An ID is text or a whole number, as it stands in the message: `"7"` and `7` are two. `"replay": 1` stands for
//! the first replay from the dead letters. At most 1,000 in one call, answered one by one in their order, each with its
//! own `error` where the store did not answer.
//!
//! Every `POST` needs `Content-Type: application/json`, which no web page can send to another host unasked. Errors are
//! `{"error": "…"}` with 400 (the body), 409 (there is nothing to pause, to try again or to skip), 415 (the content type). Who may call at all,
//! by which `Host` and with which token, is decided around this by [`listen`](super::listen).

mod api;
mod body;
mod clock;
mod explain;
mod ids;
mod page;
mod rates;
mod state;
mod status;
mod stopped;
mod tally;
#[cfg(test)]
mod tests;
mod verdict;
mod views;

pub use api::router;
pub(crate) use clock::span;
pub(crate) use explain::{Around, explain, told};
pub use ids::ScopeKind;
pub use state::{AdminState, Target, TargetCondition, TargetState};
pub use status::Snapshot;
pub use tally::{Counts, Tally};
pub use verdict::{Severity, verdict};
