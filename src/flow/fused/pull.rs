//! The gradient of a coupling: cotangents of its rows and of its parameters in one pass.

use super::coupling::{Few, Spec, rates};
use super::network::{TILE, chain};
use eigenflow_autodiff::primitive::{Cotangents, Eval, Primitive, Shapes, Tangents};
use eigenflow_autodiff::{Error, Recorder, Shape, Tangent, Var, expand};
use eigenflow_linalg::Real;
use eigenflow_linalg::elementary::{Kernel, dispatch};
use eigenflow_linalg::lines::{Accum, add_lines, outer};
use smallvec::smallvec;
use std::sync::Arc;

/// The backward step of a coupling.
///
/// Inputs: the cotangents of `y` and of `log|det|` (those that there are), all inputs of the coupling, `y` and what it keeps. Outputs: the cotangents of `a` (if wanted), of `b`, and of the parameters (if
/// wanted), these as sums over rows.
#[derive(Clone, Debug)]
pub(super) struct Pull {
    spec: Arc<Spec>,
    /// Whether there are cotangents of `y` and of `log|det|`.
    given: [bool; 2],
    /// Whether the cotangents of `a` and of the parameters are wanted.
    wants: [bool; 2],
}

impl Pull {
    /// Records the cotangents of a coupling's inputs.
    pub fn record<'t, T: Real>(
        spec: &Arc<Spec>,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Cotangents<'t, T> {
        let given = [dy[0].is_some(), dy[1].is_some()];
        let wants = [need[0], need[2..spec.primary()].contains(&true)];
        let op = Self { spec: spec.clone(), given, wants };
        let inputs: Few<Var<'t, T>> =
            dy[..2].iter().flatten().chain(x).chain(&y[..1]).chain(&y[2..]).copied().collect();
        let mut out = r.apply_all(op, &inputs).into_iter();
        let mut found: Cotangents<'t, T> = smallvec![None; x.len()];
        for (k, slot) in found[..spec.primary()].iter_mut().enumerate() {
            let there = k == 1 || wants[usize::from(k > 1)];
            let cotangent = if there { out.next() } else { None };
            *slot = cotangent.filter(|_| need[k]);
        }
        found
    }

    /// Number of cotangents given.
    fn cotangents(&self) -> usize {
        usize::from(self.given[0]) + usize::from(self.given[1])
    }

    /// Inputs that derivatives flow through: cotangents, `a`, `b`, parameters.
    fn primary(&self) -> usize {
        self.cotangents() + self.spec.primary()
    }

    /// The same in basic primitives.
    fn expand<'t, T: Real>(&self, r: &'t Recorder<T>, x: &[Var<'t, T>]) -> Result<Vec<Var<'t, T>>, Error> {
        let (cotangents, inputs) = x[..self.primary()].split_at(self.cotangents());
        let y = self.spec.expand(inputs[0], inputs[1], &inputs[2..]);
        let mut cotangents = cotangents.iter().copied();
        let dy = self.given.map(|given| if given { cotangents.next() } else { None });
        let wanted = |k: usize| k == 1 || self.wants[usize::from(k > 1)];
        let need: Few<bool> = (0..inputs.len()).map(wanted).collect();
        let found = expand::pull(r, &y[..2], inputs, &dy, &need)?;
        let zero = |v: Var<'t, T>| r.full(v.shape(), T::ZERO);
        let all = found.into_iter().zip(inputs).zip(need);
        Ok(all.filter(|(_, need)| *need).map(|((dx, &x), _)| dx.unwrap_or_else(|| zero(x))).collect())
    }
}

impl<T: Real> Primitive<T> for Pull {
    fn name(&self) -> &'static str {
        "coupling gradient"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        let of = &inputs[self.cotangents()..self.primary()];
        let wanted = |&(k, _): &(usize, &Shape)| k == 1 || self.wants[usize::from(k > 1)];
        Ok(of.iter().enumerate().filter(wanted).map(|(_, &s)| s).collect())
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let spec = &*self.spec;
        let (p, m, rows, depth) = (spec.passed(), spec.moved(), cx.rows, spec.depth());
        let (cotangents, rest) = cx.inputs.split_at(self.cotangents());
        let [a, b, rest @ ..] = rest else { return };
        let (parameters, rest) = rest.split_at(spec.parameters());
        let (turned, rest) = rest.split_at(spec.turns().count());
        let [y, kept @ ..] = rest else { return };
        let layers = spec.layers(parameters, turned);
        let of_y = if self.given[0] { Some(cotangents[0]) } else { None };
        let of_log_det = if self.given[1] { cotangents.last().copied() } else { None };

