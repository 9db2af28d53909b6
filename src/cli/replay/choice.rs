//! Which dead letters go back, and as what.

use std::str;
use std::sync::Arc;

use bytes::Bytes;

use crate::consumer::{EXCEPTION_MESSAGE, ORIGINAL_GROUP, ORIGINAL_PARTITION, ORIGINAL_TOPIC, last_text};
use crate::id::{IdProblem, Namespace, REPLAY_HEADER, replay_count};
use crate::kafka::Outgoing;
use crate::record::{Header, Record};

/// What is wanted.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) namespace: Namespace,
    pub(super) group: String,
    /// The topics that the group reads.
    pub(super) topics: Vec<String>,
    /// A part of what the handler said.
    pub(super) reason: Option<String>,
    /// Written at that time or later, and before that, in milliseconds since the Unix epoch.
    pub(super) since: Option<i64>,
    pub(super) until: Option<i64>,
}

/// Why a dead letter stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stays {
    /// It does not say where it came from, so hapax did not write it, nor Spring Kafka.
    Unmarked,
    /// Another group gave it up.
    OtherGroup,
    /// It came from a topic that the group does not read.
    OtherTopic,
    /// The filter leaves it out.
    Filtered,
    /// It says how often it was replayed in a way that cannot be read.
    Unreadable,
}

/// A dead letter that goes back.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) outgoing: Outgoing,
    pub(super) reason: String,
}

/// Decides on one dead letter.
///
/// What goes back has one replay more than it had, so it is another message for this namespace and a duplicate for all
/// others. Replayed once more from the same dead letter it gets the same number: the second is dropped as a duplicate.
pub(super) fn choose(record: &Record, filter: &Filter) -> Result<Chosen, Stays> {
    let topic = last_text(record, ORIGINAL_TOPIC).ok_or(Stays::Unmarked)?;
    if last_text(record, ORIGINAL_GROUP) != Some(&filter.group) {
        return Err(Stays::OtherGroup);
    }
    if !filter.topics.iter().any(|read| read == topic) {
        return Err(Stays::OtherTopic);
    }
    let reason = last_text(record, EXCEPTION_MESSAGE).unwrap_or_default();
    let at = record.timestamp();
    let wanted = filter.reason.as_ref().is_none_or(|part| reason.contains(part))
        && filter.since.is_none_or(|since| at.is_some_and(|at| at >= since))
        && filter.until.is_none_or(|until| at.is_some_and(|at| at < until));
    if !wanted {
        return Err(Stays::Filtered);
    }
    let headers = headers(record, &filter.namespace).map_err(|_| Stays::Unreadable)?;
    Ok(Chosen {
        reason: reason.to_owned(),
        outgoing: Outgoing {
            topic: Arc::from(topic),
            // The key decides, as it did; one without a key goes back to where it lay.
            partition: if record.key().is_none() { original_partition(record) } else { None },
            key: record.key().cloned(),
            payload: record.payload().cloned(),
            headers,
            timestamp: None,
        },
    })
}

/// The record's headers, with one replay more for the namespace. Counts for others stay.
fn headers(record: &Record, namespace: &Namespace) -> Result<Vec<Header>, IdProblem> {
    let count = replay_count(record, namespace)? + 1;
    let ours = |header: &Header| {
        let value = header.value.as_deref().and_then(|value| str::from_utf8(value).ok());
        &*header.name == REPLAY_HEADER
            && value.and_then(|value| value.split_once(' ')).is_some_and(|(name, _)| name == namespace.as_str())
    };
    let mut headers: Vec<_> = record.headers().iter().filter(|header| !ours(header)).cloned().collect();
    headers.push(Header { name: REPLAY_HEADER.into(), value: Some(Bytes::from(format!("{namespace} {count}"))) });
    Ok(headers)
}

fn original_partition(record: &Record) -> Option<i32> {
    let bytes = record.header_values(ORIGINAL_PARTITION).last()??;
    Some(i32::from_be_bytes(bytes.as_ref().try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::TopicPartition;

    fn filter() -> Filter {
        Filter {
            namespace: Namespace::new("billing").unwrap(),
            group: "billing".to_owned(),
            topics: vec!["orders".to_owned()],
            reason: None,
            since: None,
            until: None,
        }
    }

    fn dead_letter(headers: &[(&str, &str)]) -> Record {
        let record = Record::builder(TopicPartition::new("orders-dlt", 0), 3).payload("x").timestamp(1000);
        let usual = [
            (ORIGINAL_TOPIC, "orders"),
            (ORIGINAL_GROUP, "billing"),
            (EXCEPTION_MESSAGE, "no such account"),
            ("ce_id", "a7"),
        ];
        let headers = usual.iter().filter(|(name, _)| headers.iter().all(|(other, _)| other != name)).chain(headers);
        let record = headers.fold(record, |record, (name, value)| record.header(*name, (*value).to_owned()));
        record.header(ORIGINAL_PARTITION, 5i32.to_be_bytes().to_vec()).build()
    }

    fn replays(headers: &[(&str, &str)]) -> Vec<String> {
        let chosen = choose(&dead_letter(headers), &filter()).unwrap();
        let headers = chosen.outgoing.headers.iter().filter(|header| &*header.name == REPLAY_HEADER);
        headers.map(|header| String::from_utf8(header.value.clone().unwrap().to_vec()).unwrap()).collect()
    }

    #[test]
    fn what_goes_back_has_one_replay_more() {
        assert_eq!(replays(&[]), ["billing 1"]);
        assert_eq!(replays(&[(REPLAY_HEADER, "billing 1")]), ["billing 2"]);
        assert_eq!(replays(&[(REPLAY_HEADER, "audit 4")]), ["audit 4", "billing 1"], "counts of others stay");
        assert_eq!(choose(&dead_letter(&[(REPLAY_HEADER, "billing x")]), &filter()).unwrap_err(), Stays::Unreadable);
    }

    #[test]
    fn it_goes_where_it_came_from_as_it_was() {
        let Outgoing { topic, partition, key, payload, headers, .. } =
            choose(&dead_letter(&[]), &filter()).unwrap().outgoing;
        assert_eq!((&*topic, partition, key, payload), ("orders", Some(5), None, Some(Bytes::from("x"))));
        assert!(headers.iter().any(|header| &*header.name == "ce_id"));
    }

    #[test]
    fn what_is_not_ours_stays() {
        let stays = |headers: &[(&str, &str)]| choose(&dead_letter(headers), &filter()).unwrap_err();
        assert_eq!(stays(&[(ORIGINAL_GROUP, "audit")]), Stays::OtherGroup);
        assert_eq!(stays(&[(ORIGINAL_TOPIC, "payments")]), Stays::OtherTopic);
        let unmarked = Record::builder(TopicPartition::new("orders-dlt", 0), 3).build();
        assert_eq!(choose(&unmarked, &filter()).unwrap_err(), Stays::Unmarked);
    }

    #[test]
    fn filters_leave_out() {
        let goes = |change: fn(&mut Filter)| {
            let mut filter = filter();
            change(&mut filter);
            choose(&dead_letter(&[]), &filter).is_ok()
        };
        assert!(goes(|filter| filter.reason = Some("account".to_owned())));
        assert!(!goes(|filter| filter.reason = Some("time-out".to_owned())));
        assert!(goes(|filter| (filter.since, filter.until) = (Some(1000), Some(1001))));
        assert!(!goes(|filter| filter.since = Some(1001)));
        assert!(!goes(|filter| filter.until = Some(1000)));
    }
}
