//! The leading singular triplets of a matrix that is known by its products only.
//!
//! A block Golub-Kahan iteration with full orthogonalisation and thick restarts. The caller multiplies: it is
//! handed lines (vectors, one a row) and gives back their products with `A` and with `Aᵀ` in turn, so that many
//! matrices advance together where their products come in batches. It also says when to look at what has been found, which
//! costs as much as several turns.

use crate::basis::{Basis, norm};
use crate::svd::{Svd, svd};
use crate::{Error, Matrix, Real};

/// Leading singular triplets, `A v = σ u`, largest first.
#[derive(Clone, Debug)]
pub struct Triplets<T> {
    /// Singular values.
    pub values: Vec<T>,
    /// Left singular vectors, one a line.
    pub left: Matrix<T>,
    /// Right singular vectors, one a line.
    pub right: Matrix<T>,
}

/// The leading singular triplets of one `m x n` matrix `A`, from products with blocks of `b` vectors.
///
/// Right and left bases `Q` and `P` with `A Q = P R` grow by a block a turn; the singular values of `R` are the
/// Ritz values, which never exceed those of `A`. With `u`, `v` a Ritz pair, `A v = σ u` holds by
/// construction and `‖Aᵀu - σv‖` is the residual: some singular value of `A` lies within it. Where the start is
/// random, singular values of multiplicity up to `b` are found, and of any one if the bases reach an invariant subspace: what
/// is left of the start then goes on.
///
/// A narrow block needs the fewest products and a wide one makes the best of them. The bases are cut back at some six times
/// `top` vectors, so memory is `O(top (m + n))`; a turn takes two products with `b` vectors and `O(b top (m + n))` flops, a
/// look `O(top³)`.
///
/// # References
/// G. H. Golub, F. T. Luk and M. L. Overton, "A block Lanczos method for computing the singular values and corresponding
/// singular vectors of a matrix" (1981); J. Baglama and L. Reichel, "Augmented implicitly restarted Lanczos
/// bidiagonalization methods" (2005).
///
/// ```
/// use eigenflow_linalg::{Matrix, krylov::LeadingSvd};
/// let a = Matrix::diagonal(&[1.0, 5.0, 3.0]);
/// let start = Matrix::new(1, 3, vec![1.0, 1.0, 1.0]);
/// let mut found = LeadingSvd::new(3, &start, 1).unwrap();
/// while found.residual(0) > 1e-12 {
///     let products = found.block().mul(&a.transpose());
///     found.multiplied(products).unwrap();
///     let products = found.left_block().mul(&a);
///     found.pulled(products).unwrap();
///     found.look().unwrap();
/// }
/// assert!((found.triplets(1).unwrap().values[0] - 5.0_f64).abs() < 1e-12);
/// ```
#[derive(Clone, Debug)]
pub struct LeadingSvd<T> {
    right: Basis<T>,
    left: Basis<T>,
    /// `A Q = P R`, stored as the lines of `Rᵀ`: line `i` holds the coefficients of `A q_i`.
    r: Vec<Vec<T>>,
    /// The block whose products are awaited.
    next: Matrix<T>,
    /// The part of the last `Aᵀ P` outside `Q`: its coefficients in `next`.
    beyond: Matrix<T>,
    /// Lines of the start that are not in the block: they take the place of lines that vanish.
    spare: Vec<Vec<T>>,
    /// Vectors of a basis before a restart, and after one.
    sizes: [usize; 2],
    small: Option<Svd<T>>,
}

impl<T: Real> LeadingSvd<T> {
    /// An iteration on matrices of `m` rows for their first `top` triplets, from `top` lines of `n` random numbers, or fewer. The
    /// first `width` of them are the block.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if the start is not finite.
    pub fn new(m: usize, start: &Matrix<T>, width: usize) -> Result<Self, Error> {
        start.check_finite("leading singular triplets")?;
        let (top, n) = start.shape();
        let b = width.clamp(1, top.max(1)).min(top);
        let right = Basis::new(n);
        let mut next = Matrix::new(b, n, start.data()[..b * n].to_vec());
        right.split(&mut next)?;
        let spare = (b..top).rev().map(|i| start.row(i).to_vec()).collect();
        // Much room for few vectors, twice and a half as much as is wanted for many.
        let most = (6 * top).min(3 * top + 48).max(32).min(n.max(2 * b));
        let sizes = [most, (most / 3).max(top + b)];
        let (left, beyond) = (Basis::new(m), Matrix::zeros(0, 0));
        Ok(Self { right, left, r: Vec::new(), next, beyond, spare, sizes, small: None })
    }

