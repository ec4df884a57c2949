//! Row-major matrices and batches of them.

use crate::finite::{all_finite, all_finite_by_threads};
use crate::{Error, Real};
use faer::{MatMut, MatRef};

/// A dense row-major matrix: entry `(i, j)` is `data[i * cols + j]`.
///
/// ```
/// use eigenflow_linalg::Matrix;
/// let a = Matrix::new(2, 2, vec![1.0, 2.0, 3.0, 4.0]);
/// assert_eq!(a[(1, 0)], 3.0);
/// assert_eq!(a.transpose()[(1, 0)], 2.0);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix<T> {
    rows: usize,
    cols: usize,
    data: Vec<T>,
}

impl<T: Real> Matrix<T> {
    /// A matrix from its entries, row by row.
    ///
    /// # Panics
    /// If `data.len() != rows * cols`.
    pub fn new(rows: usize, cols: usize, data: Vec<T>) -> Self {
        assert_eq!(data.len(), rows * cols, "a {rows} x {cols} matrix needs {} entries", rows * cols);
        Self { rows, cols, data }
    }

    /// All entries zero.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, data: vec![T::ZERO; rows * cols] }
    }

    /// Ones on the diagonal.
    pub fn identity(n: usize) -> Self {
        Self::from_fn(n, n, |i, j| if i == j { T::ONE } else { T::ZERO })
    }

    /// Entry `(i, j)` is `f(i, j)`.
    pub fn from_fn(rows: usize, cols: usize, mut f: impl FnMut(usize, usize) -> T) -> Self {
        let mut data = Vec::with_capacity(rows * cols);
        for i in 0..rows {
            for j in 0..cols {
                data.push(f(i, j));
            }
        }
        Self { rows, cols, data }
    }

    /// A diagonal matrix.
    pub fn diagonal(d: &[T]) -> Self {
        Self::from_fn(d.len(), d.len(), |i, j| if i == j { d[i] } else { T::ZERO })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// All entries, row by row.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// All entries, row by row.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// The entries, row by row, giving up the matrix.
    pub fn into_data(self) -> Vec<T> {
        self.data
    }

    /// Row `i`.
    pub fn row(&self, i: usize) -> &[T] {
        &self.data[i * self.cols..(i + 1) * self.cols]
    }

    /// Row `i`.
    pub fn row_mut(&mut self, i: usize) -> &mut [T] {
        &mut self.data[i * self.cols..(i + 1) * self.cols]
    }

    /// Column `j`, copied.
    pub fn col(&self, j: usize) -> Vec<T> {
        (0..self.rows).map(|i| self[(i, j)]).collect()
    }

    /// A view for faer's routines.
    pub fn view(&self) -> MatRef<'_, T> {
        MatRef::from_row_major_slice(&self.data, self.rows, self.cols)
    }

    /// A mutable view for faer's routines.
    pub fn view_mut(&mut self) -> MatMut<'_, T> {
        MatMut::from_row_major_slice_mut(&mut self.data, self.rows, self.cols)
    }

    /// The transpose, copied.
    #[must_use]
    pub fn transpose(&self) -> Self {
        Self::from_fn(self.cols, self.rows, |i, j| self[(j, i)])
    }

    /// The same matrix with other scalars.
    pub fn cast<U: Real>(&self) -> Matrix<U> {
        Matrix { rows: self.rows, cols: self.cols, data: self.data.iter().map(|x| U::of(x.f64())).collect() }
    }

    /// Entrywise map.
    #[must_use]
    pub fn map(&self, f: impl FnMut(T) -> T) -> Self {
        Self { rows: self.rows, cols: self.cols, data: self.data.iter().copied().map(f).collect() }
    }

    /// The product `self * rhs`.
    ///
    /// # Panics
    /// If the inner dimensions differ.
    #[must_use]
    pub fn mul(&self, rhs: &Self) -> Self {
        assert_eq!(self.cols, rhs.rows, "product of {:?} and {:?}", self.shape(), rhs.shape());
        let mut out = Self::zeros(self.rows, rhs.cols);
        faer::linalg::matmul::matmul(
            out.view_mut(),
            faer::Accum::Replace,
            self.view(),
            rhs.view(),
            T::ONE,
            faer::Par::Seq,
        );
        out
    }

    /// Largest magnitude of an entry; NaN if an entry is.
    pub fn max_abs(&self) -> T {
        self.data.iter().fold(T::ZERO, |m, x| m.maximum(x.abs()))
    }

    /// Frobenius norm `sqrt(Σ a_ij²)`, without overflow where the result is representable.
    pub fn norm(&self) -> T {
        let m = self.max_abs();
        if m == T::ZERO || !m.is_finite() {
            return m;
        }
        m * self.data.iter().map(|&x| (x / m) * (x / m)).sum::<T>().sqrt()
    }

    /// An error that names the first entry that is NaN or infinite.
    pub fn check_finite(&self, op: &'static str) -> Result<(), Error> {
        check_finite(op, 0, self.cols, &self.data)
    }
}

