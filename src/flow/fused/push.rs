//! A block of tangents through a coupling, in the order that costs least.
//!
//! `y` moves by `e^{±l} db + G da`, where row `n` has the local Jacobian `G_n = dy/da`: the network's Jacobian
//! with its two halves folded into one, `Σ_k (α_j W_s[j, k] + β_j W_t[j, k]) dh_k`. Either the tangents of `a`
//! go through the network, or (where they are more than `a` has columns) the `p` columns of the identity
//! do, and the local Jacobian is multiplied with the tangents afterwards.

use super::combine::{Combine, Moved};
use super::coupling::{Few, Spec};
use super::fold::{FoldWeights, LINES, Rates, folds};
use eigenflow_autodiff::primitive::{Cotangents, Eval, Primitive, Shapes, Tangents};
use eigenflow_autodiff::{Error, Recorder, Shape, Tangent, Var, expand};
use eigenflow_linalg::Real;
use eigenflow_linalg::each::{Accum, Extents, products};
use eigenflow_linalg::elementary::{Kernel, dispatch};
use smallvec::smallvec;
use std::sync::Arc;

/// Records the tangent of `y` from those of `a` and `b`, the parameters being fixed.
pub(super) fn pushed<'t, T: Real>(
    spec: &Arc<Spec>,
    r: &'t Recorder<T>,
    x: &[Var<'t, T>],
    y: &[Var<'t, T>],
    dx: &[Tangent<'t, T>],
) -> Tangent<'t, T> {
    let (a, b, scale) = (x[0], x[1], y[3]);
    if dx[0].is_zero() {
        return dx[1].scale(scale);
    }
    let through = |start: Start, tangents: Var<'t, T>| {
        let op = Push { spec: spec.clone(), start };
        let inputs: Few<Var<'t, T>> =
            [tangents].iter().chain(x).chain(&y[..1]).chain(&y[2..]).copied().collect();
        r.apply(op, &inputs)
    };
    let (p, m) = (spec.passed(), spec.moved());
    let (first, block, local) = if let Some((seeds, rates)) = dx[0].as_diagonal() {
        let support = dx[0].support();
        let rates = rates.unwrap_or_else(|| r.scalar(T::ONE)).broadcast_to(a.shape());
        let lines = seeds.iter().map(|s| s - support.start).collect();
        (support.start, through(Start::Diagonal { lines, tangents: support.len() }, rates), None)
    } else {
        let (first, block) = dx[0].to_dense(r, a.shape()).expect("not zero");
        let t = block.shape().tangents();
        let widths: Few<usize> = spec.network.hidden.iter().copied().chain([m]).collect();
        let inner: usize = widths.windows(2).map(|w| w[0] * w[1]).sum();
        let direct = t * (p * widths[0] + inner);
        let locally = p * inner + t * p * m;
        if locally < direct {
            let ones = r.scalar(T::ONE).broadcast_to(a.shape());
            let start = Start::Diagonal { lines: (0..p).collect(), tangents: p };
            (first, block, Some(through(start, ones)))
        } else {
            (first, through(Start::Block, block), None)
        }
    };
    let moved = Moved::of(r, &dx[1], b.shape());
    Combine::record(r, first, block, local, moved, scale)
}

/// What enters the network.
#[derive(Clone, Debug)]
enum Start {
    /// A block of tangents.
    Block,
    /// Column `j` moves with line `lines[j]` of `tangents` alone, at a rate of its own.
    Diagonal { lines: Arc<[usize]>, tangents: usize },
}

/// Tangents of `y` from tangents of `a`: inputs the block or the rates, all inputs of the coupling, `y` and what the coupling keeps.
#[derive(Clone, Debug)]
struct Push {
    spec: Arc<Spec>,
    start: Start,
}

impl Push {
    fn tangents(&self, block: Shape) -> usize {
        match &self.start {
            Start::Block => block.tangents(),
            Start::Diagonal { tangents, .. } => *tangents,
        }
    }

    /// Inputs that derivatives flow through: tangents or rates, `a`, `b`, parameters.
    fn primary(&self) -> usize {
        1 + self.spec.primary()
    }

