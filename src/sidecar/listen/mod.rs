//! Where the sidecar can be called, and by whom.
//!
//! `accept -> TLS -> Host -> token -> can a web page send this? -> body -> handler`
//!
//! | to read about | see |
//! |---|---|
//! | connections, their limits, the graceful end | [`serve()`], [`Limits`] |
//! | who may call | [`guarded`] |
//! | TLS and client certificates | [`Tls`] |
//! | what a refused caller is told | [`Problem`] |
//! | which settings are refused at the start | [`check_address`] |
//!
//! # Who may call
//!
//! | check | where | refused with |
//! |---|---|---|
//! | `Host` names this process: `localhost`, a loopback address, the address itself, or a configured name | without a token and without client certificates | 421 |
//! | `Authorization: Bearer` holds the token | where one is set, everywhere but `GET /` | 401 |
//! | `Content-Type: application/json`, which no page of a foreign origin may send unasked | calls that change something | 415 |
//! | `Origin` and `Sec-Fetch-Site`, where a browser sends them, name this origin | calls that change something | 403 |
//!
//! The first check defeats DNS rebinding, where a page makes its own name point here. A token defeats it as well, since
//! the page does not know it; so a listener with a token can be called by any name, as a Service's. Headers that would
//! let foreign pages read an answer (CORS) are never sent.

mod address;
mod body;
mod connection;
mod gate;
mod limits;
mod problem;
mod pulse;
mod rules;
mod serve;
mod settings;
mod tls;
mod token;

pub use address::check_address;
pub use gate::guarded;
pub use limits::Limits;
pub use problem::Problem;
pub use serve::serve;
pub use settings::{ListenSettings, TlsFiles};
pub use tls::Tls;
