//! The 128 bits by which the store knows an ID.

use std::fmt;

use super::Identity;

/// A 128-bit keyed hash of an [`Identity`]; see [`IdKey::fingerprint`] for its definition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Takes a fingerprint from its bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The fingerprint's bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    /// 32 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The secret that keys all fingerprints of a deployment, so that a producer cannot choose IDs that collide.
#[derive(Clone)]
pub struct IdKey([u8; 32]);

impl IdKey {
    /// Derives the key from a secret of any length; the empty secret gives the key of [`IdKey::default`].
    pub fn new(secret: &[u8]) -> Self {
        Self(blake3::derive_key("hapax 1 fingerprint key", secret))
    }

    /// A value that is the same for the same key and tells nothing else about it: what processes compare.
    pub fn check_value(&self) -> String {
        let hash = blake3::keyed_hash(&self.0, b"hapax 1 check value");
        hash.to_hex()[..16].to_owned()
    }

    /// The fingerprint of an identity.
    pub fn fingerprint(&self, identity: &Identity) -> Fingerprint {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        identity.encode(|part| {
            hasher.update(part);
        });
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Fingerprint(bytes)
    }
}

impl Default for IdKey {
    /// The key where no secret is set: fingerprints are then the same in every deployment.
    fn default() -> Self {
        Self::new(b"")
    }
}

impl fmt::Debug for IdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdKey(…)")
    }
}
