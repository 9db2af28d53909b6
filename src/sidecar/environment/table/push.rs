//! Where messages are posted to, and how.

use super::super::{Kind, Variable};

super::group! { PUSH, "Push":
    PUSH_URL = Variable::new("HAPAX_PUSH_URL", Kind::Url,
        "Where messages are posted to.").push().required();
    PUSH_PROTOCOL = Variable::new("HAPAX_PUSH_PROTOCOL", Kind::Choice(&["http", "dapr"]),
        "What answers mean: with `http` the status says it, with `dapr` the body.").default("http").push();
    PUSH_FORMAT = Variable::new("HAPAX_PUSH_FORMAT", Kind::Choice(&["binary", "structured"]),
        "How messages are written, in the words of CloudEvents.").default("binary").push();
    PUSH_HTTP2 = Variable::new("HAPAX_PUSH_HTTP2", Kind::Boolean,
        "Whether HTTP/2 is spoken from the first byte on.").default("false").push();
    PUSH_CONNECT_LIMIT = Variable::new("HAPAX_PUSH_CONNECT_LIMIT", Kind::Duration,
        "How long making a connection may take.").default("5s").push();
    PUSH_HEADERS = Variable::new("HAPAX_PUSH_HEADERS", Kind::Like("x-tenant,trace-id=X-Trace-Id"),
        "Which headers of Kafka's are passed on, and as what. Others are not.").push();
    PUSH_READY_URL = Variable::new("HAPAX_PUSH_READY_URL", Kind::Url,
        "What is asked until it answers with 2xx, before the first message. Where it is not set, a connection is enough.").push();
    PUSH_RETRY_AFTER_CAP = Variable::new("HAPAX_PUSH_RETRY_AFTER_CAP", Kind::Duration,
        "The longest `Retry-After` that is honoured.").default("5m").push();
    PUSH_MAX_ANSWER = Variable::new("HAPAX_PUSH_MAX_ANSWER", Kind::Size,
        "How much is read of an answer's body where the body decides: with `dapr`, and of batches.").default("1MiB").push();
    PUSH_SOURCE = Variable::new("HAPAX_PUSH_SOURCE", Kind::Like("/shop/orders"),
        "The CloudEvents source of messages that name none. Where it is not set: `/kafka/<topic>`.").push();
    PUSH_TYPE = Variable::new("HAPAX_PUSH_TYPE", Kind::Text,
        "The CloudEvents type of messages that name none.").default("hapax.record").push();
    PUSH_CONTENT_TYPE = Variable::new("HAPAX_PUSH_CONTENT_TYPE", Kind::Like("application/json"),
        "The content type of messages that name none in a header `content-type`.").default("application/octet-stream").push();
    PUSH_TOKEN = Variable::new("HAPAX_PUSH_TOKEN", Kind::Text,
        "Presented to the application as `Authorization: Bearer`. A file is read again when it changes.").secret().push();
    PUSH_CA_FILE = Variable::new("HAPAX_PUSH_CA_FILE", Kind::Path,
        "A CA in PEM beside those of the system.").push();
    PUSH_CLIENT_CERTIFICATE_FILE = Variable::new("HAPAX_PUSH_CLIENT_CERTIFICATE_FILE", Kind::Path,
        "The certificate to show to the application, in PEM. Needs its key.").push();
    PUSH_CLIENT_KEY_FILE = Variable::new("HAPAX_PUSH_CLIENT_KEY_FILE", Kind::Path,
        "The key of that certificate, in PEM.").push();
}
