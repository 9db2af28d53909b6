//! Many events in one request, and an answer for each.

use serde::Deserialize;

use super::text;
use super::verdict::{Verdict, of_status};

/// Puts events into one array.
pub(super) fn array(events: &[&[u8]]) -> Vec<u8> {
    let mut into = vec![b'['];
    for (at, event) in events.iter().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        into.extend_from_slice(event);
    }
    into.push(b']');
    into
}

#[derive(Deserialize)]
struct Reply {
    results: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    index: usize,
    status: u16,
    #[serde(default)]
    reason: Option<String>,
}

/// What was said of one event of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) verdict: Verdict,
    /// The status; that of the whole answer where it does not name the event.
    pub(super) status: u16,
    /// For a log line.
    pub(super) text: String,
}

impl Said {
    fn unnamed() -> Self {
        Self { verdict: Verdict::Retry, status: 200, text: "the answer does not name this event".to_owned() }
    }
}

/// Reads the body of a 2xx; `None` where all events were handled: it holds no `results`.
///
/// # Errors
///
/// It begins as a JSON object and is not the one that was agreed upon: nobody knows what was handled.
pub(super) fn results(body: &[u8], count: usize) -> Result<Option<Vec<Said>>, &'static str> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Ok(None);
    }
    let reply = serde_json::from_slice::<Reply>(body)
        .map_err(|_| "its answer is not {\"results\": [{\"index\": …, \"status\": …}]}")?;
    let Some(results) = reply.results else { return Ok(None) };
    let mut said = vec![Said::unnamed(); count];
    for Entry { index, status, reason } in results {
        let Some(said) = said.get_mut(index) else { continue };
        let text = text::said(&format!("it answers {status}"), reason.unwrap_or_default().as_bytes());
        *said = Said { verdict: of_status(status), status, text };
    }
    Ok(Some(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_results_all_were_handled() {
        for body in ["", " ", "ok", "[]", "{}", r#"{"accepted":2}"#, r#"{"results":null}"#, "<html>"] {
            assert_eq!(results(body.as_bytes(), 2), Ok(None), "{body}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_read_says_nothing() {
        for body in ["{", r#"{"results":[{"index":0,"#, r#"{"results":{}}"#, r#"{"results":[{"index":0}]}"#] {
            assert!(results(body.as_bytes(), 2).is_err(), "{body}");
        }
    }

    #[test]
    fn each_event_has_its_own() {
        let body = r#"{"results":[{"index":2,"status":422,"reason":"no\nsuch"},{"index":0,"status":204},{"index":9,"status":200}]}"#;
        let said = results(body.as_bytes(), 3).unwrap().unwrap();
        assert_eq!(said[0], Said { verdict: Verdict::Handled, status: 204, text: "it answers 204".to_owned() });
        assert_eq!(said[1], Said::unnamed());
        let text = "it answers 422 (no\\nsuch)".to_owned();
        assert_eq!(said[2], Said { verdict: Verdict::Poison, status: 422, text });
    }

    #[test]
    fn events_become_an_array() {
        assert_eq!(array(&[b"{}", b"{}"]), b"[{},{}]");
    }
}
