//! The 128 bits by which the store knows an ID.

use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

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

/// The hasher of tables in memory whose keys are fingerprints. A fingerprint is a hash already, and to hash it once more
/// costs more than the rest of a look-up.
pub(crate) type BuildFingerprintHasher = BuildHasherDefault<FingerprintHasher>;

/// A hasher whose result is the first eight bytes of a fingerprint.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FingerprintHasher(u64);

impl Hasher for FingerprintHasher {
    /// Takes the bytes of the last call. The one before it brings their length.
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The secret that keys all fingerprints of a deployment, so that a producer cannot choose IDs that collide.
///
/// All processes of a namespace need the same; with another one, everything that was handled counts as new.
#[derive(Clone)]
pub struct IdKey([u8; 32]);

impl IdKey {
    /// Derives the key from a secret of any length; the empty secret gives the key of [`IdKey::default`].
    ///
    /// Take 16 random bytes or more: a short word can be found by trying, from the check value that the store keeps.
    pub fn new(secret: &[u8]) -> Self {
        Self(blake3::derive_key("hapax 1 fingerprint key", secret))
    }

    /// A value that is the same for the same key and does not tell it: what processes compare. 16 hexadecimal digits,
    /// the first 64 bits of BLAKE3 in keyed mode over the text `hapax 1 check value`.
    pub fn check_value(&self) -> String {
        let hash = blake3::keyed_hash(&self.0, b"hapax 1 check value");
        hash.to_hex()[..16].to_owned()
    }

    /// The fingerprint of an identity.
    ///
    /// # Definition
    ///
    /// The same in every version that writes the store's format 1, and in every language:
    ///
    /// 1. The *key*, 32 bytes, is BLAKE3 in key derivation mode with the context `hapax 1 fingerprint key` over the
    ///    secret. Where none is set, the secret is empty.
    /// 2. The *encoding* of an identity is these bytes, one after the other; all numbers are little-endian:
    ///
    ///    | bytes | what |
    ///    |---|---|
    ///    | 1 | version: `01` |
    ///    | 1 | kind of the scope: `74` (t) a topic, `68` (h) a header's value, `6e` (n) a name |
    ///    | 8 | length of the scope in bytes |
    ///    | as counted | the scope: the topic's name in UTF-8, the header's value as it is, the name in UTF-8 |
    ///    | 8 | replay count, 0 for an original |
    ///    | 1 | kind of the ID: `00` text or bytes, `01` number, `02` content hash, `03` coordinates, `04` a record key to which a list of rules falls back |
    ///    | the rest | the ID |
    ///
    ///    The ID is: for text its UTF-8, for bytes and keys themselves; for a number its decimal digits in ASCII, behind a `-`
    ///    where it is negative; for a content hash the 32 bytes that [`ContentHash`](super::ContentHash) defines; for
    ///    coordinates the partition in 4 bytes and the offset in 8, both in two's complement.
    /// 3. The *fingerprint* is the first 16 bytes of BLAKE3 in keyed mode, with the key, over the encoding. It is
    ///    written as 32 lower-case hexadecimal digits.
    ///
    /// `src/id/vectors.json` holds test vectors. The namespace is not part of it: it stands in the store's keys.
    pub fn fingerprint(&self, identity: &Identity) -> Fingerprint {
        // One piece of memory is hashed faster than its parts. Few identities are longer.
        let (mut buffer, mut length) = ([0; 256], 0);
        identity.encode(|part| {
            if let Some(room) = buffer.get_mut(length..length + part.len()) {
                room.copy_from_slice(part);
            }
            length += part.len();
        });
        let hash = match buffer.get(..length) {
            Some(whole) => blake3::keyed_hash(&self.0, whole),
            None => {
                let mut hasher = blake3::Hasher::new_keyed(&self.0);
                identity.encode(|part| {
                    hasher.update(part);
                });
                hasher.finalize()
            }
        };
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_bytes()[..16]);
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

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::super::{MessageId, Scope};
    use super::*;

    /// Of identities about as long as what is hashed in one piece.
    #[test]
    fn fingerprint_is_that_of_the_whole_encoding() {
        for length in [1, 200, 220, 230, 235, 236, 237, 238, 250, 256, 300] {
            let identity = Identity::new(Scope::Name("n".into()), MessageId::new("x".repeat(length)).unwrap());
            let mut encoding = Vec::new();
            identity.encode(|part| encoding.extend_from_slice(part));
            let hash = blake3::keyed_hash(&IdKey::default().0, &encoding);
            assert_eq!(IdKey::default().fingerprint(&identity).as_bytes(), &hash.as_bytes()[..16], "{length}");
        }
    }

    #[test]
    fn fingerprint_hash_is_its_first_eight_bytes() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
        let hash = BuildFingerprintHasher::default().hash_one(Fingerprint(bytes));
        assert_eq!(hash.to_ne_bytes(), bytes[..8]);
    }
}
