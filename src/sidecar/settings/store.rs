//! Where the states of IDs are kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::error::Problem;
use crate::id::Namespace;
use crate::sidecar::{Secret, environment};
use crate::store::{DoneMode, LeaseTerms, MemoryStore, RedisStore, Store};

/// Where the states of IDs are kept, and for how long.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Which store.
    pub kind: StoreKind,
    /// Lease, grace and window.
    pub terms: LeaseTerms,
    /// How many done IDs the local cache holds. Default 100,000.
    pub cache_entries: u64,
    /// For how long. Default 10 min.
    pub cache_lifetime: Duration,
}

/// Which store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreKind {
    /// Redis.
    Redis(Box<RedisSettings>),
    /// The memory of this process, which forgets all at its end: for trials.
    Memory,
}

/// How to reach Redis.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// The URL, which may hold a password.
    pub url: Secret,
    /// The CA to trust, in PEM, instead of those of the system.
    pub ca: Option<PathBuf>,
    /// A client certificate and its key, in PEM.
    pub client: Option<(PathBuf, PathBuf)>,
    /// User and password of sentinels.
    pub sentinel_login: Option<(Option<String>, Secret)>,
    /// How done IDs are kept.
    pub mode: DoneMode,
    /// How many IDs one window is expected to have; `None` learns it.
    pub expected_ids: Option<u64>,
    /// Whether a server that may forget is refused.
    pub strict: bool,
    /// How long one answer may take.
    pub response_limit: Duration,
}

impl StoreSettings {
    /// The store, not yet opened, without the local cache.
    ///
    /// # Errors
    ///
    /// Names the first setting that cannot be used, or whose file cannot be read.
    pub fn build(&self, namespace: &Namespace) -> Result<Arc<dyn Store>, Problem> {
        match &self.kind {
            StoreKind::Redis(redis) => Ok(Arc::new(redis.build(self.terms, namespace)?)),
            StoreKind::Memory => Ok(Arc::new(MemoryStore::new(self.terms))),
        }
    }
}

impl RedisSettings {
    /// The store, not yet opened.
    ///
    /// # Errors
    ///
    /// As [`StoreSettings::build`].
    pub fn build(&self, terms: LeaseTerms, namespace: &Namespace) -> Result<RedisStore, Problem> {
        let mut builder = RedisStore::builder(self.url.expose(), namespace.clone())
            .terms(terms)
            .mode(self.mode)
            .strict(self.strict)
            .response_limit(self.response_limit);
        if let Some(ids) = self.expected_ids {
            builder = builder.expected_ids(ids);
        }
        if let Some(path) = &self.ca {
            builder = builder.tls_ca(read("HAPAX_REDIS_CA_FILE", path)?);
        }
        if let Some((certificate, key)) = &self.client {
            let certificate = read("HAPAX_REDIS_CLIENT_CERTIFICATE_FILE", certificate)?;
            builder = builder.tls_client(certificate, read("HAPAX_REDIS_CLIENT_KEY_FILE", key)?);
        }
        if let Some((user, password)) = &self.sentinel_login {
            builder = builder.sentinel_login(user.as_deref(), password.expose());
        }
        builder.build().map_err(|error| {
            let setting = environment::variable_of(error.setting).unwrap_or(error.setting);
            Problem::new(setting, error.problem)
        })
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(path).map_err(|error| Problem::new(setting, format!("the file it names cannot be read: {error}")))
}
