//! Triangular solves: `|B − T X| <= 2 (n + 4) eps |T| |X|` entry by entry (Higham, Accuracy and Stability,
//! theorem 8.5, has `n eps`; the rest is for reciprocals of the diagonal). Products are exact on whole numbers.

mod common;

use common::{exponents, rng, sizes, uniform};
use eigenflow_linalg::triangular::{Half, Triangular, product, product_into, solve, solve_in_place};
use eigenflow_linalg::{Error, Matrix, Real};
use proptest::prelude::*;

fn kinds() -> impl Strategy<Value = Triangular> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(lower, unit, transpose)| Triangular {
        half: if lower { Half::Lower } else { Half::Upper },
        unit,
        transpose,
    })
}

/// The operator as a full matrix.
fn explicit<T: Real>(kind: Triangular, a: &Matrix<T>) -> Matrix<T> {
    let t = Matrix::from_fn(a.rows(), a.rows(), |i, j| {
        let inside = if kind.half == Half::Lower { i > j } else { i < j };
        match (i == j, kind.unit) {
            (true, true) => T::ONE,
            (true, false) => a[(i, j)],
            (false, _) => {
                if inside {
                    a[(i, j)]
                } else {
                    T::ZERO
                }
            }
        }
    });
    if kind.transpose { t.transpose() } else { t }
}

fn check_solve<T: Real>(kind: Triangular, n: usize, m: usize, exponent: i32, seed: u64) {
    let rng = &mut rng(seed);
    // Off-diagonal entries of size 1/√n keep the solution from growing exponentially.
    let root = T::of((n as f64).sqrt());
    let scale = if kind.unit { T::ONE } else { T::of(10_f64.powi(exponent)) };
    let mut a = uniform::<T>(n, n, rng).map(|x| scale * (x / root));
    (0..n).for_each(|i| a[(i, i)] = scale * (a[(i, i)] / scale + T::of(1.5)));
    let b = uniform::<T>(n, m, rng);
    let x = solve(kind, &a, &b).unwrap();
    let t = explicit(kind, &a).cast::<f64>();
    let (x, s) = (x.cast::<f64>(), scale.f64());
    for i in 0..n {
        for j in 0..m {
            let sum = |f: fn(f64) -> f64| (0..n).map(|l| f(t[(i, l)] / s * (x[(l, j)] * s))).sum::<f64>();
            let bound = 2.0 * (n + 4) as f64 * T::EPS.f64() * sum(f64::abs);
            assert!((sum(|v| v) - b[(i, j)].f64()).abs() <= bound);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn solves_are_backward_stable(kind in kinds(), n in sizes(), m in 0..5_usize, k in exponents::<f64>(), seed: u64) {
        check_solve::<f64>(kind, n, m, k, seed);
        check_solve::<f32>(kind, n, m, k / 5, seed);
    }

    #[test]
    fn products_are_exact_and_read_one_half(kind in kinds(), n in sizes(), m in 0..5_usize, seed: u64) {
        let rng = &mut rng(seed);
        let a = uniform::<f64>(n, n, rng).map(|x| (8.0 * x).round());
        let b = uniform::<f64>(n, m, rng).map(|x| (8.0 * x).round());
        prop_assert_eq!(product(kind, &a, &b).unwrap(), explicit(kind, &a).mul(&b));
    }
}

#[test]
fn broken_input_is_named() {
    let (a, b) = (Matrix::<f64>::identity(3), Matrix::<f64>::zeros(3, 2));
    let (wide, short) = (Matrix::<f64>::zeros(2, 3), Matrix::<f64>::zeros(2, 2));
    let mut bad = a.clone();
    bad[(0, 2)] = f64::NAN;
    for f in [solve::<f64>, product::<f64>] {
        assert!(matches!(f(Triangular::LOWER, &wide, &b), Err(Error::Shape { lhs: (2, 3), .. })));
        assert!(matches!(f(Triangular::LOWER, &a, &short), Err(Error::Shape { rhs: (2, 2), .. })));
        assert!(matches!(f(Triangular::LOWER, &bad, &b), Err(Error::NotFinite { row: 0, col: 2, .. })));
        assert!(matches!(f(Triangular::LOWER, &a, &bad), Err(Error::NotFinite { row: 0, col: 2, .. })));
        assert_eq!(f(Triangular::UPPER, &Matrix::zeros(0, 0), &Matrix::zeros(0, 2)).unwrap().shape(), (0, 2));
    }
    let mut singular = a.clone();
    singular[(1, 1)] = 0.0;
    assert!(matches!(solve(Triangular::UPPER, &singular, &b), Err(Error::Singular { pivot: 1, .. })));
    assert_eq!(solve(Triangular::UNIT_UPPER, &singular, &b).unwrap(), b);
    let (tiny, one) = (Matrix::diagonal(&[1e-300_f64]), Matrix::diagonal(&[1e100]));
    assert!(matches!(solve(Triangular::LOWER, &tiny, &one), Err(Error::Overflow { .. })));
    let big = Matrix::diagonal(&[1e300_f64]);
    assert!(matches!(product(Triangular::LOWER, &big, &one), Err(Error::Overflow { .. })));
    assert!(matches!(
        solve_in_place(Triangular::LOWER, 2, &[1.0; 3], &mut [1.0; 2]),
        Err(Error::Shape { .. })
    ));
    assert!(matches!(
        solve_in_place(Triangular::LOWER, 2, &[1.0; 4], &mut [1.0; 3]),
        Err(Error::Shape { .. })
    ));
    assert!(matches!(
        product_into(Triangular::LOWER, 2, &[1.0; 4], &[1.0; 2], &mut [0.0; 4]),
        Err(Error::Shape { .. })
    ));
}
