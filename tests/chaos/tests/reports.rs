//! The report of a run.

use std::fs;

use super::accepted::killed_before_recording;
use super::story::Story;
use crate::checker::{Past, judge};
use crate::report;

fn report(past: &Past) -> (String, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let text = report::write(past, &judge(past), directory.path()).expect("a report");
    assert_eq!(text, fs::read_to_string(directory.path().join("report.txt")).expect("the text"));
    (text, fs::read_to_string(directory.path().join("report.html")).expect("the page"))
}

#[test]
fn report_of_good_run_names_faults_and_repeats() {
    let mut story = Story::healthy();
    killed_before_recording(&mut story, "a<b", 5_000);
    let (text, page) = report(&story.past());
    assert!(text.starts_with("PASSED"), "{text}");
    assert!(text.contains("202 effects of 201 messages, 1 of them repeats"), "{text}");
    assert!(text.contains("1 because the process was killed between the effect and its recording"), "{text}");
    assert!(text.contains("worker kill             1     0.3 s"), "{text}");
    assert!(text.contains("longest time without a commit: 3.0 s (orders/2"), "{text}");
    assert!(page.contains("a&lt;b") && !page.contains("a<b"), "a page shows an ID, whatever it is");
    assert!(!page.contains("http"), "a page loads nothing from elsewhere");
}

#[test]
fn report_of_bad_run_shows_the_evidence() {
    let mut story = Story::healthy();
    story.counts(25_000, "w0", 100, &[("handled", 90)], 2, 2);
    let (text, page) = report(&story.past());
    assert!(text.starts_with("FAILED: I12 violated"), "{text}");
    assert!(text.contains("! w0#0 at 25.000 s, topic orders: 100 delivered"), "{text}");
    assert!(page.contains("100 delivered, but 90 settled"));
}
