//! Principal angles against angles that are built in, and the perturbation bounds against perturbations.

mod common;

use common::{orthonormal, rng, uniform};
use eigenflow_linalg::bounds::{davis_kahan, davis_kahan_population, weyl};
use eigenflow_linalg::eigen::eigh;
use eigenflow_linalg::subspace::principal_angles;
use eigenflow_linalg::svd::{norm2, singular_values};
use eigenflow_linalg::{Error, Matrix, Real};
use proptest::prelude::*;
use std::f64::consts::FRAC_PI_2;

/// Bases of two subspaces at the given angles, the second with `extra` more directions orthogonal to the first.
fn at_angles<T: Real>(angles: &[f64], extra: usize, spare: usize, seed: u64) -> (Matrix<T>, Matrix<T>) {
    let rng = &mut rng(seed);
    let p = angles.len();
    let m = 2 * p + extra + spare;
    let frame = orthonormal::<f64>(m, m, rng);
    let x = Matrix::from_fn(m, p, |i, j| frame[(i, j)]);
    let y = Matrix::from_fn(m, p + extra, |i, j| match angles.get(j) {
        Some(t) => t.cos() * frame[(i, j)] + t.sin() * frame[(i, p + j)],
        None => frame[(i, p + j)],
    });
    // Other bases of the same spaces, well conditioned, with columns of very different size.
    let mixed = |b: Matrix<f64>, rng: &mut rand_pcg::Pcg64| {
        let n = b.cols();
        let turn = orthonormal::<f64>(n, n, rng);
        let b = b.mul(&turn);
        Matrix::from_fn(m, n, |i, j| T::of(b[(i, j)] * 10_f64.powi(3 * (j as i32 % 5) - 6)))
    };
    (mixed(x, rng), mixed(y, rng))
}

fn check<T: Real>(mut angles: Vec<f64>, extra: usize, spare: usize, seed: u64) {
    let (x, y) = at_angles::<T>(&angles, extra, spare, seed);
    angles.sort_by(f64::total_cmp);
    // Rounding the bases turns each space by about √n eps; the two decompositions add a few n eps.
    let bound = 8.0 * x.rows() as f64 * T::EPS.f64();
    for (x, y) in [(&x, &y), (&y, &x)] {
        let found = principal_angles(x, y).unwrap();
        assert!(found.len() == angles.len() && found.is_sorted());
        for (a, b) in angles.iter().zip(found) {
            assert!((a - b.f64()).abs() <= bound, "{a:e} came back as {b:e}, m = {}", x.rows());
        }
    }
}

/// Angles from 1e-14 to π/2, the ends included.
fn angle() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-14.0..0.0_f64).prop_map(|e| 10_f64.powf(e)),
        4 => 0.0..FRAC_PI_2,
        1 => Just(0.0),
        1 => Just(FRAC_PI_2),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn known_angles_come_back(
        angles in prop::collection::vec(angle(), 1..12), extra in 0..4_usize, spare in 0..20_usize, seed: u64,
    ) {
        check::<f64>(angles.clone(), extra, spare, seed);
        check::<f32>(angles, extra, spare, seed);
    }

    /// Eigenvalues and eigenspaces of `A + E` stay within the bounds, rounding (`8 n eps ‖A‖`) aside.
    #[test]
    fn perturbations_stay_within_the_bounds(n in 2..30_usize, cut in 0.0..1.0_f64, k in -9.0..0.0_f64, seed: u64) {
        let rng = &mut rng(seed);
        let symmetric = |x: Matrix<f64>| Matrix::from_fn(n, n, |i, j| x[(i, j)] + x[(j, i)]);
        let a = symmetric(uniform(n, n, rng));
        let e = symmetric(uniform(n, n, rng)).map(|x| x * 10_f64.powf(k));
        let b = Matrix::from_fn(n, n, |i, j| a[(i, j)] + e[(i, j)]);
        let (va, vb) = (eigh(&a).unwrap(), eigh(&b).unwrap());
        let rounding = 8.0 * n as f64 * f64::EPSILON * a.norm();
        let shift = weyl(&e).unwrap();
        for (x, y) in va.values.iter().zip(&vb.values) {
            prop_assert!((x - y).abs() <= shift + rounding);
        }
        for (x, y) in singular_values(&a).unwrap().iter().zip(singular_values(&b).unwrap()) {
            prop_assert!((x - y).abs() <= shift + rounding);
        }
        let start = (cut * n as f64) as usize;
        let range = start..(start + 1 + n / 3).min(n);
        let space = |v: &Matrix<f64>| Matrix::from_fn(n, range.len(), |i, j| v[(i, range.start + j)]);
        let angles = principal_angles(&space(&va.vectors), &space(&vb.vectors)).unwrap();
        let sines: Vec<f64> = angles.iter().map(|t| t.sin()).collect();
        let largest = sines.iter().copied().fold(0.0, f64::max);
        let frobenius = sines.iter().map(|s| s * s).sum::<f64>().sqrt();
        let norm = norm2(&e).unwrap();
        let whole = range.len() == n;
        let slack = 1.0 + if whole { 0.0 } else { rounding / norm };
        let floor = 8.0 * n as f64 * f64::EPSILON;
        let bound = davis_kahan(&va.values, &vb.values, range.clone(), norm * slack).unwrap();
        prop_assert!(largest <= bound + floor, "{largest:e} > {bound:e}");
        let bound = davis_kahan_population(&va.values, range.clone(), norm * slack, e.norm() * slack).unwrap();
        prop_assert!(frobenius <= bound + floor * n as f64, "{frobenius:e} > {bound:e}");
    }
}

