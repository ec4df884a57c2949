//! Several cotangents of each row through a coupling: all lines of a tile pass the network together.
//!
//! A cotangent `u` of `y` is `e^{±l} u` for `b` and `(α u, β u)` for the network's outputs `(s, t)`, by the rates at which
//! `y` moves with them; the transposed weights carry that on to `a`.

use super::coupling::{Few, Spec};
use super::fold::{FoldWeights, LINES, Rates, folds};
use super::network::chain;
use eigenflow_autodiff::primitive::{Cotangents, Eval, Primitive, Shapes, Tangents};
use eigenflow_autodiff::{Error, Recorder, Shape, Tangent, Var, expand};
use eigenflow_linalg::Real;
use eigenflow_linalg::each::{Accum, Extents, products};
use eigenflow_linalg::elementary::{Kernel, dispatch};
use smallvec::smallvec;
use std::sync::Arc;

/// Cotangents of `a` (if wanted) and `b` from a block of cotangents of `y`.
///
/// Inputs: the block `[seeds, m]`, `a`, `b`, the parameters, `y` and what the coupling keeps.
#[derive(Clone, Debug)]
pub(super) struct PullBlock {
    spec: Arc<Spec>,
    /// Whether the cotangents of `a` are wanted.
    to_a: bool,
}

impl PullBlock {
    /// Records the cotangents of `a` and `b`; parameters have none.
    pub fn record<'t, T: Real>(
        spec: &Arc<Spec>,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dy: Var<'t, T>,
        need: &[bool],
    ) -> Cotangents<'t, T> {
        let op = Self { spec: spec.clone(), to_a: need[0] };
        let inputs: Few<Var<'t, T>> = [dy].iter().chain(x).chain(&y[..1]).chain(&y[2..]).copied().collect();
        let out = r.apply_all(op, &inputs);
        let mut found: Cotangents<'t, T> = smallvec![None; x.len()];
        if need[0] {
            found[0] = Some(out[0]);
        }
        if need[1] {
            found[1] = out.last().copied();
        }
        found
    }

    /// Inputs that derivatives flow through: the block, `a`, `b`, parameters.
    fn primary(&self) -> usize {
        3 + self.spec.parameters()
    }

    /// The same in basic primitives.
    fn expand<'t, T: Real>(&self, r: &'t Recorder<T>, x: &[Var<'t, T>]) -> Result<Vec<Var<'t, T>>, Error> {
        let inputs = &x[1..self.primary()];
        let y = self.spec.expand(inputs[0], inputs[1], &inputs[2..])[0];
        let need: Few<bool> = (0..inputs.len()).map(|k| k == 1 || (k == 0 && self.to_a)).collect();
        let found = expand::pull(r, &[y], inputs, &[Some(x[0])], &need)?;
        let seeds = x[0].shape().tangents();
        let zero = |v: Var<'t, T>| r.full(v.shape().with_tangents(seeds), T::ZERO);
        let all = found.into_iter().zip(inputs).zip(need);
        Ok(all.filter(|(_, need)| *need).map(|((dx, &x), _)| dx.unwrap_or_else(|| zero(x))).collect())
    }

    /// Rows of a tile, for `t` cotangents a row.
    fn rows(t: usize) -> usize {
        (LINES / t.max(1)).max(1)
    }
}

impl<T: Real> Primitive<T> for PullBlock {
    fn name(&self) -> &'static str {
        "coupling cotangents"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        let block = |of: Shape| of.with_tangents(inputs[0].tangents());
        let to_a = self.to_a.then(|| block(inputs[1]));
        Ok(to_a.into_iter().chain([block(inputs[2])]).collect())
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let spec = &*self.spec;
        let (p, m, depth) = (spec.passed(), spec.moved(), spec.depth());
        let t = cx.input_shapes[0].tangents();
        let [block, _, b, rest @ ..] = cx.inputs else { return };
        let (parameters, rest) = rest.split_at(spec.parameters());
        let [y, kept @ ..] = rest else { return };
        let layers = spec.layers(parameters);
        let last = layers[depth];
        let (to_rows, to_b) = cx.outputs.split_at_mut(usize::from(self.to_a));
        let to_b = &mut *to_b[0];

