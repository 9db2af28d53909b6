//! The lines of a history.

use std::fs;

use crate::history::{Attempt, Ended, Entry, Event, Fault, FaultKind, Journal, Nature, Outcome, Produced, Target, now};

fn attempt() -> Attempt {
    Attempt {
        worker: "w1".to_owned(),
        incarnation: 2,
        topic: "orders".to_owned(),
        partition: 3,
        offset: 41,
        id: Some("a-17".to_owned()),
        attempt: 1,
        call: 9,
    }
}

#[test]
fn journal_written_is_read_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = Journal::open(directory.path(), "w1-2").expect("a journal");
    let before = now();
    let at = journal.write(Event::Effect(attempt())).expect("a line");
    journal.write_at(7, Ended { of: attempt(), outcome: Outcome::Ok }).expect("a line");
    assert!(before <= at && at <= now());

    let text = fs::read(directory.path().join("w1-2.jsonl")).expect("the file");
    let entries: Vec<Entry> =
        text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| Entry::parse(l).expect("an entry")).collect();
    assert_eq!(entries.iter().map(|e| e.at).collect::<Vec<_>>(), [at, 7]);
    assert!(matches!(&entries[0].event, Event::Effect(effect) if effect.offset == 41));
    assert!(matches!(&entries[1].event, Event::Ended(end) if end.of.call == 9 && end.outcome == Outcome::Ok));
}

#[test]
fn line_of_another_writer_is_read() {
    let line = br#"{"at":5,"kind":"produced","topic":"t","partition":0,"offset":1,"id":"x","key":null,"nature":"odd","copy":0}"#;
    let entry = Entry::parse(line).expect("an entry");
    let Event::Produced(Produced { nature, acknowledged, .. }) = entry.event else { panic!("a record") };
    assert_eq!((nature, acknowledged), (Nature::Other("odd".to_owned()), true));

    let line = br#"{"kind":"fault","at":5,"number":1,"what":"worker_kill","target":{"worker":{"worker":"w1","incarnation":0}},"begin":4,"end":null,"graceful":false}"#;
    let Event::Fault(Fault { what, target, .. }) = Entry::parse(line).expect("an entry").event else {
        panic!("a fault")
    };
    assert_eq!(what, FaultKind::WorkerKill);
    assert_eq!(target, Target::Worker { worker: "w1".to_owned(), incarnation: 0 });

    assert!(Entry::parse(br#"{"at":5,"kind":"weather"}"#).is_err(), "a kind that the format does not know");
    assert!(Entry::parse(br#"{"at":5,"kind":"effect","worker":"w1"}"#).is_err(), "a line that is cut off");
}
