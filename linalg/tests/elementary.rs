//! The elementwise functions against 60-digit references, against each other and at the edges.
//!
//! `reference/elementary.bin` is written by `reference/make_elementary.py`. Run with
//! `-- --nocapture` to see the greatest error of each function and path.

// The nearest number, the infinity, the bit: exact comparisons are what is tested here.
#![allow(clippy::float_cmp)]

use eigenflow_linalg::Real;
use eigenflow_linalg::elementary::*;
use proptest::prelude::*;

const EPS: f64 = f64::EPSILON;
/// The least positive number.
const LEAST: f64 = f64::from_bits(1);

/// An argument, the nearest number to the exact value there, and the rest in units of eps.
struct Point {
    x: f64,
    nearest: f64,
    rest: f64,
}

impl Point {
    /// How far `y` is off, in eps relative to the value, for normal results; for a subnormal value
    /// the first least number of the distance is free.
    fn error(&self, y: f64) -> f64 {
        if y == self.nearest && !self.nearest.is_normal() {
            return 0.0;
        }
        if self.nearest.is_infinite() || !y.is_finite() {
            return f64::INFINITY;
        }
        if !self.nearest.is_normal() {
            return ((y - self.nearest).abs() - LEAST).max(0.0) / f64::MIN_POSITIVE / EPS;
        }
        ((y - self.nearest) / self.nearest / EPS - self.rest).abs()
    }
}

/// The next `N` bytes.
fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (head, tail) = bytes.split_first_chunk().expect("the table ends inside an entry");
    *bytes = tail;
    *head
}

/// The points of one function.
fn reference(name: &str) -> Vec<Point> {
    let mut bytes: &[u8] = include_bytes!("reference/elementary.bin");
    while !bytes.is_empty() {
        let label: [u8; 16] = take(&mut bytes);
        let count = u32::from_le_bytes(take(&mut bytes));
        let points: Vec<Point> = (0..count)
            .map(|_| Point {
                x: f64::from_le_bytes(take(&mut bytes)),
                nearest: f64::from_le_bytes(take(&mut bytes)),
                rest: f64::from(f32::from_le_bytes(take(&mut bytes))),
            })
            .collect();
        if label.iter().take_while(|&&b| b != 0).eq(name.as_bytes()) {
            return points;
        }
    }
    panic!("{name} is not in the table");
}

/// The greatest error over the table, for the fused kernel, the portable one and the slice form.
fn check_reference<F: Function>(limit: f64) {
    let points = reference(F::NAME);
    assert!(points.len() > 500, "{}: only {} points", F::NAME, points.len());
    let xs: Vec<f64> = points.iter().map(|p| p.x).collect();
    let mut slice = vec![0.0; xs.len()];
    map::<F, f64>(&mut slice, &xs);
    let fused: Vec<f64> = xs.iter().map(|&x| F::eval::<true>(x)).collect();
    let portable: Vec<f64> = xs.iter().map(|&x| F::eval::<false>(x)).collect();
    let mut greatest = Vec::new();
    for (path, ys) in [("fused", fused), ("portable", portable), ("slice", slice)] {
        let (error, x) = points
            .iter()
            .zip(&ys)
            .map(|(p, &y)| (p.error(y), p.x))
            .fold((0.0, f64::NAN), |a, b| if b.0 > a.0 { b } else { a });
        greatest.push(format!("{path} {error:.2} at {x:e}"));
        assert!(error <= limit, "{} ({path}): {error} eps at {x:e} ({:#x})", F::NAME, x.to_bits());
    }
    println!("{:9} {} points, eps: {}", F::NAME, points.len(), greatest.join(", "));
}

#[test]
fn within_the_stated_error() {
    check_reference::<Exp>(4.0);
    check_reference::<ExpM1>(4.0);
    check_reference::<Ln>(4.0);
    check_reference::<Ln1p>(4.0);
    check_reference::<Sinh>(4.0);
    check_reference::<Cosh>(4.0);
    check_reference::<Tanh>(4.0);
    check_reference::<Asinh>(4.0);
    check_reference::<Sigmoid>(4.0);
    check_reference::<Softplus>(4.0);
    check_reference::<Erf>(16.0);
    check_reference::<Erfc>(4.0);
    check_reference::<Quantile>(16.0);
}

