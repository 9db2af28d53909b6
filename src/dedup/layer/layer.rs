//! The layer and its policies.

use std::fmt;
use std::time::Duration;

use tower_layer::Layer;

use super::{Dedup, OkIsSuccess};
use crate::dedup::Deduplicator;

/// What happens to a request whose ID is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenInFlight {
    /// Wait for that long until the other attempt has ended: then this one is a duplicate, or is handled.
    Wait(Duration),
    /// Answer [`DedupError::InFlight`](super::DedupError::InFlight) at once.
    Reject,
}

/// Handles each request once: wraps a service so that requests with the ID of a handled one are not handled again.
///
/// The ID is claimed inside the call, recorded as done when the service succeeded and before its response is returned,
/// and given back when it failed. Concurrent calls share their round trips to the store.
///
/// The guarantee is the store's: within its window, and while it keeps its records, an ID whose service call succeeded
/// is not handled again. A crash between the effect and its record, or a call that outlives its lease, can repeat an
/// effect.
///
/// `identify` finds the identity of a request; where it finds none, the request fails with
/// [`DedupError::Id`](super::DedupError::Id).
#[derive(Clone)]
pub struct DedupLayer<I, C = OkIsSuccess> {
    dedup: Deduplicator,
    identify: I,
    classify: C,
    when_in_flight: WhenInFlight,
}

impl<I> DedupLayer<I> {
    /// A layer that counts every response as success, and rejects what is in flight.
    pub fn new(dedup: Deduplicator, identify: I) -> Self {
        Self { dedup, identify, classify: OkIsSuccess, when_in_flight: WhenInFlight::Reject }
    }
}

impl<I, C> DedupLayer<I, C> {
    /// Decides which results count as an effect; see [`Classify`](super::Classify). Default: [`OkIsSuccess`]. Wrongly
    /// called a success, a failed request is lost; wrongly called a failure, an effect is repeated.
    pub fn classify<D>(self, classify: D) -> DedupLayer<I, D> {
        let Self { dedup, identify, when_in_flight, .. } = self;
        DedupLayer { dedup, identify, classify, when_in_flight }
    }

    /// Decides what happens to a request whose ID is in flight. Default: [`WhenInFlight::Reject`], because only the
    /// caller knows how long its own caller waits.
    pub fn when_in_flight(mut self, policy: WhenInFlight) -> Self {
        self.when_in_flight = policy;
        self
    }
}

impl<S, I: Clone, C: Clone> Layer<S> for DedupLayer<I, C> {
    type Service = Dedup<S, I, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { dedup, identify, classify, when_in_flight } = self.clone();
        Dedup { inner, dedup, identify, classify, when_in_flight }
    }
}

impl<I, C> fmt::Debug for DedupLayer<I, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DedupLayer").field("when_in_flight", &self.when_in_flight).finish_non_exhaustive()
    }
}