        let widest = TILE * spec.widest();
        let (mut here, scratch) = cx.scratch.split_at_mut(widest);
        let (mut there, line) = scratch.split_at_mut(widest);
        let (to_rows, to_parameters) = cx.outputs.split_at_mut(1 + usize::from(self.wants[0]));
        for first in (0..rows).step_by(TILE) {
            let n = TILE.min(rows - first);
            let tile = |width: usize| first * width..(first + n) * width;
            let last = to_rows.len() - 1;
            dispatch(Step {
                spec,
                of_y: of_y.map(|g| &g[tile(m)]),
                of_log_det: of_log_det.map(|g| &g[tile(1)]),
                b: &b[tile(m)],
                y: &y[tile(m)],
                tanh: &kept[0][tile(m)],
                scale: &kept[1][tile(m)],
                raw: &mut here[..n * 2 * m],
                to_b: &mut to_rows[last][tile(m)],
            });
            for k in (0..=depth).rev() {
                let layer = layers[k];
                let slope = (k > 0).then(|| spec.slope(kept, k - 1).rows(tile(layer.inputs)));
                let x = slope.as_ref().map_or(&a[tile(p)], |s| s.value);
                let dy = &here[..n * layer.outputs];
                if let Some([weight, bias]) = to_parameters.get_mut(2 * k..2 * k + 2) {
                    let begins = cx.begins && first == 0;
                    let accum = if begins { Accum::Replace } else { Accum::Add };
                    outer(weight, accum, dy, layer.outputs, x, layer.inputs);
                    if begins {
                        bias.fill(T::ZERO);
                    }
                    add_lines(bias, dy);
                }
                if let Some(slope) = slope {
                    let dx = &mut there[..n * layer.inputs];
                    layer.pull(dx, dy, n, line);
                    slope.pull(dx, layer.inputs);
                    std::mem::swap(&mut here, &mut there);
                } else if self.wants[0] {
                    layer.pull(&mut to_rows[0][tile(p)], dy, n, line);
                }
            }
        }
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let n = self.primary();
        expand::push(r, &self.expand(r, x)?, &x[..n], &dx[..n])
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let n = self.primary();
        let mut found = expand::pull(r, &self.expand(r, x)?, &x[..n], dy, &need[..n])?;
        found.resize(x.len(), None);
        Ok(found)
    }

    fn is_auxiliary(&self, input: usize) -> bool {
        input >= self.primary()
    }

    fn begins_sums(&self) -> bool {
        true
    }

    fn scratch(&self, _inputs: &[Shape], _rows: usize) -> usize {
        2 * TILE * self.spec.widest() + self.spec.line::<T>()
    }
}

/// Cotangents of a tile of rows: of `y` and `log|det|` to those of `(s, t)` before the tanh, and of `b`.
struct Step<'a, T> {
    spec: &'a Spec,
    of_y: Option<&'a [T]>,
    of_log_det: Option<&'a [T]>,
    b: &'a [T],
    y: &'a [T],
    tanh: &'a [T],
    scale: &'a [T],
    raw: &'a mut [T],
    to_b: &'a mut [T],
}

impl<T: Real> Kernel for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        unrolled!(self.spec.moved(), |m| self.columns(m));
    }
}

impl<T: Real> Step<'_, T> {
    #[inline(always)]
    fn columns(self, m: usize) {
        let Self { spec, of_y, of_log_det, b, y, tanh, scale, raw, to_b } = self;
        // What comes is written first where it is replaced then, so that the loop does not ask what is given.
        match of_y {
            Some(g) => to_b.copy_from_slice(g),
            None => to_b.fill(T::ZERO),
        }
        match of_log_det {
            Some(g) => {
                let sign = if spec.generate { -T::ONE } else { T::ONE };
                raw.chunks_exact_mut(2 * m).zip(g).for_each(|(raw, &g)| raw[..m].fill(sign * g));
            }
            None => raw.fill(T::ZERO),
        }
        let to = raw.chunks_exact_mut(2 * m).zip(to_b.chunks_exact_mut(m));
        let of = b.chunks_exact(m).zip(y.chunks_exact(m));
        let of = of.zip(tanh.chunks_exact(m).zip(scale.chunks_exact(m)));
        for ((raw, to_b), ((b, y), (tanh, scale))) in to.zip(of) {
            let (by_s, by_t) = raw.split_at_mut(m);
            for j in 0..m {
                let (alpha, beta) = rates(spec.generate, b[j], y[j], tanh[j], scale[j]);
                let (g, log_det) = (to_b[j], by_s[j]);
                by_s[j] = chain(g, alpha) + chain(log_det, T::ONE - tanh[j] * tanh[j]);
                by_t[j] = chain(g, beta);
                to_b[j] = chain(g, scale[j]);
            }
        }
    }
}
