//! Small matrices, many at a time: a result depends on its matrix alone, and nasty matrices are decomposed as
//! well as pleasant ones. Bounds are those of `common::allowed`.

mod common;

use common::{Spectrum, allowed, bits, on_threads, orthonormality_error, reconstruction_error, rng, uniform};
use eigenflow_linalg::eigen::{eigh, eigh_batch, eigvalsh_batch};
use eigenflow_linalg::lu::{Lu, slogdet, slogdet_batch};
use eigenflow_linalg::svd::{SvdKind, svd_batch};
use eigenflow_linalg::{Batch, Error, Matrix, Real};
use proptest::prelude::*;

fn batch<T: Real>(matrices: &[Matrix<T>]) -> Batch<T> {
    let (m, n) = matrices[0].shape();
    Batch::new(matrices.len(), m, n, matrices.iter().flat_map(|a| a.data().iter().copied()).collect())
}

/// Everything that is computed of matrix `i` of a batch.
fn results<T: Real>(a: &Batch<T>) -> Vec<Vec<u64>> {
    let (e, l) = (eigh_batch(a).unwrap(), eigvalsh_batch(a).unwrap());
    let (d, s) = (svd_batch(a, SvdKind::Full).unwrap(), svd_batch(a, SvdKind::Values).unwrap().s);
    let (sign, log) = slogdet_batch(a).unwrap();
    (0..a.count())
        .map(|i| {
            [e.values.row(i), e.vectors.get(i), l.row(i), d.u.get(i), d.s.row(i), d.v.get(i), s.row(i)]
                .iter()
                .flat_map(|x| bits(x))
                .chain([sign[i].f64().to_bits(), log[i].f64().to_bits()])
                .collect()
        })
        .collect()
}

/// A matrix of each kind, so that neighbours converge at different times and split at different places.
fn mixed<T: Real>(count: usize, n: usize, seed: u64) -> Vec<Matrix<T>> {
    use Spectrum::{Clustered, Graded, Identity, RankDeficient, Repeated, Spread, Zero};
    let rng = &mut rng(seed);
    let kinds = [Spread, Graded, RankDeficient, Repeated, Clustered, Identity, Zero];
    (0..count)
        .map(|i| {
            let scale = T::of([1.0, 1e-9, 1e12][i % 3]);
            if i % 2 == 0 { kinds[i / 2 % 7].symmetric(n, scale, rng).0 } else { uniform(n, n, rng) }
        })
        .collect()
}

fn depends_on_the_matrix_alone<T: Real>(n: usize, count: usize) {
    let matrices = mixed::<T>(count, n, n as u64);
    let all = batch(&matrices);
    let one = on_threads(1, || results(&all));
    assert_eq!(one, on_threads(2, || results(&all)), "n = {n}, threads");
    for (size, start) in [(1, 0), (1, count - 1), (2, 1), (5, 3), (8, 2), (11, 4), (16, 1), (17, 5), (23, 0)]
    {
        let part = results(&batch(&matrices[start..start + size]));
        assert_eq!(part, one[start..start + size], "n = {n}, {size} from {start}");
    }
    let reversed = batch(&matrices.iter().rev().cloned().collect::<Vec<_>>());
    let reversed: Vec<_> = results(&reversed).into_iter().rev().collect();
    assert_eq!(reversed, one, "n = {n}, reversed");
    let lu = Lu::new(&matrices[1]).unwrap().slogdet();
    let single = slogdet(&matrices[1]).unwrap();
    assert_eq!(
        (lu.0.f64().to_bits(), lu.1.f64().to_bits()),
        (single.0.f64().to_bits(), single.1.f64().to_bits())
    );
}

#[test]
fn a_result_depends_on_its_matrix_alone() {
    for n in [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31] {
        depends_on_the_matrix_alone::<f64>(n, 70);
        depends_on_the_matrix_alone::<f32>(n, 70);
    }
    for n in [63, 64, 65] {
        depends_on_the_matrix_alone::<f64>(n, 24);
        depends_on_the_matrix_alone::<f32>(n, 24);
    }
}

