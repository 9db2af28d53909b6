//! A recorder whose numbers can be read at any time, without changing them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;

/// Every number by its series, as in `hapax_claims_total{topic="orders"}`; of a histogram `_count` and `_sum`.
#[derive(Clone, Debug, Default)]
pub(super) struct Board {
    series: Arc<Mutex<BTreeMap<String, Number>>>,
}

#[derive(Clone, Debug)]
enum Number {
    Counter(Arc<AtomicU64>),
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Distribution>),
}

#[derive(Debug, Default)]
struct Distribution(Mutex<(u64, f64)>);

impl HistogramFn for Distribution {
    fn record(&self, value: f64) {
        let mut held = self.0.lock();
        *held = (held.0 + 1, held.1 + value);
    }
}

impl Board {
    /// All numbers that are not zero.
    pub(super) fn numbers(&self) -> BTreeMap<String, f64> {
        let mut numbers = BTreeMap::new();
        for (series, number) in &*self.series.lock() {
            match number {
                Number::Counter(held) => {
                    numbers.insert(series.clone(), held.load(Ordering::SeqCst) as f64);
                }
                Number::Gauge(held) => {
                    numbers.insert(series.clone(), f64::from_bits(held.load(Ordering::SeqCst)));
                }
                Number::Histogram(held) => {
                    let (count, sum) = *held.0.lock();
                    numbers.insert(series.replace('{', "_count{"), count as f64);
                    numbers.insert(series.replace('{', "_sum{"), sum);
                }
            }
        }
        numbers.retain(|_, value| *value != 0.0);
        numbers
    }

    /// The name and the labels of every series.
    pub(super) fn series(&self) -> Vec<String> {
        self.series.lock().keys().cloned().collect()
    }

    fn number(&self, key: &Key, new: Number) -> Number {
        let mut labels: Vec<_> = key.labels().map(|label| format!("{}=\"{}\"", label.key(), label.value())).collect();
        labels.sort_unstable();
        let series = format!("{}{{{}}}", key.name(), labels.join(","));
        self.series.lock().entry(series).or_insert(new).clone()
    }
}

impl Recorder for Board {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.number(key, Number::Counter(Arc::default())) {
            Number::Counter(held) => Counter::from_arc(held),
            other => panic!("{} is {other:?}", key.name()),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.number(key, Number::Gauge(Arc::default())) {
            Number::Gauge(held) => Gauge::from_arc(held),
            other => panic!("{} is {other:?}", key.name()),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.number(key, Number::Histogram(Arc::default())) {
            Number::Histogram(held) => Histogram::from_arc(held),
            other => panic!("{} is {other:?}", key.name()),
        }
    }
}
