//! Divide and conquer for a symmetric tridiagonal matrix.
//!
//! A subdiagonal entry `β` is taken out as a matrix of rank one, `T = diag(T₁, T₂) + |β| v vᵀ`; from the two halves' eigenvectors
//! `Q₁`, `Q₂` it follows that `T = Q (D + ρ z zᵀ) Qᵀ`, where `z` is the last line of `Q₁` and the first of `Q₂` (J. J. M. Cuppen,
//! Numer. Math. 36 (1981)). Halves are cut until they are small; those go side by side in the lanes of vectors. What meets no
//! other pole within rounding is taken out before each merge (deflation: M. Gu and S. C. Eisenstat, 1995; the rules are those of
//! LAPACK's `dlaed2`, J. D. Rutter, LAPACK Working Note 69 (1994)), and the vectors of the rest come by two products, whose
//! factors are the parts of `Q₁` and `Q₂` that are not zero.

use super::secular::Secular;
use crate::small::MOST_LANES;
use crate::{Real, small};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Halves of at most so many rows are not cut.
const LEAF: usize = 24;

/// Buffers for tridiagonal matrices of up to one size.
#[derive(Debug)]
pub(super) struct DivideAndConquer<T> {
    secular: Secular<T>,
    /// Vectors of the secular problem.
    inner: Vec<T>,
    z: Vec<T>,
    before: Vec<T>,
    part: Vec<Part>,
    kept: Vec<usize>,
    settled: Vec<usize>,
    rows: Vec<usize>,
    /// For each half that has been done, its columns by ascending eigenvalues.
    order: Vec<usize>,
}

/// Where a column of the two halves is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Upper,
    Both,
    Lower,
}

impl<T: Real> DivideAndConquer<T> {
    pub(super) fn new(n: usize) -> Self {
        Self {
            secular: Secular::default(),
            inner: vec![T::ZERO; n * n.next_multiple_of(MOST_LANES)],
            z: vec![T::ZERO; n],
            before: vec![T::ZERO; n],
            part: Vec::with_capacity(n),
            kept: Vec::with_capacity(n),
            settled: Vec::with_capacity(n),
            rows: Vec::with_capacity(n),
            order: vec![0; n],
        }
    }

    /// Eigenvalues into `d`, which comes with the diagonal, and orthonormal eigenvectors into the columns of the column-major
    /// `u`, in the same order, which is any. `e` is the subdiagonal, `packed` room for `n²` numbers. Whether the iterations came to an
    /// end.
    pub(super) fn run(&mut self, d: &mut [T], e: &[T], u: &mut [T], packed: &mut [T]) -> bool {
        let n = d.len();
        let leaves = n.div_ceil(LEAF).next_power_of_two();
        let start = |i: usize, parts: usize| i * n / parts;
        for i in 1..leaves {
            let cut = start(i, leaves);
            let beta = e[cut - 1].abs();
            d[cut - 1] -= beta;
            d[cut] -= beta;
        }
        let size = d.iter().chain(&e[..n - 1]).fold(T::ZERO, |m, x| m.maximum(x.abs()));
        let tolerance = T::of(8.0) * T::EPS * size;
        u.fill(T::ZERO);
        if !self.leaves(d, e, u, leaves) {
            return false;
        }
        let mut parts = leaves / 2;
        while parts > 0 {
            for i in 0..parts {
                let (from, to) = (start(i, parts), start(i + 1, parts));
                let cut = start(2 * i + 1, 2 * parts);
                let block = Block { n, from, to, cut };
                if !self.merge(&mut d[from..to], e[cut - 1], [u, packed], block, tolerance) {
                    return false;
                }
            }
            parts /= 2;
        }
        true
    }

