//! Sentinels: who is the master now.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::RedisConnectionInfo;

use super::dial::Dial;
use super::place::Place;
use crate::store::{Cause, StoreError};

/// Asked anew by every attempt to connect: an address that was right before a failover leads to a demoted master.
pub(super) struct Sentinels {
    places: Vec<Place>,
    master: String,
    login: RedisConnectionInfo,
    /// Which one answered last: it is asked first.
    first: AtomicUsize,
}

impl Sentinels {
    pub(super) fn new(places: Vec<Place>, master: String, login: RedisConnectionInfo) -> Self {
        Self { places, master, login, first: AtomicUsize::new(0) }
    }

    /// What errors and logs call it.
    pub(super) fn name(&self) -> String {
        let places: Vec<String> = self.places.iter().map(Place::to_string).collect();
        format!("{} by {}", self.master, places.join(","))
    }

    /// Asks one after the other. Each gets a share of the time, so that one that is silent leaves some for the next,
    /// and for the master.
    pub(super) async fn master(&self, dial: &Dial) -> Result<Place, StoreError> {
        let count = self.places.len();
        let share = dial.connect_limit / u32::try_from(count + 1).unwrap_or(u32::MAX);
        let first = self.first.load(Ordering::Relaxed);
        let mut failed = None;
        for i in (0..count).map(|i| (first + i) % count) {
            match self.ask(dial, &self.places[i], share).await {
                Ok(place) => {
                    self.first.store(i, Ordering::Relaxed);
                    return Ok(place);
                }
                // What somebody has to change is worth more than who else is away.
                Err(error) => failed = failed.filter(|known| matches!(known, StoreError::Refused(_))).or(Some(error)),
            }
        }
        Err(failed.unwrap_or_else(|| StoreError::Unavailable(Cause::new("no sentinel is known"))))
    }

    async fn ask(&self, dial: &Dial, place: &Place, limit: Duration) -> Result<Place, StoreError> {
        let asking = async {
            let mut connection = dial.connect_as(place, &self.login).await?;
            let mut ask = redis::cmd("SENTINEL");
            ask.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
            let answer = ask.query_async::<Option<(String, u16)>>(&mut connection).await;
            let answer = answer.map_err(|error| match error.code() {
                Some("ERR") => StoreError::Refused(Cause::new(format!(
                    "the server at {place} is not a sentinel; give the sentinels' addresses ({error})"
                ))),
                _ => super::dial::failed(&place.to_string().into(), error),
            })?;
            let (host, port) = answer.ok_or_else(|| {
                StoreError::Refused(Cause::new(format!(
                    "the sentinel at {place} watches no master named {}; use the name in its `sentinel monitor`",
                    self.master
                )))
            })?;
            Ok(Place::tcp(host, port))
        };
        tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable(Cause::new(format!("the sentinel at {place} did not answer within {limit:?}"))))
        })
    }
}
