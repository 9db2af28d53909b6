//! Fingerprints without end, each once.

use hapax::id::Fingerprint;

/// The `n`-th fingerprint of a series: as evenly spread as a hash.
pub fn id(series: u64, n: u64) -> Fingerprint {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mix(mix(series) ^ n).to_be_bytes());
    bytes[8..].copy_from_slice(&mix(mix(!series).wrapping_add(n)).to_be_bytes());
    Fingerprint::from_bytes(bytes)
}

/// The finalizer of SplitMix64: a bijection, so no two are the same.
pub const fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
