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
//! | you want to | read | an example |
//! |---|---|---|
//! | wrap a loop of your own, over any broker | [`dedup::Deduplicator`] | [`consumer_loop`] |
//! | wrap a handler | `consumer::Consumer` (feature `kafka`) | [`email`], [`orders_postgres`] |
//! | wrap a service of a tower stack | [`dedup::DedupLayer`] | [`tower_stack`] |
//! | have no second effect after a crash | [`docs::guarantees`] | [`email`], [`orders_postgres`] |
//! | choose where IDs come from | [`id`] | [`custom_id`] |
//! | set aside what fails, and bring it back | `ConsumerBuilder::dead_letter_topic` | [`dead_letters`] |
//! | run it beside a program in any language | [`docs::configuration`] | [`axum_service`] |
//! | write a store | [`store::Store`] | [`custom_store`] |
//! | watch it | [`docs::metrics`], then [`telemetry`] | |
//! | get it going again | [`docs::operations`] | |
//! | find out where duplicates come from | [`docs::why_twice`] | |
//! | come from another way of de-duplication | [`docs::migration`] | |
//! | change the engine | [`docs::design`], then [`engine`] | |
//!
//! All examples, and those in other languages: [`docs::examples`].
//!
//! [`axum_service`]: docs::examples::axum_service
//! [`consumer_loop`]: docs::examples::consumer_loop
//! [`custom_id`]: docs::examples::custom_id
//! [`custom_store`]: docs::examples::custom_store
//! [`dead_letters`]: docs::examples::dead_letters
//! [`email`]: docs::examples::email
//! [`orders_postgres`]: docs::examples::orders_postgres
//! [`tower_stack`]: docs::examples::tower_stack
//!
//! # Features
//!
//! | feature | adds | needs to build |
//! |---|---|---|
//! | `kafka` | the Kafka source and `consumer` | a C compiler, make, perl |
//! | `redis` | `store::redis::RedisStore` | |
//! | `sidecar` | the binary `hapax`, with its HTTP API and command line; includes both | |
//!
//! `kafka` and `redis` are on by default. Without them the crate builds neither librdkafka nor a Redis client.
//!
//! A fourth, `failpoints`, is for the project's own chaos tests: the process can be made to kill itself. Never turn it on.

#[cfg(feature = "sidecar")]
pub mod cli;
#[cfg(feature = "kafka")]
pub mod consumer;
pub mod dedup;
pub mod engine;
#[cfg(feature = "kafka")]
pub mod error;
mod failpoint;
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
//
// The links of a page lead to files, for who reads it as one. Here they lead to items: of two definitions the first counts.
pub mod docs {
    #[doc = "[attempts]: crate::docs::operations#many-attempts-fail"]
    #[doc = ""]
    #[doc = include_str!("docs/configuration.md")]
    pub mod configuration {}

    #[doc = include_str!("docs/design.md")]
    pub mod design {}

    pub mod examples;

    #[doc = "[sidecar]: crate::docs::operations#a-new-namespace-with-hapax-run"]
    #[doc = ""]
    #[doc = include_str!("docs/guarantees.md")]
    pub mod guarantees {}

    #[doc = "[deduplicator]: crate::dedup::Deduplicator"]
    #[doc = "[scrape]: crate::telemetry::scrape"]
    #[doc = ""]
    #[doc = include_str!("docs/metrics.md")]
    pub mod metrics {}

    #[doc = "[change]: crate::docs::guarantees#changing-the-window-the-mode-or-the-id-rule"]
    #[doc = "[metrics]: crate::docs::metrics"]
    #[doc = ""]
    #[doc = include_str!("docs/operations.md")]
    pub mod operations {}

    #[doc = "[forget]: crate::docs::operations#redis-may-forget"]
    #[doc = "[older]: crate::docs::operations#records-are-older-than-the-window"]
    #[doc = ""]
    #[doc = include_str!("docs/why_twice.md")]
    pub mod why_twice {}

    #[doc = "[why]: crate::docs::why_twice"]
    #[doc = ""]
    #[doc = include_str!("docs/migration.md")]
    pub mod migration {}
}

/// The README's code, compiled.
#[cfg(all(doctest, feature = "sidecar"))]
#[doc = include_str!("../README.md")]
pub mod readme {}
