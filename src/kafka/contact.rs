//! What decides whether Kafka is reached: answers, not connections.
//!
//! A connection says little. A broker that stands still keeps its connections open, and a closed one may be idle.
//! librdkafka's event "all brokers are down" comes once for each outage, says nothing of brokers that stand still, and is
//! silent in some builds. So every statistics event is searched for the last answer of a broker that lets this client in.
//! A client that hears nothing asks: any broker answers a question about metadata. Where nothing is heard for ten seconds,
//! Kafka is unreachable. Time is counted in statistics events, so a process that stood still does not take its own sleep
//! for an outage.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use serde::Deserialize;

use crate::observe::{GroupState, KafkaHealth, KafkaState};

/// How long nothing may be heard before Kafka is called unreachable.
const LIMIT: Duration = Duration::from_secs(10);
/// After so many events without an answer the brokers are asked: a member of a group sends a heartbeat every 3 s.
const ASK_AFTER: u32 = 2;
/// How long the coordinator of a joined member may say nothing, at least: four of the default heartbeats, and a margin.
const COORDINATOR_LIMIT: Duration = Duration::from_secs(15);

/// The part of librdkafka's statistics that is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Statistics {
    brokers: HashMap<String, Broker>,
    #[serde(default)]
    cgrp: Option<Group>,
    /// librdkafka's own clock, in microseconds.
    ts: i64,
}

#[derive(Debug, Deserialize)]
struct Broker {
    source: String,
    state: String,
    /// Microseconds since it last answered; -1 where it has not, or is not connected.
    rxidle: i64,
}

#[derive(Debug, Deserialize)]
struct Group {
    state: String,
    join_state: String,
}

/// What is known of the way to Kafka.
#[derive(Debug)]
pub(super) struct Contact {
    interval: Duration,
    coordinator_limit: Duration,
    /// When a broker last answered, by librdkafka's clock.
    heard: i64,
    /// How many statistics events in a row brought no later answer.
    quiet: u32,
    /// How many statistics events found the group without a coordinator since it last had one, while brokers answered.
    searching: u32,
    /// The last error of a connection.
    error: Option<(RDKafkaErrorCode, String)>,
    /// How many statistics events came since that error.
    error_age: u32,
    health: KafkaHealth,
    ask: bool,
}

impl Contact {
    /// Begins now, with brokers that answered: nothing is opened before they did.
    pub(super) fn new(interval: Duration, heartbeat: Duration, wall: i64) -> Self {
        Self {
            interval: interval.max(Duration::from_millis(1)),
            coordinator_limit: COORDINATOR_LIMIT.max(heartbeat * 4),
            heard: 0,
            quiet: 0,
            searching: 0,
            error: None,
            error_age: 0,
            health: KafkaHealth { since: wall, last_answer: wall, ..KafkaHealth::default() },
            ask: false,
        }
    }

    pub(super) fn health(&self) -> KafkaHealth {
        self.health.clone()
    }

    /// Whether the brokers are to be asked something now, for nothing was heard of them.
    pub(super) fn take_ask(&mut self) -> bool {
        std::mem::take(&mut self.ask)
    }

    /// Notes an error of a connection.
    pub(super) fn failed(&mut self, code: RDKafkaErrorCode, reason: &str) {
        // It says less than what came before it.
        if code != RDKafkaErrorCode::AllBrokersDown {
            (self.error, self.error_age) = (Some((code, reason.to_owned())), 0);
        }
    }

    /// Takes a statistics event. Returns the state before, where it changed.
    pub(super) fn heard(&mut self, statistics: &Statistics, wall: i64) -> Option<KafkaState> {
        let open = |broker: &&Broker| matches!(broker.state.as_str(), "UP" | "UPDATE") && broker.rxidle >= 0;
        let answered = statistics.brokers.values().filter(open).map(|broker| statistics.ts - broker.rxidle).max();
        match answered.filter(|at| *at > self.heard) {
            Some(at) => {
                self.heard = at;
                self.quiet = 0;
                self.health.last_answer = wall - (statistics.ts - at) / 1000;
            }
            None => self.quiet = self.quiet.saturating_add(1),
        }
        self.error_age = self.error_age.saturating_add(1);
        self.ask = self.quiet >= ASK_AFTER;
        self.health.group = statistics.cgrp.as_ref().map(Group::member);
        let before = self.health.state;
        let looks = self.health.group == Some(GroupState::LooksForCoordinator);
        self.searching = match looks && !matches!(before, KafkaState::Unreachable | KafkaState::Denied) {
            // A quiet client hears an answer only every few events, when it has asked.
            true if self.quiet <= ASK_AFTER => self.searching.saturating_add(1),
            true => self.searching,
            false => 0,
        };
        let state = self.judge(statistics);
        self.health.problem = match state {
            KafkaState::Reachable => None,
            // An error from before the last answer explains nothing.
            _ => self.error.as_ref().filter(|_| self.error_age <= self.quiet + 2).map(|(_, reason)| reason.clone()),
        };
        (state != before).then(|| {
            self.health.state = state;
            self.health.since = wall;
            before
        })
    }

    fn judge(&self, statistics: &Statistics) -> KafkaState {
        let denied = |code: &RDKafkaErrorCode| matches!(code, RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL);
        if self.quiet >= ASK_AFTER && self.error.as_ref().is_some_and(|(code, _)| denied(code)) {
            return KafkaState::Denied;
        }
        if self.interval * self.quiet >= LIMIT && self.quiet > ASK_AFTER {
            return KafkaState::Unreachable;
        }
        // Until that is decided, what was decided before holds.
        if self.quiet > 0 && matches!(self.health.state, KafkaState::Unreachable | KafkaState::Denied) {
            return self.health.state;
        }
        match &statistics.cgrp {
            Some(group) if self.has_no_coordinator(group, statistics) => KafkaState::NoCoordinator,
            _ => KafkaState::Reachable,
        }
    }

    fn has_no_coordinator(&self, group: &Group, statistics: &Statistics) -> bool {
        if self.interval * self.searching >= LIMIT {
            return true;
        }
        // A joined member sends heartbeats. One that waits to join may hear nothing for minutes.
        let limit = i64::try_from(self.coordinator_limit.as_micros()).unwrap_or(i64::MAX);
        let silent = |broker: &Broker| broker.source == "logical" && broker.rxidle >= limit;
        group.member() == GroupState::Joined && statistics.brokers.values().any(silent)
    }
}

impl Group {
    fn member(&self) -> GroupState {
        match (self.state.as_str(), self.join_state.as_str()) {
            ("up", "steady") => GroupState::Joined,
            ("up", "init" | "wait-join" | "wait-metadata" | "wait-sync") => GroupState::Joining,
            ("up" | "term", _) => GroupState::Rebalancing,
            _ => GroupState::LooksForCoordinator,
        }
    }
}
