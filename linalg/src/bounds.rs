//! Perturbation bounds for eigenvalues, singular values and invariant subspaces.

use crate::svd::norm2;
use crate::{Error, Matrix, Real};
use std::ops::Range;

/// Weyl's bound: for symmetric `A` and `E`, `|λ_k(A + E) − λ_k(A)| <= ‖E‖₂` for every `k`, eigenvalues in
/// order; likewise for the singular values of any `A` and `E` of one shape. Returns `‖E‖₂`.
///
/// # Errors
/// As [`crate::svd::svd`].
///
/// # References
/// G. W. Stewart and J.-g. Sun, Matrix Perturbation Theory (1990), corollaries IV.4.9 and IV.4.10.
///
/// ```
/// use eigenflow_linalg::{Matrix, bounds::weyl};
/// let e = Matrix::new(2, 2, vec![0.0, 0.5, 0.5, 0.0]);
/// assert!((weyl(&e).unwrap() - 0.5_f64).abs() < 1e-15); // moves 1, 1 to 0.5, 1.5
/// ```
pub fn weyl<T: Real>(e: &Matrix<T>) -> Result<T, Error> {
    norm2(e)
}

/// Davis and Kahan's sin Θ theorem: a bound for the sine of the largest principal angle between the
/// eigenspace of `A` for `range` (positions in ascending order) and that of `B = A + E`.
///
/// If the eigenvalues of `A` in the range lie in `[a, b]` and those of `B` outside the range lie outside
/// `(a − δ, b + δ)` with `δ > 0`, then `‖sin Θ‖₂ <= ‖E‖₂ / δ`. Takes both spectra, ascending, and `‖E‖₂`;
/// returns `min(1, ‖E‖₂ / δ)`, which is 1 (no statement) where `δ <= 0`, and 0 for an empty range or
/// the whole space.
///
/// # Errors
/// [`Error::Shape`] if the spectra differ in length or the range leaves them, [`Error::NotFinite`] for
/// spectra or norms that are not finite.
///
/// # References
/// C. Davis and W. M. Kahan, The rotation of eigenvectors by a perturbation III, SIAM J. Numer. Anal. 7
/// (1970), doi:10.1137/0707001.
///
/// ```
/// use eigenflow_linalg::bounds::davis_kahan;
/// // gap from 1 to the perturbed 2.9 is 1.9
/// let bound: f64 = davis_kahan(&[1.0, 3.0], &[0.9, 2.9], 0..1, 0.19).unwrap();
/// assert!((bound - 0.1).abs() < 1e-15);
/// ```
pub fn davis_kahan<T: Real>(a: &[T], b: &[T], range: Range<usize>, norm: T) -> Result<T, Error> {
    let op = "davis_kahan";
    if a.len() != b.len() {
        let remedy = "both spectra must have all eigenvalues";
        return Err(Error::Shape { op, lhs: (a.len(), 1), rhs: (b.len(), 1), remedy });
    }
    check(op, a, &range, norm)?;
    check(op, b, &range, norm)?;
    Ok(bounded(norm, gap(a, b, &range), T::ONE))
}

/// The variant of Davis and Kahan's theorem that needs the spectrum of `A` alone: with `d` eigenvalues in
/// `range` and `gap` their distance from the others,
/// `‖sin Θ‖_F <= 2 min(√d ‖E‖₂, ‖E‖_F) / gap`.
///
/// Takes the spectrum of `A`, ascending, and both norms of `E`. Returns `min(√d, bound)`, which is `√d`
/// (no statement) where the gap is zero, and 0 for an empty range or the whole space.
///
/// # Errors
/// [`Error::Shape`] if the range leaves the spectrum, [`Error::NotFinite`] for values that are not finite.
///
/// # References
/// Y. Yu, T. Wang and R. J. Samworth, A useful variant of the Davis-Kahan theorem for statisticians,
/// Biometrika 102 (2015), theorem 2, doi:10.1093/biomet/asv008.
///
/// ```
/// use eigenflow_linalg::bounds::davis_kahan_population;
/// let bound: f64 = davis_kahan_population(&[1.0, 3.0], 1..2, 0.1, 0.1).unwrap();
/// assert!((bound - 0.1).abs() < 1e-15); // 2 · 0.1 / 2
/// ```
pub fn davis_kahan_population<T: Real>(
    a: &[T],
    range: Range<usize>,
    norm2: T,
    norm_frobenius: T,
) -> Result<T, Error> {
    let op = "davis_kahan_population";
    check(op, a, &range, norm2)?;
    check(op, a, &range, norm_frobenius)?;
    let root = T::of(range.len() as f64).sqrt();
    let numerator = T::of(2.0) * (root * norm2).minimum(norm_frobenius);
    Ok(bounded(numerator, gap(a, a, &range), root))
}

/// `δ/2`, which cannot overflow, where `δ` is how far the values of `b` outside the range stay from the interval of those of `a` inside it;
/// infinite if either set is empty, negative or zero if they overlap.
fn gap<T: Real>(a: &[T], b: &[T], range: &Range<usize>) -> T {
    if range.is_empty() {
        return T::INFINITY;
    }
    let half = |x: T, y: T| T::of(0.5) * x - T::of(0.5) * y;
    let below = b[..range.start].iter().fold(T::INFINITY, |m, &x| m.minimum(half(a[range.start], x)));
    b[range.end..].iter().fold(below, |m, &x| m.minimum(half(x, a[range.end - 1])))
}

/// `norm / δ` from `δ/2`, at most `most`; that much also where there is no gap.
fn bounded<T: Real>(norm: T, half_gap: T, most: T) -> T {
    if half_gap > T::ZERO { (T::of(0.5) * norm / half_gap).minimum(most) } else { most }
}

fn check<T: Real>(op: &'static str, spectrum: &[T], range: &Range<usize>, norm: T) -> Result<(), Error> {
    if range.start > range.end || range.end > spectrum.len() {
        let (lhs, rhs) = ((spectrum.len(), 1), (range.start, range.end));
        return Err(Error::Shape { op, lhs, rhs, remedy: "the range must lie within the spectrum" });
    }
    if let Some(row) = spectrum.iter().chain([&norm]).position(|x| !x.is_finite()) {
        return Err(Error::NotFinite { op, index: 0, row, col: 0 });
    }
    Ok(())
}
