//! What identifies a message: its [`MessageId`] within a [`Scope`], and the [`Fingerprint`] of both.

mod fingerprint;
mod identity;
mod namespace;

pub use fingerprint::{Fingerprint, IdKey};
pub use identity::{IdProblem, Identity, MAX_ID_BYTES, MessageId, Scope};
pub use namespace::{InvalidNamespace, Namespace};
