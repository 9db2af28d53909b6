//! The sidecar: the engine as a process of its own, for programs in any language.
//!
//! `environment -> Settings -> run: consumer + push, or pull API -> drain`
//!
//! | to read about | see |
//! |---|---|
//! | what it can be told, and how | [`settings`] |
//! | delivery by HTTP POST to an application | [`push`] |
//! | claims for a loop in another process | [`pull`] |
//! | listeners, and who may call them | [`listen`] |
//! | status, pause, inspect, forget, and the status page | [`admin`] |

pub mod admin;
pub mod listen;
pub mod pull;
pub mod push;
mod secret;
pub mod settings;

pub use secret::{Secret, TokenSource};
pub use settings::Settings;
