//! Angles between subspaces.

use crate::scale::{Scale, max_abs};
use crate::svd::{singular_values, svd};
use crate::{Error, Matrix, Real};

/// The principal angles between the column spaces of `x` `[m, p]` and `y` `[m, q]`: `min(p, q)` angles in
/// `[0, π/2]`, ascending.
///
/// With orthonormal bases `X`, `Y` (and `p >= q`) the cosines are the singular values of `XᵀY`, the
/// sines those of `Y − X XᵀY`. Each angle is taken from its sine where that is the smaller of the
/// two and from its cosine elsewhere, so small angles are accurate to a few eps and not to `√eps`.
///
/// # Errors
/// [`Error::Shape`] if the rows differ, [`Error::NotFinite`], and [`Error::Singular`] (matrix 0 for `x`,
/// 1 for `y`; the pivot is the numerical rank) if the columns of a basis are linearly dependent to
/// rounding: columns scaled to unit size, least singular value at most `m eps` times the largest.
///
/// # References
/// A. Björck and G. H. Golub, Numerical methods for computing angles between linear subspaces,
/// Math. Comp. 27 (1973); A. V. Knyazev and M. E. Argentati, SIAM J. Sci. Comput. 23 (2002), algorithm 3.1.
///
/// ```
/// use eigenflow_linalg::{Matrix, subspace::principal_angles};
/// let x = Matrix::new(2, 1, vec![1.0, 0.0]);
/// let y = Matrix::new(2, 1, vec![1.0, 1e-10]);
/// let angle: f64 = principal_angles(&x, &y).unwrap()[0]; // its cosine rounds to 1
/// assert!((angle / 1e-10 - 1.0).abs() < 1e-14);
/// ```
pub fn principal_angles<T: Real>(x: &Matrix<T>, y: &Matrix<T>) -> Result<Vec<T>, Error> {
    let op = "principal_angles";
    if x.rows() != y.rows() {
        let remedy = "both bases must have as many rows as the space has dimensions";
        return Err(Error::Shape { op, lhs: x.shape(), rhs: y.shape(), remedy });
    }
    let (a, b) = (orthonormal(op, 0, x)?, orthonormal(op, 1, y)?);
    let (a, b) = if a.cols() >= b.cols() { (a, b) } else { (b, a) };
    let overlap = a.transpose().mul(&b);
    let projection = a.mul(&overlap);
    let rest = Matrix::from_fn(b.rows(), b.cols(), |i, j| b[(i, j)] - projection[(i, j)]);
    let cosines = singular_values(&overlap)?;
    // Descending cosines belong to ascending sines.
    let sines = singular_values(&rest)?;
    Ok(cosines
        .iter()
        .zip(sines.iter().rev())
        .map(|(cos, sin)| {
            let (cos, sin) = (cos.f64(), sin.f64());
            T::of(if sin < cos { sin.asin() } else { cos.acos() })
        })
        .collect())
}

/// An orthonormal basis of a column space.
fn orthonormal<T: Real>(op: &'static str, index: usize, x: &Matrix<T>) -> Result<Matrix<T>, Error> {
    x.check_finite(op).map_err(|e| e.at(index))?;
    let scales: Vec<Scale<T>> = (0..x.cols()).map(|j| Scale::of(max_abs(&x.col(j)))).collect();
    let d = svd(&Matrix::from_fn(x.rows(), x.cols(), |i, j| scales[j].down(x[(i, j)])))?;
    let floor = d.s.first().map_or(T::ZERO, |&s| s * T::of(x.rows() as f64) * T::EPS);
    let rank = d.s.iter().filter(|&&s| s > floor).count();
    if rank < x.cols() {
        return Err(Error::Singular { op, index, pivot: rank });
    }
    Ok(d.u)
}
