//! Configurations that cannot be, those that can, and random ones.

mod bad;
mod good;
mod pages;
mod random;

use super::{Environment, Problems, Read};
use crate::sidecar::Settings;
use crate::sidecar::push::PushSettings;
use crate::sidecar::settings::{ConsumerSettings, Delivery};

/// The least that push needs.
const PUSH: &[(&str, &str)] = &[
    ("HAPAX_BROKERS", "127.0.0.1:1"),
    ("HAPAX_GROUP", "billing"),
    ("HAPAX_TOPICS", "orders"),
    ("HAPAX_REDIS_URL", "redis://127.0.0.1:1"),
    ("HAPAX_PUSH_URL", "http://127.0.0.1:1/messages"),
];

/// The least that pull needs.
const PULL: &[(&str, &str)] =
    &[("HAPAX_DELIVERY", "pull"), ("HAPAX_NAMESPACE", "billing"), ("HAPAX_REDIS_URL", "redis://127.0.0.1:1")];

/// `set` over `base`; an empty text takes a variable away.
fn environment(base: &[(&str, &str)], set: &[(&str, &str)]) -> Environment {
    let kept = base.iter().filter(|(name, _)| !set.iter().any(|(other, value)| other == name && value.is_empty()));
    let set = set.iter().filter(|(name, value)| !(value.is_empty() && base.iter().any(|(other, _)| other == name)));
    Environment::new(kept.chain(set).copied())
}

fn read(base: &[(&str, &str)], set: &[(&str, &str)]) -> Result<Read, Problems> {
    Settings::from_environment(&environment(base, set))
}

fn good(base: &[(&str, &str)], set: &[(&str, &str)]) -> Read {
    read(base, set).unwrap_or_else(|problems| panic!("{set:?}: {problems}"))
}

/// What a push configuration says of the consumer and of the application.
fn pushing(set: &[(&str, &str)]) -> (ConsumerSettings, PushSettings) {
    match good(PUSH, set).settings.delivery {
        Delivery::Push(push) => *push,
        other => panic!("push was expected, not {other:?}"),
    }
}