/// Named matrices of old: each has broken some solver.
fn nasty<T: Real>(n: usize) -> Vec<Matrix<T>> {
    let at = |f: fn(usize, usize) -> f64| Matrix::from_fn(n, n, |i, j| T::of(f(i, j)));
    let half = (n as f64 - 1.0) / 2.0;
    let tiny = if T::NAME == "f32" { 1e-20 } else { 1e-160 };
    let power = |k: usize| T::of(10_f64.powi(-3 * k as i32));
    vec![
        // Hilbert's, and rank one.
        at(|i, j| 1.0 / (i + j + 1) as f64),
        at(|_, _| 1.0),
        // The second difference, and Wilkinson's pairs of close values.
        at(|i, j| [-2.0, 1.0, 0.0][i.abs_diff(j).min(2)]),
        Matrix::from_fn(n, n, |i, j| match i.abs_diff(j) {
            0 => T::of((i as f64 - half).abs()),
            1 => T::ONE,
            _ => T::ZERO,
        }),
        // A Jordan block of zero, and two of triangles.
        at(|i, j| f64::from(u8::from(j == i + 1))),
        at(|i, j| if i >= j { 1.0 } else { -1.0 }),
        at(|i, j| if i > j { 0.0 } else { [1.0, -1.0][(j - i).min(1)] }),
        // An arrow, and graded ones.
        at(|i, j| if i == 0 || j == 0 || i == j { 1.0 / (1 + i + j) as f64 } else { 0.0 }),
        Matrix::from_fn(n, n, |i, j| power(i + j)),
        Matrix::from_fn(n, n, |i, j| power(i.abs_diff(j))),
        // Squares of the entries beside the diagonal are out of range.
        Matrix::from_fn(n, n, |i, j| {
            if i == j { T::of(1.0 - 0.1 * i as f64) } else { T::of(tiny * (1.0 + i as f64)) }
        }),
        Matrix::from_fn(n, n, |i, j| if i + j == 0 { T::ONE } else { T::of(tiny * (1.0 + (i * j) as f64)) }),
        Matrix::from_fn(n, n, |i, j| T::of(f64::from(u8::from((i * 7 + j * 3) % 5 == 0)))),
        Matrix::from_fn(n, n, |i, j| {
            if i == j && i % 2 == 0 { T::ZERO } else { T::of(1.0 / (1 + i.abs_diff(j)) as f64) }
        }),
    ]
}

fn decomposes<T: Real>(a: &[Matrix<T>]) {
    let n = a[0].rows();
    let unit = allowed::<T>(n);
    let d = svd_batch(&batch(a), SvdKind::Full).unwrap();
    let s = svd_batch(&batch(a), SvdKind::Values).unwrap().s;
    for (k, a) in a.iter().enumerate() {
        let (u, v) = (d.u.matrix(k), d.v.matrix(k));
        assert!(reconstruction_error(a, &u, d.s.row(k), &v) <= unit, "matrix {k} of {n}");
        assert!(orthonormality_error(&u).max(orthonormality_error(&v)) <= unit, "matrix {k} of {n}");
        assert!(d.s.row(k).is_sorted_by(|x, y| x >= y) && d.s[(k, n - 1)] >= T::ZERO);
        for (x, y) in d.s.row(k).iter().zip(s.row(k)) {
            assert!((x.f64() - y.f64()).abs() <= 2.0 * unit * a.cast::<f64>().norm(), "matrix {k} of {n}");
        }
    }
    let symmetric: Vec<_> = a.iter().map(|a| Matrix::from_fn(n, n, |i, j| a[(i.max(j), i.min(j))])).collect();
    let e = eigh_batch(&batch(&symmetric)).unwrap();
    let l = eigvalsh_batch(&batch(&symmetric)).unwrap();
    for (k, a) in symmetric.iter().enumerate() {
        let q = e.vectors.matrix(k);
        assert!(reconstruction_error(a, &q, e.values.row(k), &q) <= unit, "matrix {k} of {n}");
        assert!(orthonormality_error(&q) <= unit, "matrix {k} of {n}");
        assert!(e.values.row(k).is_sorted());
        for (x, y) in e.values.row(k).iter().zip(l.row(k)) {
            assert!((x.f64() - y.f64()).abs() <= 2.0 * unit * a.cast::<f64>().norm(), "matrix {k} of {n}");
        }
    }
}

