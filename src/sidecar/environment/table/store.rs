//! Where the states of IDs are kept.

use super::super::{Kind, Variable};

super::group! { STORES, "Store":
    STORE = Variable::new("HAPAX_STORE", Kind::Choice(&["redis", "memory"]),
        "Where handled IDs are kept. `memory` is for trials: it forgets all at the end of the process, and is shared with no other.")
        .default("redis");
    REDIS_URL = Variable::new("HAPAX_REDIS_URL", Kind::Like("redis://[user:password@]host:6379, redis+sentinel://host,host/master or redis+cluster://host,host; with rediss for TLS"),
        "Redis 7.0 or later: one server, the master that sentinels name, or a cluster.")
        .secret().required().redis().library("Redis URL");
    REDIS_CA_FILE = Variable::new("HAPAX_REDIS_CA_FILE", Kind::Path,
        "The CA of Redis' certificate in PEM, instead of those of the system.").redis().library("TLS CA");
    REDIS_CLIENT_CERTIFICATE_FILE = Variable::new("HAPAX_REDIS_CLIENT_CERTIFICATE_FILE", Kind::Path,
        "The certificate to show to Redis, in PEM. Needs its key.").redis().library("TLS client certificate");
    REDIS_CLIENT_KEY_FILE = Variable::new("HAPAX_REDIS_CLIENT_KEY_FILE", Kind::Path,
        "The key of that certificate, in PEM.").redis().library("TLS client key");
    REDIS_SENTINEL_USER = Variable::new("HAPAX_REDIS_SENTINEL_USER", Kind::Text,
        "As whom to come to the sentinels. Needs their password.").redis();
    REDIS_SENTINEL_PASSWORD = Variable::new("HAPAX_REDIS_SENTINEL_PASSWORD", Kind::Text,
        "The password of the sentinels.").secret().redis();
    REDIS_RESPONSE_LIMIT = Variable::new("HAPAX_REDIS_RESPONSE_LIMIT", Kind::Duration,
        "How long Redis may take for one answer.").default("1s").redis().library("response limit");
    DONE_MODE = Variable::new("HAPAX_DONE_MODE", Kind::Choice(&["compact", "exact"]),
        "How handled IDs are kept: `compact` takes 9 bytes for each, `exact` 210 and the ID's own, and tells conflicts.")
        .default("compact").redis();
    EXPECTED_IDS = Variable::new("HAPAX_EXPECTED_IDS", Kind::Number,
        "How many IDs a window brings, roughly. Where it is not set it is learned.").redis();
    STRICT = Variable::new("HAPAX_STRICT", Kind::Boolean,
        "Whether a Redis is refused that forgets IDs when its memory is full (`maxmemory-policy` other than `noeviction`).")
        .default("false").redis();
    WINDOW = Variable::new("HAPAX_WINDOW", Kind::Duration,
        "How long a handled ID is remembered.").default("24h").library("window");
    LEASE = Variable::new("HAPAX_LEASE", Kind::Duration,
        "How long a claim holds without renewal: what a dead process held is taken over after it.")
        .default("60s").library("lease");
    GRACE = Variable::new("HAPAX_GRACE", Kind::Duration,
        "How long the count of attempts is kept after a failed attempt or a lease that ran out.")
        .default("10m").library("grace");
    CACHE_ENTRIES = Variable::new("HAPAX_CACHE_ENTRIES", Kind::Number,
        "How many handled IDs the local cache holds, with about 150 bytes each; 0 switches it off.").default("100000");
    CACHE_LIFETIME = Variable::new("HAPAX_CACHE_LIFETIME", Kind::Duration,
        "For how long it holds them; as long an ID forgotten elsewhere may go unseen.").default("10m");
}
