//! Affine coupling as one operation.

use super::network::{Layer, Slope, TILE, activate, chain};
use super::pull::Pull;
use super::push::pushed;
use crate::flow::conditioner::{Activation, Mlp};
use eigenflow_autodiff::primitive::{Cotangents, Eval, Primitive, Shapes, Tangents, shape_error};
use eigenflow_autodiff::{Error, Recorder, Shape, Tangent, Var, expand};
use eigenflow_linalg::Real;
use eigenflow_linalg::elementary::{Exp, Kernel, Tanh, dispatch, in_place, lane};
use eigenflow_linalg::lines::{Right, is_sooner_transposed, sum};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

/// What a coupling computes from the passed columns `a` and the moved columns `b`.
///
/// With `(s, t) = MLP(a)` and `l = c tanh(s / c)`: `y = b e^l + t` and `log|det| = Σ l`; or, generating,
/// `y = (b - t) e^-l` and `-Σ l`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spec {
    pub network: Mlp,
    /// Bound `c` of the log-scale.
    pub bound: f64,
    /// Whether it goes from latents to data.
    pub generate: bool,
}

/// A list of variables or layers, on the stack.
pub(super) type Few<A> = SmallVec<[A; 16]>;

impl Spec {
    /// Number of passed columns.
    pub fn passed(&self) -> usize {
        self.network.inputs
    }

    /// Number of moved columns.
    pub fn moved(&self) -> usize {
        self.network.outputs / 2
    }

    /// Number of hidden layers.
    pub fn depth(&self) -> usize {
        self.network.hidden.len()
    }

    /// Widest of all layers, inputs and outputs included.
    pub fn widest(&self) -> usize {
        let ends = [self.passed(), 2 * self.moved()];
        self.network.hidden.iter().copied().chain(ends).max().unwrap_or(0)
    }

    /// Numbers that products of single lines need ([`Right::scratch`]).
    pub fn line<T: Real>(&self) -> usize {
        Right::<T>::scratch(self.widest(), self.widest())
    }

    /// Whether slopes are kept beside the values of hidden layers.
    pub fn keeps_slopes(&self) -> bool {
        self.network.activation == Activation::Silu
    }

    /// Number of parameter matrices.
    pub fn parameters(&self) -> usize {
        self.network.parameters()
    }

    /// What the coupling keeps for its companions: `tanh(s / c)`, `e^{±l}`, values and slopes of hidden layers.
    pub fn kept(&self) -> Few<Shape> {
        let m = Shape::batch(self.moved());
        let mut kept: Few<Shape> = smallvec![m, m];
        for &width in &self.network.hidden {
            let copies = if self.keeps_slopes() { 2 } else { 1 };
            kept.extend(std::iter::repeat_n(Shape::batch(width), copies));
        }
        kept
    }

    /// Position among what is kept of the values of hidden layer `k`.
    fn hidden(&self, k: usize) -> usize {
        2 + k * if self.keeps_slopes() { 2 } else { 1 }
    }

    /// The layers, from their parameters and the transposed weights of those that [`Self::turns`] names.
    pub(super) fn layers<'a, T>(&self, parameters: &[&'a [T]], turned: &[&'a [T]]) -> Few<Layer<'a, T>> {
        let mut inputs = self.passed();
        let mut turned = turned.iter().copied();
        let pairs = parameters.chunks_exact(2);
        pairs
            .map(|p| {
                let outputs = p[1].len();
                let inputs = std::mem::replace(&mut inputs, outputs);
                let turned = if is_sooner_transposed(inputs, outputs) { turned.next() } else { None };
                Layer { weight: p[0], turned, bias: p[1], inputs, outputs }
            })
            .collect()
    }

    /// Layers whose weights are transposed once for all rows.
    pub(super) fn turns(&self) -> impl Iterator<Item = usize> {
        let widths = self.network.hidden.iter().copied().chain([2 * self.moved()]);
        let inputs = std::iter::once(self.passed()).chain(self.network.hidden.iter().copied());
        let layers = inputs.zip(widths).enumerate();
        layers.filter(|(_, (inputs, outputs))| is_sooner_transposed(*inputs, *outputs)).map(|(k, _)| k)
    }

    /// Inputs of a coupling that derivatives flow through: `a`, `b` and the parameters. Transposed weights follow.
    pub(super) fn primary(&self) -> usize {
        2 + self.parameters()
    }

    /// Values and slopes of hidden layer `k`, from what is kept.
    pub(super) fn slope<'a, T>(&self, kept: &[&'a [T]], k: usize) -> Slope<'a, T> {
        let at = self.hidden(k);
        let stored = self.keeps_slopes().then(|| kept[at + 1]);
        Slope { activation: self.network.activation, value: kept[at], stored }
    }

    /// The same in basic primitives: `y`, `log|det|`, `tanh(s / c)`, `e^{±l}`.
    pub fn expand<'t, T: Real>(
        &self,
        a: Var<'t, T>,
        b: Var<'t, T>,
        parameters: &[Var<'t, T>],
    ) -> [Var<'t, T>; DIFFERENTIABLE] {
        let m = self.moved();
        let out = self.network.record(a.recorder(), parameters, a);
        let (raw, t) = (out.slice(0..m), out.slice(m..2 * m));
        let c = T::of(self.bound);
        let tanh = (raw * (T::ONE / c)).tanh();
        let l = tanh * if self.generate { -c } else { c };
        let scale = l.exp();
        let y = if self.generate { (b - t) * scale } else { b * scale + t };
        [y, l.sum_cols(), tanh, scale]
    }
}

