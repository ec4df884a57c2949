//! The best one-to-one assignment.

use eigenflow_linalg::Matrix;

/// For each row of a square matrix of weights the column it is given, each column once, such that the sum of the weights is largest.
///
/// The Hungarian method with potentials (H. W. Kuhn 1955, J. Munkres 1957), a row at a time by shortest augmenting paths.
/// Cost `O(n³)`. Weights that are not finite count as the least of all.
///
/// # Panics
/// If the matrix is not square.
///
/// ```
/// use eigenflow::components::assignment;
/// use eigenflow_linalg::Matrix;
/// // Greedily 9 + 1; 8 + 7 is more.
/// assert_eq!(assignment(&Matrix::new(2, 2, vec![9.0, 8.0, 7.0, 1.0])), [1, 0]);
/// ```
pub fn assignment(weights: &Matrix<f64>) -> Vec<usize> {
    let n = weights.rows();
    assert_eq!(n, weights.cols(), "an assignment needs as many columns as rows");
    let largest = weights.data().iter().copied().filter(|w| w.is_finite()).fold(0.0_f64, f64::max);
    let least = weights.data().iter().copied().filter(|w| w.is_finite()).fold(0.0_f64, f64::min);
    let cost = |i: usize, j: usize| {
        let w = weights[(i, j)];
        largest - if w.is_finite() { w } else { least }
    };
    // Row 0 and column 0 are imaginary; `row_of[j]` is the row that holds column j.
    let (mut u, mut v) = (vec![0.0; n + 1], vec![0.0; n + 1]);
    let (mut row_of, mut before) = (vec![0_usize; n + 1], vec![0_usize; n + 1]);
    for i in 1..=n {
        row_of[0] = i;
        let mut j = 0;
        let mut slack = vec![f64::INFINITY; n + 1];
        let mut used = vec![false; n + 1];
        while row_of[j] != 0 {
            used[j] = true;
            let (row, mut step, mut next) = (row_of[j], f64::INFINITY, 0);
            for k in (1..=n).filter(|&k| !used[k]) {
                let reduced = cost(row - 1, k - 1) - u[row] - v[k];
                if reduced < slack[k] {
                    (slack[k], before[k]) = (reduced, j);
                }
                if slack[k] < step {
                    (step, next) = (slack[k], k);
                }
            }
            for k in 0..=n {
                if used[k] {
                    u[row_of[k]] += step;
                    v[k] -= step;
                } else {
                    slack[k] -= step;
                }
            }
            j = next;
        }
        while j != 0 {
            row_of[j] = row_of[before[j]];
            j = before[j];
        }
    }
    let mut out = vec![0; n];
    (1..=n).for_each(|j| out[row_of[j] - 1] = j - 1);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::generator;
    use rand::RngExt;

    /// Against all permutations.
    #[test]
    fn nothing_is_better() {
        let mut random = generator(1, "weights", 0);
        for n in 0..7 {
            for _ in 0..20 {
                let w = Matrix::from_fn(n, n, |_, _| random.random_range(-1.0..1.0));
                let of = |p: &[usize]| p.iter().enumerate().map(|(i, &j)| w[(i, j)]).sum::<f64>();
                let found = assignment(&w);
                let mut sorted = found.clone();
                sorted.sort_unstable();
                assert!(sorted.into_iter().eq(0..n));
                let mut best = f64::NEG_INFINITY;
                permutations(&mut (0..n).collect::<Vec<_>>(), 0, &mut |p| best = best.max(of(p)));
                assert!((of(&found) - best).abs() < 1e-12, "{n}: {} {best}", of(&found));
            }
        }
    }

    fn permutations(p: &mut Vec<usize>, at: usize, see: &mut dyn FnMut(&[usize])) {
        if at == p.len() {
            return see(p);
        }
        for k in at..p.len() {
            p.swap(at, k);
            permutations(p, at + 1, see);
            p.swap(at, k);
        }
    }
}