/// The sweep of `f32`: every 997th pattern, ascending.
fn sweep() -> Vec<f32> {
    let magnitudes = (0..=f32::INFINITY.to_bits()).step_by(997).map(f32::from_bits);
    let mut xs: Vec<f32> = magnitudes.clone().map(|x| -x).collect();
    xs.reverse();
    xs.extend(magnitudes);
    xs
}

/// The distance in `f32` eps relative to the exact value, the least subnormal number being free.
fn error_f32(y: f32, exact: f64) -> f64 {
    // Beyond the midpoint of the greatest number and the next power of two, infinity is nearest.
    let overflow = f64::from(f32::MAX) * (1.0 + 0.25 * f64::from(f32::EPSILON));
    if y.is_infinite() {
        return if f64::from(y) == exact || exact.abs() >= overflow * (1.0 - EPS) {
            0.0
        } else {
            f64::INFINITY
        };
    }
    let distance = (f64::from(y) - exact).abs();
    if exact.abs() < f64::from(f32::MIN_POSITIVE) {
        return (distance - f64::from(f32::from_bits(1)) / 2.0).max(0.0) * 1e45;
    }
    distance / exact.abs() / f64::from(f32::EPSILON)
}

/// Against an independent function in `f64`: rounded correctly but for `1e-7` of a unit.
fn check_f32<F: Function>(exact: fn(f64) -> f64) {
    let xs = sweep();
    let mut ys = vec![0.0; xs.len()];
    map::<F, f32>(&mut ys, &xs);
    for (&x, &y) in xs.iter().zip(&ys) {
        let exact = exact(f64::from(x));
        if exact.is_nan() {
            assert!(y.is_nan(), "{}({x:e}) = {y:e}, not NaN", F::NAME);
            continue;
        }
        let error = error_f32(y, exact);
        assert!(error <= 0.500_000_1, "{}({x:e}) = {y:e}, exactly {exact:e}: {error} eps", F::NAME);
    }
}

#[test]
fn single_precision_is_correctly_rounded() {
    check_f32::<Exp>(f64::exp);
    check_f32::<ExpM1>(f64::exp_m1);
    check_f32::<Ln>(f64::ln);
    check_f32::<Ln1p>(f64::ln_1p);
    check_f32::<Sinh>(f64::sinh);
    check_f32::<Cosh>(f64::cosh);
    check_f32::<Tanh>(f64::tanh);
    check_f32::<Asinh>(libm::asinh);
    check_f32::<Sigmoid>(|x| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) });
    check_f32::<Softplus>(|x| if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() });
    check_f32::<Erf>(libm::erf);
    check_f32::<Erfc>(libm::erfc);
    check_f32::<Sqrt>(f64::sqrt);
    check_f32::<Recip>(f64::recip);
    check_f32::<Sin>(f64::sin);
    check_f32::<Cos>(f64::cos);
}

/// The exact quantile lies within half a unit of the computed one: the distribution function says
/// so, on the side of the smaller tail.
#[test]
fn single_precision_quantile_is_bracketed() {
    let lower = |z: f64| 0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2);
    for p in sweep().into_iter().filter(|p| *p > 0.0 && *p < 1.0) {
        let z = f64::from(scalar::quantile(p));
        let (p, z) = if p <= 0.5 { (f64::from(p), z) } else { (1.0 - f64::from(p), -z) };
        let half = 0.5 * z.abs() * f64::from(f32::EPSILON) * 1.000_001;
        // Near p = 1/2 the half unit of z is below what the distribution function resolves.
        let slack = p * 4.0 * EPS;
        assert!(lower(z - half) <= p + slack && p - slack <= lower(z + half), "quantile({p:e}) = {z:e}");
    }
}

#[test]
fn single_precision_is_monotone() {
    fn increasing<F: Function>(sign: f32) {
        let xs = sweep();
        let mut ys = vec![0.0; xs.len()];
        map::<F, f32>(&mut ys, &xs);
        for (x, y) in xs.windows(2).zip(ys.windows(2)) {
            assert!(
                y[0].is_nan() || y[1].is_nan() || sign * y[0] <= sign * y[1],
                "{} falls at {x:?}: {y:?}",
                F::NAME
            );
        }
    }
    increasing::<Exp>(1.0);
    increasing::<ExpM1>(1.0);
    increasing::<Ln>(1.0);
    increasing::<Ln1p>(1.0);
    increasing::<Sinh>(1.0);
    increasing::<Tanh>(1.0);
    increasing::<Asinh>(1.0);
    increasing::<Sigmoid>(1.0);
    increasing::<Softplus>(1.0);
    increasing::<Erf>(1.0);
    increasing::<Erfc>(-1.0);
    increasing::<Quantile>(1.0);
}

