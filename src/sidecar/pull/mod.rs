//! Claims for a loop in another process: `/v1/claim`, `/v1/complete`, `/v1/release`, `/v1/renew`.

mod settings;

pub use settings::PullSettings;
