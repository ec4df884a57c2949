//! Columns that move in a coupling, and those that pass.

use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;

/// Columns that pass unchanged, ascending.
pub(super) fn passed(dim: usize, moved: &[usize]) -> Vec<usize> {
    (0..dim).filter(|j| !moved.contains(j)).collect()
}

/// That the columns that move are columns, in order.
pub(super) fn check(dim: usize, moved: &[usize]) -> Result<(), &'static str> {
    let ascending = moved.windows(2).all(|w| w[0] < w[1]);
    if !ascending || moved.last().is_some_and(|&j| j >= dim) {
        return Err("the moved columns must be ascending and smaller than the number of columns");
    }
    Ok(())
}

/// Passed columns, and the columns `at` moved, put back in their places.
pub(super) fn join<'t, T: Real>(passing: Var<'t, T>, moved: Var<'t, T>, at: &[usize]) -> Var<'t, T> {
    let dim = passing.cols() + moved.cols();
    let order: Vec<usize> = passed(dim, at).into_iter().chain(at.iter().copied()).collect();
    Var::concat(&[passing, moved]).gather(&inverse(&order))
}

/// The permutation that undoes another one.
pub(super) fn inverse(indices: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; indices.len()];
    indices.iter().enumerate().for_each(|(k, &i)| inverse[i] = k);
    inverse
}
