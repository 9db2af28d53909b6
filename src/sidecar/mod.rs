//! The sidecar: the engine as a process of its own, for programs in any language.
//!
//! `environment -> Settings -> run: consumer + push, or pull API -> drain`
//!
//! | to read about | see |
//! |---|---|
//! | what it can be told, and how | [`environment`], [`settings`] |
//! | delivery by HTTP POST to an application | [`push`] |
//! | claims for a loop in another process | [`pull`] |
//! | log lines and traces | [`telemetry`] |
//! | listeners, and who may call them | [`listen`] |
//! | probes and metrics | [`health`] |
//! | status, pause, inspect, forget, and the status page | [`admin`] |

pub mod admin;
pub mod environment;
mod error;
pub mod health;
pub mod listen;
pub mod naming;
pub mod pull;
pub mod push;

mod run;
mod secret;
pub mod settings;
pub mod telemetry;

pub use error::SidecarError;
pub use run::run;

pub use secret::{Secret, TokenSource};
pub use settings::Settings;
