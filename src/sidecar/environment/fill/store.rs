//! Where the states of IDs are kept.

use std::path::PathBuf;

use super::super::reader::Reader;
use super::super::table;
use super::super::values::{at_least_one, boolean, duration, number, some_time, text};
use super::path;
use crate::sidecar::Secret;
use crate::sidecar::settings::{RedisSettings, StoreKind, StoreSettings};
use crate::store::{DoneMode, LeaseTerms};

/// With the memory store in place of a Redis without a URL, which was complained of: so that all else is checked, too.
pub(super) fn settings(reader: &mut Reader<'_>) -> StoreSettings {
    let memory = reader.choose(&table::STORE, &[("redis", false), ("memory", true)]).unwrap_or(false);
    let defaults = LeaseTerms::default();
    let terms = LeaseTerms {
        window: reader.get(&table::WINDOW, some_time).unwrap_or(defaults.window),
        lease: reader.get(&table::LEASE, some_time).unwrap_or(defaults.lease),
        grace: reader.get(&table::GRACE, some_time).unwrap_or(defaults.grace),
    };
    let cache_entries = reader.get(&table::CACHE_ENTRIES, number).unwrap_or_default();
    let cache_lifetime = reader.get(&table::CACHE_LIFETIME, duration).unwrap_or_default();
    let kind = if memory {
        for variable in table::all().filter(|variable| variable.redis) {
            if reader.is_set(variable) {
                reader.wrong(
                    variable.name,
                    "means nothing with HAPAX_STORE=memory",
                    "unset it, or set HAPAX_STORE=redis",
                );
            }
        }
        StoreKind::Memory
    } else {
        redis(reader).map_or(StoreKind::Memory, |redis| StoreKind::Redis(Box::new(redis)))
    };
    StoreSettings { kind, terms, cache_entries, cache_lifetime }
}

fn redis(reader: &mut Reader<'_>) -> Option<RedisSettings> {
    let url = reader.get(&table::REDIS_URL, |text| Ok(Secret::new(text)));
    let ca = reader.get(&table::REDIS_CA_FILE, path);
    let client = pair(reader, &table::REDIS_CLIENT_CERTIFICATE_FILE, &table::REDIS_CLIENT_KEY_FILE);
    let user = reader.get(&table::REDIS_SENTINEL_USER, text);
    let password = reader.get(&table::REDIS_SENTINEL_PASSWORD, |text| Ok(Secret::new(text)));
    if user.is_some() && password.is_none() && !reader.is_set(&table::REDIS_SENTINEL_PASSWORD) {
        reader.wrong(
            table::REDIS_SENTINEL_USER.name,
            "is set without a password",
            "set HAPAX_REDIS_SENTINEL_PASSWORD_FILE, too",
        );
    }
    let response_limit = reader.get(&table::REDIS_RESPONSE_LIMIT, some_time).unwrap_or_default();
    let modes = [("compact", DoneMode::Compact), ("exact", DoneMode::Exact)];
    let mode = reader.choose(&table::DONE_MODE, &modes).unwrap_or_default();
    let expected_ids = reader.get(&table::EXPECTED_IDS, at_least_one);
    let strict = reader.get(&table::STRICT, boolean).unwrap_or_default();
    Some(RedisSettings {
        url: url?,
        ca,
        client,
        sentinel_login: password.map(|password| (user, password)),
        mode,
        expected_ids,
        strict,
        response_limit,
    })
}

/// A certificate and its key: both or none.
pub(super) fn pair(
    reader: &mut Reader<'_>,
    certificate: &super::super::Variable,
    key: &super::super::Variable,
) -> Option<(PathBuf, PathBuf)> {
    let (both, one) = ((reader.is_set(certificate), reader.is_set(key)), "is set without its other half");
    match both {
        (true, false) => reader.wrong(certificate.name, one, format!("set {}, too", key.name)),
        (false, true) => reader.wrong(key.name, one, format!("set {}, too", certificate.name)),
        _ => {}
    }
    let (certificate, key) = (reader.get(certificate, path), reader.get(key, path));
    certificate.zip(key)
}
