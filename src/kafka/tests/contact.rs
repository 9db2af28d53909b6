//! What decides whether Kafka is reached. No cluster needed.

use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use serde_json::{Value, json};

use super::super::contact::Contact;
use crate::observe::{GroupState, KafkaState};

const SECOND: i64 = 1_000_000;

/// A client whose statistics come every 2 s.
struct Watched {
    contact: Contact,
    /// librdkafka's clock, in seconds.
    now: i64,
    /// When each broker last answered.
    answers: Vec<(&'static str, &'static str, i64)>,
    group: (&'static str, &'static str),
}

impl Watched {
    fn new() -> Self {
        let contact = Contact::new(Duration::from_secs(2), Duration::from_secs(3), 0);
        Self { contact, now: 100, answers: vec![("learned", "UP", 100)], group: ("up", "steady") }
    }

    /// Two seconds pass; answers whether the brokers are to be asked.
    fn pass(&mut self) -> bool {
        self.now += 2;
        let mut brokers = serde_json::Map::new();
        for (index, (source, state, at)) in self.answers.iter().enumerate() {
            let idle = if *state == "UP" { (self.now - at) * SECOND } else { -1 };
            let broker = json!({ "source": source, "state": state, "rxidle": idle, "rtt": { "p99": 1 } });
            brokers.insert(index.to_string(), broker);
        }
        let (state, join_state) = self.group;
        let statistics: Value = json!({
            "ts": self.now * SECOND, "brokers": brokers, "topics": { "orders": { "partitions": {} } },
            "cgrp": { "state": state, "join_state": join_state },
        });
        let statistics = serde_json::from_value(statistics).unwrap();
        self.contact.heard(&statistics, self.now * 1000);
        self.contact.take_ask()
    }

    /// Two seconds pass, in which every broker that is open answers.
    fn pass_well(&mut self) {
        let soon = self.now + 2;
        self.answers.iter_mut().for_each(|(_, _, at)| *at = soon);
        assert!(!self.pass());
    }

    fn state(&self) -> KafkaState {
        self.contact.health().state
    }
}

#[test]
fn contact_without_answers_asks_then_is_unreachable() {
    // A broker that stands still keeps its connection, a dead one does not.
    for state in ["UP", "CONNECT"] {
        let mut watched = Watched::new();
        watched.pass_well();
        watched.answers[0].1 = state;
        let asked: Vec<bool> = (0..4).map(|_| watched.pass()).collect();
        assert_eq!((asked, watched.state()), (vec![false, true, true, true], KafkaState::Reachable), "{state}");
        watched.contact.failed(RDKafkaErrorCode::BrokerTransportFailure, "connection refused");
        watched.contact.failed(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        watched.pass();
        let health = watched.contact.health();
        assert_eq!((health.state, health.problem.as_deref()), (KafkaState::Unreachable, Some("connection refused")));
        assert_eq!((health.since, health.last_answer), (112_000, 102_000));
        // It answers, and nothing else.
        watched.answers[0].1 = "UP";
        watched.pass_well();
        let health = watched.contact.health();
        assert_eq!((health.state, health.problem, health.last_answer), (KafkaState::Reachable, None, 114_000));
    }
}

#[test]
fn contact_with_one_broker_of_three_is_reachable() {
    let mut watched = Watched::new();
    watched.answers = vec![("learned", "UP", 100), ("learned", "CONNECT", 100), ("learned", "UP", 100)];
    for _ in 0..60 {
        watched.answers[2].2 = watched.now + 1;
        watched.contact.failed(RDKafkaErrorCode::BrokerTransportFailure, "connection refused");
        assert!(!watched.pass());
        assert_eq!((watched.state(), watched.contact.health().problem), (KafkaState::Reachable, None));
    }
}

#[test]
fn contact_of_a_process_that_slept_is_no_outage() {
    let mut watched = Watched::new();
    watched.pass_well();
    watched.now += 3600;
    watched.pass();
    assert_eq!(watched.state(), KafkaState::Reachable);
    watched.pass_well();
    assert_eq!(watched.state(), KafkaState::Reachable);
}

#[test]
fn contact_refused_by_login_or_certificate_is_denied() {
    for code in [RDKafkaErrorCode::Authentication, RDKafkaErrorCode::SSL] {
        let mut watched = Watched::new();
        watched.pass_well();
        watched.answers[0].1 = "AUTH_REQ";
        watched.contact.failed(code, "invalid password");
        watched.pass();
        watched.pass();
        let health = watched.contact.health();
        assert_eq!((health.state, health.problem.as_deref()), (KafkaState::Denied, Some("invalid password")));
        // The same error is reported every 30 s only.
        for _ in 0..10 {
            watched.pass();
        }
        assert_eq!(watched.state(), KafkaState::Denied);
        // Then the broker dies.
        watched.contact.failed(RDKafkaErrorCode::BrokerTransportFailure, "connection refused");
        watched.pass();
        assert_eq!(watched.state(), KafkaState::Unreachable);
        watched.answers[0].1 = "UP";
        watched.pass_well();
        assert_eq!(watched.state(), KafkaState::Reachable);
    }
}

#[test]
fn contact_without_coordinator_for_ten_seconds_is_its_own_state() {
    let mut watched = Watched::new();
    // The search goes through two states again and again.
    for (passed, state) in ["query-coord", "wait-coord", "query-coord", "wait-coord"].into_iter().enumerate() {
        watched.group = (state, "init");
        watched.pass_well();
        assert_eq!(watched.state(), KafkaState::Reachable, "after {passed}");
        assert_eq!(watched.contact.health().group, Some(GroupState::LooksForCoordinator));
    }
    watched.pass_well();
    assert_eq!(watched.state(), KafkaState::NoCoordinator);
    watched.group = ("up", "wait-join");
    watched.pass_well();
    let health = watched.contact.health();
    assert_eq!((health.state, health.group), (KafkaState::Reachable, Some(GroupState::Joining)));
}

#[test]
fn contact_with_a_silent_coordinator_is_its_own_state() {
    let mut watched = Watched::new();
    watched.answers = vec![("learned", "UP", 100), ("logical", "UP", 100)];
    let mut states = Vec::new();
    for _ in 0..8 {
        watched.answers[0].2 = watched.now + 2;
        watched.pass();
        states.push(watched.state());
    }
    let (before, after) = states.split_at(7);
    assert!(before.iter().all(|state| *state == KafkaState::Reachable), "{before:?}");
    assert_eq!(after, [KafkaState::NoCoordinator]);
    // A member that waits for others to join hears nothing from the coordinator, rightly.
    watched.group = ("up", "wait-join");
    watched.answers[0].2 = watched.now + 2;
    watched.pass();
    assert_eq!(watched.state(), KafkaState::Reachable);
}
