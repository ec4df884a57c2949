//! The leading singular triplets of a matrix that is known by its products only.
//!
//! A block Golub-Kahan iteration with full orthogonalisation and thick restarts. The caller multiplies: it is
//! handed lines (vectors, one a row) and gives back their products with `A` and with `Aᵀ` in turn, so that many
//! matrices advance together where their products come in batches.

use crate::product::{Accum, MatRef, matmul};
use crate::svd::{Svd, svd};
use crate::{Error, Matrix, Real};

/// Blocks of the basis after which it is cut back.
const MOST_BLOCKS: usize = 8;
/// Blocks that are kept then: the leading Ritz vectors.
const KEPT_BLOCKS: usize = 3;
/// The small problem is solved after every so many blocks.
const LOOK: usize = 2;

/// An orthonormal basis, one vector a line.
#[derive(Clone, Debug)]
struct Basis<T> {
    length: usize,
    lines: Vec<T>,
}

impl<T: Real> Basis<T> {
    fn new(length: usize) -> Self {
        Self { length, lines: Vec::new() }
    }

    fn count(&self) -> usize {
        self.lines.len() / self.length
    }

    fn view(&self) -> MatRef<'_, T> {
        MatRef::from_row_major_slice(&self.lines, self.count(), self.length)
    }

    /// Replaces the basis by `weights · basis`: one new vector for each line of the weights.
    fn combine(&mut self, weights: MatRef<'_, T>) -> Result<(), Error> {
        self.lines = self.combined(weights)?.into_data();
        Ok(())
    }

    fn combined(&self, weights: MatRef<'_, T>) -> Result<Matrix<T>, Error> {
        let mut out = Matrix::zeros(weights.nrows(), self.length);
        matmul(out.view_mut(), Accum::Replace, T::ONE, weights, self.view())?;
        Ok(out)
    }

    /// Splits the lines of a block into what lies in the span of the basis and an orthonormal rest:
    /// `X = C · basis + R · X'`. `X'` replaces `X`; a line with no rest becomes zero.
    ///
    /// Classical Gram-Schmidt against the basis and a modified one within the block, twice: orthogonal to rounding
    /// (Giraud, Langou and Rozložník 2005).
    fn split(&self, x: &mut Matrix<T>) -> Result<(Matrix<T>, Matrix<T>), Error> {
        let (b, j) = (x.rows(), self.count());
        let mut sizes: Vec<T> = (0..b).map(|i| norm(x.row(i))).collect();
        let mut inside = Matrix::zeros(b, j);
        let mut beside = Matrix::identity(b);
        for _ in 0..2 {
            let mut c = Matrix::zeros(b, j);
            if j > 0 {
                matmul(c.view_mut(), Accum::Replace, T::ONE, x.view(), self.view().transpose())?;
                matmul(x.view_mut(), Accum::Add, -T::ONE, c.view(), self.view())?;
                // X = inside B + beside X₁ and X₁ = c B + r X₂.
                matmul(inside.view_mut(), Accum::Add, T::ONE, beside.view(), c.view())?;
            }
            let r = orthonormalise(x, &sizes);
            beside = beside.mul(&r);
            sizes.fill(T::ONE);
        }
        Ok((inside, beside))
    }
}

fn norm<T: Real>(x: &[T]) -> T {
    let largest = x.iter().fold(T::ZERO, |m, v| m.maximum(v.abs()));
    if largest == T::ZERO || !largest.is_finite() {
        return largest;
    }
    let sum: T = x.iter().map(|&v| (v / largest) * (v / largest)).sum();
    largest * sum.sqrt()
}

/// Orthonormal lines: `X = R X'` with `R` lower triangular. A line that is nothing beside `sizes` becomes zero.
fn orthonormalise<T: Real>(x: &mut Matrix<T>, sizes: &[T]) -> Matrix<T> {
    let (b, n) = x.shape();
    let mut r = Matrix::zeros(b, b);
    for i in 0..b {
        let (before, rest) = x.data_mut().split_at_mut(i * n);
        let line = &mut rest[..n];
        for (k, other) in before.chunks_exact(n).enumerate() {
            let c: T = line.iter().zip(other).map(|(a, b)| *a * *b).sum();
            line.iter_mut().zip(other).for_each(|(a, b)| *a -= c * *b);
            r[(i, k)] = c;
        }
        let size = norm(line);
        if size > T::of(32.0) * T::EPS * sizes[i] {
            line.iter_mut().for_each(|v| *v /= size);
            r[(i, i)] = size;
        } else {
            line.fill(T::ZERO);
        }
    }
    r
}

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
/// random, singular values of multiplicity up to `b` are found.
///
/// Memory `O(b (m + n))`; a turn takes two products with `b` vectors and `O(b² (m + n))` flops.
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
/// let mut found = LeadingSvd::new(3, start).unwrap();
/// while found.residual(0) > 1e-12 {
///     let products = found.block().mul(&a.transpose());
///     found.multiplied(products).unwrap();
///     let products = found.left_block().mul(&a);
///     found.pulled(products).unwrap();
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
    small: Option<Svd<T>>,
    turns: usize,
}