    /// The halves that are not cut: those of one size together.
    fn leaves(&mut self, d: &mut [T], e: &[T], u: &mut [T], leaves: usize) -> bool {
        let n = d.len();
        let start = |i: usize| i * n / leaves;
        for size in [n / leaves, n / leaves + 1] {
            let of_size: Vec<usize> = (0..leaves)
                .map(start)
                .zip((1..=leaves).map(start))
                .filter(|(a, b)| b - a == size)
                .map(|(a, _)| a)
                .collect();
            if of_size.is_empty() {
                continue;
            }
            let mut a = vec![T::ZERO; of_size.len() * size * size];
            let (mut values, mut vectors) = (vec![T::ZERO; of_size.len() * size], a.clone());
            for (a, &at) in a.chunks_exact_mut(size * size).zip(&of_size) {
                for i in 0..size {
                    a[i * size + i] = d[at + i];
                    if i > 0 {
                        a[i * size + i - 1] = e[at + i - 1];
                    }
                }
            }
            if !small::eigh(size, &a, &mut values, &mut vectors).is_empty() {
                return false;
            }
            for ((values, vectors), &at) in
                values.chunks_exact(size).zip(vectors.chunks_exact(size * size)).zip(&of_size)
            {
                d[at..at + size].copy_from_slice(values);
                for j in 0..size {
                    self.order[at + j] = j;
                    for i in 0..size {
                        u[(at + j) * n + at + i] = vectors[i * size + j];
                    }
                }
            }
        }
        true
    }

    /// Two halves, whose eigenvalues and vectors are in `d` and in the block of `u`, into one.
    fn merge(
        &mut self,
        d: &mut [T],
        beta: T,
        [u, packed]: [&mut [T]; 2],
        block: Block,
        tolerance: T,
    ) -> bool {
        let (rows, cut) = (d.len(), block.cut - block.from);
        let rho = beta.abs() + beta.abs();
        // `v` has length √2.
        let half = T::of(0.5).sqrt();
        for j in 0..rows {
            let column = block.column(u, j);
            self.z[j] = half
                * if j < cut {
                    column[cut - 1]
                } else if beta < T::ZERO {
                    -column[cut]
                } else {
                    column[cut]
                };
        }
        let order = &mut self.order[block.from..block.to];
        order[cut..].iter_mut().for_each(|j| *j += cut);
        order.sort_by(|&i, &j| d[i].f64().total_cmp(&d[j].f64()));
        self.deflate(d, rho, u, block, tolerance);
        let count = self.kept.len();
        if count > 0 {
            self.secular.rho = rho;
            self.secular.poles.clear();
            self.secular.poles.extend(self.kept.iter().map(|&j| d[j]));
            self.secular.z.clear();
            self.secular.z.extend(self.kept.iter().map(|&j| self.z[j]));
            if !self.secular.solve() {
                return false;
            }
            self.multiply(u, packed, block);
            self.before[..rows].copy_from_slice(d);
            let settled = self.settled.iter().map(|&j| self.before[j]);
            d.iter_mut().zip(self.secular.roots().chain(settled)).for_each(|(d, value)| *d = value);
            let order = &mut self.order[block.from..block.to];
            order.iter_mut().enumerate().for_each(|(i, j)| *j = i);
        }
        let order = &mut self.order[block.from..block.to];
        order.sort_by(|&i, &j| d[i].f64().total_cmp(&d[j].f64()));
        true
    }

    /// Tells columns that are eigenvectors already, up to the tolerance, from those that are not. Of two poles within the tolerance
    /// one becomes such by a rotation.
    fn deflate(&mut self, d: &mut [T], rho: T, u: &mut [T], block: Block, tolerance: T) {
        let cut = block.cut - block.from;
        let Self { z, part, kept, settled, order, .. } = self;
        kept.clear();
        settled.clear();
        part.clear();
        part.extend((0..d.len()).map(|j| if j < cut { Part::Upper } else { Part::Lower }));
        let mut before: Option<usize> = None;
        for &j in &order[block.from..block.to] {
            if rho * z[j].abs() <= tolerance {
                settled.push(j);
                continue;
            }
            if let Some(i) = before {
                let length = (z[i] * z[i] + z[j] * z[j]).sqrt();
                let (c, s) = (z[j] / length, -z[i] / length);
                if ((d[j] - d[i]) * c * s).abs() <= tolerance {
                    (z[i], z[j]) = (T::ZERO, length);
                    if part[i] != part[j] {
                        part[j] = Part::Both;
                    }
                    block.rotate(u, i, j, c, s);
                    let (first, second) = (d[i], d[j]);
                    d[i] = first * c * c + second * s * s;
                    d[j] = first * s * s + second * c * c;
                    settled.push(i);
                } else {
                    kept.push(i);
                }
            }
            before = Some(j);
        }
        kept.extend(before);
    }

