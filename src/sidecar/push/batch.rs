//! Many events in one request, and an answer for each.

use super::body::{Answered, End};
use super::scan::{self, Form, Scalar};
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
    fn named(status: u16, reason: Option<Scalar>) -> Self {
        let reason = match reason {
            Some(Scalar::Text(reason)) => reason,
            _ => String::new(),
        };
        let text = text::said(&format!("it answers {status}"), reason.as_bytes());
        Self { verdict: of_status(status), status, text }
    }

    fn unnamed(problem: &str) -> Self {
        Self { verdict: Verdict::Retry, status: 200, text: problem.to_owned() }
    }
}

/// Reads the body of a 2xx; `None` where all events were handled: it holds no `results`, or something else under this name
/// that cannot be a list of them. Of a body that is cut, what was read before the cut counts. What is left open by it is
/// tried again, and so is everything where results cannot be read but a failure of one stands there.
pub(super) fn results(body: &Answered, count: usize) -> Option<Vec<Said>> {
    let text = body.text();
    let unnamed = |problem: &str| {
        let note = body.end.note().map(|note| format!("; {note}")).unwrap_or_default();
        Said::unnamed(&format!("{problem}{note}"))
    };
    if !body.is_plain() || (body.end != End::Whole && text.trim().is_empty()) {
        return Some(vec![unnamed("what became of this event cannot be read"); count]);
    }
    let (mut named, mut is_named_alone) = (vec![None; count], false);
    let list = scan::elements(&text, "results", ["index", "status", "reason"], |[index, status, reason], is_alone| {
        let number = |value: Option<Scalar>| value.and_then(|value| value.number());
        let index = number(index).and_then(|index| usize::try_from(index).ok());
        let status = number(status).and_then(|status| u16::try_from(status).ok());
        // An array without `results` around it is one only where it cannot be anything else.
        if is_alone && (index.is_none() || status.is_none()) {
            return;
        }
        is_named_alone |= is_alone;
        let Some(named) = index.and_then(|index| named.get_mut(index)) else { return };
        // Of an event that is named twice a failure counts.
        if named.as_ref().is_none_or(|named: &Said| named.verdict == Verdict::Handled) {
            *named = Some(match status {
                Some(status) => Said::named(status, reason),
                None => unnamed("the answer names this event without a status that can be read"),
            });
        }
    });
    if list.is_there || is_named_alone {
        let problem = match list.form {
            Form::Cut if named.iter().all(Option::is_none) => NO_RESULTS,
            _ => "the answer does not name this event",
        };
        return Some(named.into_iter().map(|named| named.unwrap_or_else(|| unnamed(problem))).collect());
    }
    let is_failure = |value: &str| value.parse().is_ok_and(|status: u16| !(200..300).contains(&status));
    let mentions = |name| scan::mentions(&text, name, |_| true);
    let is_open = || mentions("results") && mentions("index") && scan::mentions(&text, "status", is_failure);
    let is_cut = list.form == Form::Cut && text.trim_start().starts_with('{');
    (is_cut || is_open()).then(|| vec![unnamed(NO_RESULTS); count])
}

const NO_RESULTS: &str = "its answer is not {\"results\": [{\"index\": …, \"status\": …}]}";

#[cfg(test)]
mod tests {
    use super::*;

    const UNNAMED: &str = "the answer does not name this event";
    const NO_STATUS: &str = "the answer names this event without a status that can be read";

    fn of(body: &str, end: End) -> Option<Vec<Said>> {
        results(&Answered { bytes: body.as_bytes().to_vec(), end }, 2)
    }

    fn handled() -> Said {
        Said { verdict: Verdict::Handled, status: 200, text: "it answers 200".to_owned() }
    }

