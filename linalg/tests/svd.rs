//! Singular value decomposition: residual, orthogonality, order and invariance over shapes, spectra and scales.
//!
//! Bounds are those of `common::allowed` for the longer side.

mod common;

use common::{
    Spectrum, allowed, bits, exponents, on_threads, orthonormality_error, reconstruction_error, rng, sizes,
    spectra,
};
use eigenflow_linalg::svd::{SvdKind, condition_number, norm2, singular_values, svd, svd_batch, svd_full};
use eigenflow_linalg::{Batch, Error, Matrix, Real};
use proptest::prelude::*;

/// Shapes from square to long, either way up.
fn shapes() -> impl Strategy<Value = (usize, usize)> {
    (sizes(), 0..4_usize, any::<bool>()).prop_map(|(m, thin, flip)| {
        let n = [m, m, (m / 2).max(1), (m / 7).max(1)][thin];
        if flip { (n, m) } else { (m, n) }
    })
}

fn check<T: Real>(spectrum: Spectrum, (m, n): (usize, usize), exponent: i32, seed: u64) {
    let scale = T::of(10_f64.powi(exponent));
    let a = spectrum.rectangular(m, n, scale, &mut rng(seed));
    let unit = allowed::<T>(m.max(n));
    let (thin, full) = (svd(&a).unwrap(), svd_full(&a).unwrap());
    let k = m.min(n);
    assert_eq!((thin.u.shape(), thin.v.shape()), ((m, k), (n, k)));
    assert_eq!((full.u.shape(), full.v.shape()), ((m, m), (n, n)));
    for d in [&thin, &full] {
        let residual = reconstruction_error(&a, &d.u, &d.s, &d.v);
        assert!(residual <= unit, "residual {:.2} of what is allowed", residual / unit);
        for q in [&d.u, &d.v] {
            let loss = orthonormality_error(q);
            assert!(loss <= unit, "orthonormality {:.2} of what is allowed", loss / unit);
        }
        assert!(d.s.is_sorted_by(|x, y| x >= y) && d.s[k - 1] >= T::ZERO, "descending, not negative");
    }
    let values = singular_values(&a).unwrap();
    assert!(values.is_sorted_by(|x, y| x >= y) && values[k - 1] >= T::ZERO);
    let size = (thin.s.iter().map(|x| (x.f64() / scale.f64()).powi(2)).sum::<f64>()).sqrt();
    for (x, y) in values.iter().zip(&thin.s) {
        assert!(
            (x.f64() - y.f64()).abs() / scale.f64() <= 2.0 * unit * size,
            "{x:e} without vectors, {y:e} with"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn holds_in_f64(s in spectra(), shape in shapes(), k in exponents::<f64>(), seed: u64) {
        check::<f64>(s, shape, k, seed);
    }

    #[test]
    fn holds_in_f32(s in spectra(), shape in shapes(), k in exponents::<f32>(), seed: u64) {
        check::<f32>(s, shape, k, seed);
    }
}

#[test]
fn holds_at_784() {
    let n = 784;
    let a = Spectrum::Graded.rectangular::<f64>(n, n, 1e-8, &mut rng(784));
    let d = svd(&a).unwrap();
    let unit = allowed::<f64>(n);
    assert!(d.s.is_sorted_by(|x, y| x >= y));
    assert!(reconstruction_error(&a, &d.u, &d.s, &d.v) <= unit);
    assert!(orthonormality_error(&d.u) <= unit && orthonormality_error(&d.v) <= unit);
}

#[test]
fn known_singular_values_come_back() {
    // A graded diagonal: each value is exact, however small.
    let d = [1.0_f64, -1e-8, 1e-16, 1e-200, 0.0];
    let s = singular_values(&Matrix::diagonal(&d)).unwrap();
    assert_eq!(s, [1.0, 1e-8, 1e-16, 1e-200, 0.0]);
    assert!((condition_number(&Matrix::diagonal(&d[..4])).unwrap() / 1e200 - 1.0).abs() < 1e-15);
    assert!(condition_number(&Matrix::diagonal(&d)).unwrap().is_infinite());
    assert_eq!(condition_number(&Matrix::<f64>::zeros(0, 0)).unwrap().to_bits(), 1.0_f64.to_bits());
    assert!((norm2(&Matrix::from_fn(3, 4, |_, _| 2.0_f64)).unwrap() - 48.0_f64.sqrt()).abs() < 1e-14);
}

fn threads_agree<T: Real>(m: usize, n: usize, count: usize) {
    let data = common::uniform::<T>(count * m, n, &mut rng(3)).into_data();
    let batch = Batch::new(count, m, n, data);
    for kind in [SvdKind::Values, SvdKind::Thin, SvdKind::Full] {
        let one = on_threads(1, || svd_batch(&batch, kind).unwrap());
        let two = on_threads(2, || svd_batch(&batch, kind).unwrap());
        for (x, y) in [(&one.u, &two.u), (&one.v, &two.v)] {
            assert_eq!(bits(x.data()), bits(y.data()));
        }
        assert_eq!(bits(one.s.data()), bits(two.s.data()));
        for i in 0..count {
            let a = batch.matrix(i);
            let single = match kind {
                SvdKind::Values => {
                    assert_eq!(bits(&singular_values(&a).unwrap()), bits(one.s.row(i)));
                    continue;
                }
                SvdKind::Thin => svd(&a).unwrap(),
                SvdKind::Full => svd_full(&a).unwrap(),
            };
            assert_eq!(bits(single.u.data()), bits(one.u.get(i)));
            assert_eq!(bits(single.v.data()), bits(one.v.get(i)));
            assert_eq!(bits(&single.s), bits(one.s.row(i)));
        }
    }
}

#[test]
fn a_batch_gives_the_same_bits_on_any_number_of_threads() {
    threads_agree::<f64>(5, 3, 600);
    threads_agree::<f32>(3, 17, 100);
    threads_agree::<f64>(140, 130, 3);
}

#[test]
fn broken_input_is_named() {
    for (m, n) in [(1, 1), (2, 2), (5, 3)] {
        for bad in [f64::NAN, f64::INFINITY] {
            let mut a = Matrix::from_fn(m, n, |i, j| (i + j) as f64);
            a[(m - 1, 0)] = bad;
            let at = |op, index| Error::NotFinite { op, index, row: m - 1, col: 0 };
            assert_eq!(svd(&a).unwrap_err(), at("svd", 0));
            assert_eq!(svd_full(&a).unwrap_err(), at("svd_full", 0));
            assert_eq!(singular_values(&a).unwrap_err(), at("singular_values", 0));
            assert_eq!(norm2(&a).unwrap_err(), at("norm2", 0));
            assert_eq!(condition_number(&a).unwrap_err(), at("condition_number", 0));
            let mut data = vec![0.5; m * n];
            data.extend_from_slice(a.data());
            let batch = Batch::new(2, m, n, data);
            assert_eq!(svd_batch(&batch, SvdKind::Thin).unwrap_err(), at("svd_batch", 1));
        }
    }
    let huge = Matrix::from_fn(3, 3, |_, _| 1e308);
    assert_eq!(svd(&huge).unwrap_err(), Error::Overflow { op: "svd", index: 0 });
}

#[test]
fn empty_matrices_have_no_singular_values() {
    for (m, n) in [(0, 0), (3, 0), (0, 2)] {
        let a = Matrix::<f64>::zeros(m, n);
        let (thin, full) = (svd(&a).unwrap(), svd_full(&a).unwrap());
        assert!(thin.s.is_empty() && full.s.is_empty());
        assert_eq!((thin.u.shape(), thin.v.shape()), ((m, 0), (n, 0)));
        assert_eq!((full.u, full.v), (Matrix::identity(m), Matrix::identity(n)));
        assert_eq!(svd_batch(&Batch::<f64>::zeros(2, m, n), SvdKind::Full).unwrap().s.shape(), (2, 0));
    }
    assert_eq!(norm2(&Matrix::<f64>::zeros(0, 0)).unwrap().to_bits(), 0);
}