    /// The lines to be multiplied by `A` next, `[b, n]`.
    pub fn block(&self) -> &Matrix<T> {
        &self.next
    }

    /// The lines to be multiplied by `Aᵀ` next, `[b, m]`.
    pub fn left_block(&self) -> Matrix<T> {
        let (b, m) = (self.next.rows(), self.left.length);
        let first = self.left.lines.len() - b * m;
        Matrix::new(b, m, self.left.lines[first..].to_vec())
    }

    /// Takes the products of [`LeadingSvd::block`] with `A`, `[b, m]`.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if one is not finite, [`Error::Shape`] if the shape does not fit.
    pub fn multiplied(&mut self, mut products: Matrix<T>) -> Result<(), Error> {
        self.check(&products, self.left.length)?;
        let (inside, beside) = self.left.split(&mut products)?;
        for i in 0..products.rows() {
            self.r.push(inside.row(i).iter().chain(beside.row(i)).copied().collect());
        }
        self.right.lines.extend_from_slice(self.next.data());
        self.left.lines.extend_from_slice(products.data());
        Ok(())
    }

    /// Takes the products of [`LeadingSvd::left_block`] with `Aᵀ`, `[b, n]`, and prepares the next block.
    ///
    /// # Errors
    /// As [`LeadingSvd::multiplied`], and those of [`svd`].
    pub fn pulled(&mut self, mut products: Matrix<T>) -> Result<(), Error> {
        self.check(&products, self.right.length)?;
        let (_, beside) = self.right.split(&mut products)?;
        self.next = products;
        self.beyond = beside;
        self.small = None;
        self.refill()?;
        let full = self.right.count() + self.next.rows() > self.sizes[0];
        if full && !self.exhausted() {
            self.look()?;
            self.restart()?;
        }
        Ok(())
    }

    /// Puts lines of the start in the place of lines that vanished.
    fn refill(&mut self) -> Result<(), Error> {
        let n = self.right.length;
        for i in 0..self.next.rows() {
            while !self.spare.is_empty() && self.next.row(i).iter().all(|v| *v == T::ZERO) {
                let Some(line) = self.spare.pop() else { break };
                let mut all = self.right.clone();
                all.lines.extend_from_slice(self.next.data());
                let mut line = Matrix::new(1, n, line);
                all.split(&mut line)?;
                self.next.row_mut(i).copy_from_slice(line.data());
            }
        }
        Ok(())
    }

    /// Solves the small problem: Ritz values and residuals as they stand.
    ///
    /// # Errors
    /// Those of [`svd`].
    pub fn look(&mut self) -> Result<(), Error> {
        if self.small.is_none() {
            self.small = Some(svd(&self.triangle())?);
        }
        Ok(())
    }

    /// Whether nothing is left to search: the basis spans an invariant subspace.
    pub fn exhausted(&self) -> bool {
        self.next.data().iter().all(|v| *v == T::ZERO)
    }

    /// `‖Aᵀu - σv‖` of Ritz pair `k`, if there was a look since the last product; else infinite.
    pub fn residual(&self, k: usize) -> T {
        let Some(small) = &self.small else { return T::INFINITY };
        if k >= small.s.len() {
            return T::INFINITY;
        }
        // Aᵀ u = Σ_j x_j Aᵀ p_j: only the last block of P leads out of Q, by `beyond`.
        let (m, b) = (small.u.rows(), self.beyond.rows());
        let outside = |c: usize| -> T { (0..b).map(|i| small.u[(m - b + i, k)] * self.beyond[(i, c)]).sum() };
        norm(&(0..self.beyond.cols()).map(outside).collect::<Vec<T>>())
    }

