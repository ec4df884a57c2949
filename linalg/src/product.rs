//! Matrix products with accumulation, on strided views.

use crate::join;
use crate::parallel::for_each_matrix;
use crate::{Batch, Error, Real};

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::reborrow::ReborrowMut;

pub use faer::{Accum, MatMut, MatRef};

/// `dst = alpha lhs rhs` ([`Accum::Replace`]) or `dst += alpha lhs rhs` ([`Accum::Add`]).
///
/// Shapes `[m, n] = [m, k] [k, n]`; any strides, so a transpose is free (`view.transpose()`).
/// With `k = 0` the product is zero. NaN and infinity propagate as IEEE arithmetic has it. Cost `2 m n k` flops. A large
/// product is cut into blocks of the destination, by its shape and layout alone, which the threads of the current rayon pool share: the same bits for any
/// number of threads.
///
/// # Errors
/// [`Error::Shape`] if the shapes do not fit.
///
/// ```
/// use eigenflow_linalg::{Matrix, product::{Accum, matmul}};
/// let a = Matrix::new(1, 2, vec![1.0, 2.0]);
/// let mut c = Matrix::new(1, 1, vec![100.0]);
/// matmul(c.view_mut(), Accum::Add, 3.0, a.view(), a.view().transpose()).unwrap();
/// assert_eq!(c[(0, 0)], 115.0); // 100 + 3 (1·1 + 2·2)
/// ```
pub fn matmul<T: Real>(
    dst: MatMut<'_, T>,
    accum: Accum,
    alpha: T,
    lhs: MatRef<'_, T>,
    rhs: MatRef<'_, T>,
) -> Result<(), Error> {
    fits(lhs.shape(), rhs.shape())?;
    if dst.shape() != (lhs.nrows(), rhs.ncols()) {
        return Err(Error::Shape {
            op: "matmul",
            lhs: dst.shape(),
            rhs: (lhs.nrows(), rhs.ncols()),
            remedy: "the destination must have the rows of the first and the columns of the second factor",
        });
    }
    // The kernels run along the numbers of the destination that lie side by side: columns, in what follows.
    let by_rows = dst.row_stride().unsigned_abs() >= dst.col_stride().unsigned_abs();
    let (dst, lhs, rhs) =
        if by_rows { (dst, lhs, rhs) } else { (dst.transpose_mut(), rhs.transpose(), lhs.transpose()) };
    // Some eight blocks of what is not wide enough for as many strips.
    let halvings = match dst.ncols().div_ceil(width::<T>()) {
        0 | 1 => 3,
        2 | 3 if dst.nrows() >= 4 * TALL => 2,
        _ => 1,
    };
    blocks(dst, accum, alpha, lhs, rhs, halvings);
    Ok(())
}

/// A block of fewer multiplications is not cut: some 80 microseconds in `f32`.
const LEAST: usize = 1 << 23;
/// Rows from which on a wide block is halved by rows before its columns are cut.
const TALL: usize = 128;

/// Columns of a block of a wide product: three widths of the kernel for 512-bit vectors. What is packed of the second factor
/// at a time, 512 rows of it, is 576 KiB then and stays in the second-level cache while all rows of the first go by.
const fn width<T>() -> usize {
    3 * 384 / size_of::<T>()
}

/// Halves the rows of a tall destination, cuts the columns of a wide one into strips, halves those of what is neither, or multiplies.
fn blocks<T: Real>(
    dst: MatMut<'_, T>,
    accum: Accum,
    alpha: T,
    lhs: MatRef<'_, T>,
    rhs: MatRef<'_, T>,
    halvings: u32,
) {
    let ((m, n), width) = (dst.shape(), width::<T>());
    let small = m.saturating_mul(n).saturating_mul(lhs.ncols()) < LEAST;
    if small || (halvings == 0 && n <= width) {
        return faer::linalg::matmul::matmul(dst, accum, lhs, rhs, alpha, faer::Par::Seq);
    }
    // Whole tiles of the kernels in the first half.
    let middle = |length: usize| (length / 2).next_multiple_of(8).min(length);
    if halvings > 0 && m >= n.min(TALL) {
        let (top, bottom) = dst.split_at_row_mut(middle(m));
        let (above, below) = lhs.split_at_row(middle(m));
        join(
            || blocks(top, accum, alpha, above, rhs, halvings - 1),
            || blocks(bottom, accum, alpha, below, rhs, halvings - 1),
        );
    } else {
        let strips = n.div_ceil(width);
        // Equal strips, of whole widths of the kernel.
        let strip = n.div_ceil(strips).next_multiple_of(width / 3);
        let (at, halvings) =
            if strips > 1 { (strips / 2 * strip, halvings) } else { (middle(n), halvings - 1) };
        let (left, right) = dst.split_at_col_mut(at);
        let (before, after) = rhs.split_at_col(at);
        join(
            || blocks(left, accum, alpha, lhs, before, halvings),
            || blocks(right, accum, alpha, lhs, after, halvings),
        );
    }
}

