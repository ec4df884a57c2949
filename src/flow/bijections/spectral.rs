//! An upper bound of the spectral norm of a weight, smooth in its entries.

use eigenflow_autodiff::{Shape, Var};
use eigenflow_linalg::svd::singular_values;
use eigenflow_linalg::{Matrix, Real};

/// Squarings of `WᵀW`: the norm is of order `2^(SQUARINGS + 1)`.
const SQUARINGS: u32 = 6;
/// Added to the squares of singular values: a weight of zeros has a bound too, far below where it counts.
const LEAST: f64 = 1e-6;

/// Records the Schatten norm `(Σ s_i^2p)^(1/2p)`, `p = 64`, of a shared weight of `n` rows or columns, whichever is less, `s_i²` raised by `1e-6`.
///
/// It is at least the spectral norm `s_1`, and at most `n^(1/128)` times it: 1.04 for `n = 128`. Unlike `s_1` it is differentiable to any order,
/// also where singular values cross. Cost: seven products of `n x n` matrices.
pub(super) fn bound<T: Real>(w: Var<'_, T>) -> Var<'_, T> {
    // W Wᵀ or WᵀW, whichever is smaller.
    let wide = matches!(w.shape(), Shape::Shared { rows, cols } if rows < cols);
    let gram = if wide { w.matmul_t(w) } else { w.outer(w) };
    let n = gram.cols();
    let one = |k: usize| if k / n == k % n { T::ONE } else { T::ZERO };
    let identity = w.recorder().constant(n, n, &(0..n * n).map(one).collect::<Vec<T>>());
    // tr A^p by squaring, each square divided by its trace: their logarithms add up.
    let mut power = gram + identity * T::of(LEAST);
    let mut log = w.recorder().scalar(T::ZERO);
    for k in 0..=SQUARINGS {
        let trace = (power * identity).sum_all();
        log = log + trace.ln() * T::of(0.5_f64.powi(k as i32));
        if k < SQUARINGS {
            let share = power / trace;
            power = share.matmul(share);
        }
    }
    (log * T::of(0.5)).exp()
}

/// The same in numbers, from singular values; infinite where they cannot be had.
pub(super) fn bound_of(w: &Matrix<f64>) -> f64 {
    let Ok(s) = singular_values(w) else { return f64::INFINITY };
    let order = f64::from(1_u32 << SQUARINGS);
    let squares: Vec<f64> = s.iter().map(|s| s * s + LEAST).collect();
    let most = squares.iter().copied().fold(LEAST, f64::max);
    (most * squares.iter().map(|s| (s / most).powf(order)).sum::<f64>().powf(order.recip())).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::generator;
    use eigenflow_autodiff::{Program, gradcheck};
    use rand::RngExt;

    fn weight(rows: usize, cols: usize, size: f64) -> Matrix<f64> {
        let mut random = generator(rows as u64, "spectral-test", cols as u64);
        Matrix::from_fn(rows, cols, |_, _| size * (2.0 * random.random::<f64>() - 1.0))
    }

    #[test]
    fn it_is_above_the_spectral_norm_and_close() {
        for (rows, cols) in [(1, 1), (1, 5), (7, 3), (3, 7), (20, 20)] {
            for size in [1e-3, 1.0, 1e3] {
                let w = weight(rows, cols, size);
                let program = Program::<f64>::record(|r| vec![bound(r.shared(rows, cols))]);
                let found = program.run(0, &[], &[w.data()]).unwrap()[0][0];
                let most = singular_values(&w).unwrap()[0];
                let above = (most * most + LEAST).sqrt() * (rows.min(cols) as f64).powf(128.0_f64.recip());
                assert!(found >= most && found <= above * (1.0 + 1e-12), "{rows} x {cols}: {most} {found}");
                assert!((found / bound_of(&w) - 1.0).abs() < 1e-12, "{found} {}", bound_of(&w));
            }
        }
        // Zeros have no direction, and a bound nevertheless.
        let program = Program::<f64>::record(|r| vec![bound(r.shared(2, 3))]);
        assert!(program.run(0, &[], &[&[0.0; 6]]).unwrap()[0][0] < 2e-3);
    }

    #[test]
    fn it_is_differentiable_where_singular_values_meet() {
        let identity = [1.0, 0.0, 0.0, 1.0];
        gradcheck(|_, v| bound(v[0]), 0, &[(Shape::shared(2, 2), &identity)]).unwrap();
        gradcheck(|_, v| bound(v[0]), 0, &[(Shape::shared(3, 2), weight(3, 2, 1.0).data())]).unwrap();
    }
}