/// Records a coupling of `a` and `b`, which are different values: `(y, log|det|)`.
pub(crate) fn coupling<'t, T: Real>(
    spec: Spec,
    a: Var<'t, T>,
    b: Var<'t, T>,
    parameters: &[Var<'t, T>],
) -> [Var<'t, T>; 2] {
    if spec.passed() == 0 || spec.moved() == 0 {
        let [y, log_det, ..] = spec.expand(a, b, parameters);
        return [y, log_det];
    }
    let turned = spec.turns().map(|k| parameters[2 * k].transpose());
    let inputs: Few<Var<'t, T>> =
        [a, b].into_iter().chain(parameters.iter().copied()).chain(turned).collect();
    let out = a.recorder().apply_all(Coupling { spec: Arc::new(spec) }, &inputs);
    [out[0], out[1]]
}

/// Outputs that derivatives flow through: `y`, `log|det|`, `tanh(s / c)`, `e^{±l}`. The values of hidden layers
/// are for the companions alone.
const DIFFERENTIABLE: usize = 4;

/// The fused coupling: inputs `a`, `b`, the parameters and transposed weights; outputs `y`, `log|det|` and what is kept.
#[derive(Clone, Debug)]
struct Coupling {
    spec: Arc<Spec>,
}

impl<T: Real> Primitive<T> for Coupling {
    fn name(&self) -> &'static str {
        "coupling"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        let spec = &self.spec;
        let fits = inputs.len() == spec.primary() + spec.turns().count()
            && inputs[0] == Shape::batch(spec.passed())
            && inputs[1] == Shape::batch(spec.moved());
        if !fits {
            return shape_error("coupling", inputs, "passed and moved columns and all parameters");
        }
        Ok([inputs[1], Shape::batch(1)].into_iter().chain(spec.kept()).collect())
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let spec = &*self.spec;
        let (p, m, rows) = (spec.passed(), spec.moved(), cx.rows);
        let (parameters, turned) = cx.inputs[2..].split_at(spec.parameters());
        let layers = spec.layers(parameters, turned);
        let (raw, rest) = cx.scratch.split_at_mut(TILE * 2 * m);
        let (shift, line) = rest.split_at_mut(TILE * m);
        let [y, log_det, kept @ ..] = &mut *cx.outputs else { return };
        for first in (0..rows).step_by(TILE) {
            let n = TILE.min(rows - first);
            let tile = |width: usize| first * width..(first + n) * width;
            for (k, layer) in layers[..layers.len() - 1].iter().enumerate() {
                let (before, after) = kept.split_at_mut(spec.hidden(k));
                let x = if k == 0 {
                    &cx.inputs[0][tile(p)]
                } else {
                    &before[spec.hidden(k - 1)][tile(layer.inputs)]
                };
                let (value, rest) = after.split_at_mut(1);
                let value = &mut value[0][tile(layer.outputs)];
                layer.apply(value, x, n, line);
                let slope = spec.keeps_slopes().then(|| &mut rest[0][tile(layer.outputs)]);
                activate(spec.network.activation, value, slope);
            }
            let last = layers[layers.len() - 1];
            let x = match spec.depth() {
                0 => &cx.inputs[0][tile(p)],
                depth => &kept[spec.hidden(depth - 1)][tile(last.inputs)],
            };
            last.apply(&mut raw[..n * 2 * m], x, n, line);
            let (tanh, rest) = kept.split_at_mut(1);
            let tanh = &mut tanh[0][tile(m)];
            let shift = &mut shift[..n * m];
            dispatch(Apart { spec, raw: &raw[..n * 2 * m], tanh, shift });
            in_place::<Tanh, T>(tanh);
            dispatch(Step {
                spec,
                shift,
                b: &cx.inputs[1][tile(m)],
                tanh,
                scale: &mut rest[0][tile(m)],
                y: &mut y[tile(m)],
                log_det: &mut log_det[tile(1)],
            });
        }
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let n = self.spec.primary();
        let (primary, dx) = (&x[..n], &dx[..n]);
        let expanded = self.spec.expand(x[0], x[1], &x[2..n]);
        let wide = (0..2).any(|k| dx[k].is_wider_than(x[k].shape()));
        let fixed = dx[2..].iter().all(Tangent::is_zero);
        let mut dy: Tangents<'t, T> = if wide && fixed {
            let rest = expand::push(r, &expanded[1..], primary, dx)?;
            [pushed(&self.spec, r, x, y, dx)].into_iter().chain(rest).collect()
        } else {
            expand::push(r, &expanded, primary, dx)?
        };
        dy.extend(y[DIFFERENTIABLE..].iter().map(|hidden| Tangent::zero(hidden.cols())));
        Ok(dy)
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        if dy[DIFFERENTIABLE..].iter().any(Option::is_some) {
            let reason = "the values of its hidden layers are for its own derivatives";
            return Err(Error::NoDerivative { op: "coupling", kind: "reverse", reason });
        }
        let fused = dy[2..].iter().all(Option::is_none);
        let wide = dy.iter().flatten().any(|dy| dy.shape().tangents() > 1);
        if !fused || wide {
            let n = self.spec.primary();
            let expanded = self.spec.expand(x[0], x[1], &x[2..n]);
            let mut found = expand::pull(r, &expanded, &x[..n], dy, &need[..n])?;
            found.resize(x.len(), None);
            return Ok(found);
        }
        Ok(Pull::record(&self.spec, r, x, y, dy, need))
    }

    fn is_auxiliary(&self, input: usize) -> bool {
        input >= self.spec.primary()
    }

    fn scratch(&self, _inputs: &[Shape], _rows: usize) -> usize {
        TILE * 3 * self.spec.moved() + self.spec.line::<T>()
    }
}