/// `dst = P Pᵀ`, exactly symmetric: `[n, n]` from `[n, k]`, whose strides may be any.
///
/// One triangle is computed and mirrored, so from 128 rows on it takes `n² k` flops, half as many as the product. NaN and infinity
/// propagate. Runs on the calling thread.
///
/// # Errors
/// [`Error::Shape`] if the shapes do not fit.
///
/// ```
/// use eigenflow_linalg::{Matrix, product::gram};
/// let p = Matrix::new(2, 2, vec![1.0, 2.0, 3.0, 4.0]);
/// let mut c = Matrix::zeros(2, 2);
/// gram(c.view_mut(), p.view()).unwrap();
/// assert_eq!(c.data(), [5.0, 11.0, 11.0, 25.0]);
/// ```
pub fn gram<T: Real>(mut dst: MatMut<'_, T>, p: MatRef<'_, T>) -> Result<(), Error> {
    let n = p.nrows();
    if dst.shape() != (n, n) {
        let remedy = "the destination must be square, with the rows of the factor";
        return Err(Error::Shape { op: "gram", lhs: dst.shape(), rhs: p.shape(), remedy });
    }
    let lower = if n < GRAM { BlockStructure::Rectangular } else { BlockStructure::TriangularLower };
    let whole = BlockStructure::Rectangular;
    triangular::matmul(
        dst.rb_mut(),
        lower,
        Accum::Replace,
        p,
        whole,
        p.transpose(),
        whole,
        T::ONE,
        faer::Par::Seq,
    );
    for j in 1..n {
        for i in 0..j {
            dst[(i, j)] = dst[(j, i)];
        }
    }
    Ok(())
}

/// Rows from which on one triangle is sooner computed than both. Square factors, one thread, microseconds here and by the product, at 64, 128, 256
/// and 784 rows: f32 6.2 and 5.0, 39 and 38, 245 and 344, 5,045 and 9,048; f64 9.3 and 10.1, 62 and 77, 438 and 647, 9,750 and 18,866.
const GRAM: usize = 128;

/// The products of two batches, matrix by matrix: `[N, m, n] = [N, m, k] [N, k, n]`.
///
/// # Errors
/// [`Error::Shape`] if the counts or the inner dimensions differ.
pub fn matmul_batch<T: Real>(lhs: &Batch<T>, rhs: &Batch<T>) -> Result<Batch<T>, Error> {
    same_count("matmul_batch", lhs.count(), rhs.count())?;
    fits((lhs.rows(), lhs.cols()), (rhs.rows(), rhs.cols()))?;
    let (m, n) = (lhs.rows(), rhs.cols());
    let mut out = Batch::zeros(lhs.count(), m, n);
    for_each_matrix(
        lhs.count(),
        2 * m * n * lhs.cols(),
        [(out.data_mut(), m * n)],
        || (),
        |(), i, [dst]| {
            let dst = MatMut::from_row_major_slice_mut(dst, m, n);
            matmul(dst, Accum::Replace, T::ONE, lhs.view(i), rhs.view(i))
        },
    )?;
    Ok(out)
}

fn fits(lhs: (usize, usize), rhs: (usize, usize)) -> Result<(), Error> {
    if lhs.1 == rhs.0 {
        return Ok(());
    }
    let remedy = "the columns of the first factor must match the rows of the second";
    Err(Error::Shape { op: "matmul", lhs, rhs, remedy })
}

/// An error unless two batches hold equally many matrices.
pub(crate) fn same_count(op: &'static str, lhs: usize, rhs: usize) -> Result<(), Error> {
    if lhs == rhs {
        return Ok(());
    }
    Err(Error::Shape {
        op,
        lhs: (lhs, 1),
        rhs: (rhs, 1),
        remedy: "both batches must hold equally many matrices",
    })
}
