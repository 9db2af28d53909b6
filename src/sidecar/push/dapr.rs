//! Dapr's way to say what became of a message, and its envelope of many.

use super::body::{Answered, End};
use super::scan::{self, Form, Scalar};
use super::structured;
use super::verdict::Verdict;

/// Reads the body of a 2xx. Without a status, or where it is no JSON object, the message was handled; so it was where no
/// status stands in what could be read within the limit. A body that broke off before a status leaves it open, and so
/// does one that cannot be read and mentions RETRY or DROP as a status.
pub(super) fn verdict(body: &Answered) -> Verdict {
    if !body.is_plain() {
        return Verdict::Retry;
    }
    let text = body.text();
    let start = text.trim_start();
    let asks = |value: &str| matches!(value, "retry" | "drop");
    match scan::member(&text, "status") {
        (Some(Scalar::Cut), _) if matches!(body.end, End::TooLong(_)) => Verdict::Handled,
        (Some(status), _) => of_status(&status),
        (None, _) if body.is_broken_off() && (start.is_empty() || start.starts_with('{')) => Verdict::Retry,
        (None, Form::Whole) => Verdict::Handled,
        (None, Form::Cut) if matches!(body.end, End::TooLong(_)) => Verdict::Handled,
        _ if scan::mentions(&text, "status", asks) => Verdict::Retry,
        _ => Verdict::Handled,
    }
}

/// In any letter case: retried, an effect would be repeated that the application reports as done.
fn of_status(status: &Scalar) -> Verdict {
    match status {
        Scalar::Null => Verdict::Handled,
        Scalar::Nested | Scalar::Cut => Verdict::Retry,
        Scalar::Text(status) => match status.trim().to_ascii_uppercase().as_str() {
            "" | "SUCCESS" => Verdict::Handled,
            "DROP" => Verdict::Skip,
            _ => Verdict::Retry,
        },
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
    let mut is_named = vec![false; count];
    scan::elements(&body.text(), "statuses", ["entryid", "status"], |[id, status], is_alone| {
        let index = id.and_then(|id| id.number()).and_then(|id| usize::try_from(id).ok()).filter(|_| !is_alone);
        let Some(index) = index.filter(|index| *index < count) else { return };
        // Of an entry that is named twice what is not a success counts.
        if !std::mem::replace(&mut is_named[index], true) || verdicts[index] == Verdict::Handled {
            verdicts[index] = of_status(&status.unwrap_or(Scalar::Null));
        }
    });
    verdicts
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

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
            (r#"{"status":{}}"#, Verdict::Retry),
            (r#"{"status":" retry "}"#, Verdict::Retry),
            (r#"{"x":NaN}"#, Verdict::Handled),
            (r#"{"x":NaN,"status":"SUCCESS"}"#, Verdict::Handled),
            (r#"{"x":NaN,"status":"RETRY"}"#, Verdict::Retry),
            (r#"{"x":NaN,"status":"DROP"}"#, Verdict::Skip),
            (r#"{"x":NaN,"data":{"status":"RETRY"}}"#, Verdict::Handled),
            (r#"{"status":"RETRY",}"#, Verdict::Retry),
            (r#"{"status":"RETRY"};"#, Verdict::Retry),
            (r#"{"status":"RETRY"#, Verdict::Retry),
            (r#"{"status":"RE"#, Verdict::Retry),
            (r#"{"more":"xx"#, Verdict::Handled),
            ("{'status': 'RETRY'}", Verdict::Retry),
            ("{status: RETRY}", Verdict::Retry),
            ("Warning: it's old\n{\"status\":\"RETRY\"}", Verdict::Retry),
            ("5\" off: {\"status\":\"RETRY\"}", Verdict::Retry),
            (r#""{\"status\":\"RETRY\"}""#, Verdict::Retry),
            (r#""{\"status\":\"DROP\"}""#, Verdict::Retry),
            (r#""{\"status\":\"SUCCESS\"}""#, Verdict::Handled),
            ("status: retry", Verdict::Retry),
            ("<status>RETRY</status>", Verdict::Retry),
            ("<p>Its status is: drop in</p>", Verdict::Handled),
        ] {
            assert_eq!(verdict(&answered(body, End::Whole)), expected, "{body}");
            assert_eq!(verdict(&answered(body, End::Unreadable)), expected, "{body}");
            for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
                let bytes = body.encode_utf16().flat_map(bytes).collect();
                assert_eq!(verdict(&Answered { bytes, end: End::Whole }), expected, "{body}");
            }
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
            assert_eq!(verdict(&answered(body, End::TooSlow)), broken, "{body}");
            assert_eq!(verdict(&answered(body, End::Broken)), broken, "{body}");
            assert_eq!(verdict(&answered(body, End::Encoded)), retry, "{body}");
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
        assert_eq!(bulk_verdicts(&answered(body, End::Encoded), 3), [retry; 3]);
        assert_eq!(bulk_verdicts(&answered(body, End::Unreadable), 3), [handled, retry, retry]);
        assert_eq!(bulk_verdicts(&answered("", End::Unreadable), 3), [retry; 3]);
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
            (r#"{"x":NaN,"statuses":[{"entryId":1,"status":"SUCCESS"}]};"#, [retry, handled, retry]),
            (
                r#"{"statuses":[{"entryId":"0","status":"RETRY"},{"entryId":"0","status":"SUCCESS"},{"entryId":"1"}]}"#,
                [retry, handled, retry],
            ),
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