impl<T: Real> LeadingSvd<T> {
    /// An iteration on matrices of `m` rows, from a block of lines of `n` random numbers.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if the start is not finite.
    pub fn new(m: usize, mut start: Matrix<T>) -> Result<Self, Error> {
        start.check_finite("leading singular triplets")?;
        let right = Basis::new(start.cols());
        right.split(&mut start)?;
        let beyond = Matrix::zeros(0, 0);
        let next = start;
        Ok(Self { right, left: Basis::new(m), r: Vec::new(), next, beyond, small: None, turns: 0 })
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
        self.turns += 1;
        let b = self.next.rows();
        let full = self.right.count() + b > (MOST_BLOCKS * b).min(self.right.length.max(2 * b));
        self.small = None;
        if full || self.turns.is_multiple_of(LOOK) || self.exhausted() {
            self.small = Some(svd(&self.triangle())?);
        }
        if full && !self.exhausted() {
            self.restart()?;
        }
        Ok(())
    }

    /// Whether nothing is left to search: the basis spans an invariant subspace.
    pub fn exhausted(&self) -> bool {
        self.next.data().iter().all(|v| *v == T::ZERO)
    }

    /// `‖Aᵀu - σv‖` of Ritz pair `k` at the last look, infinite before one.
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

    /// The Ritz value `σ_k` at the last look.
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
        let kept = (KEPT_BLOCKS * self.next.rows()).min(small.s.len());
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
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Values, vectors and residuals against the dense decomposition, through restarts.
        #[test]
        fn agrees_with_the_dense_decomposition(m in 1_usize..70, n in 1_usize..70, b in 1_usize..5, decay in 0.0..6.0_f64, seed in 0_u64..1000) {
            let (u, v) = (svd(&draw(m, m, seed)).unwrap().u, svd(&draw(n, n, seed + 1)).unwrap().u);
            let k = m.min(n);
            let s = Matrix::from_fn(m, n, |i, j| if i == j { (-decay * i as f64 / k as f64).exp() } else { 0.0 });
            let a = u.mul(&s).mul(&v.transpose());
            let b = b.min(k);
            let mut found = LeadingSvd::new(m, draw(b, n, seed + 2)).unwrap();
            let mut turns = 0;
            while !((0..b).all(|k| found.residual(k) <= 1e-10) || found.exhausted()) {
                turn(&mut found, &a);
                turns += 1;
                prop_assert!(turns < 3000, "{m} x {n}, {b}: {:?}", (0..b).map(|k| found.residual(k)).collect::<Vec<_>>());
            }
            let got = found.triplets(b).unwrap();
            let (av, atu) = (got.right.mul(&a.transpose()), got.left.mul(&a));
            for i in 0..b {
                // Equal values (decay 0) are found as often as the block is wide.
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
            let mut found = LeadingSvd::new(6, draw(2, 6, 3)).unwrap();
            turn(&mut found, &a);
            assert!(found.exhausted() && found.residual(1) <= 1e-15);
            let values = found.triplets(2).unwrap().values;
            assert!(values.iter().all(|s| (s - a[(0, 0)]).abs() < 1e-14), "{values:?}");
        }
    }

    #[test]
    fn what_is_not_finite_or_does_not_fit_is_refused() {
        assert!(LeadingSvd::new(2, Matrix::new(1, 2, vec![f64::NAN, 0.0])).is_err());
        let mut found = LeadingSvd::new(2, draw(1, 2, 1)).unwrap();
        assert!(matches!(found.multiplied(draw(1, 3, 1)), Err(Error::Shape { .. })));
        let bad = Matrix::new(1, 2, vec![f64::INFINITY, 0.0]);
        assert!(matches!(found.multiplied(bad), Err(Error::NotFinite { .. })));
    }

    #[test]
    fn single_precision_reaches_its_rounding() {
        let a = Matrix::from_fn(40, 40, |i, j| if i == j { 0.8_f32.powi(i as i32) } else { 0.0 });
        let mut found = LeadingSvd::new(40, draw(3, 40, 5).cast::<f32>()).unwrap();
        for _ in 0..30 {
            turn(&mut found, &a);
        }
        let values = found.triplets(3).unwrap().values;
        for (i, s) in values.iter().enumerate() {
            assert!((s - 0.8_f32.powi(i as i32)).abs() < 4e-6, "{values:?}");
        }
    }
}
