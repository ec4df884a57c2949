//! Checking derivatives against finite differences and against each other.

use crate::{Error, Program, Recorder, Shape, Var};
use eigenflow_linalg::Real;

/// Directions that are tried, each with numbers of its own ([`Weyl`]).
const DIRECTIONS: usize = 3;
/// Units of rounding that a computed number may be off by.
const ULPS: f64 = 64.0;

/// Largest errors of the derivatives of a function, each in units of its tolerance: at most 1
/// where the derivatives are right, NaN where one of them is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradReport {
    /// Of `J v` against central finite differences.
    pub jvp: f64,
    /// Of `<Jᵀ u, v>` against finite differences.
    pub vjp: f64,
    /// Of `<u, J v> = <Jᵀ u, v>`, in units of `64 √n eps ‖u‖ ‖J v‖` for `n` outputs.
    pub duality: f64,
}

/// Checks the derivatives of a function at a point; an error names the rule that is wrong.
///
/// `inputs` are shapes and numbers of the variables, batch values of `rows` rows or shared
/// matrices. Along a few fixed directions `v` (steps relative to `max(1, |x|)`), with
/// `D(h) = (f(x + h v) - f(x - h v)) / 2h` and `h = eps^(1/3)`:
///
/// - `|J v - D(h)| <= |D(2h) - D(h)| + 64 eps (max|f| + max|J v|) / h`: three times the
///   truncation, plus the rounding of `f`;
/// - `<Jᵀ u, v>` agrees with `<u, D(h)>` to the sum of these;
/// - `|<u, J v> - <Jᵀ u, v>| <= 64 √n eps ‖u‖ ‖J v‖`.
///
/// The cost is that of 15 evaluations with both derivatives. The point must not be within a step of a kink.
///
/// # Errors
/// [`Error::Gradient`] if a derivative is wrong, or what recording and running give.
///
/// ```
/// use eigenflow_autodiff::{Error, Shape, gradcheck};
/// let x = [0.3_f64, -1.2];
/// // rows of one column each, times a shared 1 x 1 matrix
/// gradcheck(|_, v| v[0].tanh().matmul(v[1]), 2, &[(Shape::batch(1), &x), (Shape::shared(1, 1), &[2.0])])?;
/// # Ok::<(), Error>(())
/// ```
pub fn gradcheck<T: Real, F>(f: F, rows: usize, inputs: &[(Shape, &[T])]) -> Result<GradReport, Error>
where
    F: for<'t> FnOnce(&'t Recorder<T>, &[Var<'t, T>]) -> Var<'t, T>,
{
    let report = gradient_report(|r, x| Ok(f(r, x)), rows, inputs)?;
    for (rule, excess) in [("jvp", report.jvp), ("vjp", report.vjp), ("duality", report.duality)] {
        if excess.is_nan() || excess > 1.0 {
            return Err(Error::Gradient { rule, excess });
        }
    }
    Ok(report)
}

/// The measurements of [`gradcheck`] without the verdict, for closures that can fail (those that
/// differentiate) and for tolerances that grow with a condition number.
///
/// # Errors
/// What recording and running give.
pub fn gradient_report<T: Real, F>(f: F, rows: usize, inputs: &[(Shape, &[T])]) -> Result<GradReport, Error>
where
    F: for<'t> FnOnce(&'t Recorder<T>, &[Var<'t, T>]) -> Result<Var<'t, T>, Error>,
{
    let shapes: Vec<Shape> = inputs.iter().map(|&(shape, _)| shape).collect();
    let mut output = Shape::shared(0, 0);
    let program = Program::try_record(|r| {
        let declare = || shapes.iter().map(|&s| r.input(s)).collect::<Vec<_>>();
        let (x, v) = (declare(), declare());
        let y = f(r, &x)?;
        output = y.shape();
        let u = r.input(output);
        let seeds: Vec<_> = x.iter().copied().zip(v).collect();
        let mut out = vec![y, r.jvp(&[y], &seeds)?[0]];
        out.extend(r.vjp(&[(y, u)], &x)?);
        Ok::<_, Error>(out)
    })?;
    let run = |x: &[Vec<T>], v: &[Vec<T>], u: &[T]| {
        let all = || {
            let own = shapes.iter().zip(x).chain(shapes.iter().zip(v));
            own.map(|(&s, x)| (s, x.as_slice())).chain([(output, u)])
        };
        let of = |batch: bool| -> Vec<&[T]> {
            all().filter(|(s, _)| s.is_batch() == batch).map(|(_, x)| x).collect()
        };
        program.run(rows, &of(true), &of(false))
    };
    let x: Vec<Vec<T>> = inputs.iter().map(|(_, x)| x.to_vec()).collect();
    let mut report = GradReport { jvp: 0.0, vjp: 0.0, duality: 0.0 };
    for direction in 0..DIRECTIONS {
        let mut numbers = Weyl { direction, index: 0 };
        let u: Vec<T> = (0..output.len(rows)).map(|_| T::of(numbers.next())).collect();
        let h = T::EPS.f64().cbrt();
        let step = |x: &[T], numbers: &mut Weyl| -> Vec<f64> {
            x.iter().map(|x| h * x.f64().abs().max(1.0) * numbers.next()).collect()
        };
        let steps: Vec<Vec<f64>> = x.iter().map(|x| step(x, &mut numbers)).collect();
        let moved = |by: f64| -> Vec<Vec<T>> {
            let one =
                |(x, s): (&Vec<T>, &Vec<f64>)| x.iter().zip(s).map(|(&x, &s)| x + T::of(by * s)).collect();
            x.iter().zip(&steps).map(one).collect()
        };
        // The step that was really taken, after rounding.
        let (ahead, behind) = (moved(1.0), moved(-1.0));
        let taken = |(a, b): (&Vec<T>, &Vec<T>)| {
            a.iter().zip(b).map(|(&a, &b)| T::of((a - b).f64() / (2.0 * h))).collect()
        };
        let v: Vec<Vec<T>> = ahead.iter().zip(&behind).map(taken).collect();
        let zero: Vec<Vec<T>> = x.iter().map(|x| vec![T::ZERO; x.len()]).collect();
        let values = |x: &[Vec<T>]| run(x, &zero, &u).map(|mut out| out.swap_remove(0));
        let difference = |a: Vec<T>, b: Vec<T>, h: f64| -> Vec<f64> {
            a.iter().zip(&b).map(|(a, b)| (a.f64() - b.f64()) / (2.0 * h)).collect()
        };
        let near = difference(values(&ahead)?, values(&behind)?, h);
        let far = difference(values(&moved(2.0))?, values(&moved(-2.0))?, 2.0 * h);
        let out = run(&x, &v, &u)?;
        let (y, jv, pulled) = (&out[0], &out[1], &out[2..]);

        let scale = largest(y) + largest(jv);
        let rounding = ULPS * T::EPS.f64() * scale / h;
        let (mut dot, mut slack) = (0.0, 0.0);
        for ((&near, &far), (jv, u)) in near.iter().zip(&far).zip(jv.iter().zip(&u)) {
            let tolerance = (far - near).abs() + rounding;
            worst(&mut report.jvp, (jv.f64() - near).abs(), tolerance);
            dot += near * u.f64();
            slack += tolerance * u.f64().abs();
        }
        let product = |a: &[T], b: &[T]| a.iter().zip(b).map(|(a, b)| a.f64() * b.f64()).sum::<f64>();
        let forward = product(&u, jv);
        let reverse: f64 = pulled.iter().zip(&v).map(|(g, v)| product(g, v)).sum();
        let norms = (product(&u, &u) * product(jv, jv)).sqrt();
        let duality = ULPS * (y.len() as f64).sqrt() * T::EPS.f64() * norms;
        worst(&mut report.duality, (forward - reverse).abs(), duality);
        worst(&mut report.vjp, (reverse - dot).abs(), slack + duality);
    }
    Ok(report)
}

/// Raises `worst` to `error / tolerance`; NaN stays.
fn worst(worst: &mut f64, error: f64, tolerance: f64) {
    let ratio = if error == 0.0 { 0.0 } else { error / tolerance };
    if ratio.is_nan() || ratio > *worst {
        *worst = ratio;
    }
}

fn largest<T: Real>(x: &[T]) -> f64 {
    x.iter().fold(0.0, |m, x| T::maximum(T::of(m), x.abs()).f64())
}

/// Numbers in (-1, 1) without pattern: multiples of irrational numbers, modulo 1.
struct Weyl {
    direction: usize,
    index: usize,
}

impl Weyl {
    fn next(&mut self) -> f64 {
        self.index += 1;
        let irrational = [5.0_f64, 7.0, 13.0][self.direction % 3].sqrt();
        2.0 * (self.index as f64 * irrational + 0.25).fract() - 1.0
    }
}
