//! Delivery by HTTP POST to an application.
//!
//! `Record -> CloudEvent -> POST -> answer -> verdict -> handled, or a Failure that says what follows`
//!
//! # Requests
//!
//! Each holds one message, or with [`PushSettings::batched`] many. Headers of every request: `content-type`, `user-agent`,
//! `accept`, `accept-encoding: identity`, `authorization` where there is a token. Requests of one message also have:
//!
//! | header | value |
//! |---|---|
//! | `ce-…` | the event's attributes, in binary mode |
//! | `idempotency-key` | a [structured-field string](https://www.rfc-editor.org/rfc/rfc8941#name-strings), so in quotes: the fingerprint of the message's ID, the same for every attempt, redelivery and copy of it, and another one for a replayed dead letter; its topic, partition and offset where it has no ID |
//! | `hapax-attempt` | which attempt this is, from 1 |
//! | `traceparent`, `tracestate` | of the span under way where traces are on; otherwise the record's own, where there is one of each and it is valid |
//! | those of [`PushSettings::headers`] | the record's, percent-encoded as attributes are; of a repeated one the last |
//!
//! # Events
//!
//! Attributes come from the record's headers `ce_…`; of a repeated one the last counts, and one that is empty or not
//! UTF-8 counts as absent. Where they are absent: `id` is the fingerprint, or `<topic>-<partition>-<offset>` where the
//! message has no ID; `source` and `type` as the settings say; `time` is the record's. `topic`, `partition`, `offset` and,
//! where the record's key is text, `partitionkey` always come from the record. The content type is that of the record's
//! header `content-type`. In binary mode a null payload (a tombstone) has no content type; an empty one has.
//!
//! In structured mode an event also has the extensions `idempotencykey` (as the header, without quotes) and `attempt`. A
//! record that is a structured event in JSON already is copied, with these two and with the record's place; what its
//! producer wrote under their names is dropped, in any letter case. In an array of events each has the key of the record
//! with its place. An event in another format is passed on as it is. Events are recognised as
//! [`CloudEvents`](crate::id::CloudEvents) recognises them.
//!
//! A record whose headers are too many or too long for HTTP (64 headers, 8 KiB each, 32 KiB in all, once encoded) is a
//! dead letter; in structured mode the attributes are limited in number only.
//!
//! # Batches
//!
//! `application/cloudevents-batch+json`: an array of structured events. The answer may say for each event what became of
//! it:
//!
//! ```json
//! {"results": [{"index": 0, "status": 200}, {"index": 1, "status": 422, "reason": "no such customer"}]}
//! ```
//!
//! `index` is the event's place in the array, from 0; `status` is what a request of its own would be answered with; an
//! event that is not named is tried again. 2xx without `results` means all; so does any other status. The array may stand
//! alone. What cannot be read as results is none, unless a failure of one stands there.
//!
//! # Answers
//!
//! See [`Verdict`]. An application that asks for a pause with `Retry-After` gets it, up to
//! [`PushSettings::retry_after_cap`].
//!
//! The status counts as soon as its line was read to its end. Without a status it is an unknown outcome, which counts an
//! attempt, unless it is certain that the application did not get the request.
//!
//! Where the body decides, [`PushSettings::max_answer`] bytes of it are read, and read leniently: it may be not quite JSON,
//! and stand behind headers that cannot be read. Of a longer one, and of one that does not end, what was read counts.
//!
//! # Dapr
//!
//! With [`PushProtocol::Dapr`] events are structured, batches have Dapr's bulk envelope, and bodies of 2xx are read as
//! Dapr reads them. Other answers are tried again: a 404 drops nothing here.

mod batch;
mod body;
mod client;
mod connector;
mod dapr;
mod event;
mod exchange;
mod fault;
mod head;
mod headers;
mod line;
mod outcome;
mod pool;
#[expect(clippy::module_inception, reason = "the room is named for what it holds: the push, and all around it")]
mod push;
mod ready;
mod retry_after;
mod scan;
mod settings;
mod state;
mod structured;
mod text;
mod tls;
mod together;
mod token;
mod url;
mod verdict;
mod wire;
mod writer;

pub(in crate::sidecar) use headers::is_reserved as is_reserved_header;
pub use push::Push;
pub use settings::{PushFormat, PushProtocol, PushSettings};
pub use state::TargetState;
pub(crate) use token::bearer;
pub use verdict::Verdict;
