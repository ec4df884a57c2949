//! The one way to a random generator: a hash of what it is for.

use rand_pcg::Pcg64;

/// Rows that share one generator when rows are drawn in parallel.
///
/// Row `k` is the `k mod 1024`-th draw of generator `k / 1024`, so its value does not depend on how
/// many rows are drawn, nor on the number of threads.
pub const ROWS_PER_GENERATOR: usize = 1024;

/// A generator for one purpose: `Pcg64` with state and stream from a 128-bit hash of
/// `(seed, purpose, index)`.
///
/// PCG streams that share a state, or whose states are small multiples apart, are correlated;
/// hashing, rather than numbering, keeps generators of neighbouring seeds and indices apart. The hash
/// is FNV-1a (128 bits) over the little-endian bytes of `seed`, the length and bytes of `purpose` and
/// `index`, each half finished by splitmix64. It is written out here and uses integers only: the same
/// generator on every platform, in every version.
///
/// ```
/// use eigenflow::random::generator;
/// use rand::Rng;
/// assert_eq!(generator(7, "noise", 0).next_u64(), generator(7, "noise", 0).next_u64());
/// assert_ne!(generator(7, "noise", 0).next_u64(), generator(7, "noise", 1).next_u64());
/// assert_ne!(generator(7, "noise", 0).next_u64(), generator(7, "split", 0).next_u64());
/// ```
pub fn generator(seed: u64, purpose: &str, index: u64) -> Pcg64 {
    let length = (purpose.len() as u64).to_le_bytes();
    let hash = [&seed.to_le_bytes()[..], &length, purpose.as_bytes(), &index.to_le_bytes()]
        .into_iter()
        .fold(FNV_OFFSET, fnv1a);
    let (low, high) = (hash as u64, (hash >> 64) as u64);
    let half = |salt: u64| {
        let a = splitmix(low ^ splitmix(high.wrapping_add(salt)));
        let b = splitmix(high ^ splitmix(a.wrapping_add(low)));
        (u128::from(a) << 64) | u128::from(b)
    };
    Pcg64::new(half(0), half(1))
}

/// A 64-bit hash of words, for keys that must agree on every platform.
pub fn hash_words(seed: u64, words: impl IntoIterator<Item = u64>) -> u64 {
    words.into_iter().fold(splitmix(seed), |h, w| splitmix(h ^ splitmix(w)).wrapping_add(h.rotate_left(23)))
}

const FNV_OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// One more run of bytes into an FNV-1a hash (Fowler, Noll and Vo; constants of the 128-bit version).
fn fnv1a(hash: u128, bytes: &[u8]) -> u128 {
    bytes.iter().fold(hash, |h, &b| (h ^ u128::from(b)).wrapping_mul(FNV_PRIME))
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014): one step.
fn splitmix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn hashes_match_their_published_values() {
        // FNV-1a 128 of "" and "a"; splitmix64 seeded with 0, first output.
        assert_eq!(fnv1a(FNV_OFFSET, b""), FNV_OFFSET);
        assert_eq!(fnv1a(FNV_OFFSET, b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        assert_eq!(splitmix(0), 0xe220_a839_7b1d_cdaf);
    }

    /// Frozen: every seeded figure of the project rests on these bits.
    #[test]
    fn first_draws_are_frozen() {
        let first = |seed, purpose, index| generator(seed, purpose, index).next_u64();
        assert_eq!(first(0, "", 0), FROZEN[0]);
        assert_eq!(first(0, "s-curve", 0), FROZEN[1]);
        assert_eq!(first(u64::MAX, "s-curve", 1), FROZEN[2]);
    }
    const FROZEN: [u64; 3] = [0x9ee4_378e_ff61_c4cd, 0x7a2b_d98c_f87d_11de, 0x661a_5fd8_b2db_305a];

    /// Neighbouring seeds, indices and purposes give uncorrelated first draws: bits agree half the time.
    #[test]
    fn neighbours_share_no_bits() {
        let mut first = Vec::new();
        for seed in 0..8 {
            for index in 0..8 {
                first.push(generator(seed, "a", index).next_u64());
                first.push(generator(seed, "b", index).next_u64());
            }
        }
        let mut agreeing = 0;
        let mut pairs = 0;
        for (i, a) in first.iter().enumerate() {
            for b in &first[..i] {
                agreeing += (!(a ^ b)).count_ones();
                pairs += 1;
            }
        }
        // 8128 pairs of 64 bits; the pairs' sums are pairwise independent: six standard deviations.
        let bits = f64::from(pairs) * 64.0;
        assert!((f64::from(agreeing) - bits / 2.0).abs() < 6.0 * (bits / 4.0).sqrt());
    }
}
