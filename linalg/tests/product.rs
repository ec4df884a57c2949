//! Products: exact on small whole numbers, whatever the strides.

mod common;

use common::{bits, on_threads, rng, uniform};
use eigenflow_linalg::product::{Accum, gram, matmul, matmul_batch};
use eigenflow_linalg::{Batch, Error, Matrix, Real};
use proptest::prelude::*;
use rand::RngExt;

/// Whole numbers so small that every sum is exact in either precision.
fn whole<T: Real>(rows: usize, cols: usize, rng: &mut rand_pcg::Pcg64) -> Matrix<T> {
    Matrix::from_fn(rows, cols, |_, _| T::of(f64::from(rng.random_range(-8..=8_i32))))
}

fn check<T: Real>(m: usize, k: usize, n: usize, flip: (bool, bool, bool), seed: u64) {
    let rng = &mut rng(seed);
    let (a, b, c) = (whole::<T>(m, k, rng), whole::<T>(k, n, rng), whole::<T>(m, n, rng));
    let dot = |i: usize, j: usize| (0..k).map(|l| a[(i, l)] * b[(l, j)]).sum::<T>();
    let (at, bt) = (a.transpose(), b.transpose());
    let lhs = if flip.0 { at.view().transpose() } else { a.view() };
    let rhs = if flip.1 { bt.view().transpose() } else { b.view() };
    for (accum, old) in [(Accum::Replace, T::ZERO), (Accum::Add, T::ONE)] {
        let expected = Matrix::from_fn(m, n, |i, j| old * c[(i, j)] + T::of(0.5) * dot(i, j));
        let mut dst = if flip.2 { c.transpose() } else { c.clone() };
        let view = if flip.2 { dst.view_mut().transpose_mut() } else { dst.view_mut() };
        matmul(view, accum, T::of(0.5), lhs, rhs).unwrap();
        assert_eq!(if flip.2 { dst.transpose() } else { dst }, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn is_exact_on_whole_numbers(
        m in 0..40_usize, k in 0..40_usize, n in 0..40_usize, flip: (bool, bool, bool), seed: u64,
    ) {
        check::<f64>(m, k, n, flip, seed);
        check::<f32>(m, k, n, flip, seed);
    }
}

#[test]
fn large_and_thin_products_are_exact() {
    for (m, k, n) in [(200, 130, 170), (1, 300, 5), (5, 300, 1), (300, 1, 64), (1, 1, 400)] {
        for flip in [(false, false, false), (true, false, true), (false, true, false)] {
            check::<f64>(m, k, n, flip, 5);
            check::<f32>(m, k, n, flip, 5);
        }
    }
}

/// Shapes that are cut: wide (into strips, after a halving of the rows or not), narrow and tall, narrow and short, and with few rows.
#[test]
fn products_in_blocks_are_exact() {
    for (m, k, n) in [
        (300, 40, 900),
        (20, 500, 1200),
        (1300, 700, 40),
        (24, 3000, 280),
        (260, 140, 250),
        (200, 300, 300),
        (130, 200, 590),
    ] {
        assert!(m * k * n > 1 << 23, "one block");
        for flip in [(false, false, false), (true, false, true), (false, true, false), (true, true, true)] {
            check::<f64>(m, k, n, flip, 6);
            check::<f32>(m, k, n, flip, 6);
        }
    }
}

fn check_gram<T: Real>(n: usize, k: usize, flip: bool, seed: u64) {
    let p = whole::<T>(n, k, &mut rng(seed));
    let turned = p.transpose();
    let view = if flip { turned.view().transpose() } else { p.view() };
    let mut c = Matrix::new(n, n, vec![T::NAN; n * n]);
    gram(c.view_mut(), view).unwrap();
    assert_eq!(c, p.mul(&p.transpose()), "{n} {k}");
}

#[test]
fn grams_are_exact_and_symmetric() {
    for (n, k) in [(0, 0), (0, 3), (1, 1), (3, 0), (7, 5), (63, 20), (127, 64), (128, 3), (150, 201)] {
        for flip in [false, true] {
            check_gram::<f64>(n, k, flip, 9);
            check_gram::<f32>(n, k, flip, 9);
        }
    }
    let p = uniform::<f64>(130, 70, &mut rng(3));
    let mut c = Matrix::zeros(130, 130);
    gram(c.view_mut(), p.view()).unwrap();
    assert_eq!(c, c.transpose());
    assert!(matches!(gram(Matrix::zeros(2, 3).view_mut(), p.view()), Err(Error::Shape { .. })));
}

#[test]
fn sub_blocks_leave_the_rest_alone() {
    let a = Matrix::from_fn(4, 6, |i, j| (i * 6 + j) as f64);
    let mut dst = Matrix::zeros(5, 5);
    let block = dst.view_mut().submatrix_mut(1, 2, 2, 2);
    matmul(block, Accum::Replace, 1.0, a.view().submatrix(1, 1, 2, 3), a.view().submatrix(0, 4, 3, 2))
        .unwrap();
    let expected = Matrix::from_fn(5, 5, |i, j| {
        let inside = (1..3).contains(&i) && (2..4).contains(&j);
        if inside { (0..3).map(|l| a[(i, 1 + l)] * a[(l, 2 + j)]).sum() } else { 0.0 }
    });
    assert_eq!(dst, expected);
}

#[test]
fn a_batch_gives_the_same_bits_on_any_number_of_threads() {
    let a = Batch::new(500, 9, 7, uniform::<f64>(500 * 9, 7, &mut rng(1)).into_data());
    let b = Batch::new(500, 7, 4, uniform::<f64>(500 * 7, 4, &mut rng(2)).into_data());
    let one = on_threads(1, || matmul_batch(&a, &b).unwrap());
    let two = on_threads(2, || matmul_batch(&a, &b).unwrap());
    assert_eq!(bits(one.data()), bits(two.data()));
    for i in [0, 7, 499] {
        assert_eq!(one.matrix(i), a.matrix(i).mul(&b.matrix(i)));
    }
}

/// Shapes that are cut into blocks, along rows, along columns and both, with a transposed factor.
#[test]
fn a_large_product_gives_the_same_bits_on_any_number_of_threads() {
    for (m, k, n) in [(300, 260, 301), (2100, 70, 130), (66, 1000, 700), (520, 80, 1030), (1100, 64, 600)] {
        let (a, b) = (uniform::<f64>(m, k, &mut rng(1)), uniform::<f64>(n, k, &mut rng(2)));
        let run = || {
            let mut c = Matrix::zeros(m, n);
            matmul(c.view_mut(), Accum::Replace, 1.0, a.view(), b.view().transpose()).unwrap();
            // The same product with the columns in one piece: each is off by at most k eps Σ |ab|, and no factor is above one.
            let mut turned = Matrix::zeros(n, m);
            let columns = turned.view_mut().transpose_mut();
            matmul(columns, Accum::Replace, 1.0, a.view(), b.view().transpose()).unwrap();
            let off = (0..m)
                .flat_map(|i| (0..n).map(move |j| (i, j)))
                .map(|(i, j)| (c[(i, j)] - turned[(j, i)]).abs());
            assert!(off.fold(0.0, f64::max) <= 2.0 * k as f64 * f64::EPSILON * k as f64, "{m} {k} {n}");
            c
        };
        let (one, three) = (on_threads(1, run), on_threads(3, run));
        assert_eq!(bits(one.data()), bits(three.data()), "{m} {k} {n}");
        for (i, j) in [(0, 0), (m - 1, n - 1), (m / 2, n / 2), (m / 2 + 64, n / 2 + 63), (1, n - 1)] {
            let (i, j) = (i.min(m - 1), j.min(n - 1));
            let exact: f64 = (0..k).map(|l| a[(i, l)] * b[(j, l)]).sum();
            let size: f64 = (0..k).map(|l| (a[(i, l)] * b[(j, l)]).abs()).sum();
            assert!((one[(i, j)] - exact).abs() <= k as f64 * f64::EPSILON * size, "{m} {k} {n}: {i} {j}");
        }
    }
}

#[test]
fn wrong_shapes_are_named() {
    let (a, b) = (Matrix::<f64>::zeros(2, 3), Matrix::<f64>::zeros(2, 4));
    let mut c = Matrix::zeros(2, 4);
    let err = matmul(c.view_mut(), Accum::Replace, 1.0, a.view(), b.view()).unwrap_err();
    assert!(matches!(err, Error::Shape { lhs: (2, 3), rhs: (2, 4), .. }));
    let err = matmul(c.view_mut(), Accum::Replace, 1.0, a.view().transpose(), b.view()).unwrap_err();
    assert!(matches!(err, Error::Shape { lhs: (2, 4), rhs: (3, 4), .. }));
    let two = Batch::<f64>::zeros(2, 3, 3);
    assert!(matches!(matmul_batch(&two, &Batch::zeros(3, 3, 3)), Err(Error::Shape { .. })));
    assert!(matches!(matmul_batch(&two, &Batch::zeros(2, 2, 3)), Err(Error::Shape { .. })));
}
