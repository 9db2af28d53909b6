//! What becomes of messages that cannot be handled.

use super::super::{Kind, Variable};

super::group! { FAILURES, "Failures":
    MAX_ATTEMPTS = Variable::new("HAPAX_MAX_ATTEMPTS", Kind::Number,
        "How often a message is tried until it is given up; at least 2. With the defaults this takes 2 to 4 minutes in all.").default("10").push().library("max_attempts");
    BACKOFF_FIRST = Variable::new("HAPAX_BACKOFF_FIRST", Kind::Duration,
        "The longest delay before the second attempt; it doubles from there. Each delay is drawn between half of it and all of it.").default("1s").push().library("backoff_first");
    BACKOFF_CAP = Variable::new("HAPAX_BACKOFF_CAP", Kind::Duration,
        "The longest delay before any attempt.").default("1m").push().library("backoff_cap");
    DEAD_LETTER_TOPIC = Variable::new("HAPAX_DEAD_LETTER_TOPIC", Kind::Like("orders-dlt, or auto"),
        "Where messages go that cannot be handled; `auto` is `<topic>-dlt`. It must exist. Where it is not set their partitions stop.")
        .push().library("dead_letter_topic");
    DEAD_LETTER_SHARE = Variable::new("HAPAX_DEAD_LETTER_SHARE", Kind::Share,
        "Which share of the last 1,000 outcomes may be dead letters, before partitions stop; 1 switches the limit off.")
        .default("0.1").push().library("dead_letter_share");
    RETRY_TOPICS = Variable::new("HAPAX_RETRY_TOPICS", Kind::Like("orders-retry-1m=1m,orders-retry-1h=1h"),
        "Topics with their delays, through which messages go that failed. They must exist, for this group alone. Needs `HAPAX_ORDER=unordered`.")
        .push().library("retry_topic");
    MESSAGE_MAX_AGE = Variable::new("HAPAX_MESSAGE_MAX_AGE", Kind::Duration,
        "The greatest age of a message that is handled, by its timestamp. Where it is not set there is none.")
        .push().library("max_age");
    EXPIRES_HEADER = Variable::new("HAPAX_EXPIRES_HEADER", Kind::Boolean,
        "Whether the header `expires` counts, too.").default("false").push();
    EXPIRED_TO_DEAD_LETTER = Variable::new("HAPAX_EXPIRED_TO_DEAD_LETTER", Kind::Boolean,
        "Whether messages that are too old go to the dead-letter topic.").default("false").push().library("expired_to_dead_letter");
}
