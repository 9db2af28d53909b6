//! Which message it was: a line with its fingerprint, where a line about its record alone would not do.

use std::borrow::Cow;
use std::time::Duration;

use crate::id::{Identification, Identifier, MessageId};
use crate::observe::Observer;
use crate::record::{Origin, Record};
use crate::store::Verdict;
use crate::telemetry::Limiter;

/// How often each kind of line is written at most.
const INTERVAL: Duration = Duration::from_secs(1);

/// Names the message where one was given up, may have been handled twice, or met another of its ID: by its fingerprint, as
/// `hapax inspect` takes it. IDs themselves come from messages, and are personal data in some; they are written only
/// where that was asked for.
#[derive(Debug)]
pub struct Named {
    identifier: Identifier,
    ids: bool,
    limiter: Limiter,
}

impl Named {
    /// Names messages as `identifier` tells them apart; with `ids`, by their IDs, too.
    pub fn new(identifier: Identifier, ids: bool) -> Self {
        Self { identifier, ids, limiter: Limiter::new(INTERVAL) }
    }

    fn name(&self, record: &Record, what: &'static str) {
        let Some(suppressed) = self.limiter.admit(tracing::Level::INFO, what, record.topic()) else { return };
        let Identification::Id { fingerprint, identity } = self.identifier.identify(record) else { return };
        let origin = record.origin();
        match self.ids.then(|| printable(&identity.id)) {
            Some(id) => {
                tracing::info!(suppressed, %origin, %fingerprint, id = &*id, "the message of the record that {what}")
            }
            None => tracing::info!(suppressed, %origin, %fingerprint, "the message of the record that {what}"),
        }
    }
}

impl Observer for Named {
    fn on_conflict(&self, record: &Record, _: &Origin) {
        self.name(record, "has another payload than the one handled before");
    }

    fn on_dead_letter(&self, record: &Record, _: u32, _: &str) {
        self.name(record, "is given up");
    }

    fn on_complete(&self, record: &Record, verdict: Verdict) {
        match verdict {
            Verdict::First => {}
            Verdict::Overrun => self.name(record, "was handled twice"),
            Verdict::PossibleOverrun => self.name(record, "was possibly handled twice"),
        }
    }
}

/// An ID as it may stand in a line: what is no text in hexadecimal digits, and never longer than it is of use.
fn printable(id: &MessageId) -> Cow<'_, str> {
    const LONGEST: usize = 128;
    match std::str::from_utf8(id.as_bytes()) {
        Ok(text) if text.len() <= LONGEST && !text.chars().any(char::is_control) => text.into(),
        Ok(text) => text.escape_debug().take(LONGEST).collect::<String>().into(),
        Err(_) => id.as_bytes().iter().take(LONGEST / 2).map(|byte| format!("{byte:02x}")).collect::<String>().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::id::{HeaderId, IdKey, Identity, Namespace, Scope};
    use crate::record::TopicPartition;

    /// What is logged of a message that is given up.
    fn lines(ids: bool) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&written);
        let subscriber = tracing_subscriber::fmt().with_writer(move || Written(Arc::clone(&into))).with_ansi(false);
        let identifier = Identifier::new(Namespace::new("billing").unwrap()).extractor(HeaderId::new("id"));
        let record = Record::builder(TopicPartition::new("orders", 0), 7).header("id", "private-a7").build();
        tracing::subscriber::with_default(subscriber.finish(), || {
            Named::new(identifier, ids).on_dead_letter(&record, 5, "no such account");
        });
        let written = written.lock();
        String::from_utf8(written.clone()).unwrap()
    }

    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_message_is_named_by_its_fingerprint_and_by_its_id_only_where_that_was_asked_for() {
        let identity = Identity::new(Scope::Topic("orders".into()), MessageId::new("private-a7").unwrap());
        let fingerprint = IdKey::default().fingerprint(&identity).to_string();
        let (hashed, named) = (lines(false), lines(true));
        assert!(hashed.contains(&fingerprint) && !hashed.contains("private"), "{hashed}");
        assert!(named.contains(&fingerprint) && named.contains("private-a7"), "{named}");
    }

    #[test]
    fn an_id_is_one_line_of_bounded_length() {
        let shown = |bytes: &[u8]| printable(&MessageId::new(bytes.to_vec()).unwrap()).into_owned();
        assert_eq!(shown(b"order-7"), "order-7");
        assert_eq!(shown(b"a\nERROR forged"), "a\\nERROR forged");
        assert_eq!(shown(&[0xff, 0x00]), "ff00");
        assert_eq!(shown("ü".repeat(200).as_bytes()).chars().count(), 128);
    }
}
