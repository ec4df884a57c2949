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

/// The distance in `f32` eps relative to the exact value, half of the least subnormal number being free.
fn error_f32(y: f32, exact: f64, limit: f64) -> f64 {
    // Beyond the midpoint of the greatest number and the next power of two, infinity is nearest.
    let overflow = f64::from(f32::MAX) * (1.0 + 0.25 * f64::from(f32::EPSILON));
    if y.is_infinite() {
        let right = exact.abs() >= overflow * (1.0 - limit * f64::from(f32::EPSILON));
        return if right && (f64::from(y) > 0.0) == (exact > 0.0) { 0.0 } else { f64::INFINITY };
    }
    let distance = (f64::from(y) - exact).abs();
    if exact.abs() < f64::from(f32::MIN_POSITIVE) {
        let least = f64::from(f32::from_bits(1));
        return (distance - 0.5 * least).max(0.0) / f64::from(f32::MIN_POSITIVE) / f64::from(f32::EPSILON);
    }
    distance / exact.abs() / f64::from(f32::EPSILON)
}

/// The greatest error of `ys` over `xs`, and where.
fn greatest_f32(name: &str, xs: &[f32], ys: &[f32], exact: &[f64], limit: f64) -> (f64, f32) {
    let mut greatest = (0.0, f32::NAN);
    for ((&x, &y), &exact) in xs.iter().zip(ys).zip(exact) {
        if exact.is_nan() {
            assert!(y.is_nan(), "{name}({x:e}) = {y:e}, not NaN");
            continue;
        }
        let error = error_f32(y, exact, limit);
        assert!(error <= limit, "{name}({x:e}) = {y:e}, exactly {exact:e}: {error} eps");
        if error > greatest.0 {
            greatest = (error, x);
        }
    }
    greatest
}

/// Against an independent function in `f64`: rounded correctly but for `1e-7` of a unit.
fn check_rounded<F: Function>(exact: fn(f64) -> f64) {
    let xs = sweep();
    let mut ys = vec![0.0; xs.len()];
    map::<F, f32>(&mut ys, &xs);
    let exact: Vec<f64> = xs.iter().map(|&x| exact(f64::from(x))).collect();
    greatest_f32(F::NAME, &xs, &ys, &exact, 0.500_000_1);
}

#[test]
fn single_precision_is_correctly_rounded_where_double_computes_it() {
    check_rounded::<Erf>(libm::erf);
    check_rounded::<Erfc>(libm::erfc);
    check_rounded::<Sqrt>(f64::sqrt);
    check_rounded::<Recip>(f64::recip);
    check_rounded::<Sin>(f64::sin);
    check_rounded::<Cos>(f64::cos);
}

/// The numbers where a kernel of `f32` changes its ways, each with its sign reversed.
fn turns() -> Vec<f32> {
    let mut turns = vec![0.0, f32::MIN_POSITIVE, f32::MAX, f32::INFINITY, 1.0, 2.0, 3.0, 0.5, 1.5];
    turns.extend([
        -104.0, 89.0, 89.6, 20.0, 10.0, 9.0, 9.02, 9.5, 17.4, -64.0, 1e9, 103.97, 88.722_84, 89.416,
    ]);
    turns.extend([f32::EPSILON, f32::EPSILON / 2.0, f32::EPSILON / 4.0, 2.44e-4, 1.22e-4, 0.881_373_6]);
    let root = std::f32::consts::FRAC_1_SQRT_2;
    turns.extend([root, 2.0 * root, 1.0 - root, 2.0 * root - 1.0, 1.0 - f32::EPSILON / 2.0]);
    for k in -2..=301 {
        turns.push(0.25 * std::f32::consts::LN_2 * k as f32);
        turns.push((0.5 * std::f32::consts::LN_2).mul_add(k as f32, 0.0));
    }
    turns.extend((0..=32).map(|k| ((8 + k % 8) as f32 * 2.0_f32.powi(k / 8 - 4) - 0.5) / 0.8));
    turns.extend((-126..=127).flat_map(|k| [2.0_f32.powi(k), root * 2.0_f32.powi(k)]));
    turns.iter().flat_map(|&x| [x, -x]).collect()
}

/// The kernels of `f32` against those of `f64`, at every 97th pattern of all and at every pattern near the turns.
fn check_single<F: Function>(limit: f64) {
    const BLOCK: u32 = 1 << 15;
    const STEP: u32 = 97;
    let mut greatest = [(0.0, f32::NAN); 2];
    let mut block = |xs: &[f32], portable: bool| {
        let wide: Vec<f64> = xs.iter().map(|&x| f64::from(x)).collect();
        let mut exact = vec![0.0; xs.len()];
        map::<F, f64>(&mut exact, &wide);
        let mut ys = vec![0.0; xs.len()];
        map::<F, f32>(&mut ys, xs);
        let seen = greatest_f32(F::NAME, xs, &ys, &exact, limit);
        greatest[0] = if seen.0 > greatest[0].0 { seen } else { greatest[0] };
        if F::native32(&mut []) {
            // What machines without that code compute, and loops over `lane` on this one.
            ys.iter_mut().zip(xs).for_each(|(y, &x)| *y = F::eval32::<true>(x));
            greatest_f32(F::NAME, xs, &ys, &exact, limit);
        }
        if portable {
            ys.iter_mut().zip(xs).for_each(|(y, &x)| *y = F::eval32::<false>(x));
            let seen = greatest_f32(F::NAME, xs, &ys, &exact, limit);
            greatest[1] = if seen.0 > greatest[1].0 { seen } else { greatest[1] };
        }
    };
    let patterns = u32::MAX / STEP;
    for (index, start) in (0..=patterns).step_by(BLOCK as usize).enumerate() {
        let end = patterns.min(start + BLOCK - 1);
        let xs: Vec<f32> = (start..=end).map(|i| f32::from_bits(i * STEP)).collect();
        block(&xs, index % 4 == 0);
    }
    for x in turns() {
        let bits = x.to_bits();
        let xs: Vec<f32> = (0..800).map(|i| f32::from_bits(bits.wrapping_add(i).wrapping_sub(400))).collect();
        block(&xs, true);
    }
    let [(fast, x), (portable, px)] = greatest;
    println!("{:9} f32, eps: slice {fast:.2} at {x:e}, portable {portable:.2} at {px:e}", F::NAME);
}

