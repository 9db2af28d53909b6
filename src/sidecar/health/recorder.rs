//! The recorder that keeps the metrics of the process.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::{MissedTickBehavior, interval};

use crate::telemetry::{Metrics, names};

/// How often the samples of histograms are put into their buckets. A scrape does what is left, so that little is.
const UPKEEP: Duration = Duration::from_secs(5);

/// In seconds. Handlers take from a local call to their time limit, and what settles waits for handlers before it.
const WORK: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// In seconds. A commit comes at an interval of seconds, or late.
const COMMITS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0];
/// In seconds: from a message just sent to one at the end of a week's retention.
const AGES: &[f64] = &[0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0, 604_800.0];

/// Which buckets each histogram has.
const BUCKETS: &[(&str, &[f64])] = &[
    (names::HANDLER_SECONDS, WORK),
    (names::SETTLE_SECONDS, WORK),
    (names::COMMIT_LAG, COMMITS),
    (names::RECORD_AGE, AGES),
];

/// Installs the recorder of this process and describes all metrics to it. Call it before anything is counted.
///
/// # Errors
///
/// Where another recorder was installed before.
pub fn install_recorder() -> Result<PrometheusHandle, BuildError> {
    let handle = builder()?.install_recorder()?;
    // Describes every metric; what it counts by itself is nothing.
    drop(Metrics::new());
    Ok(handle)
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    BUCKETS.iter().try_fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
        builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)
    })
}

/// Keeps the histograms small for as long as it is polled; never ends.
///
/// # Cancel safety
///
/// Dropping it loses nothing: the next scrape does what it would have done.
pub async fn keep_up(metrics: PrometheusHandle) {
    let mut every = interval(UPKEEP);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        metrics.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Observer;
    use crate::record::{Record, TopicPartition};
    use crate::telemetry::names::Kind;

    #[test]
    fn every_histogram_has_its_buckets() {
        let histograms = names::ALL.iter().filter(|metric| metric.kind == Kind::Histogram);
        for metric in histograms {
            assert!(BUCKETS.iter().any(|(name, _)| *name == metric.name), "{} has none", metric.name);
        }
        for (name, buckets) in BUCKETS {
            assert!(buckets.is_sorted(), "{name}");
        }
    }

    #[test]
    fn histograms_are_rendered_with_buckets_and_help() {
        let recorder = builder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let metrics = Metrics::new();
            let record = Record::builder(TopicPartition::new("orders", 0), 0).build();
            metrics.on_handled(&record, 1, Duration::from_millis(30));
        });
        let text = handle.render();
        assert!(text.contains("# TYPE hapax_handler_duration_seconds histogram"), "{text}");
        assert!(text.contains("hapax_handler_duration_seconds_bucket{topic=\"orders\",le=\"0.05\"} 1"), "{text}");
        assert!(text.contains("# HELP hapax_handler_duration_seconds "), "{text}");
    }
}