    /// The same in basic primitives.
    fn expand<'t, T: Real>(&self, r: &'t Recorder<T>, x: &[Var<'t, T>]) -> Result<[Var<'t, T>; 1], Error> {
        let y = self.spec.expand(x[1], x[2], &x[3..self.primary()])[0];
        let seed = match &self.start {
            Start::Block => Tangent::dense(x[0]),
            Start::Diagonal { lines, .. } => Tangent::diagonal(lines.clone(), x[0]),
        };
        let tangents = self.tangents(x[0].shape());
        let inputs = &x[1..self.primary()];
        let mut seeds: Few<Tangent<'t, T>> = inputs.iter().map(|x| Tangent::zero(x.cols())).collect();
        seeds[0] = seed;
        let pushed = expand::push(r, &[y], inputs, &seeds)?.swap_remove(0);
        let block = pushed.into_block(r, y.shape(), tangents);
        Ok([block.unwrap_or_else(|| r.full(y.shape().with_tangents(tangents), T::ZERO))])
    }

    /// Rows of a tile, for `t` tangents a row.
    fn rows(t: usize) -> usize {
        (LINES / t.max(1)).max(1)
    }
}

impl<T: Real> Primitive<T> for Push {
    fn name(&self) -> &'static str {
        "coupling tangents"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        Ok(smallvec![inputs[2].with_tangents(self.tangents(inputs[0]))])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let spec = &*self.spec;
        let (p, m) = (spec.passed(), spec.moved());
        let t = self.tangents(cx.input_shapes[0]);
        let [start, _, b, rest @ ..] = cx.inputs else { return };
        let (parameters, rest) = rest.split_at(spec.parameters());
        let (turned, rest) = rest.split_at(spec.turns().count());
        let [y, kept @ ..] = rest else { return };
        let layers = spec.layers(parameters, turned);
        let (first, last) = (layers[0], layers[layers.len() - 1]);

        let most = Self::rows(t);
        let (columns, scratch) = cx.scratch.split_at_mut(p * first.outputs);
        let (fold, scratch) = scratch.split_at_mut(m * last.inputs);
        // Tiles before the rates, of which there may be few: the products' lines begin at cache lines where widths do.
        let (mut here, scratch) = scratch.split_at_mut(most * t * spec.widest());
        let (mut there, scratch) = scratch.split_at_mut(most * t * spec.widest());
        let (alpha, scratch) = scratch.split_at_mut(most * m);
        let (beta, line) = scratch.split_at_mut(most * m);
        let columns = match (first.turned, &self.start) {
            (Some(turned), _) => turned,
            (None, Start::Block) => &[],
            (None, Start::Diagonal { .. }) => {
                for j in 0..p {
                    for i in 0..first.outputs {
                        columns[j * first.outputs + i] = first.weight[i * p + j];
                    }
                }
                &*columns
            }
        };
        let folded = spec.depth() > 0 && folds(m, t);
        let layers = if folded { &layers[..spec.depth()] } else { &layers[..] };
        for top in (0..cx.rows).step_by(most) {
            let n = most.min(cx.rows - top);
            let tile = |width: usize| top * width..(top + n) * width;
            for (k, layer) in layers.iter().enumerate() {
                let out = &mut there[..n * t * layer.outputs];
                let mut slope = (k < spec.depth()).then(|| spec.slope(kept, k).rows(tile(layer.outputs)));
                match &self.start {
                    Start::Diagonal { lines, .. } if k == 0 => {
                        let (rates, tanh) = (&start[tile(p)], slope.and_then(|slope| slope.tanh()));
                        dispatch(ScaleRows { rates, lines, tangents: t, columns, tanh, out });
                        slope = slope.filter(|_| tanh.is_none());
                    }
                    Start::Block if k == 0 => layer.push(out, &start[tile(t * p)], n * t, line),
                    _ => layer.push(out, &here[..n * t * layer.inputs], n * t, line),
                }
                if let Some(slope) = slope {
                    slope.push(&mut there[..n * t * layer.outputs], layer.outputs, t);
                }
                std::mem::swap(&mut here, &mut there);
            }
            dispatch(Rates {
                generate: spec.generate,
                b: &b[tile(m)],
                y: &y[tile(m)],
                tanh: &kept[0][tile(m)],
                scale: &kept[1][tile(m)],
                alpha: &mut alpha[..n * m],
                beta: &mut beta[..n * m],
            });
            let out = &mut cx.outputs[0][tile(t * m)];
            if !folded {
                let raw = &here[..n * t * 2 * m];
                dispatch(FoldLines { moved: m, tangents: t, alpha, beta, raw, out });
                continue;
            }
            let h = last.inputs;
            let (weight, turned) = last.turned.map_or((last.weight, false), |turned| (turned, true));
            let e = Extents { m: t, k: h, n: m, transpose_a: false, transpose_b: !turned };
            for (i, (out, x)) in out.chunks_exact_mut(t * m).zip(here.chunks_exact(t * h)).enumerate() {
                let (alpha, beta) = (&alpha[i * m..(i + 1) * m], &beta[i * m..(i + 1) * m]);
                dispatch(FoldWeights { alpha, beta, weight, turned, fold });
                products(e, Accum::Replace, out, x, fold);
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
        let t = self.tangents(inputs[0]);
        let widths: Few<usize> = spec.network.hidden.iter().copied().chain([2 * spec.moved()]).collect();
        let last = if widths.len() > 1 { widths[widths.len() - 2] } else { spec.passed() };
        spec.passed() * widths[0]
            + spec.moved() * (last + 2 * Self::rows(t))
            + 2 * Self::rows(t) * t * spec.widest()
            + spec.line::<T>()
    }
}

/// `out[n, lines[j], :] += v[n, j] W[:, j]`: the first layer meets a diagonal. Then `out[n, :, :] *= 1 − tanh[n, :]²`.
struct ScaleRows<'a, T> {
    rates: &'a [T],
    lines: &'a [usize],
    tangents: usize,
    /// `Wᵀ`.
    columns: &'a [T],
    /// Values of the hidden layer, where it is one of tanh.
    tanh: Option<&'a [T]>,
    out: &'a mut [T],
}

