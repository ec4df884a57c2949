//! The last layer of a coupling's network and the derivative of `y` by its outputs, as one matrix for each row.

use super::coupling::rates;
use super::network::TILE;
use eigenflow_linalg::Real;
use eigenflow_linalg::elementary::Kernel;

/// Lines (rows times tangents) that pass the network together.
pub(super) const LINES: usize = 2 * TILE;
/// From so many moved columns and so many lines a row on, the two halves of the last layer are folded before the product:
/// the fold costs as much as the product of some twelve lines with one of them.
const FOLD: [usize; 2] = [16, 16];

/// Whether the last layer is folded, for `moved` columns and `lines` tangents a row.
pub(super) fn folds(moved: usize, lines: usize) -> bool {
    moved >= FOLD[0] && lines >= FOLD[1]
}

/// [`rates`] of all columns of a tile of rows.
pub(super) struct Rates<'a, 'b, T> {
    pub generate: bool,
    pub b: &'a [T],
    pub y: &'a [T],
    pub tanh: &'a [T],
    pub scale: &'a [T],
    pub alpha: &'b mut [T],
    pub beta: &'b mut [T],
}

impl<T: Real> Kernel for Rates<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let of = self.b.iter().zip(self.y).zip(self.tanh).zip(self.scale);
        for ((((&b, &y), &tanh), &scale), (alpha, beta)) in of.zip(self.alpha.iter_mut().zip(self.beta)) {
            (*alpha, *beta) = rates(self.generate, b, y, tanh, scale);
        }
    }
}

/// `fold[j, :] = α_j W_s[j, :] + β_j W_t[j, :]`, or its transpose from `Wᵀ`, whose product needs no transpose.
pub(super) struct FoldWeights<'a, 'b, T> {
    pub alpha: &'a [T],
    pub beta: &'a [T],
    /// `W`, or `Wᵀ`.
    pub weight: &'a [T],
    pub turned: bool,
    pub fold: &'b mut [T],
}

impl<T: Real> Kernel for FoldWeights<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let m = self.alpha.len();
        if self.turned {
            for (fold, w) in self.fold.chunks_exact_mut(m).zip(self.weight.chunks_exact(2 * m)) {
                let (s, t) = w.split_at(m);
                let rates = self.alpha.iter().zip(self.beta);
                for (((f, &s), &t), (&alpha, &beta)) in fold.iter_mut().zip(s).zip(t).zip(rates) {
                    *f = s * alpha + t * beta;
                }
            }
            return;
        }
        let h = self.fold.len() / m;
        let (of_s, of_t) = self.weight.split_at(self.fold.len());
        let weights = of_s.chunks_exact(h).zip(of_t.chunks_exact(h));
        let rates = self.alpha.iter().zip(self.beta);
        for ((fold, (s, t)), (&alpha, &beta)) in self.fold.chunks_exact_mut(h).zip(weights).zip(rates) {
            for ((f, &s), &t) in fold.iter_mut().zip(s).zip(t) {
                *f = s * alpha + t * beta;
            }
        }
    }
}
