//! Which slot of a cluster a group lies in, and which node has a slot.

use redis::Value;

use super::place::Place;
use crate::store::redis::groups::slot;
use crate::store::redis::layout::{Group, Layout};

/// The slot of each group of a namespace.
pub(in crate::store::redis) struct GroupSlots(Vec<u16>);

impl GroupSlots {
    pub(in crate::store::redis) fn new(layout: &Layout) -> Self {
        Self(Group::all().map(|group| slot(layout.tag(group).as_bytes())).collect())
    }

    /// In the order of [`Group::all`].
    pub(super) fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().copied()
    }
}

/// A range of slots, its master and that one's replicas.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) master: Place,
    pub(super) replicas: Vec<Place>,
}

/// Reads the answer to `CLUSTER SLOTS`; nothing where it is none. (`CLUSTER SHARDS` tells no more that is of use here,
/// and which of its two ports is meant is left to the reader.)
pub(super) fn read(answer: &Value, teller: &Place) -> Option<Vec<Range>> {
    let Value::Array(ranges) = answer else { return None };
    ranges.iter().map(|range| read_range(range, teller)).collect()
}

fn read_range(range: &Value, teller: &Place) -> Option<Range> {
    let Value::Array(parts) = range else { return None };
    let [Value::Int(first), Value::Int(last), master, replicas @ ..] = parts.as_slice() else { return None };
    Some(Range {
        first: u16::try_from(*first).ok()?,
        last: u16::try_from(*last).ok()?,
        master: read_place(master, teller)?,
        replicas: replicas.iter().filter_map(|replica| read_place(replica, teller)).collect(),
    })
}

fn read_place(node: &Value, teller: &Place) -> Option<Place> {
    let Value::Array(parts) = node else { return None };
    let [host, Value::Int(port), ..] = parts.as_slice() else { return None };
    let host = match host {
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        Value::Nil => "",
        _ => return None,
    };
    Place::told(host, u16::try_from(*port).ok()?, teller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_a_node_is_read() {
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), Value::BulkString(b"id".to_vec())]);
        let host = |host: &str| Value::BulkString(host.as_bytes().to_vec());
        let teller = Place::tcp("me", 1);
        let range = |parts: Vec<Value>| Value::Array([vec![Value::Int(0), Value::Int(5460)], parts].concat());
        let answer = Value::Array(vec![range(vec![node(host("a"), 7000), node(Value::Nil, 7001)])]);
        let expected =
            Range { first: 0, last: 5460, master: Place::tcp("a", 7000), replicas: vec![Place::tcp("me", 7001)] };
        assert_eq!(read(&answer, &teller), Some(vec![expected]));
        assert_eq!(read(&Value::Okay, &teller), None);
        assert_eq!(read(&Value::Array(vec![range(vec![])]), &teller), None);
    }
}
