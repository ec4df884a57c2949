//! LU: backward error of solves, determinants known in closed form, singular matrices, packed form.
//!
//! Solves are judged by the normwise backward error `‖B − A X‖_F / (‖A‖_F ‖X‖_F)`, which for pivot growth
//! of order one is a modest multiple of `n eps` (Higham, Accuracy and Stability, theorem 9.4): here `4 n eps`.

mod common;

use common::{Spectrum, bits, exponents, on_threads, relative, rng, sizes, spectra, sub, uniform};
use eigenflow_linalg::lu::{self, Lu, inverse_batch, slogdet, slogdet_batch, solve_batch};
use eigenflow_linalg::{Batch, Error, Matrix, Real};
use proptest::prelude::*;
use rand::seq::SliceRandom;

fn backward_error<T: Real>(a: &Matrix<T>, x: &Matrix<T>, b: &Matrix<T>) -> f64 {
    // Powers of two are taken out, so that no product leaves the range.
    let ((a, pa), (x, px)) = (common::unit_scale(a), common::unit_scale(x));
    let b = b.cast::<f64>().map(|v| v / pa / px);
    relative(sub(&a.mul(&x), &b).norm(), a.norm() * x.norm())
}

fn check_solve<T: Real>(spectrum: Spectrum, n: usize, exponent: i32, seed: u64) {
    let rng = &mut rng(seed);
    let scale = T::of(10_f64.powi(exponent));
    let a = spectrum.rectangular(n, n, scale, rng);
    let b = uniform::<T>(n, 3, rng).map(|x| x * scale);
    let lu = Lu::new(&a).unwrap();
    let unit = 4.0 * n as f64 * T::EPS.f64();
    let at = a.transpose();
    for (a, x) in [(&a, lu.solve(&b)), (&at, lu.solve_transpose(&b))] {
        match x {
            Ok(x) => {
                let error = backward_error(a, &x, &b);
                assert!(error <= unit, "backward error {:.2} n eps", error / unit * 4.0);
            }
            // Only where κ is beyond 1 / eps, or infinite, may rounding end on a zero pivot.
            Err(Error::Singular { .. } | Error::Overflow { .. }) => {
                assert!(!matches!(spectrum, Spectrum::Spread | Spectrum::Repeated | Spectrum::Identity));
            }
            Err(e) => panic!("{e}"),
        }
    }
}

/// `A = P D`, a permuted diagonal: sign and logarithm are known.
fn check_determinant<T: Real>(n: usize, exponent: i32, seed: u64) {
    let rng = &mut rng(seed);
    let d: Vec<T> =
        uniform::<T>(1, n, rng).map(|x| (x + T::of(2.0)) * T::of(10_f64.powi(exponent))).into_data();
    let mut perm: Vec<usize> = (0..n).collect();
    perm.shuffle(rng);
    let inversions = (0..n).map(|i| perm[..i].iter().filter(|&&p| p > perm[i]).count()).sum::<usize>();
    let a =
        Matrix::from_fn(n, n, |i, j| if perm[i] == j { if j == 0 { -d[j] } else { d[j] } } else { T::ZERO });
    let (sign, log) = slogdet(&a).unwrap();
    let expected: f64 = d.iter().map(|x| x.f64().ln()).sum();
    assert_eq!(sign.f64().to_bits(), if inversions % 2 == 0 { -1.0_f64 } else { 1.0 }.to_bits());
    let size: f64 = d.iter().map(|x| x.f64().ln().abs()).sum();
    assert!((log.f64() - expected).abs() <= size * (T::EPS.f64() + n as f64 * f64::EPSILON));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn solves_are_backward_stable_in_f64(s in spectra(), n in sizes(), k in exponents::<f64>(), seed: u64) {
        check_solve::<f64>(s, n, k, seed);
    }

    #[test]
    fn solves_are_backward_stable_in_f32(s in spectra(), n in sizes(), k in exponents::<f32>(), seed: u64) {
        check_solve::<f32>(s, n, k, seed);
    }

    #[test]
    fn determinants_of_permuted_diagonals_are_exact(n in sizes(), k in exponents::<f64>(), seed: u64) {
        check_determinant::<f64>(n, k, seed);
        check_determinant::<f32>(n, k / 5, seed);
    }

    /// `det(Q diag(λ) Qᵀ) = ∏ λ`, with `λ` in ±[0.5, 1]: rounding moves each `log λ` by at most `κ n eps`.
    #[test]
    fn determinant_is_the_product_of_the_eigenvalues(n in sizes(), seed: u64) {
        let rng = &mut rng(seed);
        let values = uniform::<f64>(1, n, rng).map(|x| x.signum() * (0.75 + 0.25 * x)).into_data();
        let q = common::orthonormal::<f64>(n, n, rng);
        let a = Matrix::from_fn(n, n, |i, j| q[(i, j)] * values[j]).mul(&q.transpose());
        let (sign, log) = slogdet(&a).unwrap();
        let expected: f64 = values.iter().map(|x| x.abs().ln()).sum();
        let negative = values.iter().filter(|&&x| x < 0.0).count();
        prop_assert_eq!(sign < 0.0, negative % 2 == 1);
        prop_assert!((log - expected).abs() <= 8.0 * (n * n) as f64 * f64::EPSILON);
    }

    /// `‖A X − I‖_F <= 4 n eps ‖A‖_F ‖X‖_F`.
    #[test]
    fn inverse_has_a_small_residual(n in sizes(), k in exponents::<f64>(), seed: u64) {
        let a = Spectrum::Spread.rectangular::<f64>(n, n, 10_f64.powi(k), &mut rng(seed));
        let x = lu::inverse(&a).unwrap();
        let error = backward_error(&a, &x, &Matrix::identity(n));
        prop_assert!(error <= 4.0 * n as f64 * f64::EPSILON, "{} n eps", error / n as f64 / f64::EPSILON);
    }

    #[test]
    fn the_packed_form_is_the_same_computation(n in sizes(), m in 0..4_usize, seed: u64) {
        let rng = &mut rng(seed);
        let (a, b) = (uniform::<f64>(n, n, rng), uniform::<f64>(n, m, rng));
        let (mut packed, mut perm, mut scratch) = (a.data().to_vec(), vec![0.0; n], vec![0.0; n * m]);
        prop_assert_eq!(lu::factor_in_place(&mut packed, &mut perm).unwrap(), None);
        // P A = L U, entry by entry.
        let l = Matrix::from_fn(n, n, |i, j| match i.cmp(&j) {
            std::cmp::Ordering::Less => 0.0,
            std::cmp::Ordering::Equal => 1.0,
            std::cmp::Ordering::Greater => packed[i * n + j],
        });
        let u = Matrix::from_fn(n, n, |i, j| if j >= i { packed[i * n + j] } else { 0.0 });
        let pa = Matrix::from_fn(n, n, |i, j| a[(perm[i] as usize, j)]);
        prop_assert!(l.max_abs() <= 1.0);
        prop_assert!(sub(&l.mul(&u), &pa).norm() <= 4.0 * n as f64 * f64::EPSILON * a.norm());
        let lu = Lu::new(&a).unwrap();
        prop_assert_eq!(lu::slogdet_packed(&packed, &perm).unwrap(), lu.slogdet());
        for (transpose, expected) in [(false, lu.solve(&b)), (true, lu.solve_transpose(&b))] {
            let mut x = b.data().to_vec();
            lu::solve_packed(&packed, &perm, &mut x, &mut scratch, transpose).unwrap();
            prop_assert_eq!(bits(&x), bits(expected.unwrap().data()));
        }
    }
}

