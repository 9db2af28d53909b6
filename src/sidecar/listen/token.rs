//! The token that callers present.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use crate::sidecar::TokenSource;
use crate::store::SettingsError;

/// How often the file is looked at while tokens fit.
const LOOKED_AT: Duration = Duration::from_secs(1);

/// Compares what callers present with the token, which may change where it stands in a file.
#[derive(Debug)]
pub(super) struct TokenCheck {
    file: Option<PathBuf>,
    known: Mutex<Known>,
}

/// The token as it was last read: its hash, so that comparing tells neither its length nor where it differs.
#[derive(Clone, Copy, Debug)]
struct Known {
    hash: [u8; 32],
    stamp: Option<Stamp>,
    looked_at: Instant,
}

/// What changes when a file is written or another one is put in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Self { modified: metadata.modified().ok(), length: metadata.len(), inode }
    }
}

impl TokenCheck {
    /// Reads the token.
    ///
    /// # Errors
    ///
    /// Names `HAPAX_TOKEN_FILE` where the file cannot be read, and `HAPAX_TOKEN` where the token is empty.
    pub(super) fn new(source: &TokenSource) -> Result<Self, SettingsError> {
        let (file, token, stamp) = match source {
            TokenSource::Given(secret) => (None, secret.expose().as_bytes().to_vec(), None),
            TokenSource::File(path) => {
                let wrong = |error: std::io::Error| SettingsError {
                    setting: "HAPAX_TOKEN_FILE",
                    problem: format!("{} cannot be read: {error}", path.display()),
                };
                let stamp = std::fs::metadata(path).map_err(wrong)?;
                (Some(path.clone()), std::fs::read(path).map_err(wrong)?, Some(Stamp::of(&stamp)))
            }
        };
        let Some(hash) = hash(&token) else {
            let setting = if file.is_some() { "HAPAX_TOKEN_FILE" } else { "HAPAX_TOKEN" };
            return Err(SettingsError {
                setting,
                problem: "holds no token; write 16 random characters or more".into(),
            });
        };
        Ok(Self { file, known: Mutex::new(Known { hash, stamp, looked_at: Instant::now() }) })
    }

    /// Whether this is the token. One that does not fit may be newer than what is known: the file is read again before
    /// it is refused.
    pub(super) async fn accepts(&self, presented: &[u8]) -> bool {
        let Some(file) = &self.file else { return self.fits(presented) };
        if self.known.lock().looked_at.elapsed() >= LOOKED_AT {
            self.look(file).await;
        }
        if self.fits(presented) {
            return true;
        }
        self.read(file, None).await;
        self.fits(presented)
    }

    fn fits(&self, presented: &[u8]) -> bool {
        let known = self.known.lock().hash;
        blake3::hash(presented).as_bytes().ct_eq(&known).into()
    }

    /// Reads the file where it is another than before.
    async fn look(&self, file: &Path) {
        let stamp = tokio::fs::metadata(file).await.ok().map(|metadata| Stamp::of(&metadata));
        let changed = {
            let mut known = self.known.lock();
            known.looked_at = Instant::now();
            known.stamp != stamp
        };
        if changed {
            self.read(file, stamp).await;
        }
    }

    /// Takes the token over; the old one stays valid while there is no new one.
    async fn read(&self, file: &Path, stamp: Option<Stamp>) {
        let Ok(token) = tokio::fs::read(file).await else { return };
        let Some(hash) = hash(&token) else { return };
        let mut known = self.known.lock();
        known.hash = hash;
        known.stamp = stamp.or(known.stamp);
    }
}

/// The hash of a token without the line end that editors put behind it; `None` of an empty one.
fn hash(token: &[u8]) -> Option<[u8; 32]> {
    let token = token.trim_ascii();
    (!token.is_empty()).then(|| *blake3::hash(token).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::Secret;

    #[tokio::test]
    async fn a_given_token_is_compared_whole() {
        let check = TokenCheck::new(&TokenSource::Given(Secret::new("geheim\n"))).unwrap();
        assert!(check.accepts(b"geheim").await);
        for wrong in [&b""[..], b"g", b"geheim2", b"Geheim", b"geheimgeheim"] {
            assert!(!check.accepts(wrong).await);
        }
    }

    #[tokio::test]
    async fn a_changed_file_counts_at_once_and_an_unreadable_one_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "first\n").unwrap();
        let check = TokenCheck::new(&TokenSource::File(path.clone())).unwrap();
        assert!(check.accepts(b"first").await);
        std::fs::write(&path, "").unwrap();
        assert!(check.accepts(b"first").await && !check.accepts(b"").await, "an empty file is no token");
        std::fs::remove_file(&path).unwrap();
        assert!(check.accepts(b"first").await && !check.accepts(b"second").await);
        std::fs::write(&path, "second").unwrap();
        assert!(check.accepts(b"second").await, "without waiting");
        assert!(!check.accepts(b"first").await, "the old one is over");
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_token_ends_within_a_second_of_the_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "first").unwrap();
        let check = TokenCheck::new(&TokenSource::File(path.clone())).unwrap();
        std::fs::write(&path, "another").unwrap();
        tokio::time::advance(LOOKED_AT).await;
        assert!(!check.accepts(b"first").await);
    }

    #[test]
    fn what_cannot_be_read_is_named_and_not_shown() {
        let error = TokenCheck::new(&TokenSource::File("/nowhere/token".into())).unwrap_err().to_string();
        assert!(error.starts_with("HAPAX_TOKEN_FILE: /nowhere/token "), "{error}");
        let error = TokenCheck::new(&TokenSource::Given(Secret::new(" \n"))).unwrap_err().to_string();
        assert!(error.starts_with("HAPAX_TOKEN: "), "{error}");
    }
}