    #[test]
    fn without_results_all_were_handled() {
        for body in [
            "",
            " ",
            "ok",
            "[]",
            "{}",
            r#"{"accepted":2}"#,
            r#"{"results":null}"#,
            "<html>",
            r#"{"took":NaN}"#,
            r#"{"ok":1};"#,
            "{2 events handled}",
            r#"{"results":2}"#,
            r#"{"results":"2 of 2"}"#,
            r#"{"data":{"results":[{"index":0,"status":200}]}}"#,
            r#"[{"id":1,"status":422}]"#,
            "Warning: status 500 in line 7\n{\"ok\":1}",
            "2 events handled, it's fine {",
        ] {
            assert_eq!(of(body, End::Whole), None, "{body}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_read_says_nothing() {
        for body in [
            "{",
            r#"{"results":[{"index":0,"#,
            r#"{"results":{}}"#,
            r#"{"results":{"0":{"status":422}}}"#,
            r#"{"results":[]}"#,
            r#"{"results":[{"index":0}]}"#,
            r#"{"results":["ok","ok"]}"#,
            r#"{"data":{"results":[{"index":0,"status":422}]}}"#,
            r#""{\"results\":[{\"index\":0,\"status\":422}]}""#,
        ] {
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
            (End::TooSlow, "its answer did not end within HAPAX_HANDLER_TIME_LIMIT"),
            (End::Broken, "the connection ended within its answer"),
        ] {
            let unnamed = |problem| Said::unnamed(&format!("{problem}; {note}"));
            assert_eq!(of(named, end), Some(vec![handled(), unnamed(UNNAMED)]));
            assert_eq!(of(r#"{"echo":["#, end), Some(vec![unnamed(NO_RESULTS); 2]));
            assert_eq!(of("<html>", end), None, "no results are in there");
            assert_eq!(of(r#"[{"echo":["#, end), None, "no results are in there");
            assert_eq!(of(r#"[{"index":0,"status":200},{"ind"#, end), Some(vec![handled(), unnamed(UNNAMED)]));
            assert!(of("", end).unwrap().iter().all(|said| said.verdict == Verdict::Retry));
        }
        assert!(of("ok", End::Encoded).unwrap().iter().all(|said| said.verdict == Verdict::Retry));
        assert!(of("", End::Unreadable).unwrap().iter().all(|said| said.verdict == Verdict::Retry));
        assert_eq!(of("ok", End::Unreadable), None);
    }

    #[test]
    fn results_in_odd_bytes_are_read() {
        let expected = Some(vec![handled(), Said::unnamed(UNNAMED)]);
        assert_eq!(of("\u{feff}{\"Results\":[{\"index\":0,\"status\":200}]}", End::Whole), expected);
        let latin1 = b"{\"results\":[{\"index\":0,\"status\":422,\"reason\":\"gr\xfcn\"}]}".to_vec();
        let said = results(&Answered { bytes: latin1, end: End::Whole }, 1).unwrap();
        assert_eq!((said[0].verdict, said[0].text.as_str()), (Verdict::Poison, "it answers 422 (gr\u{fffd}n)"));
        let odd = r#"{"results":[{"index":0,"status":200,"reason":{}},{"index":"x","status":200},7]}"#;
        assert_eq!(of(odd, End::Whole), expected);
    }

    #[test]
    fn results_that_are_not_quite_json_are_read() {
        let expected =
            Some(vec![handled(), Said { verdict: Verdict::Poison, status: 422, text: "it answers 422".into() }]);
        for body in [
            r#"{"results":[{"index":0,"status":"200"},{"index":1,"status":"422"}]}"#,
            r#"{"results":[{"index":0.0,"status":200.0},{"index":1.0,"status":422.0}]}"#,
            r#"{"results":[{"index":"0","status":"200 OK"},{"index":"1","status":"422 No"}]}"#,
            r#"{"took":NaN,"results":[{"index":0,"status":200,"ms":NaN},{"index":1,"status":422}]}"#,
            r#"{"results":[{"index":0,"status":200},{"index":1,"status":422},],};"#,
            "{'results': [{'index': 0, 'status': 200}, {'index': 1, 'status': 422}]}",
            "Warning: it's late\n{\"results\":[{\"index\":0,\"status\":200},{\"index\":1,\"status\":422}]}",
            r#"[{"index":0,"status":200},{"index":1,"status":422}]"#,
        ] {
            assert_eq!(of(body, End::Whole), expected, "{body}");
            let utf16 = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
            assert_eq!(results(&Answered { bytes: utf16, end: End::Whole }, 2), expected, "{body}");
        }
        let twice = r#"{"results":[{"index":0,"status":500},{"index":0,"status":200},{"index":1,"status":"ok"}]}"#;
        let said = of(twice, End::Whole).unwrap();
        assert_eq!((said[0].status, &said[1]), (500, &Said::unnamed(NO_STATUS)));
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