/// Equal as numbers, with the sign of zero; NaN equals NaN.
fn same<T: Real>(a: T, b: T) -> bool {
    a.f64().to_bits() == b.f64().to_bits() || (a.is_nan() && b.is_nan())
}

fn check_values<F: Function>(cases: &[(f64, f64)]) {
    for &(x, y) in cases.iter().chain(&[(f64::NAN, f64::NAN)]) {
        for value in [F::eval::<true>(x), F::eval::<false>(x), apply::<F, f64>(x)] {
            assert!(same(value, y), "{}({x:e}) = {value:e}, expected {y:e}", F::NAME);
        }
        let value = apply::<F, f32>(x as f32);
        // Arguments beyond `f32` become infinite or zero there, and are left to the sweep.
        if f64::from(x as f32) == x || x.is_nan() {
            assert!(same(value, y as f32), "{}({x:e}) = {value:e} in f32", F::NAME);
        }
    }
}

#[test]
fn special_values() {
    const INF: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;
    let odd =
        [(0.0, 0.0), (-0.0, -0.0), (LEAST, LEAST), (-LEAST, -LEAST), (1e-310, 1e-310), (-1e-300, -1e-300)];
    let one = [(0.0, 1.0), (-0.0, 1.0), (LEAST, 1.0), (-1e-300, 1.0)];

    check_values::<Exp>(&one);
    check_values::<Exp>(&[
        (INF, INF),
        (-INF, 0.0),
        (709.79, INF),
        (1e300, INF),
        (-745.14, 0.0),
        (-1e300, 0.0),
        (-745.0, LEAST),
    ]);
    check_values::<ExpM1>(&odd);
    check_values::<ExpM1>(&[(INF, INF), (-INF, -1.0), (709.79, INF), (-1e9, -1.0)]);
    check_values::<Ln>(&[
        (0.0, -INF),
        (-0.0, -INF),
        (1.0, 0.0),
        (INF, INF),
        (-INF, NAN),
        (-1.0, NAN),
        (-LEAST, NAN),
    ]);
    check_values::<Ln1p>(&odd);
    check_values::<Ln1p>(&[(-1.0, -INF), (INF, INF), (-INF, NAN), (-1.0 - EPS, NAN), (-2.0, NAN)]);
    check_values::<Sinh>(&odd);
    check_values::<Sinh>(&[(INF, INF), (-INF, -INF), (710.48, INF), (-1e300, -INF)]);
    check_values::<Cosh>(&one);
    check_values::<Cosh>(&[(INF, INF), (-INF, INF), (710.48, INF), (-1e300, INF)]);
    check_values::<Tanh>(&odd);
    check_values::<Tanh>(&[(INF, 1.0), (-INF, -1.0), (20.0, 1.0), (-1e300, -1.0)]);
    check_values::<Asinh>(&odd);
    check_values::<Asinh>(&[(INF, INF), (-INF, -INF)]);
    check_values::<Sigmoid>(&[
        (0.0, 0.5),
        (-0.0, 0.5),
        (INF, 1.0),
        (-INF, 0.0),
        (1e300, 1.0),
        (-1e300, 0.0),
        (-745.0, LEAST),
    ]);
    check_values::<Softplus>(&[(INF, INF), (-INF, 0.0), (1e300, 1e300), (-1e300, 0.0), (-745.0, LEAST)]);
    check_values::<Erf>(&[(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (6.0, 1.0), (-1e300, -1.0)]);
    check_values::<Erfc>(&one);
    check_values::<Erfc>(&[(INF, 0.0), (-INF, 2.0), (27.3, 0.0), (1e300, 0.0), (-1e300, 2.0)]);
    check_values::<Quantile>(&[
        (0.0, -INF),
        (-0.0, -INF),
        (1.0, INF),
        (0.5, 0.0),
        (1.5, NAN),
        (-LEAST, NAN),
        (INF, NAN),
        (-INF, NAN),
    ]);
    check_values::<Sqrt>(&[(0.0, 0.0), (-0.0, -0.0), (4.0, 2.0), (INF, INF), (-1.0, NAN)]);
    check_values::<Recip>(&[(0.0, INF), (-0.0, -INF), (4.0, 0.25), (INF, 0.0), (-INF, -0.0)]);
    check_values::<Sin>(&[(0.0, 0.0), (-0.0, -0.0), (INF, NAN)]);
    check_values::<Cos>(&[(0.0, 1.0), (-INF, NAN)]);
}

#[test]
#[should_panic(expected = "tanh: destination and source differ in length")]
fn lengths_must_agree() {
    tanh(&mut [0.0; 3], &[0.0; 2]);
}

/// The slice form has the bits of the scalar kernel, at every position of every length.
fn check_bits<F: Function, T: Real>(src: &[T]) {
    let mut dst = vec![T::ZERO; src.len()];
    map::<F, T>(&mut dst, src);
    for (i, (&x, &y)) in src.iter().zip(&dst).enumerate() {
        let kernel = if fused() { F::eval::<true>(x.f64()) } else { F::eval::<false>(x.f64()) };
        assert!(same(y, T::of(kernel)), "{}({x:e}) at {i} of {} in {}", F::NAME, src.len(), T::NAME);
        assert!(same(y, apply::<F, T>(x)));
    }
}

fn check_all_bits<T: Real>(src: &[T]) {
    check_bits::<Exp, T>(src);
    check_bits::<ExpM1, T>(src);
    check_bits::<Ln, T>(src);
    check_bits::<Ln1p, T>(src);
    check_bits::<Sinh, T>(src);
    check_bits::<Cosh, T>(src);
    check_bits::<Tanh, T>(src);
    check_bits::<Asinh, T>(src);
    check_bits::<Sigmoid, T>(src);
    check_bits::<Softplus, T>(src);
    check_bits::<Erf, T>(src);
    check_bits::<Erfc, T>(src);
    check_bits::<Quantile, T>(src);
    check_bits::<Sqrt, T>(src);
    check_bits::<Recip, T>(src);
    check_bits::<Sin, T>(src);
    check_bits::<Cos, T>(src);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn slices_have_the_bits_of_scalars(
        any in prop::collection::vec(any::<f64>(), 0..70),
        near in prop::collection::vec(-3.0..3.0_f64, 0..70),
        bits in prop::collection::vec(any::<f32>(), 0..70),
    ) {
        check_all_bits(&any);
        check_all_bits(&near);
        check_all_bits(&bits);
    }

    #[test]
    fn odd_functions_are_odd(x in any::<f64>()) {
        prop_assert!(same(scalar::tanh(-x), -scalar::tanh(x)));
        prop_assert!(same(scalar::sinh(-x), -scalar::sinh(x)));
        prop_assert!(same(scalar::asinh(-x), -scalar::asinh(x)));
        prop_assert!(same(scalar::erf(-x), -scalar::erf(x)));
        prop_assert!(same(scalar::cosh(-x), scalar::cosh(x)));
    }

    #[test]
    fn identities(x in -30.0..30.0_f64, k in 1..(1_u64 << 52)) {
        let close = |a: f64, b: f64, scale: f64| (a - b).abs() <= 8.0 * EPS * scale;
        prop_assert!(close(scalar::ln(scalar::exp(x)), x, x.abs().max(1.0)));
        // On the left the condition number of ln(1 + y) at y = e^x - 1 is about e^-x.
        let condition = if x < 0.0 { (-x).exp() } else { x };
        prop_assert!(close(scalar::ln_1p(scalar::exp_m1(x)), x, condition));
        prop_assert!(close(scalar::softplus(x) - scalar::softplus(-x), x, x.abs().max(1.0)));
        prop_assert!(close(scalar::sigmoid(x) + scalar::sigmoid(-x), 1.0, 1.0));
        prop_assert!(close(scalar::tanh(0.5 * x), 2.0 * scalar::sigmoid(x) - 1.0, 1.0));
        prop_assert!(close(scalar::erf(x) + scalar::erfc(x), 1.0, 1.0));
        prop_assert!(close(scalar::asinh(scalar::sinh(x)), x, x.abs()));
        prop_assert!(close(scalar::cosh(x), scalar::sinh(x.abs()) + scalar::exp(-x.abs()), x.cosh()));
        // 1 - p is exact.
        let p = k as f64 * EPS;
        prop_assert!(p == 0.5 || same(scalar::quantile(p), -scalar::quantile(1.0 - p)));
    }
}
