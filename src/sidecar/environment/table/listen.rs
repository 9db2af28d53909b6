//! Where the sidecar can be called.

use super::super::{Kind, Variable};

super::group! { PULL, "Pull":
    PULL_MAX_IDS = Variable::new("HAPAX_PULL_MAX_IDS", Kind::Number,
        "How many IDs one call may hold.").default("1000").pull();
    PULL_MAX_WAIT = Variable::new("HAPAX_PULL_MAX_WAIT", Kind::Duration,
        "The longest time that a call may wait for IDs in flight elsewhere.").default("30s").pull();
}

super::group! { LISTEN_GROUP, "Listening":
    LISTEN = Variable::new("HAPAX_LISTEN", Kind::Address,
        "Pull API, administration and status page. Another address than loopback needs a token or client certificates.")
        .default("127.0.0.1:7171");
    HEALTH_LISTEN = Variable::new("HAPAX_HEALTH_LISTEN", Kind::Address,
        "`/health`, `/ready` and `/metrics`, which hold no secret and need no token.").default("0.0.0.0:7172");
    TOKEN = Variable::new("HAPAX_TOKEN", Kind::Text,
        "What callers of `HAPAX_LISTEN` present as `Authorization: Bearer`; 16 characters or more. A file is read again when it changes.")
        .secret();
    TLS_CERTIFICATE_FILE = Variable::new("HAPAX_TLS_CERTIFICATE_FILE", Kind::Path,
        "The certificate chain of `HAPAX_LISTEN`, in PEM. Needs its key.");
    TLS_KEY_FILE = Variable::new("HAPAX_TLS_KEY_FILE", Kind::Path, "The key of that certificate, in PEM.");
    TLS_CLIENT_CA_FILE = Variable::new("HAPAX_TLS_CLIENT_CA_FILE", Kind::Path,
        "The CA of client certificates, in PEM, which are then asked for.");
    HOSTS = Variable::new("HAPAX_HOSTS", Kind::Like("hapax.internal,orders-hapax"),
        "Names beside `localhost` and the address itself by which the sidecar may be called.");
    MAX_BODY = Variable::new("HAPAX_MAX_BODY", Kind::Size, "The longest body of a request.").default("1MiB");
    MAX_CONNECTIONS = Variable::new("HAPAX_MAX_CONNECTIONS", Kind::Number,
        "How many connections each listener serves at once.").default("512");
}
