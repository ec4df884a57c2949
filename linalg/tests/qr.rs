//! QR and the polar decomposition: residual and orthonormality within `4 max(m, n) eps`, structure exactly.

mod common;

use common::{
    Spectrum, exponents, orthonormality_error, relative, rng, sizes, spectra, sub, uniform, unit_scale,
};
use eigenflow_linalg::eigen::eigvalsh;
use eigenflow_linalg::polar::polar;
use eigenflow_linalg::qr::qr;
use eigenflow_linalg::{Error, Matrix, Real};
use proptest::prelude::*;

fn product_error<T: Real>(a: &Matrix<T>, q: &Matrix<T>, r: &Matrix<T>) -> f64 {
    let (a, power) = unit_scale(a);
    let r = r.cast::<f64>().map(|x| x / power);
    relative(sub(&q.cast().mul(&r), &a).norm(), a.norm())
}

fn check_qr<T: Real>(spectrum: Spectrum, m: usize, n: usize, exponent: i32, seed: u64) {
    let a = spectrum.rectangular::<T>(m, n, T::of(10_f64.powi(exponent)), &mut rng(seed));
    let f = qr(&a).unwrap();
    let k = m.min(n);
    assert_eq!((f.q.shape(), f.r.shape()), ((m, k), (k, n)));
    let unit = 4.0 * m.max(n) as f64 * T::EPS.f64();
    let (residual, loss) = (product_error(&a, &f.q, &f.r), orthonormality_error(&f.q));
    assert!(residual <= unit, "residual {:.2} n eps", residual / unit * 4.0);
    assert!(loss <= unit, "orthonormality {:.2} n eps", loss / unit * 4.0);
    for i in 0..k {
        assert!(f.r[(i, i)] >= T::ZERO && f.r.row(i)[..i].iter().all(|&x| x == T::ZERO));
    }
}

fn check_polar<T: Real>(spectrum: Spectrum, m: usize, n: usize, exponent: i32, seed: u64) {
    let scale = T::of(10_f64.powi(exponent));
    let a = spectrum.rectangular::<T>(m.max(n), m.min(n), scale, &mut rng(seed));
    let f = polar(&a).unwrap();
    let unit = 4.0 * m.max(n) as f64 * T::EPS.f64();
    let (residual, loss) = (product_error(&a, &f.q, &f.p), orthonormality_error(&f.q));
    // Three factors of a singular value decomposition, each good to `unit`.
    assert!(residual <= 3.0 * unit, "residual {:.2} n eps", residual / unit * 4.0);
    assert!(loss <= 3.0 * unit, "orthonormality {:.2} n eps", loss / unit * 4.0);
    assert_eq!(f.p, f.p.transpose());
    let least = eigvalsh(&f.p).unwrap()[0].f64();
    assert!(least >= -unit * f.p.norm().f64(), "P has an eigenvalue {least:e}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn qr_holds(s in spectra(), m in sizes(), n in sizes(), k in exponents::<f64>(), seed: u64) {
        check_qr::<f64>(s, m, n, k, seed);
        check_qr::<f32>(s, m, n, k / 5, seed);
    }

    #[test]
    fn polar_holds(s in spectra(), m in sizes(), n in sizes(), k in exponents::<f64>(), seed: u64) {
        check_polar::<f64>(s, m, n, k, seed);
        check_polar::<f32>(s, m, n, k / 5, seed);
    }
}

#[test]
fn exactly_dependent_columns_keep_q_orthonormal() {
    for (m, n) in [(1, 1), (3, 3), (60, 60), (200, 40), (40, 200)] {
        let mut a = uniform::<f64>(m, n, &mut rng(3));
        for i in 0..m {
            a[(i, 0)] = 0.0;
            a[(i, n - 1)] = 0.0;
            a[(i, n / 2)] = a[(i, n / 3)];
        }
        let f = qr(&a).unwrap();
        let unit = 4.0 * m.max(n) as f64 * f64::EPSILON;
        assert!(product_error(&a, &f.q, &f.r) <= unit && orthonormality_error(&f.q) <= unit);
    }
}

#[test]
fn broken_input_is_named() {
    let mut a = Matrix::<f64>::identity(3);
    a[(1, 2)] = f64::NAN;
    assert_eq!(qr(&a).unwrap_err(), Error::NotFinite { op: "qr", index: 0, row: 1, col: 2 });
    assert!(matches!(polar(&a), Err(Error::NotFinite { row: 1, col: 2, .. })));
    assert!(matches!(polar(&Matrix::<f64>::zeros(2, 3)), Err(Error::Shape { lhs: (2, 3), .. })));
    let huge = Matrix::from_fn(4, 1, |_, _| 1e308);
    assert_eq!(qr(&huge).unwrap_err(), Error::Overflow { op: "qr", index: 0 });
}

#[test]
fn empty_matrices_have_empty_factors() {
    for (m, n) in [(0, 0), (3, 0), (0, 2)] {
        let f = qr(&Matrix::<f64>::zeros(m, n)).unwrap();
        assert_eq!((f.q.shape(), f.r.shape()), ((m, 0), (0, n)));
    }
    let f = polar(&Matrix::<f64>::zeros(3, 0)).unwrap();
    assert_eq!((f.q.shape(), f.p.shape()), ((3, 0), (0, 0)));
}
