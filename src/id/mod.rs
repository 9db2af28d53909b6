//! What identifies a message: its [`MessageId`] within a [`Scope`], and the [`Fingerprint`] of both.
//!
//! `Record -> Extract -> Identity(scope, ID, replay) -> IdKey -> Fingerprint`
//!
//! An [`Identifier`] does all of it. Where the ID comes from is the choice of an extractor:
//!
//! | extractor | the ID | scope unless chosen | for |
//! |---|---|---|---|
//! | [`CloudEvents`], the default | a CloudEvent's `id` | its `source` | CloudEvents in binary and structured mode |
//! | [`HeaderId::cloud_events`] | header `ce_id` | header `ce_source` | CloudEvents in binary mode only |
//! | [`HeaderId::new`] | a header | the topic | producers that send an ID of their own |
//! | [`RecordKey`] | the record key | the topic | topics whose key names the message, not the entity |
//! | [`JsonPointer`] | a string or integer in the payload | the topic | payloads that carry an ID |
//! | [`ContentHash`] | hash of key and payload | the topic | no ID at all, where two equal messages are one |
//! | [`Coordinates`] | topic, partition, offset | (always) | redelivery only, not what a producer resends |
//! | [`FirstOf`] | the first that is there | each its own | topics with several kinds of producers |
//! | [`extract_fn`] or [`Extract`] | anything | anything | all else |
//!
//! # When two messages are the same
//!
//! When scope, ID and replay count are equal. A wrong "the same" loses a message, so nothing is guessed:
//!
//! * Bytes are compared as they are. Nothing is trimmed, no case is folded, no Unicode is normalised: `a` and ` a`
//!   differ, and so do `é` in one code point and `é` in two.
//! * Where text came from does not matter: a header `a`, a record key `a` and a JSON string `"a"` are one ID.
//!   A JSON string is compared after its escapes were resolved. A record key to which a list falls back is of its own
//!   kind, because it names an entity more often than a message.
//! * Text is not a number: the JSON string `"1"` and the JSON number `1` differ.
//! * A JSON number is an ID only where it is an integer from −2⁶³ to 2⁶⁴−1 in plain digits. `1.0`, `1e0` and `-0` are
//!   other spellings of a number, and greater integers lose digits in many readers: [`IdProblem::Invalid`]. So are
//!   booleans, arrays and objects.
//! * Null is not missing: a null header or a JSON `null` is [`IdProblem::Null`]; only what is not there at all is
//!   [`IdProblem::Missing`]. A record without a key has its key missing; a record without a payload (a tombstone) has a
//!   null payload. An empty payload is neither, but [`IdProblem::Unread`]. A list goes on after all three.
//! * JSON behind the five bytes of a schema registry (a zero and a four-byte schema ID) is the same JSON.
//! * A CloudEvent is the same in binary and in structured mode.
//! * An empty ID is [`IdProblem::Empty`]; one longer than [`MAX_ID_BYTES`] is [`IdProblem::TooLong`]. Any other bytes
//!   are a fine ID: they need not be text.
//! * A header that occurs more than once, or a JSON key on the pointer's path that occurs more than once in its object,
//!   is [`IdProblem::Repeated`]: two readers could pick different ones.
//! * An ID without its scope is [`IdProblem::NoScope`], never one in a default scope.
//! * IDs of different kinds are never equal, whatever their bytes: text or bytes, numbers, content hashes, coordinates,
//!   keys to which a list falls back. Nor are scopes of different kinds: topic, header, name.
//!
//! What happens to a record without a usable ID is the choice of an [`IdPolicy`].

mod cloud_events;
mod content;
mod coordinates;
mod document;
mod extract;
mod fingerprint;
mod first_of;
mod header;
mod identity;
mod json;
mod key;
mod media_type;
mod namespace;
mod pointer;
mod policy;
mod replay;
mod scope;
#[cfg(test)]
mod tests;

pub use cloud_events::CloudEvents;
#[cfg(feature = "kafka")]
pub(crate) use cloud_events::is_event;
#[cfg(any(feature = "kafka", test))]
pub(crate) use cloud_events::leaves_source_out;
pub use content::ContentHash;
pub use coordinates::Coordinates;
#[cfg(feature = "sidecar")]
pub(crate) use document::json;
pub use extract::{Extract, ExtractFn, extract_fn};
pub(crate) use fingerprint::BuildFingerprintHasher;
pub use fingerprint::{Fingerprint, IdKey};
pub use first_of::FirstOf;
pub use header::HeaderId;
pub use identity::{IdProblem, Identity, MAX_ID_BYTES, MessageId, Scope};
pub use json::JsonPointer;
pub use key::RecordKey;
#[cfg(feature = "sidecar")]
pub(crate) use media_type::{EventFormat, event_format_of};
pub use namespace::{InvalidNamespace, Namespace};
pub use pointer::{InvalidPointer, MAX_POINTER_DEPTH};
pub use policy::{IdPolicy, Identification, Identifier, NoMessageId};
pub use replay::{REPLAY_HEADER, replay_count};
pub use scope::ScopeRule;
