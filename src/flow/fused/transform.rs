//! Rational-quadratic splines as one operation.

use super::lanes::{LANES, Pack};
use crate::flow::transformer::{Spline, Transformer};
use eigenflow_autodiff::primitive::{Cotangents, Eval, Primitive, Shapes, Tangents, shape_error};
use eigenflow_autodiff::{Error, Recorder, Shape, Tangent, Var, expand};
use eigenflow_linalg::Real;
use eigenflow_linalg::elementary::{Kernel, dispatch};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

/// Records a spline in one direction: `(y, ln dz/dx)` of each column of `v`, with the parameters `raw`, parameter by parameter.
pub(crate) fn transform<'t, T: Real>(
    spline: &Spline,
    raw: Var<'t, T>,
    v: Var<'t, T>,
    generate: bool,
) -> (Var<'t, T>, Var<'t, T>) {
    let op = Transform { spline: Arc::new(spline.clone()), generate };
    let raw = raw.broadcast_to(v.shape().with_cols(raw.cols()));
    let out = v.recorder().apply_all(op, &[raw, v]);
    (out[0], out[1])
}

/// The spline: inputs the parameters and the columns, outputs `y` and `ln dz/dx`.
#[derive(Clone, Debug)]
struct Transform {
    spline: Arc<Spline>,
    generate: bool,
}

/// Its first derivatives: by the columns, of both outputs, and by the parameters, of both.
#[derive(Clone, Debug)]
struct Rates(Transform);

/// Parameters of a column.
fn parameters(spline: &Spline) -> usize {
    3 * spline.bins - 1
}

impl Transform {
    /// The same in basic primitives.
    fn expand<'t, T: Real>(&self, x: &[Var<'t, T>]) -> [Var<'t, T>; 2] {
        let (raw, v) = (x[0], x[1]);
        let m = v.cols();
        let theta: Vec<Var<'t, T>> =
            (0..parameters(&self.spline)).map(|k| raw.slice(k * m..(k + 1) * m)).collect();
        let transformer = Transformer::Spline((*self.spline).clone());
        let (y, log) =
            if self.generate { transformer.generate(&theta, v) } else { transformer.normalize(&theta, v) };
        [y, log.broadcast_to(v.shape())]
    }

    fn fits(&self, inputs: &[Shape]) -> bool {
        let m = inputs[1].cols();
        inputs[1] == Shape::batch(m) && inputs[0] == Shape::batch(parameters(&self.spline) * m)
    }

    /// The rates of both outputs, `[by v, by the parameters]` each.
    fn rates<'t, T: Real>(&self, r: &'t Recorder<T>, x: &[Var<'t, T>]) -> [[Var<'t, T>; 2]; 2] {
        let out = r.apply_all(Rates(self.clone()), x);
        [[out[0], out[2]], [out[1], out[3]]]
    }
}

impl<T: Real> Primitive<T> for Transform {
    fn name(&self) -> &'static str {
        "spline"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if self.fits(inputs) {
            return Ok(smallvec![inputs[1], inputs[1]]);
        }
        shape_error("spline", inputs, "parameters and columns of a batch, parameter by parameter")
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let [y, log] = &mut *cx.outputs else { return };
        let columns = cx.input_shapes[1].cols();
        dispatch(Run { op: self, raw: cx.inputs[0], v: cx.inputs[1], columns, y, log });
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let m = x[1].cols();
        let one = |[by_v, by_raw]: [Var<'t, T>; 2]| {
            // Σ_k of the parameters' shares, column by column.
            let sum = |block: Var<'t, T>| {
                let parts = (0..parameters(&self.spline)).map(|k| block.slice(k * m..(k + 1) * m));
                parts.reduce(|a, b| a + b).unwrap_or(block)
            };
            let from_raw = dx[0].scale(by_raw).linear(r, x[0].shape(), m, sum);
            dx[1].scale(by_v).add(from_raw, r, y[0].shape())
        };
        Ok(self.rates(r, x).into_iter().map(one).collect())
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let rates = self.rates(r, x);
        let mut found: Cotangents<'t, T> = smallvec![None, None];
        for (dy, [by_v, by_raw]) in dy.iter().zip(rates) {
            let Some(dy) = *dy else { continue };
            let add = |slot: &mut Option<Var<'t, T>>, g: Var<'t, T>| {
                *slot = Some(slot.map_or(g, |sum| sum + g));
            };
            if need[0] {
                let repeated = Var::concat(&vec![dy; parameters(&self.spline)]);
                add(&mut found[0], repeated.chain(by_raw));
            }
            if need[1] {
                add(&mut found[1], dy.chain(by_v));
            }
        }
        Ok(found)
    }
}