    /// The Ritz value `σ_k`, if there was a look since the last product.
    pub fn value(&self, k: usize) -> Option<T> {
        self.small.as_ref()?.s.get(k).copied()
    }

    /// The `top` leading Ritz triplets, fewer if the basis has fewer vectors.
    ///
    /// # Errors
    /// Those of [`svd`].
    pub fn triplets(&self, top: usize) -> Result<Triplets<T>, Error> {
        let small = match &self.small {
            Some(small) => small.clone(),
            None => svd(&self.triangle())?,
        };
        let k = top.min(small.s.len());
        let leading = |w: &Matrix<T>| Matrix::from_fn(k, w.rows(), |i, j| w[(j, i)]);
        Ok(Triplets {
            values: small.s[..k].to_vec(),
            left: self.left.combined(leading(&small.u).view())?,
            right: self.right.combined(leading(&small.v).view())?,
        })
    }

    /// `R`, whose column `i` holds the coefficients of `A q_i` in `P`.
    fn triangle(&self) -> Matrix<T> {
        let n = self.r.len();
        Matrix::from_fn(n, n, |i, j| self.r[j].get(i).copied().unwrap_or(T::ZERO))
    }

    /// Cuts the bases back to the leading Ritz vectors: `A Q = P diag(σ)` again.
    fn restart(&mut self) -> Result<(), Error> {
        let Some(small) = self.small.take() else { return Ok(()) };
        let kept = self.sizes[1].min(small.s.len());
        let leading = |w: &Matrix<T>| Matrix::from_fn(kept, w.rows(), |i, j| w[(j, i)]);
        let (x, y) = (leading(&small.u), leading(&small.v));
        // `beyond` is told in the new left basis: its lines are Aᵀ of the last `b` old vectors.
        let (m, b) = (small.u.rows(), self.beyond.rows());
        let last = Matrix::from_fn(kept, b, |i, j| small.u[(m - b + j, i)]);
        self.beyond = last.mul(&self.beyond);
        self.left.combine(x.view())?;
        self.right.combine(y.view())?;
        self.r =
            (0..kept).map(|i| (0..=i).map(|j| if i == j { small.s[i] } else { T::ZERO }).collect()).collect();
        let (u, v) = (Matrix::identity(kept), Matrix::identity(kept));
        self.small = Some(Svd { u, s: small.s[..kept].to_vec(), v });
        Ok(())
    }