#[test]
fn nasty_matrices_are_decomposed() {
    for n in (1..=20).chain([32, 47, 64]) {
        decomposes(&nasty::<f64>(n));
        decomposes(&nasty::<f32>(n));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mixed_batches_are_decomposed(n in 1..=64_usize, count in 1..=40_usize, seed: u64) {
        decomposes(&mixed::<f64>(count, n, seed));
        decomposes(&mixed::<f32>(count, n, seed));
    }

    /// Integers of a sparse matrix: exact zeros in all the wrong places.
    #[test]
    fn sparse_integers_are_decomposed(n in 1..=24_usize, entries in prop::collection::vec(-1..=1_i8, 24 * 24), keep in 1..=24_usize) {
        let a = |k: usize| Matrix::from_fn(n, n, |i, j| f64::from(entries[(i * 24 + j + k) % 576]) * f64::from(u8::from((i * 5 + j * 11 + k).is_multiple_of(keep))));
        let matrices: Vec<_> = (0..9).map(a).collect();
        decomposes(&matrices);
        decomposes(&matrices.iter().map(Matrix::cast::<f32>).collect::<Vec<_>>());
    }
}

#[test]
fn no_signed_zeros_come_out() {
    let a = vec![Matrix::<f64>::diagonal(&[-1.0, 0.0, 2.0]); 9];
    let e = eigh_batch(&batch(&a)).unwrap();
    let d = svd_batch(&batch(&a), SvdKind::Full).unwrap();
    for x in [e.vectors.data(), e.values.data(), d.u.data(), d.v.data(), d.s.data()] {
        assert!(x.iter().all(|x| *x != 0.0 || x.is_sign_positive()));
    }
}

#[test]
fn overflow_names_the_first_matrix() {
    let mut a = vec![Matrix::<f64>::identity(3); 30];
    a[13] = Matrix::from_fn(3, 3, |_, _| 1.5e308);
    a[22] = a[13].clone();
    let at = |op| Error::Overflow { op, index: 13 };
    assert_eq!(eigh_batch(&batch(&a)).unwrap_err(), at("eigh_batch"));
    assert_eq!(eigvalsh_batch(&batch(&a)).unwrap_err(), at("eigvalsh_batch"));
    assert_eq!(svd_batch(&batch(&a), SvdKind::Full).unwrap_err(), at("svd_batch"));
    // The second row minus the first times one is out of range.
    let (x, y) = (1.7e308, -1.7e308);
    a[13] = Matrix::new(3, 3, vec![x, x, x, x, y, x, x, x, y]);
    a[22] = a[13].clone();
    assert_eq!(slogdet_batch(&batch(&a)).unwrap_err(), at("lu"));
}

/// Against the solver of large matrices, by a block diagonal matrix that is too large for the lanes.
#[test]
fn the_spectrum_is_that_of_the_solver_of_large_matrices() {
    let n = 40;
    let a = Spectrum::Spread.symmetric::<f64>(n, 1.0, &mut rng(8)).0;
    let large = Matrix::from_fn(200, 200, |i, j| {
        if i < n && j < n {
            a[(i, j)]
        } else if i == j {
            50.0
        } else {
            0.0
        }
    });
    let (small, large) = (eigh(&a).unwrap().values, eigh(&large).unwrap().values);
    for (x, y) in small.iter().zip(&large) {
        assert!((x - y).abs() <= 200.0 * 50.0 * f64::EPSILON, "{x:e} and {y:e}");
    }
}
