//! Symmetric eigendecomposition: residual, orthogonality, order and invariance over spectra, sizes and scales.
//!
//! Bounds are those of `common::allowed`.

mod common;

use common::{
    Spectrum, allowed, bits, exponents, on_threads, orthonormality_error, reconstruction_error, rng, sizes,
    spectra,
};
use eigenflow_linalg::eigen::{eigh, eigh_batch, eigvalsh, eigvalsh_batch};
use eigenflow_linalg::{Batch, Error, Matrix, Real};
use proptest::prelude::*;

fn check<T: Real>(spectrum: Spectrum, n: usize, exponent: i32, seed: u64) {
    let scale = T::of(10_f64.powi(exponent));
    let (a, known) = spectrum.symmetric(n, scale, &mut rng(seed));
    let e = eigh(&a).unwrap();
    let unit = allowed::<T>(n);
    let residual = reconstruction_error(&a, &e.vectors, &e.values, &e.vectors);
    assert!(residual <= unit, "residual {:.2} of what is allowed", residual / unit);
    let loss = orthonormality_error(&e.vectors);
    assert!(loss <= unit, "orthonormality {:.2} of what is allowed", loss / unit);
    assert!(e.values.is_sorted(), "eigenvalues ascend");
    // Weyl: eigenvalues are known up to the rounding in A itself, which has the same bound.
    let mut known = known;
    known.sort_by(|x, y| x.partial_cmp(y).unwrap());
    let size = known.iter().map(|x| (x.f64() / scale.f64()).powi(2)).sum::<f64>().sqrt();
    let values = eigvalsh(&a).unwrap();
    assert!(values.is_sorted(), "eigenvalues ascend");
    for ((x, y), z) in known.iter().zip(&e.values).zip(&values) {
        let (x, y, z) = (x.f64() / scale.f64(), y.f64() / scale.f64(), z.f64() / scale.f64());
        assert!((x - y).abs() <= 2.0 * unit * size, "{x:e} became {y:e}");
        assert!((y - z).abs() <= 2.0 * unit * size, "{y:e} with vectors, {z:e} without");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn holds_in_f64(s in spectra(), n in sizes(), k in exponents::<f64>(), seed: u64) {
        check::<f64>(s, n, k, seed);
    }

    #[test]
    fn holds_in_f32(s in spectra(), n in sizes(), k in exponents::<f32>(), seed: u64) {
        check::<f32>(s, n, k, seed);
    }
}

#[test]
fn holds_beyond_the_threshold_of_divide_and_conquer() {
    for (i, n) in [129, 200].into_iter().enumerate() {
        for (spectrum, k) in [
            (Spectrum::Spread, 12),
            (Spectrum::Spread, -20),
            (Spectrum::Graded, 8),
            (Spectrum::Clustered, 150),
            (Spectrum::Repeated, -150),
            (Spectrum::RankDeficient, 6),
        ] {
            check::<f64>(spectrum, n, k, i as u64);
            check::<f32>(spectrum, n, k / 5, i as u64);
        }
    }
}

#[test]
fn holds_at_784() {
    let n = 784;
    let (a, _) = Spectrum::Graded.symmetric::<f64>(n, 1e8, &mut rng(784));
    let e = eigh(&a).unwrap();
    let unit = allowed::<f64>(n);
    assert!(e.values.is_sorted());
    assert!(reconstruction_error(&a, &e.vectors, &e.values, &e.vectors) <= unit);
    assert!(orthonormality_error(&e.vectors) <= unit);
}

#[test]
fn subnormal_and_huge_matrices_are_decomposed() {
    let a = Matrix::new(2, 2, vec![0.0, 3e-310, 3e-310, 0.0]);
    assert_eq!(eigvalsh(&a).unwrap(), [-3e-310, 3e-310]);
    let a = Matrix::new(2, 2, vec![0.0_f64, 1e308, 1e308, 0.0]);
    let e = eigh(&a).unwrap();
    assert!((e.values[1] / 1e308 - 1.0).abs() < 1e-15);
}

#[test]
fn only_the_lower_triangle_is_read() {
    let full = Spectrum::Spread.symmetric::<f64>(9, 1.0, &mut rng(1)).0;
    let lower = Matrix::from_fn(9, 9, |i, j| if j > i { 1e30 } else { full[(i, j)] });
    assert_eq!(eigh(&lower).unwrap(), eigh(&full).unwrap());
}

fn threads_agree<T: Real>(n: usize, count: usize) {
    let mut rng = rng(n as u64);
    let data =
        (0..count).flat_map(|_| Spectrum::Spread.symmetric(n, T::ONE, &mut rng).0.into_data()).collect();
    let batch = Batch::<T>::new(count, n, n, data);
    let one = on_threads(1, || eigh_batch(&batch).unwrap());
    let two = on_threads(2, || eigh_batch(&batch).unwrap());
    assert_eq!(bits(one.values.data()), bits(two.values.data()));
    assert_eq!(bits(one.vectors.data()), bits(two.vectors.data()));
    for i in 0..count {
        let single = eigh(&batch.matrix(i)).unwrap();
        assert_eq!(bits(&single.values), bits(one.values.row(i)));
        assert_eq!(bits(single.vectors.data()), bits(one.vectors.get(i)));
    }
    let values = on_threads(2, || eigvalsh_batch(&batch).unwrap());
    for i in 0..count {
        assert_eq!(bits(&eigvalsh(&batch.matrix(i)).unwrap()), bits(values.row(i)));
    }
}

#[test]
fn a_batch_gives_the_same_bits_on_any_number_of_threads() {
    threads_agree::<f64>(1, 700);
    threads_agree::<f64>(7, 700);
    threads_agree::<f32>(40, 30);
    threads_agree::<f64>(140, 3);
}

#[test]
fn broken_input_is_named() {
    let wide = Matrix::<f64>::zeros(2, 3);
    assert!(matches!(eigh(&wide), Err(Error::Shape { op: "eigh", lhs: (2, 3), .. })));
    assert!(matches!(eigvalsh(&wide), Err(Error::Shape { .. })));
    assert!(matches!(eigh_batch(&Batch::<f64>::zeros(1, 2, 3)), Err(Error::Shape { .. })));
    assert!(matches!(eigvalsh_batch(&Batch::<f64>::zeros(1, 2, 3)), Err(Error::Shape { .. })));
    for n in [1, 2, 3, 130] {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut a = Matrix::identity(n);
            a[(0, n - 1)] = bad;
            let expected = Error::NotFinite { op: "eigh", index: 0, row: 0, col: n - 1 };
            assert_eq!(eigh(&a).unwrap_err(), expected);
            assert!(matches!(eigvalsh(&a), Err(Error::NotFinite { .. })));
            let mut data = Matrix::identity(n).into_data();
            data.extend_from_slice(a.data());
            let expected = Error::NotFinite { op: "eigh_batch", index: 1, row: 0, col: n - 1 };
            assert_eq!(eigh_batch(&Batch::new(2, n, n, data)).unwrap_err(), expected);
        }
    }
    let huge = Matrix::from_fn(2, 2, |_, _| 1.5e308); // the larger eigenvalue is 3e308
    assert_eq!(eigh(&huge).unwrap_err(), Error::Overflow { op: "eigh", index: 0 });
}

#[test]
fn empty_matrices_have_empty_spectra() {
    let e = eigh(&Matrix::<f64>::zeros(0, 0)).unwrap();
    assert!(e.values.is_empty() && e.vectors.shape() == (0, 0));
    assert!(eigvalsh(&Matrix::<f32>::zeros(0, 0)).unwrap().is_empty());
    assert_eq!(eigh_batch(&Batch::<f64>::zeros(3, 0, 0)).unwrap().values.shape(), (3, 0));
    assert_eq!(eigh_batch(&Batch::<f64>::zeros(0, 4, 4)).unwrap().vectors.count(), 0);
}