    fn check(&self, products: &Matrix<T>, length: usize) -> Result<(), Error> {
        let expected = (self.next.rows(), length);
        if products.shape() != expected {
            let remedy = "give one product for each line of the block";
            let op = "leading singular triplets";
            return Err(Error::Shape { op, lhs: products.shape(), rhs: expected, remedy });
        }
        products.check_finite("leading singular triplets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draw(rows: usize, cols: usize, seed: u64) -> Matrix<f64> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Matrix::from_fn(rows, cols, |_, _| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 11) as f64 / (1_u64 << 53) as f64) - 0.5
        })
    }

    fn turn<T: Real>(found: &mut LeadingSvd<T>, a: &Matrix<T>) {
        let products = found.block().mul(&a.transpose());
        found.multiplied(products).unwrap();
        let products = found.left_block().mul(a);
        found.pulled(products).unwrap();
        found.look().unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Values, vectors and residuals against the dense decomposition, through restarts.
        #[test]
        fn agrees_with_the_dense_decomposition(m in 1_usize..70, n in 1_usize..70, b in 1_usize..5, more in 0_usize..6, decay in 0.0..6.0_f64, seed in 0_u64..1000) {
            let (u, v) = (svd(&draw(m, m, seed)).unwrap().u, svd(&draw(n, n, seed + 1)).unwrap().u);
            let k = m.min(n);
            let s = Matrix::from_fn(m, n, |i, j| if i == j { (-decay * i as f64 / k as f64).exp() } else { 0.0 });
            let a = u.mul(&s).mul(&v.transpose());
            let top = (b + more).min(k);
            let b = b.min(top);
            let mut found = LeadingSvd::new(m, &draw(top, n, seed + 2), b).unwrap();
            let mut turns = 0;
            while !((0..top).all(|k| found.residual(k) <= 1e-10) || found.exhausted()) {
                turn(&mut found, &a);
                turns += 1;
                prop_assert!(turns < 3000, "{m} x {n}, {b} of {top}: {:?}", (0..top).map(|k| found.residual(k)).collect::<Vec<_>>());
            }
            let got = found.triplets(top).unwrap();
            prop_assert_eq!(got.values.len(), top);
            let (av, atu) = (got.right.mul(&a.transpose()), got.left.mul(&a));
            for i in 0..top {
                // Equal values (decay 0) are found as often as they are wanted.
                prop_assert!((got.values[i] - s[(i, i)]).abs() <= 1e-9, "{} {}", got.values[i], s[(i, i)]);
                let off = |x: &[f64], y: &[f64], by: f64| norm(&x.iter().zip(y).map(|(x, y)| x - by * y).collect::<Vec<_>>());
                prop_assert!(off(av.row(i), got.left.row(i), got.values[i]) <= 1e-12);
                let residual = off(atu.row(i), got.right.row(i), got.values[i]);
                prop_assert!((residual - found.residual(i)).abs() <= 1e-12, "{residual} {}", found.residual(i));
            }
        }
    }

    #[test]
    fn the_identity_and_the_zero_matrix_are_exhausted_at_once() {
        for a in [Matrix::identity(6), Matrix::zeros(6, 6)] {
            let mut found = LeadingSvd::new(6, &draw(2, 6, 3), 2).unwrap();
            turn(&mut found, &a);
            assert!(found.exhausted() && found.residual(1) <= 1e-15);
            let values = found.triplets(2).unwrap().values;
            assert!(values.iter().all(|s| (s - a[(0, 0)]).abs() < 1e-14), "{values:?}");
        }
    }

    /// A value five times, by blocks of two: what is left of the start takes over where they are exhausted.
    #[test]
    fn a_multiple_value_is_found_by_a_narrower_block() {
        let a = Matrix::from_fn(9, 9, |i, j| if i == j { [3.0, 1.0][usize::from(i >= 5)] } else { 0.0 });
        let mut found = LeadingSvd::new(9, &draw(6, 9, 3), 2).unwrap();
        while !found.exhausted() {
            turn(&mut found, &a);
        }
        let values = found.triplets(6).unwrap().values;
        let off = values.iter().zip([3.0, 3.0, 3.0, 3.0, 3.0, 1.0]).map(|(s, t)| (s - t).abs());
        assert!(off.fold(0.0, f64::max) < 1e-14, "{values:?}");
    }

    #[test]
    fn what_is_not_finite_or_does_not_fit_is_refused() {
        assert!(LeadingSvd::new(2, &Matrix::new(1, 2, vec![f64::NAN, 0.0]), 1).is_err());
        let mut found = LeadingSvd::new(2, &draw(1, 2, 1), 1).unwrap();
        assert!(matches!(found.multiplied(draw(1, 3, 1)), Err(Error::Shape { .. })));
        let bad = Matrix::new(1, 2, vec![f64::INFINITY, 0.0]);
        assert!(matches!(found.multiplied(bad), Err(Error::NotFinite { .. })));
    }

    #[test]
    fn single_precision_reaches_its_rounding() {
        let a = Matrix::from_fn(40, 40, |i, j| if i == j { 0.8_f32.powi(i as i32) } else { 0.0 });
        let mut found = LeadingSvd::new(40, &draw(3, 40, 5).cast::<f32>(), 3).unwrap();
        for _ in 0..30 {
            turn(&mut found, &a);
        }
        let values = found.triplets(3).unwrap().values;
        for (i, s) in values.iter().enumerate() {
            assert!((s - 0.8_f32.powi(i as i32)).abs() < 4e-6, "{values:?}");
        }
    }
}