    /// The columns of the block: first those of the secular problem's roots, then those that are settled. What is multiplied and what
    /// stays is packed before.
    fn multiply(&mut self, u: &mut [T], packed: &mut [T], block: Block) {
        let (n, cut, size) = (block.n, block.cut - block.from, block.to - block.from);
        let count = self.kept.len();
        self.rows.clear();
        self.rows.extend(0..count);
        // A stable sort: the order of poles within a part is theirs.
        let (part, kept) = (&self.part, &self.kept);
        self.rows.sort_by_key(|&i| part[kept[i]]);
        let (above, rest) = packed.split_at_mut(cut * count);
        let (below, rest) = rest.split_at_mut((size - cut) * count);
        let (mut upper, mut lower) = (0, 0);
        for j in self.rows.iter().map(|&i| kept[i]) {
            let (head, tail) = block.column(u, j).split_at(cut);
            if part[j] != Part::Lower {
                above[upper * cut..][..cut].copy_from_slice(head);
                upper += 1;
            }
            if part[j] != Part::Upper {
                below[lower * (size - cut)..][..size - cut].copy_from_slice(tail);
                lower += 1;
            }
        }
        for (&j, to) in self.settled.iter().zip(rest.chunks_exact_mut(size)) {
            to.copy_from_slice(block.column(u, j));
        }
        let stride = count.next_multiple_of(MOST_LANES);
        self.secular.vectors(&self.rows, &mut self.inner, stride);
        let inner = MatRef::from_row_major_slice_with_stride(&self.inner, count, count, stride);
        let columns = &mut u[block.from * n..block.to * n];
        let columns = MatMut::from_column_major_slice_with_stride_mut(columns, n, size, n);
        let (first, mut last) = columns.subrows_mut(block.from, size).split_at_col_mut(count);
        let (head, tail) = first.split_at_row_mut(cut);
        let above = MatRef::from_column_major_slice(&above[..cut * upper], cut, upper);
        let below = MatRef::from_column_major_slice(&below[..(size - cut) * lower], size - cut, lower);
        matmul(head, Accum::Replace, above, inner.subrows(0, upper), T::ONE, Par::Seq);
        matmul(tail, Accum::Replace, below, inner.subrows(count - lower, lower), T::ONE, Par::Seq);
        let settled = size - count;
        last.copy_from(MatRef::from_column_major_slice(&rest[..size * settled], size, settled));
    }
}

/// Where two neighbouring halves are in the matrix of `n` columns: rows and columns `from..to`, cut in two at `cut`.
#[derive(Clone, Copy)]
struct Block {
    n: usize,
    from: usize,
    to: usize,
    cut: usize,
}

impl Block {
    fn column<T>(self, u: &mut [T], j: usize) -> &mut [T] {
        &mut u[(self.from + j) * self.n..][self.from..self.to]
    }

