//! The counters of a process, read from what it exposes to Prometheus.

use std::collections::BTreeMap;

use crate::history::Counts;

/// Reads one scrape; one answer for each topic.
pub fn read(text: &str, worker: &str, incarnation: u32) -> Vec<Counts> {
    let mut topics: BTreeMap<String, Counts> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("hapax_")) {
        let Some((name, rest)) = line.split_once('{') else { continue };
        let Some((labels, value)) = rest.split_once("} ") else { continue };
        let label = |wanted: &str| {
            let of = |label: &str| Some(label.strip_prefix(wanted)?.strip_prefix("=\"")?.strip_suffix('"')?.to_owned());
            labels.split(',').find_map(of)
        };
        let (Some(topic), Ok(value)) = (label("topic"), value.parse::<f64>()) else { continue };
        let value = value as u64;
        let counts = topics.entry(topic.clone()).or_insert_with(|| Counts {
            worker: worker.to_owned(),
            incarnation,
            topic,
            delivered: 0,
            settled: BTreeMap::new(),
            given_back: 0,
            in_flight: 0,
            completions: BTreeMap::new(),
            duplicates: 0,
        });
        match name {
            "hapax_records_delivered_total" => counts.delivered = value,
            "hapax_records_settled_total" => drop(counts.settled.insert(label("outcome").unwrap_or_default(), value)),
            "hapax_records_given_back_total" => counts.given_back = value,
            "hapax_records_in_flight" => counts.in_flight = value,
            "hapax_completions_total" => drop(counts.completions.insert(label("verdict").unwrap_or_default(), value)),
            "hapax_duplicates_total" => counts.duplicates += value,
            _ => {}
        }
    }
    topics.into_values().collect()
}
