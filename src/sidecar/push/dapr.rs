//! Dapr's way to say what became of a message, and its envelope of many.

use serde::Deserialize;
use serde_json::Value;

use super::structured;
use super::verdict::Verdict;

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    status: Value,
}

/// Reads the body of a 2xx: without a status, or where it is no JSON object, the message was handled.
pub(super) fn verdict(body: &[u8]) -> Verdict {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Verdict::Handled;
    }
    serde_json::from_slice::<Reply>(body).map_or(Verdict::Handled, |reply| of_status(&reply.status))
}

fn of_status(status: &Value) -> Verdict {
    match status {
        Value::Null => Verdict::Handled,
        Value::String(status) => match status.as_str() {
            "" | "SUCCESS" => Verdict::Handled,
            "DROP" => Verdict::Skip,
            _ => Verdict::Retry,
        },
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
struct BulkReply {
    #[serde(default)]
    statuses: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "entryId")]
    id: String,
    #[serde(default)]
    status: Value,
}

/// Reads the answer to [`bulk`], as Dapr does: an entry that is not named is tried again, and so are all where nothing
/// can be read. An empty body means all were handled.
pub(super) fn bulk_verdicts(body: &[u8], count: usize) -> Vec<Verdict> {
    if body.trim_ascii().is_empty() {
        return vec![Verdict::Handled; count];
    }
    let mut verdicts = vec![Verdict::Retry; count];
    let statuses = serde_json::from_slice::<BulkReply>(body).map_or_else(|_| Vec::new(), |reply| reply.statuses);
    for entry in statuses {
        let index = entry.id.parse::<usize>().ok();
        if let Some(verdict) = index.and_then(|index| verdicts.get_mut(index)) {
            *verdict = of_status(&entry.status);
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
            (r#"{"status":"drop"}"#, Verdict::Retry),
            (r#"{"status":"SOMETHING"}"#, Verdict::Retry),
            (r#"{"status":200}"#, Verdict::Retry),
        ] {
            assert_eq!(verdict(body.as_bytes()), expected, "{body}");
        }
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
        ] {
            assert_eq!(bulk_verdicts(body.as_bytes(), 3), expected, "{body}");
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
