//! The settings of a [`RedisStore`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo};

use super::claim::millis;
use super::connection::{Link, Target};
use super::layout::Layout;
use super::slices::{Calendar, Expiries, Reader, SHORTEST_WINDOW};
use super::{DoneMode, Inner, RedisStore};
use crate::id::Namespace;
use crate::store::{LeaseTerms, SettingsError};

/// Settings of a [`RedisStore`]. All have defaults but the URL and the namespace.
#[derive(Clone)]
pub struct RedisStoreBuilder {
    url: String,
    namespace: Namespace,
    terms: LeaseTerms,
    connect_limit: Duration,
    response_limit: Duration,
    timeouts: u32,
    mode: DoneMode,
    expected_ids: Option<u64>,
}

impl RedisStoreBuilder {
    pub(super) fn new(url: String, namespace: Namespace) -> Self {
        Self {
            url,
            namespace,
            terms: LeaseTerms::default(),
            connect_limit: Duration::from_secs(2),
            response_limit: Duration::from_secs(1),
            timeouts: 3,
            mode: DoneMode::default(),
            expected_ids: None,
        }
    }

    /// How long claims hold and done IDs are remembered.
    #[must_use]
    pub fn terms(mut self, terms: LeaseTerms) -> Self {
        self.terms = terms;
        self
    }

    /// How long making and checking a connection may take. Default 2 s: a lost first packet is sent again after one.
    /// A question that needs a new connection waits for up to this long.
    #[must_use]
    pub fn connect_limit(mut self, limit: Duration) -> Self {
        self.connect_limit = limit;
        self
    }

    /// How long a request waits for its reply; then its outcome is unknown. Default 1 s: a hundred times what a full
    /// pipeline takes, and little beside a lease of 60 s. (The client library's own default is 500 ms.) Less than a
    /// tenth of the lease leaves room to ask again.
    #[must_use]
    pub fn response_limit(mut self, limit: Duration) -> Self {
        self.response_limit = limit;
        self
    }

    /// After how many requests in a row without a reply the connection is given up and made anew. Default 3: one may
    /// be a slow Redis; three mean that nobody is there.
    #[must_use]
    pub fn timeouts_in_a_row(mut self, timeouts: u32) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// How done IDs are kept. Default [`DoneMode::Compact`].
    #[must_use]
    pub fn mode(mut self, mode: DoneMode) -> Self {
        self.mode = mode;
        self
    }

    /// How many IDs a window brings, roughly, in the compact mode: the first sets are made for as many. Not needed:
    /// later ones are made for what came before, and more are made where there are more. A number ten times too small
    /// costs a tenth more memory and two more look-ups per claim for the first window; one ten times too great, twice
    /// the memory.
    #[must_use]
    pub fn expected_ids(mut self, ids: u64) -> Self {
        self.expected_ids = Some(ids);
        self
    }

    /// Checks the settings. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// Names the setting that is wrong and never shows the URL, which may hold a password.
    pub fn build(self) -> Result<RedisStore, SettingsError> {
        self.terms.check()?;
        for (setting, limit) in [("connect limit", self.connect_limit), ("response limit", self.response_limit)] {
            if limit.is_zero() {
                return Err(SettingsError { setting, problem: "is zero; choose at least a millisecond".to_owned() });
            }
        }
        if self.timeouts == 0 {
            let problem = "is zero; choose at least one".to_owned();
            return Err(SettingsError { setting: "time-outs in a row", problem });
        }
        if self.mode == DoneMode::Compact && self.terms.window < SHORTEST_WINDOW {
            let problem = format!(
                "{:?} is too short for the compact mode; choose {SHORTEST_WINDOW:?} or more, or the exact mode",
                self.terms.window
            );
            return Err(SettingsError { setting: "window", problem });
        }
        let info = parse(&self.url)?.set_tcp_settings(tcp());
        let address: Arc<str> = info.addr().to_string().into();
        let client = Client::open(info).map_err(|_| not_a_url())?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_limit))
            .set_response_timeout(Some(self.response_limit));
        let target = Target { address, client, connect_limit: self.connect_limit, config, timeouts: self.timeouts };
        let calendar = Calendar::new(millis(self.terms.window));
        let inner = Inner {
            link: Link::new(target),
            layout: Layout::new(self.namespace),
            terms: self.terms,
            mode: self.mode,
            reader: Reader::new(calendar, self.expected_ids),
            expiries: Expiries::default(),
        };
        Ok(RedisStore { inner: Arc::new(inner) })
    }
}

impl fmt::Debug for RedisStoreBuilder {
    /// Leaves the URL out: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("namespace", &self.namespace)
            .field("terms", &self.terms)
            .field("connect_limit", &self.connect_limit)
            .field("response_limit", &self.response_limit)
            .field("timeouts", &self.timeouts)
            .field("mode", &self.mode)
            .field("expected_ids", &self.expected_ids)
            .finish_non_exhaustive()
    }
}

/// Takes the URL apart here, at the border: behind it only the client library holds the password, whose debug output
/// leaves it out. Its errors are not passed on, for they may repeat parts of the URL.
fn parse(url: &str) -> Result<ConnectionInfo, SettingsError> {
    if url.starts_with("rediss:") || url.starts_with("valkeys:") {
        let problem = "asks for TLS, which is not built in; use redis:// on a network that you trust".to_owned();
        return Err(SettingsError { setting: "Redis URL", problem });
    }
    url.into_connection_info().map_err(|_| not_a_url())
}

fn not_a_url() -> SettingsError {
    let problem = "is not of the form redis://[user[:password]@]host[:port][/database]; \
                   write special characters of a password as %XX"
        .to_owned();
    SettingsError { setting: "Redis URL", problem }
}

/// What the kernel is told about the connection.
fn tcp() -> TcpSettings {
    // Without TCP_NODELAY a pipeline's last packet may wait up to 40 ms for an acknowledgement. Probes find a peer that
    // went away while nothing was asked; the user time-out, one that does not acknowledge what was sent, which a kernel
    // otherwise bears for about a quarter of an hour.
    let settings =
        TcpSettings::default().set_nodelay(true).set_keepalive(TcpKeepalive::new().with_time(Duration::from_secs(10)));
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let settings = settings.set_user_timeout(Duration::from_secs(10));
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(url: &str) -> Result<RedisStore, SettingsError> {
        RedisStore::builder(url, Namespace::new("n").unwrap()).build()
    }

    #[test]
    fn no_output_shows_the_password() {
        let builder = RedisStore::builder("redis://user:geheim@host:6380/2", Namespace::new("n").unwrap());
        assert!(!format!("{builder:?}").contains("geheim"));
        let store = format!("{:?}", builder.build().unwrap());
        assert!(store.contains("host:6380") && !store.contains("geheim"), "{store}");
        for wrong in ["redis//:geheim@host", "rediss://:geheim@host", "redis://:geheim@host/x", "geheim"] {
            let error = build(wrong).unwrap_err().to_string();
            assert!(error.starts_with("Redis URL: ") && !error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn limits_are_checked() {
        let builder = RedisStore::builder("redis://host", Namespace::new("n").unwrap());
        assert!(builder.clone().response_limit(Duration::ZERO).build().is_err());
        assert!(builder.clone().connect_limit(Duration::ZERO).build().is_err());
        assert!(builder.clone().timeouts_in_a_row(0).build().is_err());
        assert!(builder.terms(LeaseTerms { lease: Duration::ZERO, ..LeaseTerms::default() }).build().is_err());
    }
}