#[test]
fn the_logarithm_never_overflows() {
    for (entry, n) in [(1e300, 784), (1e-300, 784), (5e-324, 300)] {
        let (sign, log) = slogdet(&Matrix::diagonal(&vec![entry; n])).unwrap();
        let expected = n as f64 * entry.ln();
        assert!(sign > 0.0 && (log / expected - 1.0).abs() < 1e-12, "{log} for {expected}");
    }
    let (sign, log) = slogdet(&Matrix::diagonal(&[-1e30_f32; 101])).unwrap();
    assert!(sign < 0.0 && (log / (101.0 * 1e30_f32.ln()) - 1.0).abs() < 1e-6);
}

#[test]
fn singular_matrices_have_no_inverse_and_a_zero_determinant() {
    for n in [1, 2, 3, 40, 70] {
        let mut a = uniform::<f64>(n, n, &mut rng(n as u64));
        let gone = n / 2;
        (0..n).for_each(|i| a[(i, gone)] = 0.0);
        assert_eq!(slogdet(&a).unwrap(), (0.0, f64::NEG_INFINITY));
        let singular = |e| matches!(e, Error::Singular { index: 0, pivot, .. } if pivot == gone);
        let lu = Lu::new(&a).unwrap();
        let b = Matrix::zeros(n, 1);
        assert!(singular(lu.solve(&b).unwrap_err()) && singular(lu.solve_transpose(&b).unwrap_err()));
        assert!(singular(lu.inverse().unwrap_err()) && singular(lu::inverse(&a).unwrap_err()));
        let mut data = Matrix::identity(n).into_data();
        data.extend_from_slice(a.data());
        let batch = Batch::new(2, n, n, data);
        assert!(
            matches!(inverse_batch(&batch), Err(Error::Singular { index: 1, pivot, .. }) if pivot == gone)
        );
        let (sign, log) = slogdet_batch(&batch).unwrap();
        assert_eq!((sign, log), (vec![1.0, 0.0], vec![0.0, f64::NEG_INFINITY]));
    }
}

#[test]
fn of_several_bad_matrices_the_first_is_named() {
    let mut data = vec![1.0; 2000];
    (700..2000).step_by(3).for_each(|i| data[i] = 0.0);
    let batch = Batch::new(2000, 1, 1, data);
    for _ in 0..20 {
        let err = on_threads(2, || inverse_batch(&batch).unwrap_err());
        assert!(matches!(err, Error::Singular { index: 700, .. }), "{err}");
    }
}

