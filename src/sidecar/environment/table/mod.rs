//! All variables.

mod failures;
mod kafka;
mod listen;
mod pace;
mod process;
mod push;
mod store;

pub(super) use self::failures::*;
pub(super) use self::kafka::*;
pub(super) use self::listen::*;
pub(super) use self::pace::*;
pub(super) use self::process::*;
pub(super) use self::push::*;
pub(super) use self::store::*;

use super::{Group, Variable};

/// A group: one static for each variable, and the list of them.
macro_rules! group {
    ($group:ident, $title:literal: $($name:ident = $variable:expr;)*) => {
        $(pub(in crate::sidecar::environment) static $name: Variable = $variable;)*
        pub(super) static $group: crate::sidecar::environment::Group =
            crate::sidecar::environment::Group { title: $title, variables: &[$(&$name),*] };
    };
}
use group;

/// All variables, in groups.
pub fn variables() -> [Group; 11] {
    [
        process::DELIVERIES,
        kafka::KAFKA,
        store::STORES,
        kafka::IDS,
        pace::PACE,
        failures::FAILURES,
        push::PUSH,
        listen::PULL,
        listen::LISTEN_GROUP,
        process::TELEMETRY,
        process::LIFE,
    ]
}

/// All of them, one after the other.
pub(super) fn all() -> impl Iterator<Item = &'static Variable> {
    variables().into_iter().flat_map(|group| group.variables.iter().copied())
}
