//! Requests: what is written for a record, or for many.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::event::{self, Content, Defaults};
use super::headers::{self, Made, Unfit};
use super::{PushFormat, PushProtocol, PushSettings, batch, dapr, structured};
use crate::consumer::Attempt;
use crate::error::Problem;
use crate::id::EventFormat;
use crate::record::Record;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const ATTEMPT: HeaderName = HeaderName::from_static("hapax-attempt");

/// Writes requests as the settings say.
#[derive(Debug)]
pub(super) struct Writer {
    binary: bool,
    protocol: PushProtocol,
    defaults: Defaults,
    rules: Vec<(String, HeaderName)>,
}

impl Writer {
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub(super) fn new(settings: &PushSettings) -> Result<Self, Problem> {
        if settings.event_type.is_empty() {
            return Err(Problem::new("HAPAX_PUSH_TYPE", "is empty; events need a type"));
        }
        if settings.source.as_ref().is_some_and(String::is_empty) {
            return Err(Problem::new("HAPAX_PUSH_SOURCE", "is empty; leave it away for /kafka/<topic>"));
        }
        if !event::is_media_type(&settings.content_type) {
            return Err(Problem::new("HAPAX_PUSH_CONTENT_TYPE", "is not a media type, as application/json is"));
        }
        Ok(Self {
            binary: settings.protocol == PushProtocol::Http && settings.format == PushFormat::Binary,
            protocol: settings.protocol,
            defaults: Defaults {
                source: settings.source.clone(),
                event_type: settings.event_type.clone(),
                content_type: settings.content_type.clone(),
            },
            rules: headers::rules(&settings.headers)?,
        })
    }

    /// The request that holds one record.
    ///
    /// # Errors
    ///
    /// Its headers are too many or too long.
    pub(super) fn one(&self, record: &Record, attempt: &Attempt) -> Result<(HeaderMap, Bytes), Unfit> {
        let key = event::key(record, attempt.fingerprint.as_ref());
        let mut made = Made::default();
        let content = event::content(record, &self.defaults);
        let (content_type, body) = match content {
            // Written by its producer, in a format that may be none of ours.
            Content::Event(format, media_type, event) => match copied(format, event, record, &key, attempt) {
                Some(copy) => (HeaderValue::from_str(media_type_of(format, media_type)).ok(), copy.into()),
                None => (HeaderValue::from_str(media_type).ok(), event.clone()),
            },
            _ if !self.binary => {
                let body = self.structured(record, &key, attempt, content)?;
                (Some(HeaderValue::from_static(structured::MEDIA_TYPE)), body.into())
            }
            _ => {
                made.attributes(&event::attributes(record, &key, &self.defaults)?)?;
                match content {
                    Content::Data(media_type, data) => (HeaderValue::from_str(media_type).ok(), data.clone()),
                    _ => (None, Bytes::new()),
                }
            }
        };
        made.mapped(record, &self.rules)?;
        made.trace(record);
        let mut headers = made.headers;
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, content_type);
        }
        // A fingerprint is hexadecimal; a topic of Kafka's has letters, digits and `._-`: nothing has to be escaped.
        if let Ok(key) = HeaderValue::try_from(format!("\"{key}\"")) {
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        headers.insert(ATTEMPT, HeaderValue::from(attempt.number));
        Ok((headers, body))
    }

    /// The event of one record among many.
    pub(super) fn entry(&self, record: &Record, attempt: &Attempt) -> Result<Vec<u8>, Unfit> {
        let key = event::key(record, attempt.fingerprint.as_ref());
        let content = event::content(record, &self.defaults);
        if let Content::Event(EventFormat::Json | EventFormat::Other, _, event) = content
            && let Some(event) = structured::copied(event, &event::ours(record, &key, attempt.number))
        {
            return Ok(event);
        }
        self.structured(record, &key, attempt, content)
    }

    /// A structured event that is written here.
    fn structured(
        &self,
        record: &Record,
        key: &str,
        attempt: &Attempt,
        content: Content<'_>,
    ) -> Result<Vec<u8>, Unfit> {
        let mut attributes = event::attributes(record, key, &self.defaults)?;
        attributes.extend(event::delivery(key, attempt.number));
        let mut event = Vec::new();
        structured::write(&mut event, &attributes, content);
        Ok(event)
    }

    /// The request that holds many events; `first` stands for the batch where that needs a name.
    pub(super) fn many(&self, first: &(Record, Attempt), events: &[&[u8]]) -> (HeaderMap, Bytes) {
        let (media_type, body) = match self.protocol {
            PushProtocol::Http => (structured::BATCH_MEDIA_TYPE, batch::array(events)),
            PushProtocol::Dapr => {
                let id = event::key(&first.0, first.1.fingerprint.as_ref());
                ("application/json", dapr::bulk(first.0.topic(), events, &id))
            }
        };
        (HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media_type))]), body.into())
    }
}

/// An event, or an array of events, that the record's producer wrote, with our attributes. Each event of an array has a
/// key of its own, or a receiver would take all but the first for duplicates. A format that is not known may be JSON.
fn copied(format: EventFormat, event: &[u8], record: &Record, key: &str, attempt: &Attempt) -> Option<Vec<u8>> {
    let ours = event::ours(record, key, attempt.number);
    match format {
        EventFormat::Json | EventFormat::Other => structured::copied(event, &ours),
        EventFormat::Batch => structured::copied_batch(event, |at| event::ours_at(&ours, key, at)),
        EventFormat::Avro | EventFormat::Protobuf => None,
    }
}

/// The media type of a copy: that of its producer, where it names the format of the copy.
fn media_type_of(format: EventFormat, given: &str) -> &str {
    let essence = given.split(';').next().unwrap_or_default().trim();
    match format {
        EventFormat::Json if !essence.contains('+') => structured::MEDIA_TYPE,
        EventFormat::Batch if !essence.contains('+') => structured::BATCH_MEDIA_TYPE,
        _ => given,
    }
}
