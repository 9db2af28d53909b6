//! The examples, whole, as they lie in `examples/` beside the source.
//!
//! Each says what it promises and where that ends, and a test runs it against real services. In other languages there
//! are `examples/python/` and `examples/node/`, loops that ask hapax by HTTP (`HAPAX_DELIVERY=pull`), and
//! `examples/python/app.py`, an application that hapax delivers to.

/// A page with the source of an example.
macro_rules! page {
    ($(#[doc = $what:literal] $name:ident = $file:literal)*) => {
        $(
            #[doc = $what]
            #[doc = ""]
            #[doc = "```rust,ignore"]
            #[doc = include_str!(concat!("../../examples/", $file))]
            #[doc = "```"]
            pub mod $name {}
        )*
    };
}

page! {
    /// A service in axum that takes orders from hapax, which runs beside it.
    axum_service = "axum_service.rs"
    /// An existing rdkafka loop, with four lines added.
    consumer_loop = "consumer_loop.rs"
    /// IDs from an extractor of one's own.
    custom_id = "custom_id.rs"
    /// A store of one's own, and a loop that uses it. The store itself: [`custom_store_file`].
    custom_store = "custom_store/main.rs"
    /// The store of [`custom_store`].
    custom_store_file = "custom_store/file.rs"
    /// Dead letters and their replay.
    dead_letters = "dead_letters.rs"
    /// A sender of e-mails, whose provider knows idempotency keys.
    email = "email.rs"
    /// An order service, whose effect is a row with a unique key.
    orders_postgres = "orders_postgres.rs"
    /// A payment service in a tower stack.
    tower_stack = "tower_stack.rs"
}
