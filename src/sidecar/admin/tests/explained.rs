//! States in words.

use std::sync::Arc;
use std::time::Duration;

use super::super::explain::{Around, explain, told};
use crate::record::{Origin, TopicPartition};
use crate::store::{DoneRecord, PayloadHash, State};

const HOUR: Duration = Duration::from_secs(3600);

fn around(compact: bool) -> Around {
    Around { window: 24 * HOUR, compact, now: 1_800_000_000_000 }
}

#[test]
fn each_state_says_what_would_become_of_a_message_and_why() {
    let done = |record| State::Done { remaining: 30 * HOUR, record };
    let record = DoneRecord {
        message_id: None,
        origin: Origin { partition: TopicPartition::new("orders", 3), offset: 42 },
        completed_at: 1_799_999_999_000,
        payload_hash: Some(PayloadHash::from_bytes([7; 16])),
    };
    for (state, compact, says) in [
        (State::Absent, true, &["It would be handled", "more than 1 d ago"][..]),
        (
            State::InFlight { attempts: 1, remaining: Duration::from_secs(12) },
            true,
            &["It would wait", "1 attempt was counted", "holds for 12 s more"],
        ),
        (State::Expired { attempts: 2 }, true, &["It would be handled, with care", "2 attempts were counted"]),
        (State::Idle { attempts: 3 }, true, &["It would be handled", "the last one failed"]),
        (
            done(None),
            true,
            // Six hours of its slice are left, and one window.
            &["dropped as a duplicate", "between about 2027-01-14T14:00:00Z and 2027-01-15T08:00:00Z", "1 d 6 h more"],
        ),
        (
            State::Done { remaining: 23 * HOUR, record: None },
            false,
            &["dropped as a duplicate", "at about 2027-01-15T07:00:00Z", "23 h more"],
        ),
        (
            done(Some(Arc::new(record.clone()))),
            false,
            &[
                "orders-3@42 was handled at 2027-01-15T07:59:59Z",
                "hash 07070707070707070707070707070707 it would be a conflict",
            ],
        ),
        (State::Unreadable, true, &["It would wait", "cannot read"]),
    ] {
        let sentence = explain(&state, around(compact));
        assert!(says.iter().all(|says| sentence.contains(says)), "{state:?}: {sentence}");
    }
    let told = told(&done(Some(Arc::new(record))));
    assert_eq!(told["first"]["offset"], 42);
    assert_eq!(told["remaining_ms"], 30 * 3_600_000);
}
