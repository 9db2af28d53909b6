//! The settings of a [`RedisStore`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::RedisConnectionInfo;

use super::claim::millis;
use super::commands::Questions;
use super::connection::{Dial, Link, Servers, TlsSettings, Url};
use super::deletions::Deletions;
use super::duplicates::Duplicates;
use super::layout::Layout;
use super::runs::Runs;
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
    tls: TlsSettings,
    sentinel_login: RedisConnectionInfo,
    strict: bool,
    health_interval: Duration,
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
            tls: TlsSettings::default(),
            sentinel_login: RedisConnectionInfo::default(),
            strict: false,
            health_interval: Duration::from_secs(60),
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
    /// costs a fifth more memory at most (measured) and one or two more look-ups per claim for the first window; one
    /// that is too great, the keys of sets that stay nearly empty.
    #[must_use]
    pub fn expected_ids(mut self, ids: u64) -> Self {
        self.expected_ids = Some(ids);
        self
    }

    /// Whom to trust, as PEM with one certificate or more: only servers whose certificate one of these has signed.
    /// Default: the roots of the system. For URLs that begin with `rediss`.
    #[must_use]
    pub fn tls_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.ca = Some(pem.into());
        self
    }

    /// The certificate (chain) to show where the server asks for one, and its unencrypted private key, both as PEM.
    /// Default: none. For URLs that begin with `rediss`.
    #[must_use]
    pub fn tls_client(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.tls.client = Some((certificate.into(), key.into()));
        self
    }

    /// As whom to come to the sentinels, whose users are their own; the URL's are those of the servers that they watch.
    /// Default: as nobody. `None` is the user `default`.
    #[must_use]
    pub fn sentinel_login(mut self, user: Option<&str>, password: &str) -> Self {
        let login = RedisConnectionInfo::default().set_password(password);
        self.sentinel_login = match user {
            Some(user) => login.set_username(user),
            None => login,
        };
        self
    }

    /// Refuses a Redis whose `maxmemory-policy` is not `noeviction`, because it forgets what was handled when its memory
    /// is full. Default: false; then that is a warning in the log and in [`RedisStore::health`].
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// How often Redis is asked how it is doing (one `INFO`), while the store is in use. Default 1 min. Every new
    /// connection asks, too.
    #[must_use]
    pub fn health_interval(mut self, interval: Duration) -> Self {
        self.health_interval = interval;
        self
    }

    /// Checks the settings, and reads the certificates. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// Names the setting that is wrong and never shows the URL, which may hold a password.
    pub fn build(self) -> Result<RedisStore, SettingsError> {
        self.terms.check()?;
        let limits = [
            ("connect limit", self.connect_limit),
            ("response limit", self.response_limit),
            ("health interval", self.health_interval),
        ];
        for (setting, limit) in limits {
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
        let url = Url::parse(&self.url)?;
        if !url.tls && !self.tls.is_empty() {
            let problem = "is given, and the URL does not ask for TLS; write rediss".to_owned();
            return Err(SettingsError { setting: "TLS certificate", problem });
        }
        let layout = Layout::new(self.namespace);
        let cluster = matches!(url.servers, Servers::Cluster(_));
        let dial = Dial {
            login: url.login,
            tls: url.tls.then(|| self.tls.connector()).transpose()?,
            connect_limit: self.connect_limit,
            response_limit: self.response_limit,
            timeouts: self.timeouts,
            strict: self.strict,
            health_interval: self.health_interval,
            questions: Questions::new(layout.clone(), self.mode, cluster),
        };
        let link = Link::new(url.servers, dial, self.sentinel_login, &layout);
        let calendar = Calendar::new(millis(self.terms.window));
        let inner = Inner {
            link,
            layout,
            terms: self.terms,
            mode: self.mode,
            reader: Reader::new(calendar, self.expected_ids),
            expiries: Expiries::default(),
            duplicates: Duplicates::default(),
            deletions: Deletions::default(),
            runs: Runs::default(),
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
            .field("tls", &self.tls)
            .field("strict", &self.strict)
            .field("health_interval", &self.health_interval)
            .finish_non_exhaustive()
    }
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
        for wrong in ["redis//:geheim@host", "redis://:geheim@host/x", "geheim"] {
            let error = build(wrong).unwrap_err().to_string();
            assert!(error.starts_with("Redis URL: ") && !error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn limits_are_checked() {
        let builder = RedisStore::builder("redis://host", Namespace::new("n").unwrap());
        assert!(builder.clone().response_limit(Duration::ZERO).build().is_err());
        assert!(builder.clone().connect_limit(Duration::ZERO).build().is_err());
        assert!(builder.clone().health_interval(Duration::ZERO).build().is_err());
        assert!(builder.clone().tls_ca("anything").build().unwrap_err().to_string().contains("rediss"));
        assert!(builder.clone().timeouts_in_a_row(0).build().is_err());
        assert!(builder.terms(LeaseTerms { lease: Duration::ZERO, ..LeaseTerms::default() }).build().is_err());
    }
}