#[test]
fn bounds_are_sharp_in_two_dimensions() {
    // A = diag(0, 1), B its turn by θ: ‖E‖₂ = sin θ exactly, and so is the angle, for B's spectrum is A's.
    let t = 0.3_f64;
    let e =
        Matrix::new(2, 2, vec![t.sin().powi(2), -t.sin() * t.cos(), -t.sin() * t.cos(), -t.sin().powi(2)]);
    let norm = weyl(&e).unwrap();
    assert!((norm - t.sin()).abs() < 1e-15);
    assert!((davis_kahan(&[0.0, 1.0], &[0.0, 1.0], 0..1, norm).unwrap() - t.sin()).abs() < 1e-15);
}

#[test]
#[allow(clippy::float_cmp)] // limits are exact
fn bounds_say_nothing_without_a_gap_and_zero_without_a_complement() {
    let flat = [1.0_f64, 1.0, 2.0];
    assert_eq!(davis_kahan(&flat, &flat, 0..1, 0.1).unwrap(), 1.0);
    assert_eq!(davis_kahan_population(&flat, 1..3, 0.1, 0.1).unwrap(), 2.0_f64.sqrt());
    assert_eq!(davis_kahan(&flat, &flat, 0..3, 0.1).unwrap(), 0.0);
    assert_eq!(davis_kahan(&flat, &flat, 1..1, 0.1).unwrap(), 0.0);
    assert_eq!(davis_kahan_population(&flat, 0..3, 0.1, 0.1).unwrap(), 0.0);
    assert_eq!(davis_kahan_population(&flat, 1..1, 0.1, 0.1).unwrap(), 0.0);
    assert_eq!(weyl(&Matrix::<f64>::zeros(0, 0)).unwrap(), 0.0);
}

#[test]
fn broken_input_is_named() {
    let x = Matrix::<f64>::identity(3);
    assert!(matches!(principal_angles(&x, &Matrix::identity(2)), Err(Error::Shape { .. })));
    let mut bad = x.clone();
    bad[(2, 0)] = f64::NAN;
    assert!(matches!(principal_angles(&bad, &x), Err(Error::NotFinite { index: 0, row: 2, col: 0, .. })));
    assert!(matches!(principal_angles(&x, &bad), Err(Error::NotFinite { index: 1, row: 2, col: 0, .. })));
    let twice = Matrix::from_fn(3, 2, |i, _| i as f64);
    assert!(matches!(principal_angles(&x, &twice), Err(Error::Singular { index: 1, pivot: 1, .. })));
    let wide = Matrix::<f64>::from_fn(1, 2, |_, j| 1.0 + j as f64);
    assert!(matches!(principal_angles(&wide, &wide), Err(Error::Singular { index: 0, pivot: 1, .. })));
    assert!(principal_angles(&x, &Matrix::zeros(3, 0)).unwrap().is_empty());
    let l = [0.0, 1.0];
    assert!(matches!(davis_kahan(&l, &l[..1], 0..1, 0.1), Err(Error::Shape { .. })));
    assert!(matches!(davis_kahan(&l, &l, 1..3, 0.1), Err(Error::Shape { .. })));
    assert!(matches!(davis_kahan(&l, &l, 0..1, f64::NAN), Err(Error::NotFinite { .. })));
    assert!(matches!(davis_kahan_population(&l, 2..3, 0.1, 0.1), Err(Error::Shape { .. })));
    assert!(matches!(davis_kahan_population(&[f64::NAN, 1.0], 0..1, 0.1, 0.1), Err(Error::NotFinite { .. })));
    assert!(matches!(weyl(&bad), Err(Error::NotFinite { .. })));
}

/// Differences of values near the ends of the range overflow; half of them do not.
#[test]
fn gaps_of_large_values_are_no_certainty() {
    let spectrum = [-1.7e308_f64, 1.7e308];
    let bound = davis_kahan(&spectrum, &spectrum, 0..1, 1e308).unwrap();
    assert!((bound - 1.0 / 3.4).abs() < 1e-15, "{bound}");
    let bound = davis_kahan_population(&[-2e38_f32, 2e38], 0..1, 1e38, 1e38).unwrap();
    assert!((bound - 0.5).abs() < 1e-7, "{bound}");
}
