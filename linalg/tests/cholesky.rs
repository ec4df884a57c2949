//! Cholesky: `‖A − L Lᵀ‖_F <= 4 n eps ‖A‖_F` (Higham, Accuracy and Stability, theorem 10.3), solves likewise.

mod common;

use common::{Spectrum, bits, exponents, on_threads, relative, rng, sizes, sub, uniform, unit_scale};
use eigenflow_linalg::cholesky::{Cholesky, cholesky_batch, factor_in_place};
use eigenflow_linalg::lu::slogdet;
use eigenflow_linalg::{Batch, Error, Matrix, Real};
use proptest::prelude::*;

/// `Q diag(d) Qᵀ` with `d` in `[floor, 1]` on a logarithmic scale, times `scale`.
fn positive<T: Real>(n: usize, floor: f64, scale: T, rng: &mut rand_pcg::Pcg64) -> Matrix<T> {
    let d = uniform::<f64>(1, n, rng).map(|x| (0.5 * (x + 1.0) * floor.ln()).exp());
    let q = common::orthonormal::<T>(n, n, rng);
    let a = Matrix::from_fn(n, n, |i, j| q[(i, j)] * T::of(d[(0, j)])).mul(&q.transpose());
    Matrix::from_fn(n, n, |i, j| scale * a[(i.max(j), i.min(j))])
}

fn check<T: Real>(n: usize, exponent: i32, seed: u64) {
    let rng = &mut rng(seed);
    let scale = T::of(10_f64.powi(exponent));
    // Safely positive definite after rounding: κ = 1 / (100 n eps) at most.
    let a = positive(n, 100.0 * n as f64 * T::EPS.f64(), scale, rng);
    let b = uniform::<T>(n, 2, rng).map(|x| scale * x);
    let c = Cholesky::new(&a).unwrap();
    let unit = 4.0 * n as f64 * T::EPS.f64();
    let (unit_a, power) = unit_scale(&a);
    let l = c.factor().cast::<f64>().map(|x| x / power.sqrt());
    let error = sub(&l.mul(&l.transpose()), &unit_a).norm() / unit_a.norm();
    assert!(error <= unit, "backward error {:.2} n eps", error / unit * 4.0);
    for i in 0..n {
        assert!(l[(i, i)] > 0.0 && l.row(i)[i + 1..].iter().all(|&x| x == 0.0));
    }
    let x = c.solve(&b).unwrap().cast::<f64>();
    let residual = sub(&unit_a.mul(&x), &b.cast::<f64>().map(|v| v / power)).norm();
    let error = relative(residual, unit_a.norm() * x.norm());
    assert!(error <= unit, "backward error of the solve {:.2} n eps", error / unit * 4.0);
    // The packed form is the same computation.
    let mut packed = a.data().to_vec();
    factor_in_place(&mut packed, n).unwrap();
    assert_eq!(bits(&packed), bits(c.factor().data()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn is_backward_stable(n in sizes(), k in exponents::<f64>(), seed: u64) {
        check::<f64>(n, k, seed);
        check::<f32>(n, k / 5, seed);
    }

    #[test]
    fn logdet_agrees_with_lu(n in sizes(), k in -3..=3_i32, seed: u64) {
        let a = positive::<f64>(n, 0.1, 10_f64.powi(k), &mut rng(seed));
        let (sign, log) = slogdet(&a).unwrap();
        prop_assert!(sign > 0.0);
        // Each route moves log det by at most tr(A⁻¹E) <= √n κ ‖E‖_F / ‖A‖₂ with κ = 10.
        let bound = 80.0 * (n * n) as f64 * f64::EPSILON * (1.0 + log.abs());
        prop_assert!((Cholesky::new(&a).unwrap().logdet() - log).abs() <= bound);
    }
}

#[test]
fn only_the_lower_triangle_is_read() {
    let a = positive::<f64>(50, 0.1, 1.0, &mut rng(2));
    let lower = Matrix::from_fn(50, 50, |i, j| if j > i { 1e9 } else { a[(i, j)] });
    assert_eq!(Cholesky::new(&lower).unwrap(), Cholesky::new(&a).unwrap());
}

#[test]
fn a_matrix_that_is_not_positive_definite_is_named() {
    for n in [1, 2, 31, 32, 33, 100] {
        for (value, at) in [(-1.0, n - 1), (0.0, n / 2)] {
            let mut a = Matrix::<f64>::identity(n);
            a[(at, at)] = value;
            let expected = |index| Error::NotPositiveDefinite { op: "cholesky", index, pivot: at };
            assert_eq!(Cholesky::new(&a).unwrap_err(), expected(0));
            let batch = Batch::new(2, n, n, [Matrix::identity(n).data(), a.data()].concat());
            assert_eq!(cholesky_batch(&batch).unwrap_err(), expected(1));
        }
    }
    let indefinite = Spectrum::Repeated.symmetric::<f64>(60, 1.0, &mut rng(4)).0;
    assert!(matches!(Cholesky::new(&indefinite), Err(Error::NotPositiveDefinite { .. })));
    assert!(matches!(factor_in_place(&mut [f64::NAN], 1), Err(Error::NotPositiveDefinite { .. })));
}

#[test]
fn broken_input_is_named() {
    assert!(matches!(Cholesky::new(&Matrix::<f64>::zeros(2, 3)), Err(Error::Shape { .. })));
    assert!(matches!(cholesky_batch(&Batch::<f64>::zeros(1, 2, 3)), Err(Error::Shape { .. })));
    assert!(matches!(factor_in_place(&mut [1.0; 3], 2), Err(Error::Shape { .. })));
    let mut bad = Matrix::<f64>::identity(2);
    bad[(0, 1)] = f64::INFINITY; // in the half that is not read, and yet an error
    assert!(matches!(Cholesky::new(&bad), Err(Error::NotFinite { row: 0, col: 1, .. })));
    let batch = Batch::new(1, 2, 2, bad.data().to_vec());
    assert!(matches!(cholesky_batch(&batch), Err(Error::NotFinite { index: 0, .. })));
    let c = Cholesky::new(&Matrix::<f64>::identity(2)).unwrap();
    assert!(matches!(c.solve(&Matrix::zeros(3, 1)), Err(Error::Shape { .. })));
    assert!(matches!(c.solve(&bad), Err(Error::NotFinite { .. })));
    let tiny = Cholesky::new(&Matrix::diagonal(&[1e-300_f64])).unwrap();
    assert!(matches!(tiny.solve(&Matrix::diagonal(&[1e100])), Err(Error::Overflow { .. })));
    let empty = Cholesky::new(&Matrix::<f64>::zeros(0, 0)).unwrap();
    assert_eq!((empty.logdet(), empty.factor().shape()), (0.0, (0, 0)));
}

#[test]
fn a_batch_gives_the_same_bits_on_any_number_of_threads() {
    let rng = &mut rng(9);
    let data = (0..300).flat_map(|_| positive::<f64>(12, 0.01, 1.0, rng).into_data()).collect();
    let batch = Batch::new(300, 12, 12, data);
    let one = on_threads(1, || cholesky_batch(&batch).unwrap());
    let two = on_threads(2, || cholesky_batch(&batch).unwrap());
    assert_eq!(bits(one.data()), bits(two.data()));
    assert_eq!(&one.matrix(299), Cholesky::new(&batch.matrix(299)).unwrap().factor());
}
