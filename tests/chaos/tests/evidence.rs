//! What lacks its evidence does not pass.

use std::fs;

use super::story::{Story, TOPIC};
use crate::checker::{Past, State};
use crate::history::{Committed, Event, Nature, Produced};

#[track_caller]
fn lacks(story: Story, invariant: &str, words: &str) {
    let judgement = story.judge();
    let State::Unproven(why) = &judgement.verdict(invariant).expect("a verdict").state else {
        panic!("{:#?}", judgement.verdict(invariant))
    };
    assert!(why.contains(words), "{why}");
    assert!(!judgement.passed());
}

#[test]
fn log_that_was_not_read_whole_is_unproven() {
    let mut story = Story::healthy();
    story.sample(33_900, 2, Some(1), 1);
    lacks(story, "I1", "orders/2 has 1 records, of which the history knows 0");
}

#[test]
fn partition_without_samples_is_unproven() {
    let mut story = Story::healthy();
    let topic = "other".to_owned();
    let (id, key, nature) = (Some("x".to_owned()), None, Nature::Plain);
    story.tell(500, Produced { topic, partition: 0, offset: 0, id, key, nature, copy: 0, acknowledged: true });
    lacks(story, "I2", "no committed offset of other/0 was sampled");
}

#[test]
fn samples_that_end_before_the_heal_are_unproven() {
    let mut story = Story::healthy();
    story.sampled_until = 20_000;
    lacks(story, "I9", "was not sampled after the heal");
}

#[test]
fn samples_of_another_group_do_not_count() {
    let mut story = Story::healthy();
    let (group, topic) = ("h".to_owned(), TOPIC.to_owned());
    story.tell(15_050, Event::Committed(Committed { group, topic, partition: 0, offset: Some(1), end: 60 }));
    story.passes();
}

#[test]
fn last_line_that_is_cut_off_is_ignored_and_others_are_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("x.jsonl");
    fs::write(&file, "{\"at\":1,\"kind\":\"phase\",\"stage\":\"faults\"}\n{\"at\":2,\"ki").expect("a file");
    assert_eq!(Past::load(directory.path()).expect_err("no run"), "the history has no line `run`");
    fs::write(&file, "{\"at\":1,\"ki\n{\"at\":1,\"kind\":\"phase\",\"stage\":\"faults\"}\n").expect("a file");
    assert!(Past::load(directory.path()).expect_err("a broken line").contains("x.jsonl, line 1"));
}
