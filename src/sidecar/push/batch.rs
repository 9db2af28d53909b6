//! Many events in one request, and an answer for each.

use serde::Deserialize;
use serde_json::Value;

use super::body::{Answered, End};
use super::scan::{self, Found};
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
struct Entry {
    index: usize,
    status: u16,
    #[serde(default)]
    reason: Value,
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
    fn unnamed(problem: &str) -> Self {
        Self { verdict: Verdict::Retry, status: 200, text: problem.to_owned() }
    }
}

/// Reads the body of a 2xx; `None` where all events were handled: it holds no `results`. Of a body that is cut, what was
/// read before the cut counts. What is left open by it is tried again.
pub(super) fn results(body: &Answered, count: usize) -> Option<Vec<Said>> {
    let json = body.json();
    let said = |problem: &str| {
        let problem = match body.end.note() {
            Some(note) => format!("{problem}; {note}"),
            None => problem.to_owned(),
        };
        vec![Said::unnamed(&problem); count]
    };
    if !body.is_plain() || (body.end != End::Whole && json.trim_ascii().is_empty()) {
        return Some(said("what became of this event cannot be read"));
    }
    if !json.trim_ascii_start().starts_with('{') {
        return None;
    }
    let Found { value, is_whole } = scan::elements::<Entry>(&json, "results");
    let Some(results) = value else {
        return (!is_whole).then(|| said("its answer is not {\"results\": [{\"index\": …, \"status\": …}]}"));
    };
    let mut said = said("the answer does not name this event");
    for Entry { index, status, reason } in results {
        let Some(said) = said.get_mut(index) else { continue };
        let reason = reason.as_str().unwrap_or_default();
        let text = text::said(&format!("it answers {status}"), reason.as_bytes());
        *said = Said { verdict: of_status(status), status, text };
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNNAMED: &str = "the answer does not name this event";
    const NO_RESULTS: &str = "its answer is not {\"results\": [{\"index\": …, \"status\": …}]}";

    fn of(body: &str, end: End) -> Option<Vec<Said>> {
        results(&Answered { bytes: body.as_bytes().to_vec(), end }, 2)
    }

    fn handled() -> Said {
        Said { verdict: Verdict::Handled, status: 200, text: "it answers 200".to_owned() }
    }

    #[test]
    fn without_results_all_were_handled() {
        for body in ["", " ", "ok", "[]", "{}", r#"{"accepted":2}"#, r#"{"results":null}"#, "<html>"] {
            assert_eq!(of(body, End::Whole), None, "{body}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_read_says_nothing() {
        for body in ["{", r#"{"results":[{"index":0,"#, r#"{"results":{}}"#, r#"{"results":[{"index":0}]}"#] {
            let said = of(body, End::Whole).unwrap();
            assert!(said.iter().all(|said| said.verdict == Verdict::Retry), "{body}: {said:?}");
        }
        assert_eq!(of("{", End::Whole), Some(vec![Said::unnamed(NO_RESULTS); 2]));
    }

    #[test]
    fn an_answer_that_is_cut_counts_as_far_as_it_was_read() {
        let named = r#"{"results":[{"index":0,"status":200},{"index":1,"sta"#;
        for (end, note) in [
            (End::TooLong(1 << 20), "its body is longer than HAPAX_PUSH_MAX_ANSWER (1 MiB)"),
            (End::TooSlow, "its body did not end within HAPAX_HANDLER_TIME_LIMIT"),
            (End::Broken, "the connection ended within its body"),
        ] {
            let unnamed = |problem| Said::unnamed(&format!("{problem}; {note}"));
            assert_eq!(of(named, end), Some(vec![handled(), unnamed(UNNAMED)]));
            assert_eq!(of(r#"{"echo":["#, end), Some(vec![unnamed(NO_RESULTS); 2]));
            assert_eq!(of("<html>", end), None, "no results are in there");
            assert!(of("", end).unwrap().iter().all(|said| said.verdict == Verdict::Retry));
        }
        for end in [End::Encoded, End::Unreadable] {
            assert!(of("ok", end).unwrap().iter().all(|said| said.verdict == Verdict::Retry));
        }
    }

    #[test]
    fn results_in_odd_bytes_are_read() {
        let expected = Some(vec![handled(), Said::unnamed(UNNAMED)]);
        assert_eq!(of("\u{feff}{\"Results\":[{\"index\":0,\"status\":200}]}", End::Whole), expected);
        let latin1 = b"{\"results\":[{\"index\":0,\"status\":422,\"reason\":\"gr\xfcn\"}]}".to_vec();
        let said = results(&Answered { bytes: latin1, end: End::Whole }, 1).unwrap();
        assert_eq!((said[0].verdict, said[0].text.as_str()), (Verdict::Poison, "it answers 422 (gr\u{fffd}n)"));
        let odd = r#"{"results":[{"index":0,"status":200,"reason":{}},{"index":"1","status":200},7]}"#;
        assert_eq!(of(odd, End::Whole), expected);
    }

    #[test]
    fn each_event_has_its_own() {
        let body = r#"{"results":[{"index":2,"status":422,"reason":"no\nsuch"},{"index":0,"status":204},{"index":9,"status":200}]}"#;
        let said = results(&Answered { bytes: body.into(), end: End::Whole }, 3).unwrap();
        assert_eq!(said[0], Said { verdict: Verdict::Handled, status: 204, text: "it answers 204".to_owned() });
        assert_eq!(said[1], Said::unnamed(UNNAMED));
        let text = "it answers 422 (no\\nsuch)".to_owned();
        assert_eq!(said[2], Said { verdict: Verdict::Poison, status: 422, text });
    }

    #[test]
    fn events_become_an_array() {
        assert_eq!(array(&[b"{}", b"{}"]), b"[{},{}]");
    }
}