/// The rows `(s, t)` of a tile to `s / c` and `t`: apart, what follows is one long loop, however few the columns.
struct Apart<'a, T> {
    spec: &'a Spec,
    raw: &'a [T],
    tanh: &'a mut [T],
    shift: &'a mut [T],
}

impl<T: Real> Kernel for Apart<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        unrolled!(self.spec.moved(), |m| self.columns(m));
    }
}

impl<T: Real> Apart<'_, T> {
    #[inline(always)]
    fn columns(self, m: usize) {
        let inverse = T::ONE / T::of(self.spec.bound);
        let halves = self.tanh.chunks_exact_mut(m).zip(self.shift.chunks_exact_mut(m));
        for ((s, t), raw) in halves.zip(self.raw.chunks_exact(2 * m)) {
            s.iter_mut().zip(raw).for_each(|(s, &x)| *s = x * inverse);
            t.iter_mut().zip(&raw[m..]).for_each(|(t, &x)| *t = x);
        }
    }
}

/// `tanh(s / c)` and `t` of a tile of rows to `y`, `log|det|` and `e^{±l}`.
struct Step<'a, T> {
    spec: &'a Spec,
    shift: &'a [T],
    b: &'a [T],
    tanh: &'a [T],
    scale: &'a mut [T],
    y: &'a mut [T],
    log_det: &'a mut [T],
}

impl<T: Real> Kernel for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        unrolled!(self.spec.moved(), |m| self.columns::<FMA>(m));
    }
}

impl<T: Real> Step<'_, T> {
    #[inline(always)]
    fn columns<const FMA: bool>(self, m: usize) {
        let c = T::of(self.spec.bound);
        let signed = if self.spec.generate { -c } else { c };
        for (e, &s) in self.scale.iter_mut().zip(self.tanh.iter()) {
            *e = lane::<Exp, T, FMA>(signed * s);
        }
        for (l, s) in self.log_det.iter_mut().zip(self.tanh.chunks_exact(m)) {
            *l = signed * sum(s);
        }
        let of = self.b.iter().zip(self.scale.iter()).zip(self.shift.iter());
        for (y, ((&b, &e), &t)) in self.y.iter_mut().zip(of) {
            *y = if self.spec.generate { (b - t) * e } else { b * e + t };
        }
    }
}

/// The derivatives of `y` by `s` and by `t`, column by column: `y` moves by `α ds + β dt`.
///
/// Normalizing, `α = b e^l (1 - tanh²)` and `β = 1`; generating, `α = -y (1 - tanh²)` and `β = -e^-l`.
#[inline(always)]
pub(super) fn rates<T: Real>(generate: bool, b: T, y: T, tanh: T, scale: T) -> (T, T) {
    let slope = T::ONE - tanh * tanh;
    if generate { (-y * slope, -scale) } else { (chain(scale, b) * slope, T::ONE) }
}