        let most = Self::rows(t);
        let (fold, scratch) = cx.scratch.split_at_mut(m * last.inputs);
        let (alpha, scratch) = scratch.split_at_mut(most * m);
        let (beta, scratch) = scratch.split_at_mut(most * m);
        let (mut here, scratch) = scratch.split_at_mut(most * t * spec.widest());
        let (mut there, line) = scratch.split_at_mut(most * t * spec.widest());
        for top in (0..cx.rows).step_by(most) {
            let n = most.min(cx.rows - top);
            let tile = |width: usize| top * width..(top + n) * width;
            let (block, scale) = (&block[tile(t * m)], &kept[1][tile(m)]);
            dispatch(ToMoved { moved: m, seeds: t, scale, block, out: &mut to_b[tile(t * m)] });
            let Some(to_a) = to_rows.first_mut().map(|to_a| &mut to_a[tile(t * p)]) else { continue };
            let (alpha, beta) = (&mut alpha[..n * m], &mut beta[..n * m]);
            dispatch(Rates {
                generate: spec.generate,
                b: &b[tile(m)],
                y: &y[tile(m)],
                tanh: &kept[0][tile(m)],
                scale,
                alpha,
                beta,
            });
            let folded = depth > 0 && folds(m, t);
            if folded {
                let h = last.inputs;
                let e = Extents { m: t, k: m, n: h, transpose_a: false, transpose_b: false };
                let lines = here.chunks_exact_mut(t * h).zip(block.chunks_exact(t * m));
                for (i, (out, u)) in lines.enumerate() {
                    let (alpha, beta) = (&alpha[i * m..(i + 1) * m], &beta[i * m..(i + 1) * m]);
                    if alpha.iter().chain(beta).all(|v| v.is_finite()) {
                        dispatch(FoldWeights { alpha, beta, weight: last.weight, fold });
                        products(e, Accum::Replace, out, u, fold);
                    } else {
                        // Folded weights know no zero that stays zero.
                        let raw = &mut there[..t * 2 * m];
                        dispatch(ToOutputs { moved: m, seeds: t, alpha, beta, block: u, out: raw });
                        last.pull(out, raw, t, line);
                    }
                }
                spec.slope(kept, depth - 1).rows(tile(h)).pull(&mut here[..n * t * h], h, t);
            } else {
                let out = &mut here[..n * t * 2 * m];
                dispatch(ToOutputs { moved: m, seeds: t, alpha, beta, block, out });
            }
            for (k, layer) in layers.iter().enumerate().take(depth + usize::from(!folded)).rev() {
                let dy = &here[..n * t * layer.outputs];
                if k == 0 {
                    layer.pull(to_a, dy, n * t, line);
                } else {
                    let dx = &mut there[..n * t * layer.inputs];
                    layer.pull(dx, dy, n * t, line);
                    spec.slope(kept, k - 1).rows(tile(layer.inputs)).pull(dx, layer.inputs, t);
                    std::mem::swap(&mut here, &mut there);
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

    fn scratch(&self, inputs: &[Shape], _rows: usize) -> usize {
        let spec = &self.spec;
        let t = inputs[0].tangents();
        let last = spec.network.hidden.last().copied().unwrap_or(spec.passed());
        spec.moved() * (last + 2 * Self::rows(t)) + 2 * Self::rows(t) * t * spec.widest() + spec.line::<T>()
    }
}

/// `out[n, k, j] = e^{±l}_{n, j} u[n, k, j]`: the cotangents of `b`. A zero stays zero.
struct ToMoved<'a, 'b, T> {
    moved: usize,
    seeds: usize,
    scale: &'a [T],
    block: &'a [T],
    out: &'b mut [T],
}

impl<T: Real> Kernel for ToMoved<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (m, unit) = (self.moved, self.seeds * self.moved);
        let rows = self.out.chunks_exact_mut(unit).zip(self.block.chunks_exact(unit));
        for ((out, block), scale) in rows.zip(self.scale.chunks_exact(m)) {
            for (out, block) in out.chunks_exact_mut(m).zip(block.chunks_exact(m)) {
                for ((o, &u), &e) in out.iter_mut().zip(block).zip(scale) {
                    *o = chain(u, e);
                }
            }
        }
    }
}

/// `out[n, k, :] = (α u[n, k, :], β u[n, k, :])`: the cotangents of the network's outputs. A zero stays zero.
struct ToOutputs<'a, 'b, T> {
    moved: usize,
    seeds: usize,
    alpha: &'a [T],
    beta: &'a [T],
    block: &'a [T],
    out: &'b mut [T],
}

impl<T: Real> Kernel for ToOutputs<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (m, unit) = (self.moved, self.seeds * self.moved);
        let rows = self.out.chunks_exact_mut(2 * unit).zip(self.block.chunks_exact(unit));
        let rates = self.alpha.chunks_exact(m).zip(self.beta.chunks_exact(m));
        for ((out, block), (alpha, beta)) in rows.zip(rates) {
            for (out, block) in out.chunks_exact_mut(2 * m).zip(block.chunks_exact(m)) {
                let (s, t) = out.split_at_mut(m);
                s.iter_mut().zip(block).zip(alpha).for_each(|((s, &u), &alpha)| *s = chain(u, alpha));
                t.iter_mut().zip(block).zip(beta).for_each(|((t, &u), &beta)| *t = chain(u, beta));
            }
        }
    }
}