impl<T: Real> Primitive<T> for Rates {
    fn name(&self) -> &'static str {
        "spline rates"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if self.0.fits(inputs) {
            return Ok(smallvec![inputs[1], inputs[1], inputs[0], inputs[0]]);
        }
        shape_error("spline rates", inputs, "parameters and columns of a batch, parameter by parameter")
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let [by_v, log_by_v, by_raw, log_by_raw] = &mut *cx.outputs else { return };
        let columns = cx.input_shapes[1].cols();
        let (by_v, by_raw) = ([&mut **by_v, &mut **log_by_v], [&mut **by_raw, &mut **log_by_raw]);
        dispatch(RunRates { op: &self.0, raw: cx.inputs[0], v: cx.inputs[1], columns, by_v, by_raw });
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        expand::push(r, &self.expand(r, x)?, x, dx)
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        expand::pull(r, &self.expand(r, x)?, x, dy, need)
    }
}

impl Rates {
    /// The same in basic primitives: the columns do not mix, so that one pull of ones gives all rates.
    fn expand<'t, T: Real>(&self, r: &'t Recorder<T>, x: &[Var<'t, T>]) -> Result<[Var<'t, T>; 4], Error> {
        let [y, log] = self.0.expand(x);
        let ones = Some(r.full(y.shape(), T::ONE));
        let of = |output: Var<'t, T>| -> Result<[Var<'t, T>; 2], Error> {
            let found = expand::pull(r, &[output], x, &[ones], &[true, true])?;
            Ok([0, 1].map(|k| found[k].unwrap_or_else(|| r.full(x[k].shape(), T::ZERO))))
        };
        let ([raw, v], [log_raw, log_v]) = (of(y)?, of(log)?);
        Ok([v, log_v, raw, log_raw])
    }
}

/// [`LANES`] columns of consecutive numbers, and where their parameters begin; the last column stands in for those beyond the
/// end.
struct Places {
    columns: [usize; LANES],
    parameters: [usize; LANES],
    /// From a column's parameter to its next one.
    stride: usize,
}

impl Places {
    /// From column number `first` on.
    #[inline(always)]
    fn from(first: usize, total: usize, columns: usize, parameters: usize) -> Self {
        let mut out = Self { columns: [0; LANES], parameters: [0; LANES], stride: columns };
        for i in 0..LANES {
            let e = (first + i).min(total - 1);
            out.columns[i] = e;
            out.parameters[i] = e / columns * parameters * columns + e % columns;
        }
        out
    }

    #[inline(always)]
    fn column<T: Real, const FMA: bool>(&self, v: &[T]) -> Pack<T, FMA> {
        let mut out = [T::ZERO; LANES];
        for (o, &e) in out.iter_mut().zip(&self.columns) {
            *o = v[e];
        }
        Pack(out)
    }

    /// All parameters.
    #[inline(always)]
    fn theta<T: Real, const FMA: bool>(&self, raw: &[T], theta: &mut [Pack<T, FMA>]) {
        for (k, pack) in theta.iter_mut().enumerate() {
            for (o, &start) in pack.0.iter_mut().zip(&self.parameters) {
                *o = raw[start + k * self.stride];
            }
        }
    }

    /// Numbers of the first `n` columns, one for each parameter.
    #[inline(always)]
    fn scatter<T: Real, const FMA: bool>(&self, theta: &[Pack<T, FMA>], n: usize, raw: &mut [T]) {
        for (k, pack) in theta.iter().enumerate() {
            for (&value, &start) in pack.0[..n].iter().zip(&self.parameters) {
                raw[start + k * self.stride] = value;
            }
        }
    }
}

/// Parameters of a pack of columns, on the stack for up to 12 bins.
type Theta<T, const FMA: bool> = SmallVec<[Pack<T, FMA>; 36]>;

/// Evaluates a spline on a shard.
struct Run<'a, T> {
    op: &'a Transform,
    raw: &'a [T],
    v: &'a [T],
    columns: usize,
    y: &'a mut [T],
    log: &'a mut [T],
}

impl<T: Real> Kernel for Run<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (total, p) = (self.v.len(), parameters(&self.op.spline));
        let mut theta: Theta<T, FMA> = SmallVec::from_elem(Pack([T::ZERO; LANES]), p);
        for first in (0..total).step_by(LANES) {
            let at = Places::from(first, total, self.columns, p);
            at.theta(self.raw, &mut theta);
            let (y, log) = self.op.spline.transform(&theta, at.column(self.v), self.op.generate);
            let n = LANES.min(total - first);
            self.y[first..first + n].copy_from_slice(&y.0[..n]);
            self.log[first..first + n].copy_from_slice(&log.0[..n]);
        }
    }
}

