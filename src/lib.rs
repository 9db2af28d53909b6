//! `Record -> MessageId -> claim -> handle -> complete -> settle -> commit`
//!
//! hapax makes a message consumer handle each message once, although the broker delivers at least once and producers
//! resend. It finds each message's ID, asks a local cache and then a store whether that ID was handled before, runs the
//! handler only if not, records the ID only after the handler's effect succeeded, and only then lets the offset be
//! committed.
//!
//! # What is promised
//!
//! At-least-once delivery with de-duplication: within the window, and while the store keeps its records, a message ID
//! whose handler succeeded is not handled again. A crash between an effect and its record can repeat the effects that
//! were exposed at that moment, and nothing else; no fault of the store loses a message. [`docs::guarantees`] says what
//! follows from each crash.
//!
//! # When not to use it
//!
//! Where the effect is a row in a database that can hold a unique key on the ID, or another topic within a Kafka
//! transaction: those promise more. Where the handler is idempotent and cheap: just repeat it.
//!
//! # Where to start
//!
//! * To wrap a handler: `consumer::Consumer` (feature `kafka`).
//! * To wrap a loop of your own, or another broker: [`dedup::Deduplicator`]. A tower stack: [`dedup::DedupLayer`].
//! * To choose where IDs come from: [`id`].
//! * To run it beside a program in any language: `sidecar`, the binary `hapax`; what it can be told:
//!   [`docs::configuration`].
//! * To write a store: [`store::Store`].
//! * To watch it: [`docs::metrics`], then [`telemetry`]. When it stands still: [`docs::operations`].
//! * To find out where duplicates come from: [`docs::why_twice`]. To move from another way: [`docs::migration`].
//! * To change the engine: [`docs::design`], then [`engine`].
//!
//! # Features
//!
//! | feature | adds | needs to build |
//! |---|---|---|
//! | `kafka` | the Kafka source and `consumer` | a C compiler, make, perl |
//! | `redis` | `store::redis::RedisStore` | |
//! | `sidecar` | the binary `hapax`; includes both | |
//!
//! All three are on by default. Without them the crate builds neither librdkafka nor a Redis client.

#[cfg(feature = "sidecar")]
pub mod cli;
#[cfg(feature = "kafka")]
pub mod consumer;
pub mod dedup;
pub mod engine;
#[cfg(feature = "kafka")]
pub mod error;
pub mod id;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod observe;
pub mod record;
#[cfg(feature = "sidecar")]
pub mod sidecar;
pub mod store;
pub mod telemetry;

/// Pages that are longer than the documentation of one item.
pub mod docs {
    #[doc = include_str!("docs/configuration.md")]
    pub mod configuration {}

    #[doc = include_str!("docs/design.md")]
    pub mod design {}

    #[doc = include_str!("docs/guarantees.md")]
    pub mod guarantees {}

    #[doc = include_str!("docs/metrics.md")]
    pub mod metrics {}

    #[doc = include_str!("docs/operations.md")]
    pub mod operations {}

    #[doc = include_str!("docs/why_twice.md")]
    pub mod why_twice {}

    #[doc = include_str!("docs/migration.md")]
    pub mod migration {}
}

/// The README's code, compiled.
#[cfg(all(doctest, feature = "sidecar"))]
#[doc = include_str!("../README.md")]
pub mod readme {}
