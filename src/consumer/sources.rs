//! The check that the IDs of CloudEvents are not used without their source.

use std::collections::HashMap;
use std::sync::Arc;

use crate::id::{Identity, Scope, is_event, leaves_source_out};
use crate::record::Record;

/// What is known of the events of each topic.
///
/// A look costs a second reading of the event, so it is taken at the first, the second, the fourth … event of a topic,
/// until one was found.
#[derive(Debug, Default)]
pub(super) struct SourceCheck {
    topics: HashMap<Arc<str>, Seen>,
}

#[derive(Debug)]
enum Seen {
    Events(u64),
    Found,
}

impl SourceCheck {
    /// Whether this record is the first of its topic whose identity is the ID of a CloudEvent without its source.
    pub(super) fn finds(&mut self, record: &Record, identity: &Identity) -> bool {
        if matches!(identity.scope, Scope::Header(_)) {
            // An event's source, or what the rule takes for it.
            return false;
        }
        let topic = record.partition().topic_arc();
        let events = match self.topics.get(topic) {
            Some(Seen::Found) => return false,
            Some(Seen::Events(events)) => *events,
            None => 0,
        };
        if !is_event(record) {
            return false;
        }
        let events = events + 1;
        let found = events.is_power_of_two() && leaves_source_out(record, identity);
        self.topics.insert(Arc::clone(topic), if found { Seen::Found } else { Seen::Events(events) });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{CloudEvents, Extract, JsonPointer};
    use crate::record::TopicPartition;

    fn event(topic: &str, payload: &'static str) -> Record {
        let record = Record::builder(TopicPartition::new(topic, 0), 7);
        record.header("content-type", "application/cloudevents+json").payload(payload).build()
    }

    #[test]
    fn check_finds_each_topic_once() {
        let mut check = SourceCheck::default();
        let rule = JsonPointer::new("/id").unwrap();
        let mut finds = |topic: &str| {
            let record = event(topic, r#"{"id":"1","source":"/a"}"#);
            check.finds(&record, &rule.extract(&record).unwrap())
        };
        assert_eq!([finds("a"), finds("a"), finds("b"), finds("b"), finds("a")], [true, false, true, false, false]);
    }

    #[test]
    fn check_finds_what_comes_later() {
        let mut check = SourceCheck::default();
        let rule = JsonPointer::new("/data/id").unwrap();
        let mut finds = |payload| {
            let record = event("a", payload);
            check.finds(&record, &rule.extract(&record).unwrap())
        };
        let other = r#"{"id":"1","source":"/a","data":{"id":"7"}}"#;
        assert!((0..100).all(|_| !finds(other)));
        let same = r#"{"id":"1","source":"/a","data":{"id":"1"}}"#;
        assert_eq!((0..200).filter(|_| finds(same)).count(), 1);
    }

    #[test]
    fn check_finds_nothing_in_the_default_rule() {
        let record = event("a", r#"{"id":"1","source":"/a"}"#);
        assert!(!SourceCheck::default().finds(&record, &CloudEvents::new().extract(&record).unwrap()));
    }
}
