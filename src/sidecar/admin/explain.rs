//! States of IDs, for programs and for people.

use std::time::Duration;

use serde_json::{Value, json};

use super::clock::{moment, span};
use crate::store::{Destination, DoneRecord, State};

/// What the sentences need to know beside the state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around {
    /// How long a done ID is remembered.
    pub(crate) window: Duration,
    /// Whether the store keeps slices of time only.
    pub(crate) compact: bool,
    /// The wall clock, in milliseconds since the Unix epoch.
    pub(crate) now: i64,
}

/// A state for programs.
pub(crate) fn told(state: &State) -> Value {
    match state {
        State::Absent => json!({ "state": "absent" }),
        State::InFlight { attempts, remaining } => {
            json!({ "state": "in_flight", "attempts": attempts, "remaining_ms": millis(*remaining) })
        }
        State::Expired { attempts } => json!({ "state": "expired", "attempts": attempts }),
        State::Idle { attempts } => json!({ "state": "idle", "attempts": attempts }),
        State::GivenUp { attempts, to } => {
            let to = match to {
                Destination::DeadLetter { .. } => json!("dead_letter"),
                Destination::Retry { step } => json!({ "retry": step }),
            };
            json!({ "state": "given_up", "attempts": attempts, "to": to })
        }
        State::Done { remaining, record } => json!({
            "state": "done",
            "remaining_ms": millis(*remaining),
            "first": record.as_deref().map(first),
        }),
        State::Unreadable => json!({ "state": "unreadable" }),
    }
}

fn first(record: &DoneRecord) -> Value {
    json!({
        "topic": record.origin.partition.topic(),
        "partition": record.origin.partition.partition(),
        "offset": record.origin.offset,
        "completed_at": moment(record.completed_at),
        "payload_hash": record.payload_hash.map(|hash| hash.to_string()),
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What would become of a message with this ID now, and why, in one sentence or two.
pub(crate) fn explain(state: &State, around: Around) -> String {
    let Around { window, compact, now } = around;
    let counted = |attempts: u32| match attempts {
        1 => "1 attempt was".to_owned(),
        attempts => format!("{attempts} attempts were"),
    };
    match state {
        State::Absent => format!(
            "It would be handled: nothing is known of this ID. Either no message with it was handled here, or that is \
             more than {} ago, or it was forgotten.",
            span(window)
        ),
        State::InFlight { attempts, remaining } => format!(
            "It would wait: another message with this ID is being handled, or about to be; {} counted before. Its lease \
             holds for {} more, and longer if it is renewed.",
            counted(*attempts),
            span(*remaining)
        ),
        State::Expired { attempts } => format!(
            "It would be handled, with care: whoever had this ID last let its lease run out, and may have died of the \
             message; {} counted. From the second time on it runs alone.",
            counted(*attempts)
        ),
        State::Idle { attempts } => format!(
            "It would be handled: {} counted for this ID, and the last one failed. The count is remembered for a while.",
            counted(*attempts)
        ),
        State::GivenUp { attempts, to } => format!(
            "It would not be handled: it was given up, {} counted, and a copy may lie in {}. The process that gets it next \
             sends the copy again, and then records the ID.",
            counted(*attempts),
            match to {
                Destination::DeadLetter { .. } => "the dead-letter topic",
                Destination::Retry { .. } => "a retry topic",
            }
        ),
        State::Done { remaining, record: Some(record) } => {
            let hash = record.payload_hash.map_or(String::new(), |hash| {
                format!(" With another payload than the one with the hash {hash} it would be a conflict.")
            });
            format!(
                "It would be dropped as a duplicate: the record at {} was handled at {}, and is remembered for {} more.{hash}",
                record.origin,
                moment(record.completed_at),
                span(*remaining)
            )
        }
        State::Done { remaining, record: None } => {
            let ends = now.saturating_add(i64_millis(*remaining));
            let latest = ends.saturating_sub(i64_millis(window));
            let when = match compact {
                // It stands in a slice of time, one window long, which is forgotten one window after its end.
                true => format!(
                    "between about {} and {} (it is not kept more exactly)",
                    moment(latest.saturating_sub(i64_millis(window))),
                    moment(latest.min(now))
                ),
                false => format!("at about {}", moment(latest)),
            };
            format!(
                "It would be dropped as a duplicate: a message with this ID was handled {when}, which is remembered for {} \
                 more.",
                span(*remaining)
            )
        }
        State::Unreadable => {
            "It would wait: what the store holds of this ID was written by a version of hapax that this \
                              one cannot read. Run one version, or forget the ID."
                .to_owned()
        }
    }
}

fn i64_millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