#[test]
fn batches_give_the_same_bits_on_any_number_of_threads() {
    for (n, count) in [(1, 300), (3, 900), (33, 40), (80, 4)] {
        let rng = &mut rng(n as u64);
        let a = Batch::new(count, n, n, uniform::<f64>(count * n, n, rng).into_data());
        let b = Batch::new(count, n, 2, uniform::<f64>(count * n, 2, rng).into_data());
        let run = |threads| {
            on_threads(threads, || {
                let (sign, log) = slogdet_batch(&a).unwrap();
                let (x, inv) = (solve_batch(&a, &b).unwrap(), inverse_batch(&a).unwrap());
                [bits(&sign), bits(&log), bits(x.data()), bits(inv.data())]
            })
        };
        let one = run(1);
        assert_eq!(one, run(2));
        let last = count - 1;
        let lu = Lu::new(&a.matrix(last)).unwrap();
        assert_eq!(one[1][last], lu.slogdet().1.to_bits());
        assert_eq!(one[2][last * n * 2..], bits(lu.solve(&b.matrix(last)).unwrap().data()));
        assert_eq!(one[3][last * n * n..], bits(lu.inverse().unwrap().data()));
    }
}

#[test]
fn broken_input_is_named() {
    let square = Matrix::<f64>::identity(3);
    let wide = Matrix::<f64>::zeros(2, 3);
    assert!(matches!(slogdet(&wide), Err(Error::Shape { lhs: (2, 3), .. })));
    assert!(matches!(lu::inverse(&wide), Err(Error::Shape { .. })));
    assert!(matches!(lu::solve(&square, &wide), Err(Error::Shape { lhs: (3, 3), rhs: (2, 3), .. })));
    assert!(matches!(Lu::new(&square).unwrap().solve(&wide), Err(Error::Shape { .. })));
    let mut bad = square.clone();
    bad[(2, 1)] = f64::NAN;
    let at = |op, index| Error::NotFinite { op, index, row: 2, col: 1 };
    assert_eq!(slogdet(&bad).unwrap_err(), at("lu", 0));
    assert_eq!(lu::solve(&bad, &square).unwrap_err(), at("solve", 0));
    assert_eq!(lu::solve(&square, &bad).unwrap_err(), at("solve", 0));
    let batch = Batch::new(2, 3, 3, [square.data(), bad.data()].concat());
    let good = Batch::new(2, 3, 3, [square.data(), square.data()].concat());
    assert_eq!(slogdet_batch(&batch).unwrap_err(), at("slogdet_batch", 1));
    assert_eq!(inverse_batch(&batch).unwrap_err(), at("inverse_batch", 1));
    assert_eq!(solve_batch(&batch, &good).unwrap_err(), at("solve_batch", 1));
    assert_eq!(solve_batch(&good, &batch).unwrap_err(), at("solve_batch", 1));
    assert!(matches!(solve_batch(&good, &Batch::zeros(1, 3, 1)), Err(Error::Shape { .. })));
    assert!(matches!(solve_batch(&good, &Batch::zeros(2, 2, 1)), Err(Error::Shape { .. })));
    assert!(matches!(slogdet_batch(&Batch::<f64>::zeros(1, 2, 3)), Err(Error::Shape { .. })));
    assert!(matches!(inverse_batch(&Batch::<f64>::zeros(1, 2, 3)), Err(Error::Shape { .. })));
    assert_eq!(
        lu::inverse(&Matrix::diagonal(&[1.0, 5e-324])).unwrap_err(),
        Error::Overflow { op: "solve", index: 0 }
    );
    let (mut a, mut perm, mut b, mut scratch) = ([1.0; 4], [0.0; 2], [1.0; 2], [0.0; 2]);
    assert!(matches!(lu::factor_in_place(&mut a[..3], &mut perm), Err(Error::Shape { .. })));
    assert!(matches!(lu::slogdet_packed(&a[..3], &perm), Err(Error::Shape { .. })));
    assert!(matches!(
        lu::solve_packed(&a, &perm, &mut b[..1], &mut scratch, false),
        Err(Error::Shape { .. })
    ));
    assert!(matches!(lu::solve_packed(&a, &perm, &mut b, &mut scratch[..1], true), Err(Error::Shape { .. })));
}

#[test]
fn empty_matrices_have_determinant_one() {
    let lu = Lu::new(&Matrix::<f64>::zeros(0, 0)).unwrap();
    assert_eq!(lu.slogdet(), (1.0, 0.0));
    assert_eq!(lu.inverse().unwrap().shape(), (0, 0));
    assert_eq!(lu.solve(&Matrix::zeros(0, 3)).unwrap().shape(), (0, 3));
    assert_eq!(slogdet_batch(&Batch::<f64>::zeros(2, 0, 0)).unwrap(), (vec![1.0; 2], vec![0.0; 2]));
    assert_eq!(inverse_batch(&Batch::<f64>::zeros(2, 0, 0)).unwrap().count(), 2);
    assert_eq!(slogdet_batch(&Batch::<f64>::zeros(0, 3, 3)).unwrap(), (vec![], vec![]));
}
