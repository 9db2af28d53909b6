//! Where the sidecar can be called, and by whom.

mod settings;

pub use settings::{ListenSettings, TlsFiles};
