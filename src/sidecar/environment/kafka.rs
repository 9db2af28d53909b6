//! `HAPAX_KAFKA_…`: properties of librdkafka.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use super::kubernetes;
use super::names::printable;
use super::reader::{Entry, Origin, Reader};
use crate::kafka::{KafkaSettings, is_secret_property, knows_property};

pub(super) const PREFIX: &str = "HAPAX_KAFKA_";

/// For whom a property is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Both,
    Consumer,
    Producer,
}

/// A property that a variable sets.
struct Named {
    property: String,
    side: Side,
    /// Whether the variable names a file.
    file: bool,
}

/// All of them that are set, but for those of a Service that is called `hapax-kafka`.
pub(super) fn set<'e>(reader: &Reader<'e>) -> Vec<(String, &'e OsStr)> {
    let of_a_service =
        |name: &str, value: &OsStr| kubernetes::is_of_a_service(name, value.to_str().unwrap_or_default());
    let ours = reader.environment.ours().filter(|(name, _)| name.starts_with(PREFIX));
    ours.filter(|(name, value)| !of_a_service(name, value)).collect()
}

/// Reads all of them into the settings; answers which variables set which property.
pub(super) fn read(reader: &mut Reader<'_>, kafka: &mut KafkaSettings) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for (name, value) in set(reader) {
        let Some(Named { property, side, file }) = resolve(&name[PREFIX.len()..]) else {
            let way_out = "look it up in librdkafka's CONFIGURATION.md and write its dots as underscores, as in \
                           HAPAX_KAFKA_SECURITY_PROTOCOL for security.protocol";
            reader.wrong(&printable(&name), "names no property of librdkafka", way_out);
            continue;
        };
        let text = if file { reader.content_of(&name, value) } else { reader.plain(&name, value) };
        let Some(text) = text else { continue };
        let properties = match side {
            Side::Both => &mut kafka.properties,
            Side::Consumer => &mut kafka.consumer_properties,
            Side::Producer => &mut kafka.producer_properties,
        };
        let shown = if is_secret_property(&property) { "<hidden>".to_owned() } else { text.clone() };
        if properties.insert(property.clone(), text).is_some() {
            reader.wrong(&name, "sets a property that another variable sets, too", "keep one of them");
        }
        let origin = if file { Origin::File } else { Origin::Environment };
        reader.entries.push(Entry { name: name.clone(), value: Some(shown), origin });
        let names: &mut String = names.entry(property).or_default();
        *names = if names.is_empty() { name } else { format!("{names}, {name}") };
    }
    names
}

/// What a name stands for, without its prefix.
fn resolve(name: &str) -> Option<Named> {
    let sides = [("CONSUMER_", Side::Consumer), ("PRODUCER_", Side::Producer)];
    let sided = sides.iter().find_map(|(prefix, side)| Some((name.strip_prefix(prefix)?, *side)));
    let (rest, side) = sided.unwrap_or((name, Side::Both));
    let of = |rest: &str, file| property(rest).map(|property| Named { property, side, file });
    of(rest, false).or_else(|| of(rest.strip_suffix("_FILE")?, true))
}

/// The property whose name this is, with underscores for some or all of its dots.
fn property(name: &str) -> Option<String> {
    /// More dots than any property has.
    const MOST: usize = 8;
    let lower = name.to_ascii_lowercase();
    let places: Vec<_> = lower.match_indices('_').map(|(at, _)| at).collect();
    if lower.is_empty() || places.len() > MOST || name != name.to_ascii_uppercase() {
        return None;
    }
    // All dots first, and one more underscore each time: few properties have any.
    let mut ways: Vec<u32> = (0..1u32 << places.len()).collect();
    ways.sort_by_key(|way| way.count_ones());
    ways.into_iter().find_map(|way| {
        let mut bytes = lower.clone().into_bytes();
        let kept = |nth: usize| way >> nth & 1 == 1;
        places.iter().enumerate().filter(|(nth, _)| !kept(*nth)).for_each(|(_, at)| bytes[*at] = b'.');
        String::from_utf8(bytes).ok().filter(|name| knows_property(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(name: &str) -> Option<(String, Side, bool)> {
        resolve(name).map(|Named { property, side, file }| (property, side, file))
    }

    #[test]
    fn names_are_resolved_as_librdkafka_knows_them() {
        let both = |property: &str| Some((property.to_owned(), Side::Both, false));
        assert_eq!(resolved("SECURITY_PROTOCOL"), both("security.protocol"));
        assert_eq!(resolved("SSL_CA_LOCATION"), both("ssl.ca.location"));
        assert_eq!(resolved("SSL_CA_PEM"), both("ssl.ca.pem"));
        assert_eq!(resolved("ENABLE_SSL_CERTIFICATE_VERIFICATION"), both("enable.ssl.certificate.verification"));
        assert_eq!(resolved("SASL_OAUTHBEARER_CLIENT_SECRET"), both("sasl.oauthbearer.client.secret"));
        assert_eq!(resolved("SASL_PASSWORD_FILE"), Some(("sasl.password".to_owned(), Side::Both, true)));
        assert_eq!(resolved("CONSUMER_FETCH_MIN_BYTES"), Some(("fetch.min.bytes".to_owned(), Side::Consumer, false)));
        assert_eq!(resolved("PRODUCER_LINGER_MS"), Some(("linger.ms".to_owned(), Side::Producer, false)));
    }

    #[test]
    fn what_librdkafka_does_not_know_is_no_property() {
        for name in ["", "NONSENSE", "SECURITY_PROTOCOLL", "security_protocol", "A_B_C_D_E_F_G_H_I_J", "_", "FILE"] {
            assert_eq!(resolved(name), None, "{name}");
        }
    }
}
