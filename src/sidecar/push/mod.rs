//! Delivery by HTTP POST to an application.

mod settings;

pub use settings::{PushFormat, PushProtocol, PushSettings};