    /// Columns `(c i + s j, c j - s i)`.
    fn rotate<T: Real>(self, u: &mut [T], i: usize, j: usize, c: T, s: T) {
        let columns =
            [i, j].map(|k| (self.from + k) * self.n + self.from..(self.from + k) * self.n + self.to);
        if let Ok([first, second]) = u.get_disjoint_mut(columns) {
            for (x, y) in first.iter_mut().zip(second) {
                (*x, *y) = (c * *x + s * *y, c * *y - s * *x);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    /// Residual `‖T U - U diag(λ)‖_F / ‖T‖_F` and loss of orthonormality `‖UᵀU - I‖_F`, each within `4 n eps`; gives the values, sorted.
    fn check<T: Real>(name: &str, d: &[f64], e: &[f64]) -> Vec<f64> {
        let n = d.len();
        let (d, e): (Vec<T>, Vec<T>) =
            (d.iter().map(|&x| T::of(x)).collect(), e.iter().map(|&x| T::of(x)).collect());
        let (mut values, mut u) = (d.clone(), vec![T::NAN; n * n]);
        assert!(
            DivideAndConquer::new(n).run(&mut values, &e, &mut u, &mut vec![T::NAN; n * n]),
            "{name} of {n} did not converge"
        );
        let (d, e, u): (Vec<f64>, Vec<f64>, Vec<f64>) = (
            d.iter().map(|x| x.f64()).collect(),
            e.iter().map(|x| x.f64()).collect(),
            u.iter().map(|x| x.f64()).collect(),
        );
        let (mut residual, mut loss) = (0.0, 0.0);
        for (j, x) in u.chunks_exact(n).enumerate() {
            for i in 0..n {
                let above = if i > 0 { e[i - 1] * x[i - 1] } else { 0.0 };
                let below = if i + 1 < n { e[i] * x[i + 1] } else { 0.0 };
                residual += (above + d[i] * x[i] + below - values[j].f64() * x[i]).powi(2);
                let dot: f64 = u[i * n..(i + 1) * n].iter().zip(x).map(|(a, b)| a * b).sum();
                loss += (dot - f64::from(u8::from(i == j))).powi(2);
            }
        }
        let size = d.iter().map(|x| x * x).sum::<f64>() + 2.0 * e[..n - 1].iter().map(|x| x * x).sum::<f64>();
        let unit = 4.0 * n as f64 * T::EPS.f64();
        assert!(
            residual.sqrt() <= unit * size.sqrt(),
            "{name} of {n}: residual {:e}",
            (residual / size).sqrt()
        );
        assert!(loss.sqrt() <= unit, "{name} of {n}: orthonormality {:e}", loss.sqrt());
        let mut values: Vec<f64> = values.iter().map(|x| x.f64()).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    /// Matrices on which such solvers have failed: clusters, pairs that agree to all digits, zeros, grades, tiny couplings.
    fn matrices(n: usize) -> Vec<(&'static str, Vec<f64>, Vec<f64>)> {
        let of = |f: &dyn Fn(usize) -> f64| (0..n).map(f).collect::<Vec<f64>>();
        let middle = (n - 1) as f64 / 2.0;
        vec![
            ("second differences", vec![2.0; n], vec![-1.0; n]),
            (
                "Wilkinson",
                of(&|i| (i as f64 - middle).abs() / middle.max(1.0)),
                vec![1.0 / middle.max(1.0); n],
            ),
            (
                "glued Wilkinson",
                of(&|i| ((i % 21) as f64 - 10.0).abs() / 10.0),
                of(&|i| if i % 21 == 20 { 1e-7 } else { 0.1 }),
            ),
            ("Clement", vec![0.0; n], of(&|i| (((i + 1) * (n - 1 - i.min(n - 1))) as f64).sqrt() / n as f64)),
            ("diagonal", of(&|i| ((i * 7) % 5) as f64), vec![0.0; n]),
            ("zero", vec![0.0; n], vec![0.0; n]),
            ("one", vec![1.0; n], vec![0.0; n]),
            ("weakly coupled", vec![1.0; n], of(&|i| 10_f64.powi(-((i % 12) as i32)))),
            ("graded", of(&|i| 0.9_f64.powi(i as i32)), of(&|i| 0.5 * 0.9_f64.powi(i as i32))),
            ("steeply graded", of(&|i| 0.3_f64.powi(i as i32)), of(&|i| 0.1 * 0.3_f64.powi(i as i32))),
            ("cut in two", of(&|i| i as f64 / n as f64), of(&|i| if i == n / 2 { 0.0 } else { 1.0 })),
            (
                "mixed",
                of(&|i| ((i * 7919 + 13) % 2003) as f64 / 1001.0 - 1.0),
                of(&|i| ((i * 104_729) % 1009) as f64 / 504.0 - 1.0),
            ),
        ]
    }

    #[test]
    fn hard_matrices_are_decomposed() {
        for n in [1, 2, 3, 24, 25, 42, 64, 100, 147, 250] {
            for (name, d, e) in matrices(n) {
                check::<f64>(name, &d, &e);
                check::<f32>(name, &d, &e);
            }
        }
    }

    /// `2 - 2 cos(kπ / (n + 1))`.
    #[test]
    fn second_differences_have_their_eigenvalues() {
        let n = 300;
        let values = check::<f64>("second differences", &vec![2.0; n], &vec![-1.0; n]);
        for (k, value) in values.iter().enumerate() {
            let exact = 2.0 - 2.0 * ((k + 1) as f64 * PI / (n + 1) as f64).cos();
            // A tenth of `4 n eps ‖T‖`.
            assert!((value - exact).abs() < 1e-13, "{value} for {exact}");
        }
    }
}
