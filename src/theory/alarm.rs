//! False alarms: the chance that a healthy run of `verify` says `fails`, and how it is shared out.
//!
//! Most tolerances bound rounding and cannot be exceeded by chance. Those that rest on draws or on fitted slopes can;
//! the claims that use them are listed here, and each takes its quantile from [`rate`]. By the union bound the
//! whole run, all claims, points and data sets together, stays below [`RUN`].

/// Chance of a false alarm over a whole run: at most 1 in 10,000.
pub const RUN: f64 = 1e-4;

/// Data sets of a run: the embedded ones, when none is named.
pub const SETS: usize = 2;

/// Claims with a random tolerance, or one from a fitted slope.
pub const CLAIMS: [&str; 8] = ["G1", "G2", "G3", "G4", "G5", "S4", "C4", "D1"];

/// The false-alarm rate of each of `tests` comparisons that one claim of [`CLAIMS`] makes on one data set.
///
/// ```
/// use eigenflow::theory::alarm::{CLAIMS, RUN, SETS, rate};
/// // Two sets, eight claims: 12 comparisons have 1e-4 / (2 · 8 · 12) each.
/// assert!((rate(12) - 1e-4 / 192.0).abs() < 1e-18);
/// assert!((12.0 * rate(12) * (SETS * CLAIMS.len()) as f64 - RUN).abs() < 1e-18);
/// ```
pub fn rate(tests: usize) -> f64 {
    RUN / (SETS * CLAIMS.len() * tests.max(1)) as f64
}
