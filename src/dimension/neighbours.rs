//! Nearest neighbours of rows, with their distances.

use crate::flow::Error;
use eigenflow_linalg::Matrix;
use kdtree::KdTree;
use kdtree::distance::squared_euclidean;

/// Products of coordinates that a search through all rows may cost, and the columns up to which the tree saves most of them.
const WORK: f64 = 5e10;
const FEW_COLUMNS: usize = 16;

/// How many of `n` rows of `d` columns may each be searched for in `among` of them: all in few columns.
pub(super) fn affordable(n: usize, among: usize, d: usize) -> usize {
    if d <= FEW_COLUMNS { n } else { n.min((WORK / (among.max(1) * d) as f64) as usize).max(1) }
}

/// A k-d tree of rows.
#[derive(Debug)]
pub struct Neighbours<'a> {
    rows: &'a Matrix<f64>,
    tree: KdTree<f64, usize, &'a [f64]>,
}

impl<'a> Neighbours<'a> {
    /// The tree of all rows. Cost: about `N log N`.
    ///
    /// # Errors
    /// If an entry is not finite.
    pub fn of(rows: &'a Matrix<f64>) -> Result<Self, Error> {
        finite(rows)?;
        let (n, d) = rows.shape();
        let mut tree = KdTree::new(d);
        for i in 0..n {
            let refused = |_| Error::NotFinite { what: "data", row: i, column: 0 };
            tree.add(rows.row(i), i).map_err(refused)?;
        }
        Ok(Self { rows, tree })
    }

    /// The `k` rows nearest to row `i`, itself not among them, nearest first: distance and row. Fewer where there are fewer rows.
    ///
    /// ```
    /// use eigenflow::dimension::Neighbours;
    /// use eigenflow_linalg::Matrix;
    /// let x = Matrix::new(3, 1, vec![0.0, 1.0, 10.0]);
    /// assert_eq!(Neighbours::of(&x).unwrap().nearest(2, 1), [(9.0, 1)]);
    /// ```
    pub fn nearest(&self, i: usize, k: usize) -> Vec<(f64, usize)> {
        // Entries are finite and the width is the tree's own: the search has no error left.
        let found = self.tree.nearest(self.rows.row(i), k + 1, &squared_euclidean).unwrap_or_default();
        let others = found.into_iter().filter(|(_, j)| **j != i).take(k);
        others.map(|(square, &j)| (square.sqrt(), j)).collect()
    }
}

/// That every entry is a finite number.
pub(super) fn finite(rows: &Matrix<f64>) -> Result<(), Error> {
    match rows.data().iter().position(|v| !v.is_finite()) {
        Some(at) => Err(Error::NotFinite { what: "data", row: at / rows.cols(), column: at % rows.cols() }),
        None => Ok(()),
    }
}
