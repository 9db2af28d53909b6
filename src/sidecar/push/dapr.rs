//! Dapr's way to say what became of a message, and its envelope of many.

use serde::Deserialize;
use serde_json::Value;

use super::body::{Answered, End};
use super::verdict::Verdict;
use super::{scan, structured};

/// Reads the body of a 2xx. Without a status, or where it is no JSON object, the message was handled; so it was where no
/// status stands in what could be read within the limits. A body that broke off before a status says nothing.
pub(super) fn verdict(body: &Answered) -> Verdict {
    if !body.is_plain() {
        return Verdict::Retry;
    }
    let json = body.json();
    let is_object = json.trim_ascii_start().starts_with('{');
    match scan::member(&json, "status").value {
        Some(status) if is_object => of_status(&status),
        _ if is_object || json.trim_ascii().is_empty() => match body.end {
            End::Broken => Verdict::Retry,
            _ => Verdict::Handled,
        },
        _ => Verdict::Handled,
    }
}

/// In any letter case: retried, an effect would be repeated that the application reports as done.
fn of_status(status: &Value) -> Verdict {
    let Some(status) = status.as_str() else { return Verdict::Retry };
    match status.to_ascii_uppercase().as_str() {
        "" | "SUCCESS" => Verdict::Handled,
        "DROP" => Verdict::Skip,
        _ => Verdict::Retry,
    }
}

/// Writes the envelope of many events: the `entryId` of each is its place, from 0.
pub(super) fn bulk(topic: &str, events: &[&[u8]], id: &str) -> Vec<u8> {
    let mut into = b"{\"id\":".to_vec();
    structured::string(&mut into, id);
    // The name by which Dapr's applications know a source of messages.
    into.extend_from_slice(b",\"type\":\"com.dapr.event.sent.bulk\",\"pubsubname\":\"hapax\",\"topic\":");
    structured::string(&mut into, topic);
    into.extend_from_slice(b",\"metadata\":{},\"entries\":[");
    for (at, event) in events.iter().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        into.extend_from_slice(format!("{{\"entryId\":\"{at}\",\"contentType\":").as_bytes());
        structured::string(&mut into, structured::MEDIA_TYPE);
        into.extend_from_slice(b",\"metadata\":{},\"event\":");
        into.extend_from_slice(event);
        into.push(b'}');
    }
    into.extend_from_slice(b"]}");
    into
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "entryid")]
    id: String,
    #[serde(default)]
    status: Value,
}

