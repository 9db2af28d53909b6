//! The process itself: what it does, how it tells of itself, how it starts and ends.

use super::super::{Kind, Variable};

super::group! { DELIVERIES, "Delivery":
    DELIVERY = Variable::new("HAPAX_DELIVERY", Kind::Choice(&["push", "pull"]),
        "How messages reach your application: `push` posts each to a URL, `pull` answers calls that claim and complete IDs.")
        .default("push");
    NAMESPACE = Variable::new("HAPAX_NAMESPACE", Kind::Text,
        "Who handles the messages. The consumer group where it is not set; must be set with `pull`. Two applications never share one.")
        .library("namespace");
}

super::group! { TELEMETRY, "Logs and traces":
    LOG = Variable::new("HAPAX_LOG", Kind::Like("info or hapax=debug,info"),
        "What is logged.").default("info");
    LOG_FORMAT = Variable::new("HAPAX_LOG_FORMAT", Kind::Choice(&["auto", "text", "json"]),
        "The form of log lines; `auto` is text on a terminal and JSON otherwise.").default("auto");
    LOG_IDS = Variable::new("HAPAX_LOG_IDS", Kind::Boolean,
        "Whether log lines may hold message IDs. Otherwise they hold fingerprints.").default("false");
    TRACES = Variable::new("HAPAX_TRACES", Kind::Url,
        "The base URL of an OTLP receiver (HTTP, protobuf), or `off`. Where it is not set, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` and `OTEL_EXPORTER_OTLP_ENDPOINT` count.");
    TRACE_SHARE = Variable::new("HAPAX_TRACE_SHARE", Kind::Share,
        "Which share of the messages that bring no trace of their own is traced.").default("1");
    SERVICE_NAME = Variable::new("HAPAX_SERVICE_NAME", Kind::Text,
        "The name of the process in traces. Where it is not set, `OTEL_SERVICE_NAME` counts.").default("hapax");
}

super::group! { LIFE, "Start and end":
    START_WAIT = Variable::new("HAPAX_START_WAIT", Kind::Duration,
        "How long the start waits for Kafka and Redis where they do not answer. The application is waited for without end.").default("60s").library("start_timeout");
    SHUTDOWN_LIMIT = Variable::new("HAPAX_SHUTDOWN_LIMIT", Kind::Duration,
        "How long the end may take from the first signal on. Longer than `HAPAX_DRAIN_LIMIT`, shorter than the grace period of whatever kills the process (Kubernetes: 30 s).")
        .default("25s");
}
