//! Two processes that disagree would be blind to each other's IDs: the second refuses to start.

use hapax::id::IdKey;
use hapax::store::{Agreement, OpenError};

use super::*;

fn agreement(worker: &Worker) -> Agreement {
    Agreement::of(&*worker.0, "header ce_id", &IdKey::default())
}

pub async fn equal_settings_agree(bench: &impl Bench) {
    let (first, second) = (bench.worker(LONG), bench.worker(LONG));
    let agreed = agreement(&first);
    assert_eq!(agreed.window_ms, 3_600_000);
    assert_eq!(agreed.mode, first.0.mode());
    first.0.open(&agreed).await.expect("the first decides");
    first.0.open(&agreed).await.expect("again");
    second.0.open(&agreed).await.expect("the second agrees");
}

pub async fn every_differing_setting_is_named(bench: &impl Bench) {
    let (first, second) = (bench.worker(LONG), bench.worker(LONG));
    let agreed = agreement(&first);
    first.0.open(&agreed).await.expect("the first decides");
    let differing = [
        ("window", Agreement { window_ms: 1, ..agreed.clone() }),
        ("mode", Agreement { mode: "other".to_owned(), ..agreed.clone() }),
        ("ID rule", Agreement { id_rule: "record key".to_owned(), ..agreed.clone() }),
        ("ID key", Agreement { id_key_check: IdKey::new(b"secret").check_value(), ..agreed.clone() }),
    ];
    for (name, differs) in &differing {
        let error = second.0.open(differs).await.expect_err(name);
        let OpenError::Disagreement { differences, .. } = &error else { panic!("{error:?}") };
        assert_eq!(differences.len(), 1, "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let nothing_alike = Agreement {
        window_ms: 1,
        mode: "other".to_owned(),
        id_rule: "record key".to_owned(),
        id_key_check: String::new(),
    };
    let OpenError::Disagreement { differences, .. } = second.0.open(&nothing_alike).await.expect_err("differs") else {
        panic!("not a disagreement")
    };
    assert_eq!(differences.len(), 4);
    second.0.open(&agreed).await.expect("a refusal changes nothing");
}
