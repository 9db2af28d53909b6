//! Claims for a loop in another process: `/v1/claim`, `/v1/complete`, `/v1/release`, `/v1/renew`.
//!
//! `claim -> claimed(token) -> the loop handles the message -> complete(token) -> the loop commits`
//!
//! | call | per item it answers |
//! |---|---|
//! | `POST /v1/claim` | `claimed`, `duplicate`, `in_flight`, `conflict`, `error` |
//! | `POST /v1/complete` | `completed`, `stale`, `unknown` |
//! | `POST /v1/release` | `released`, `stale`, `unknown` |
//! | `POST /v1/renew` | `renewed`, `stale`, `unknown` |
//! | `GET /openapi.json` | the description of all of them |
//!
//! Every item has an answer of its own. The status of the call tells the worst of them: 200, then 409 where a token was
//! stale, then 503 where the store did not answer for an item. A claim is 503 only where the store answered for no item
//! at all: what was claimed must not be lost behind an error.
//!
//! # Rules
//!
//! * *In flight is not a duplicate.* Only `duplicate` lets the loop commit.
//! * *A stale token changes nothing.* The lease is renewed before anything is recorded, and only what was renewed is.
//! * *An unknown outcome is neither.* Send the same call with the same token again: it is answered as the first was.
//! * *A token is for one attempt.* It is refused (409) once it was released; so is one of the caller's own that comes
//!   again. The last 100,000 released tokens are remembered, by this process only: draw tokens at random and never use
//!   one again.
//! * *Nothing is claimed ahead.* A claim counts as the start of the handler where the one before ran out (`suspect`), so
//!   claim what is handled next, and give back what is not (`unstarted`). A suspect may have killed its last owner.

mod base64;
mod call;
mod claim;
mod complete;
mod items;
mod memory;
mod openapi;
mod release;
mod renew;
mod router;
mod settings;
mod state;
mod token;

pub use router::router;
pub use settings::PullSettings;
pub use state::{PullState, agreement};