impl<T: Real> std::ops::Index<(usize, usize)> for Matrix<T> {
    type Output = T;
    fn index(&self, (i, j): (usize, usize)) -> &T {
        &self.data[i * self.cols + j]
    }
}

impl<T: Real> std::ops::IndexMut<(usize, usize)> for Matrix<T> {
    fn index_mut(&mut self, (i, j): (usize, usize)) -> &mut T {
        &mut self.data[i * self.cols + j]
    }
}

/// `count` row-major matrices of one shape, one after another.
///
/// ```
/// use eigenflow_linalg::Batch;
/// let b = Batch::new(2, 1, 2, vec![1.0, 2.0, 3.0, 4.0]);
/// assert_eq!(b.get(1), [3.0, 4.0]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Batch<T> {
    count: usize,
    rows: usize,
    cols: usize,
    data: Vec<T>,
}

impl<T: Real> Batch<T> {
    /// A batch from its entries.
    ///
    /// # Panics
    /// If `data.len() != count * rows * cols`.
    pub fn new(count: usize, rows: usize, cols: usize, data: Vec<T>) -> Self {
        assert_eq!(data.len(), count * rows * cols, "a batch of {count} {rows} x {cols} matrices");
        Self { count, rows, cols, data }
    }

    /// All entries zero.
    pub fn zeros(count: usize, rows: usize, cols: usize) -> Self {
        Self { count, rows, cols, data: vec![T::ZERO; count * rows * cols] }
    }

    /// How many matrices.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Rows of each matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of each matrix.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// All entries.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// All entries.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// The entries, giving up the batch.
    pub fn into_data(self) -> Vec<T> {
        self.data
    }

    /// The entries of matrix `n`, row by row.
    pub fn get(&self, n: usize) -> &[T] {
        let size = self.rows * self.cols;
        &self.data[n * size..(n + 1) * size]
    }

    /// Matrix `n`, copied.
    pub fn matrix(&self, n: usize) -> Matrix<T> {
        Matrix::new(self.rows, self.cols, self.get(n).to_vec())
    }

    /// A view of matrix `n` for faer's routines.
    pub fn view(&self, n: usize) -> MatRef<'_, T> {
        MatRef::from_row_major_slice(self.get(n), self.rows, self.cols)
    }

    /// An error that names the first entry that is NaN or infinite.
    pub fn check_finite(&self, op: &'static str) -> Result<(), Error> {
        if all_finite_by_threads(&self.data) {
            return Ok(());
        }
        let size = (self.rows * self.cols).max(1);
        self.data.chunks(size).enumerate().try_for_each(|(n, a)| check_finite(op, n, self.cols, a))
    }
}

fn check_finite<T: Real>(op: &'static str, index: usize, cols: usize, data: &[T]) -> Result<(), Error> {
    let first = if all_finite(data) { None } else { data.iter().position(|x| !x.is_finite()) };
    match first {
        None => Ok(()),
        Some(k) => Err(Error::NotFinite { op, index, row: k / cols, col: k % cols }),
    }
}
