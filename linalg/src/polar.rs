//! Polar decomposition.

use crate::svd::svd;
use crate::{Error, Matrix, Real};

/// `A = Q P`.
#[derive(Debug, Clone, PartialEq)]
pub struct Polar<T> {
    /// Orthonormal columns, `[m, n]`: the nearest such matrix to `A` in every unitarily invariant norm.
    pub q: Matrix<T>,
    /// Symmetric positive semidefinite, `[n, n]`: `P = (AᵀA)^{1/2}`.
    pub p: Matrix<T>,
}

/// The polar decomposition `A = Q P` of an `[m, n]` matrix with `m >= n`, by its singular value
/// decomposition: `Q = U Vᵀ`, `P = V diag(s) Vᵀ`.
///
/// `P` is unique; `Q` is unique if `A` has full column rank.
///
/// # Errors
/// [`Error::Shape`] if `m < n`; else as [`crate::svd::svd`].
///
/// # References
/// N. J. Higham, Functions of Matrices (2008), chapter 8.
///
/// ```
/// use eigenflow_linalg::{Matrix, polar::polar};
/// let f = polar(&Matrix::new(2, 2, vec![0.0, -3.0, 2.0, 0.0])).unwrap();
/// // a quarter turn after stretching by (2, 3)
/// assert!((f.q[(0, 1)] + 1.0_f64).abs() < 1e-14 && (f.q[(1, 0)] - 1.0).abs() < 1e-14);
/// assert!((f.p[(0, 0)] - 2.0).abs() < 1e-14 && (f.p[(1, 1)] - 3.0).abs() < 1e-14);
/// ```
pub fn polar<T: Real>(a: &Matrix<T>) -> Result<Polar<T>, Error> {
    let (m, n) = a.shape();
    if m < n {
        let remedy = "needs at least as many rows as columns; decompose the transpose";
        return Err(Error::Shape { op: "polar", lhs: (m, n), rhs: (n, n), remedy });
    }
    let d = svd(a)?;
    let vt = d.v.transpose();
    let scaled = Matrix::from_fn(n, n, |i, j| d.v[(i, j)] * d.s[j]);
    let p = scaled.mul(&vt);
    // Symmetric by rounding only; half the sum is so exactly.
    let half = T::of(0.5);
    let p = Matrix::from_fn(n, n, |i, j| half * p[(i, j)] + half * p[(j, i)]);
    crate::error::in_range("polar", p.data())?;
    Ok(Polar { q: d.u.mul(&vt), p })
}