impl<T: Real> Kernel for ScaleRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let p = self.lines.len();
        let width = self.columns.len() / p;
        let one_each = self.tangents == p && self.lines.iter().enumerate().all(|(j, &line)| j == line);
        if !one_each {
            self.out.fill(T::ZERO);
        }
        let rows = self.out.chunks_exact_mut(self.tangents * width).zip(self.rates.chunks_exact(p));
        for (n, (out, rates)) in rows.enumerate() {
            let tanh = self.tanh.map(|tanh| &tanh[n * width..(n + 1) * width]);
            if let (true, Some(tanh)) = (one_each, tanh) {
                let lines = out.chunks_exact_mut(width).zip(self.columns.chunks_exact(width)).zip(rates);
                for ((out, w), &v) in lines {
                    for ((o, &w), &h) in out.iter_mut().zip(w).zip(tanh) {
                        *o = v * w * (T::ONE - h * h);
                    }
                }
                continue;
            }
            for ((&line, &v), w) in self.lines.iter().zip(rates).zip(self.columns.chunks_exact(width)) {
                let out = &mut out[line * width..(line + 1) * width];
                if one_each {
                    out.iter_mut().zip(w).for_each(|(o, &w)| *o = v * w);
                } else {
                    out.iter_mut().zip(w).for_each(|(o, &w)| *o += v * w);
                }
            }
            for out in out.chunks_exact_mut(width) {
                for (o, &h) in out.iter_mut().zip(tanh.unwrap_or_default()) {
                    *o *= T::ONE - h * h;
                }
            }
        }
    }
}

/// `out[n, t, j] = α_j ds[n, t, j] + β_j dt[n, t, j]`.
struct FoldLines<'a, 'b, T> {
    moved: usize,
    tangents: usize,
    alpha: &'a [T],
    beta: &'a [T],
    raw: &'a [T],
    out: &'b mut [T],
}

impl<T: Real> Kernel for FoldLines<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        unrolled!(self.moved, |m| self.columns(m));
    }
}

impl<T: Real> FoldLines<'_, '_, T> {
    #[inline(always)]
    fn columns(self, m: usize) {
        let t = self.tangents;
        if m * t == 1 {
            // One long loop: that over the rows would take longer than the numbers of a row.
            let (raw, _) = self.raw.as_chunks();
            let rates = self.alpha.iter().zip(self.beta);
            for ((o, &[s, t]), (&alpha, &beta)) in self.out.iter_mut().zip(raw).zip(rates) {
                *o = s * alpha + t * beta;
            }
            return;
        }
        let rates = self.alpha.chunks_exact(m).zip(self.beta.chunks_exact(m));
        let rows = self.out.chunks_exact_mut(t * m).zip(self.raw.chunks_exact(t * 2 * m));
        for ((out, raw), (alpha, beta)) in rows.zip(rates) {
            for (out, raw) in out.chunks_exact_mut(m).zip(raw.chunks_exact(2 * m)) {
                let (s, t) = raw.split_at(m);
                let of = alpha.iter().zip(beta).zip(s.iter().zip(t));
                for (o, ((&alpha, &beta), (&s, &t))) in out.iter_mut().zip(of) {
                    *o = s * alpha + t * beta;
                }
            }
        }
    }
}