/// Evaluates its rates on a shard.
struct RunRates<'a, 'b, T> {
    op: &'a Transform,
    raw: &'a [T],
    v: &'a [T],
    columns: usize,
    by_v: [&'b mut [T]; 2],
    by_raw: [&'b mut [T]; 2],
}

impl<T: Real> Kernel for RunRates<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (total, p) = (self.v.len(), parameters(&self.op.spline));
        let zero: Pack<T, FMA> = Pack([T::ZERO; LANES]);
        let fresh = || -> Theta<T, FMA> { SmallVec::from_elem(zero, p) };
        let (mut theta, mut of_y, mut of_log) = (fresh(), fresh(), fresh());
        let Self { by_v, by_raw, .. } = self;
        for first in (0..total).step_by(LANES) {
            let at = Places::from(first, total, self.columns, p);
            at.theta(self.raw, &mut theta);
            let v = at.column(self.v);
            let found = self.op.spline.rates(&theta, v, self.op.generate, [&mut of_y, &mut of_log]);
            let n = LANES.min(total - first);
            for o in 0..2 {
                by_v[o][first..first + n].copy_from_slice(&found[o].0[..n]);
                at.scatter(if o == 0 { &of_y } else { &of_log }, n, by_raw[o]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::transformer::Logits;
    use crate::random::generator;
    use eigenflow_autodiff::Program;
    use rand::RngExt;

    /// Values, gradients, tangents, blocks of tangents and second derivatives along `u`, `w`, `e`: inputs are the parameters, the
    /// columns, cotangents of both outputs, directions of both inputs, a block for the parameters.
    fn everything<T: Real>(op: &Transform, m: usize, fused: bool) -> Program<T> {
        let p = parameters(&op.spline);
        let program = Program::try_record(|r| {
            let (raw, v) = (r.batch(p * m), r.batch(m));
            let cotangents = [r.batch(m), r.batch(m)];
            let directions = [r.batch(p * m), r.batch(m)];
            let block = r.batch_block(3, p * m);
            let outputs: Vec<Var<'_, T>> = if fused {
                r.apply_all(op.clone(), &[raw, v]).to_vec()
            } else {
                op.expand(&[raw, v]).to_vec()
            };
            let pairs: Vec<_> = outputs.iter().copied().zip(cotangents).collect();
            let gradient = r.vjp(&pairs, &[raw, v])?;
            let along = r.jvp(&outputs, &[(raw, directions[0]), (v, directions[1])])?;
            let pushed = r.push(&outputs, &[(raw, Tangent::dense(block))])?;
            let mut out = outputs.clone();
            for (y, pushed) in outputs.iter().zip(pushed) {
                let zero = || r.full(y.shape().with_tangents(3), T::ZERO);
                out.push(pushed.into_block(r, y.shape(), 3).unwrap_or_else(zero));
            }
            // Both nestings of a second derivative.
            out.extend(r.jvp(&gradient, &[(raw, directions[0]), (v, directions[1])])?);
            let pairs: Vec<_> = along.iter().copied().zip(cotangents).collect();
            out.extend(r.vjp(&pairs, &[raw, v])?);
            out.extend(gradient.into_iter().chain(along));
            Ok::<_, Error>(out)
        });
        program.unwrap()
    }

    #[test]
    fn the_fused_spline_is_its_expansion() {
        let (n, mut seed) = (7, 0);
        for bins in [1, 2, 5, 13] {
            for logits in [Logits::SoftClamp { least: 1e-3 }, Spline::new(bins, 2.0).logits] {
                for (m, generate) in [(3, false), (1, true)] {
                    seed += 1;
                    let spline = Spline { logits, ..Spline::new(bins, 2.0) };
                    let op = Transform { spline: Arc::new(spline), generate };
                    let p = parameters(&op.spline);
                    let mut random = generator(seed, "fused-spline", 0);
                    let mut draw = |count: usize, size: f64| -> Vec<f64> {
                        (0..count).map(|_| size * (2.0 * random.random::<f64>() - 1.0)).collect()
                    };
                    let mut given: Vec<Vec<f64>> = [p * m, m, m, m, p * m, m, 3 * p * m]
                        .into_iter()
                        .enumerate()
                        .map(|(k, width)| draw(n * width, if k == 1 { 2.6 } else { 1.5 }))
                        .collect();
                    given[1][0] = 2.0;
                    given[1][1] = -2.0;
                    given[1][2] = 1e9;
                    let run = |fused| {
                        let slices: Vec<&[f64]> = given.iter().map(Vec::as_slice).collect();
                        everything::<f64>(&op, m, fused).run(n, &slices, &[]).unwrap()
                    };
                    let (fused, expanded) = (run(true), run(false));
                    assert_eq!(fused.len(), expanded.len());
                    for (k, (a, b)) in fused.iter().zip(&expanded).enumerate() {
                        // Some three hundred operations each, whose slopes reach 1e3 and are divided by widths of 1e-2.
                        let size = b.iter().filter(|v| v.abs() < 1e8).fold(1.0_f64, |s, v| s.max(v.abs()));
                        for (a, b) in a.iter().zip(b) {
                            let off = (a - b).abs();
                            assert!(off <= 1e-10 * size, "{op:?} m = {m}, output {k}: {a} {b}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let op = Transform { spline: Arc::new(Spline::new(4, 1.0)), generate: false };
        let shapes = |inputs: &[Shape]| Primitive::<f64>::shapes(&op, inputs);
        assert!(shapes(&[Shape::batch(22), Shape::batch(2)]).is_ok());
        assert!(shapes(&[Shape::batch(21), Shape::batch(2)]).is_err());
        assert!(shapes(&[Shape::shared(1, 22), Shape::batch(2)]).is_err());
    }
}
