//! The graph of nearest neighbours of rows.

use crate::flow::Error;
use eigenflow_linalg::Matrix;
use kdtree::KdTree;
use kdtree::distance::squared_euclidean;
use rayon::prelude::*;

/// Pairs `(i, j)`, `i < j`, ascending and each once, of rows of which one is among the `k` nearest of the other.
///
/// Distances are Euclidean with each column in units of its standard deviation (a constant column counts for nothing), by a k-d
/// tree: about `N log N` in few columns, `N²` in many. The same pairs on any number of threads.
///
/// # Errors
/// If an entry is not finite.
///
/// ```
/// use eigenflow::components::nearest_neighbours;
/// use eigenflow_linalg::Matrix;
/// let x = Matrix::new(4, 1, vec![0.0, 1.0, 10.0, 11.5]);
/// assert_eq!(nearest_neighbours(&x, 1).unwrap(), [(0, 1), (2, 3)]);
/// ```
pub fn nearest_neighbours(x: &Matrix<f64>, k: usize) -> Result<Vec<(usize, usize)>, Error> {
    let all: Vec<usize> = (0..x.rows()).collect();
    let lists = nearest_of(x, &all, k)?;
    let of = |(i, list): (usize, Vec<usize>)| list.into_iter().map(move |j| (i.min(j), i.max(j)));
    let mut pairs: Vec<(usize, usize)> = lists.into_iter().enumerate().flat_map(of).collect();
    pairs.sort_unstable();
    pairs.dedup();
    Ok(pairs)
}

/// The `k` nearest other rows of each row named in `rows`, nearest first; distances as in [`nearest_neighbours`].
///
/// # Errors
/// If an entry is not finite.
///
/// # Panics
/// If a row does not exist.
pub fn nearest_of(x: &Matrix<f64>, rows: &[usize], k: usize) -> Result<Vec<Vec<usize>>, Error> {
    let (n, d) = x.shape();
    if let Some(at) = x.data().iter().position(|v| !v.is_finite()) {
        return Err(Error::NotFinite { what: "data", row: at / d, column: at % d });
    }
    let unit = in_deviations(x);
    let not_finite = |row: usize| move |_| Error::NotFinite { what: "data", row, column: 0 };
    let mut tree = KdTree::new(d);
    for i in 0..n {
        tree.add(unit.row(i), i).map_err(not_finite(i))?;
    }
    let near = |&i: &usize| {
        let found = tree.nearest(unit.row(i), k.min(n - 1) + 1, &squared_euclidean).map_err(not_finite(i))?;
        Ok(found.into_iter().map(|(_, &j)| j).filter(|&j| j != i).take(k).collect())
    };
    rows.par_iter().map(near).collect()
}

/// Columns centred, in units of their standard deviations; zeros where a column is constant.
fn in_deviations(x: &Matrix<f64>) -> Matrix<f64> {
    let (n, d) = x.shape();
    let mut out = x.clone();
    for j in 0..d {
        // Scaled first: squares of finite numbers may overflow.
        let largest = (0..n).fold(0.0_f64, |m, i| m.max(x[(i, j)].abs()));
        let scaled: Vec<f64> =
            (0..n).map(|i| if largest > 0.0 { x[(i, j)] / largest } else { 0.0 }).collect();
        let mean = scaled.iter().sum::<f64>() / n as f64;
        let deviation = (scaled.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
        for (i, v) in scaled.iter().enumerate() {
            out[(i, j)] = if deviation > 0.0 { (v - mean) / deviation } else { 0.0 };
        }
    }
    out
}
