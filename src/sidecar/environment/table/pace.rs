//! What runs side by side, and how much is taken at once.

use super::super::{Kind, Variable};

super::group! { PACE, "Order and pace":
    ORDER = Variable::new("HAPAX_ORDER", Kind::Choice(&["partition", "key", "unordered"]),
        "Which messages come one after the other.").default("partition").push().library("order");
    CONCURRENCY = Variable::new("HAPAX_CONCURRENCY", Kind::Number,
        "How many requests run at once, where the order is by key or none.").default("64").push().library("concurrency");
    PARTITION_CONCURRENCY = Variable::new("HAPAX_PARTITION_CONCURRENCY", Kind::Number,
        "The same bound for each partition. Where it is not set there is none.").push().library("partition_concurrency");
    BATCH = Variable::new("HAPAX_BATCH", Kind::Number,
        "How many messages one request holds at most; above 1 requests are written as batches.")
        .default("1").push().library("batch");
    MAX_EXPOSED = Variable::new("HAPAX_MAX_EXPOSED", Kind::Number,
        "How many messages one crash can repeat; 1 is strict.").default("256").push().library("max_exposed");
    MAX_IN_FLIGHT_RECORDS = Variable::new("HAPAX_MAX_IN_FLIGHT_RECORDS", Kind::Number,
        "How many messages are held at once.").default("10000").push().library("max_in_flight");
    MAX_IN_FLIGHT_BYTES = Variable::new("HAPAX_MAX_IN_FLIGHT_BYTES", Kind::Size,
        "How much memory they may take.").default("64MiB").push().library("max_in_flight_bytes");
    MAX_SPAN = Variable::new("HAPAX_MAX_SPAN", Kind::Number,
        "How far a partition runs ahead of its first message that is not settled.").default("10000").push().library("max_span");
    COMMIT_INTERVAL = Variable::new("HAPAX_COMMIT_INTERVAL", Kind::Duration,
        "How often offsets are committed.").default("1s").push().library("commit_interval");
    COMMIT_RECORDS = Variable::new("HAPAX_COMMIT_RECORDS", Kind::Number,
        "After how many settled messages of a partition its offset is committed earlier.")
        .default("10000").push().library("commit_records");
    HANDLER_TIME_LIMIT = Variable::new("HAPAX_HANDLER_TIME_LIMIT", Kind::Duration,
        "How long one request may take, with its answer.").default("30s").push().library("handler_time_limit");
    RENEWAL = Variable::new("HAPAX_RENEWAL", Kind::Boolean,
        "Whether leases are renewed while requests run. Without it the lease must outlast the time limit.")
        .default("true").push();
    STALL_AFTER = Variable::new("HAPAX_STALL_AFTER", Kind::Duration,
        "After which time without progress a partition is reported.").default("60s").push().library("stall_after");
    DRAIN_LIMIT = Variable::new("HAPAX_DRAIN_LIMIT", Kind::Duration,
        "How long running requests may take to end when a partition is given back, or at the end.")
        .default("5s").push().library("drain_limit");
}
