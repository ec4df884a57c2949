//! Rounding bounds that the claims share.

/// `c_n` with `|fl(Σ a_i b_i) - Σ a_i b_i| <= c_n eps Σ |a_i b_i|` for sums of `n` products, in any order.
///
/// The worst case is `n`; the probabilistic bound is `λ √n / 2` in units of `eps = 2u`, and with `λ = 8`
/// it fails with probability below `2 n exp(-32)` (N. J. Higham and T. Mary, *A new approach to
/// probabilistic rounding error analysis*, SIAM J. Sci. Comput. 41 (2019), theorem 2.4,
/// doi:10.1137/18M1226312).
///
/// ```
/// use eigenflow::theory::tolerance::count;
/// assert_eq!((count(4), count(100)), (4.0, 40.0));
/// ```
pub fn count(n: usize) -> f64 {
    let n = n as f64;
    n.min(4.0 * n.sqrt())
}

/// The larger of two numbers, NaN if either is: a check must not lose one (`f64::max` does).
pub fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// [`count`] times `eps` of `f64`.
pub fn gamma(n: usize) -> f64 {
    count(n) * f64::EPSILON
}