/// Reads the answer to [`bulk`], as Dapr does: an entry that is not named is tried again, and so are all where nothing
/// can be read. An empty body means all were handled. Of a body that is cut, what was read before the cut counts.
pub(super) fn bulk_verdicts(body: &Answered, count: usize) -> Vec<Verdict> {
    if body.end == End::Whole && body.bytes.trim_ascii().is_empty() {
        return vec![Verdict::Handled; count];
    }
    let mut verdicts = vec![Verdict::Retry; count];
    if !body.is_plain() {
        return verdicts;
    }
    for entry in scan::elements::<Entry>(&body.json(), "statuses").value.unwrap_or_default() {
        let index = entry.id.parse::<usize>().ok();
        if let Some(verdict) = index.and_then(|index| verdicts.get_mut(index)) {
            *verdict = match entry.status.is_null() {
                true => Verdict::Handled,
                false => of_status(&entry.status),
            };
        }
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_as_dapr_reads_it() {
        for (body, expected) in [
            ("", Verdict::Handled),
            ("ok", Verdict::Handled),
            ("{}", Verdict::Handled),
            ("[1]", Verdict::Handled),
            (r#"{"status":""}"#, Verdict::Handled),
            (r#"{"status":null}"#, Verdict::Handled),
            (r#"{"status":"SUCCESS","more":[1]}"#, Verdict::Handled),
            (r#"{"status":"RETRY"}"#, Verdict::Retry),
            (r#"{"status":"DROP"}"#, Verdict::Skip),
            (r#"{"status":"drop"}"#, Verdict::Skip),
            (r#"{"Status":"Success"}"#, Verdict::Handled),
            (r#"{"STATUS":"retry"}"#, Verdict::Retry),
            ("\u{feff}{\"status\":\"RETRY\"}", Verdict::Retry),
            (r#"{"data":{"status":"RETRY"}}"#, Verdict::Handled),
            (r#"[{"status":"RETRY"}]"#, Verdict::Handled),
            (r#"{"status":"SOMETHING"}"#, Verdict::Retry),
            (r#"{"status":200}"#, Verdict::Retry),
        ] {
            assert_eq!(verdict(&answered(body, End::Whole)), expected, "{body}");
        }
        let latin1 = Answered { bytes: b"{\"why\":\"gr\xfcn\",\"status\":\"RETRY\"}".to_vec(), end: End::Whole };
        assert_eq!(verdict(&latin1), Verdict::Retry);
    }

    #[test]
    fn body_that_is_cut_counts_as_far_as_it_was_read() {
        let (handled, retry, skip) = (Verdict::Handled, Verdict::Retry, Verdict::Skip);
        for (body, cut, broken) in [
            (r#"{"status":"SUCCESS","more":"xx"#, handled, handled),
            (r#"{"status":"RETRY","more":"xx"#, retry, retry),
            (r#"{"status":"DROP","more":"xx"#, skip, skip),
            (r#"{"more":"xx"#, handled, retry),
            (r#"{"status":"RE"#, handled, retry),
            ("<html>", handled, handled),
            ("", handled, retry),
        ] {
            assert_eq!(verdict(&answered(body, End::TooLong(16))), cut, "{body}");
            assert_eq!(verdict(&answered(body, End::TooSlow)), cut, "{body}");
            assert_eq!(verdict(&answered(body, End::Broken)), broken, "{body}");
            assert_eq!(verdict(&answered(body, End::Encoded)), retry, "{body}");
            assert_eq!(verdict(&answered(body, End::Unreadable)), retry, "{body}");
        }
    }

    #[test]
    fn bulk_that_is_cut_counts_as_far_as_it_was_read() {
        let (handled, retry) = (Verdict::Handled, Verdict::Retry);
        let body = r#"{"statuses":[{"entryId":"0","status":"SUCCESS"},{"entryId":"1","status":"SUCC"#;
        for end in [End::TooLong(16), End::TooSlow, End::Broken] {
            assert_eq!(bulk_verdicts(&answered(body, end), 3), [handled, retry, retry]);
            assert_eq!(bulk_verdicts(&answered("", end), 3), [retry; 3]);
        }
        for end in [End::Encoded, End::Unreadable] {
            assert_eq!(bulk_verdicts(&answered(body, end), 3), [retry; 3]);
        }
    }

    fn answered(body: &str, end: End) -> Answered {
        Answered { bytes: body.as_bytes().to_vec(), end }
    }

    #[test]
    fn entries_are_told_apart() {
        let (handled, retry, skip) = (Verdict::Handled, Verdict::Retry, Verdict::Skip);
        for (body, expected) in [
            ("", [handled; 3]),
            ("ok", [retry; 3]),
            ("{}", [retry; 3]),
            (r#"{"statuses":[]}"#, [retry; 3]),
            (
                r#"{"statuses":[{"entryId":"2","status":"SUCCESS"},{"entryId":"0","status":"DROP"}]}"#,
                [skip, retry, handled],
            ),
            (r#"{"statuses":[{"entryId":"3","status":"SUCCESS"},{"entryId":"x","status":"SUCCESS"}]}"#, [retry; 3]),
            (r#"{"statuses":[{"entryId":"1"}]}"#, [retry, handled, retry]),
            (r#"{"Statuses":[7,{"EntryId":"1","Status":"Success"}]}"#, [retry, handled, retry]),
        ] {
            assert_eq!(bulk_verdicts(&answered(body, End::Whole), 3), expected, "{body}");
        }
    }

    #[test]
    fn the_envelope_is_json_that_names_each_entry() {
        let envelope = bulk("a\"b", &[b"{\"id\":1}", b"{\"id\":2}"], "x");
        let envelope: Value = serde_json::from_slice(&envelope).unwrap();
        assert_eq!(envelope["entries"][1]["entryId"], "1");
        assert_eq!(envelope["entries"][1]["event"]["id"], 2);
        assert_eq!(envelope["topic"], "a\"b");
    }
}
