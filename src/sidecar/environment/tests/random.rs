//! Whatever is set: no panic, and no value in what is said.

use std::ffi::OsString;

use proptest::prelude::*;

use super::super::{Environment, table};
use super::{PULL, PUSH};
use crate::sidecar::Settings;

/// Names of the table, of librdkafka's properties, and made-up ones.
fn name() -> impl Strategy<Value = String> {
    let mut known: Vec<String> = table::all().map(|variable| variable.name.to_owned()).collect();
    known.extend(table::all().filter_map(|variable| variable.file()));
    known.extend(
        ["SASL_PASSWORD", "SASL_PASSWORD_FILE", "CONSUMER_FETCH_MIN_BYTES", "PRODUCER_LINGER_MS", "GROUP_ID", "PORT"]
            .map(|property| format!("HAPAX_KAFKA_{property}")),
    );
    prop_oneof![8 => proptest::sample::select(known), 1 => "HAPAX_[A-Z_]{0,20}", 1 => "HAPAX_KAFKA_[A-Z_]{0,20}"]
}

/// Any bytes, and what looks as if it were meant. None with a piece that our own sentences hold.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        "[0-9]{6,22}(ms|s|m|h|d|KiB|GB)?".prop_map(String::into_bytes),
        "(header|json|name|redis|http|https)(://|:|:/)[q-z0-9:@,=/]{6,20}".prop_map(String::into_bytes),
        "[qxz0-9]{6,20}(=[0-9]{1,6}[smh])?(,[qxz0-9]{6,20}=[0-9]{1,6}[smh])?".prop_map(String::into_bytes),
    ]
}

#[cfg(unix)]
fn os(bytes: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[cfg(unix)]
    #[test]
    fn nothing_panics_and_no_value_is_told(pull: bool, set in proptest::collection::vec((name(), value()), 1..6)) {
        let base = if pull { PULL } else { PUSH };
        let base = base.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let environment = Environment::new(base.chain(set.iter().map(|(name, value)| (name.into(), os(value)))));
        if let Err(problems) = Settings::from_environment(&environment) {
            let text = problems.to_string();
            for problem in &problems.0 {
                prop_assert!(!problem.way_out.is_empty() && !problem.problem.is_empty(), "{}", text);
                prop_assert!(problem.variable.starts_with("HAPAX_"), "{}", text);
            }
            for (name, value) in &set {
                let value = String::from_utf8_lossy(value);
                let told = value.chars().count() >= 6 && text.contains(&*value);
                prop_assert!(!told, "{} is told: {}", name, text);
            }
        }
    }

    #[test]
    fn durations_and_sizes_read_as_they_are_written(number in 1u64..3_000, unit in 0usize..5) {
        let (units, milliseconds) = (["ms", "s", "m", "h", "d"], [1, 1_000, 60_000, 3_600_000, 86_400_000]);
        let duration = super::super::values::duration(&format!("{number}{}", units[unit]));
        prop_assert_eq!(duration.map(|duration| duration.as_millis()), Ok(u128::from(number) * milliseconds[unit]));
        let (units, bytes) = (["B", "KB", "KiB", "MB", "MiB"], [1, 1_000, 1 << 10, 1_000_000, 1 << 20]);
        let size = super::super::values::size(&format!("{number}{}", units[unit]));
        prop_assert_eq!(size, Ok(number as usize * bytes[unit]));
        prop_assert!(super::super::values::duration(&number.to_string()).is_err());
    }
}