macro_rules! single_precision {
    ($($name:ident: $function:ident;)*) => {
        mod single_precision_is_within_two_eps {
            use super::*;
            $(
                #[test]
                fn $name() {
                    check_single::<$function>(2.0);
                }
            )*
        }
    };
}

single_precision! {
    exp: Exp;
    exp_m1: ExpM1;
    ln: Ln;
    ln_1p: Ln1p;
    sinh: Sinh;
    cosh: Cosh;
    tanh: Tanh;
    asinh: Asinh;
    sigmoid: Sigmoid;
    softplus: Softplus;
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

/// Between neighbours of the sweep a value falls by no more than its error.
#[test]
fn single_precision_is_monotone() {
    fn increasing<F: Function>(sign: f32, slack: f32) {
        let xs = sweep();
        let mut ys = vec![0.0; xs.len()];
        map::<F, f32>(&mut ys, &xs);
        for (x, y) in xs.windows(2).zip(ys.windows(2)) {
            assert!(
                y[0].is_nan()
                    || y[1].is_nan()
                    || sign * y[0] <= sign * y[1]
                    || (y[0] - y[1]).abs() <= slack * f32::EPSILON * y[1].abs(),
                "{} falls at {x:?}: {y:?}",
                F::NAME
            );
        }
    }
    increasing::<Exp>(1.0, 2.0);
    increasing::<ExpM1>(1.0, 2.0);
    increasing::<Ln>(1.0, 2.0);
    increasing::<Ln1p>(1.0, 2.0);
    increasing::<Sinh>(1.0, 2.0);
    increasing::<Tanh>(1.0, 2.0);
    increasing::<Asinh>(1.0, 2.0);
    increasing::<Sigmoid>(1.0, 2.0);
    increasing::<Softplus>(1.0, 2.0);
    increasing::<Erf>(1.0, 0.0);
    increasing::<Erfc>(-1.0, 0.0);
    increasing::<Quantile>(1.0, 0.0);
}

/// `1 - tanh(x)^2` is never negative.
#[test]
fn tanh_and_sigmoid_are_at_most_one() {
    for i in 0..400_000 {
        let x = 25.0 * f64::from(i) / 400_000.0;
        assert!(Tanh::eval::<true>(x) <= 1.0 && Tanh::eval::<false>(x) <= 1.0, "tanh({x:e})");
        assert!(Sigmoid::eval::<true>(2.0 * x) <= 1.0 && Sigmoid::eval::<false>(2.0 * x) <= 1.0, "{x:e}");
        let x = x as f32;
        let tanh = [Tanh::eval32::<true>(x), Tanh::eval32::<false>(x), scalar::tanh(x)];
        assert!(tanh.iter().all(|&y| y <= 1.0), "tanh({x:e})");
        assert!(Sigmoid::eval32::<true>(2.0 * x) <= 1.0 && Sigmoid::eval32::<false>(2.0 * x) <= 1.0, "{x:e}");
    }
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
        // Arguments beyond `f32` become infinite or zero there, and are left to the sweep.
        if f64::from(x as f32) == x || x.is_nan() {
            let x = x as f32;
            for value in [F::eval32::<true>(x), F::eval32::<false>(x), apply::<F, f32>(x)] {
                assert!(same(value, y as f32), "{}({x:e}) = {value:e} in f32", F::NAME);
            }
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

/// The slice form has the bits of the scalar kernel, at every position of every length; those of one number alone where it has
/// code of its own for this machine.
fn check_bits<F: Function, T: Real>(src: &[T]) {
    let native = T::native::<F>(&mut []);
    let mut dst = vec![T::ZERO; src.len()];
    map::<F, T>(&mut dst, src);
    for (i, (&x, &y)) in src.iter().zip(&dst).enumerate() {
        let kernel = if fused() { lane::<F, T, true>(x) } else { lane::<F, T, false>(x) };
        assert!(native || same(y, kernel), "{}({x:e}) at {i} of {} in {}", F::NAME, src.len(), T::NAME);
        assert!(same(y, apply::<F, T>(x)));
    }
    let mut y = src.to_vec();
    in_place::<F, T>(&mut y);
    assert!(y.iter().zip(&dst).all(|(&a, &b)| same(a, b)), "{} in place", F::NAME);
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
