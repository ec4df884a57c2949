//! The log-determinant of a residual layer as an unbiased estimate: power series, Russian roulette, random signs.
//!
//! `log det (I + J) = Σ_k (-1)^(k+1) tr(J^k) / k` where `‖J‖ <= L < 1`. A trace is the mean of `vᵀ J^k v` over random signs `v` (Hutchinson 1990).
//! The sum ends at a random `N`: the first [`ALWAYS`] terms are always taken, each further one with the probability `L` given the one
//! before, and it is divided by the probability `P(N >= k)` of being reached:
//!
//! `Σ_{k <= N} (-1)^(k+1) / k · vᵀ J^k v / P(N >= k)`, whose mean is the log-determinant (R. T. Q. Chen et al., *Residual flows for invertible
//! generative modeling*, 2019, theorem 1). Since `|vᵀ J^k v| <= D L^k` and `P(N >= k) >= L^k`, every weighted term is at most `D / k`,
//! whatever the weights are: the variance is finite. `N` is `ALWAYS + L / (1 - L)` on average, 17 passes of the network forwards and backwards.
//!
//! The gradient is not that of the estimate but the Neumann series of its theorem 2, which needs no more memory for more terms:
//! `d log det (I + J) = tr((I + J)⁻¹ dJ)` is the mean of `wᵀ dJ v`, with `w = Σ_{k <= N} (-1)^(k+1) (Jᵀ)^(k-1) v / P(N >= k)` held. The sum has
//! the same terms as the estimate, so `w` is kept from there. There are no second derivatives.
//!
//! Signs and `N` come from a generator of the number of the draw and of the row's own bits: the estimate of a row is a pure function of the row, whichever rows
//! stand beside it and on whatever thread.

use super::LIPSCHITZ;
use crate::flow::conditioner::Mlp;
use crate::random::{generator, hash_words};
use eigenflow_autodiff::primitive::{Cotangents, Eval, Shapes, Tangents};
use eigenflow_autodiff::{Error, Nested, Pool, Primitive, Recorder, Shape, Tangent, Var, expand};
use eigenflow_linalg::Real;
use rand::{Rng, RngExt};
use smallvec::smallvec;

/// Terms of the series that are always taken.
const ALWAYS: usize = 8;

/// Records the estimate of `log|det (I + J)|` of each row, `J` the Jacobian of the network with these parameters, given the number of a draw.
pub(super) fn log_det<'t, T: Real>(
    network: &Mlp,
    x: Var<'t, T>,
    draw: Var<'t, T>,
    params: &[Var<'t, T>],
) -> Var<'t, T> {
    let r = x.recorder();
    let inputs: Vec<Var<'t, T>> = [x, draw].into_iter().chain(params.iter().copied()).collect();
    let sums = r.apply_all(Series::new(network, params), &inputs);
    let inputs: Vec<Var<'t, T>> = sums.into_iter().chain([x]).chain(params.iter().copied()).collect();
    r.apply(Held(network.clone()), &inputs)
}

/// The sums: inputs the row, the number of the draw and the network's parameters; outputs the estimate, `w` and the signs `v`.
#[derive(Debug)]
struct Series<T> {
    dim: usize,
    /// `Jᵀ w` of rows.
    pull: Nested<T>,
    lists: Pool<Lists>,
}

/// Of the rows of a shard.
#[derive(Debug)]
struct Lists {
    /// How many terms each takes.
    terms: Vec<usize>,
    /// The rows, those with the most terms first.
    order: Vec<usize>,
    /// The sum so far.
    totals: Vec<f64>,
}

impl Lists {
    fn new(rows: usize) -> Self {
        let numbers = || Vec::with_capacity(rows);
        Self { terms: numbers(), order: numbers(), totals: Vec::with_capacity(rows) }
    }
}

impl<T: Real> Series<T> {
    fn new(network: &Mlp, params: &[Var<'_, T>]) -> Self {
        let shapes: Vec<Shape> = params.iter().map(Var::shape).collect();
        let pull = Nested::new(|r| {
            let (x, w) = (r.batch(network.inputs), r.batch(network.inputs));
            let params: Vec<Var<'_, T>> = shapes.iter().map(|&s| r.input(s)).collect();
            let g = network.record(r, &params, x);
            // The network is made of operations that all can be pulled through.
            r.vjp(&[(g, w)], &[x]).unwrap_or_else(|_| vec![r.full(x.shape(), T::NAN)])
        });
        Self { dim: network.inputs, pull, lists: Pool::default() }
    }

    fn refuse<S>(kind: &'static str) -> Result<S, Error> {
        let reason = "it is estimated beyond 64 columns, and so is its gradient, which has none itself";
        Err(Error::NoDerivative { op: "log-determinant of a residual layer", kind, reason })
    }
}

/// How many terms a row takes, and its signs: a pure function of the row and the number of the draw.
fn chance<T: Real>(row: &[T], draw: T, signs: &mut [T]) -> usize {
    let words = row.iter().map(|v| v.f64().to_bits());
    let mut random = generator(hash_words(draw.f64().to_bits(), words), "residual-series", 0);
    for bits in signs.chunks_mut(64) {
        let word = random.next_u64();
        bits.iter_mut().enumerate().for_each(|(i, s)| *s = if word >> i & 1 == 1 { T::ONE } else { -T::ONE });
    }
    let uniform = 1.0 - random.random::<f64>();
    ALWAYS + (uniform.ln() / LIPSCHITZ.ln()).floor() as usize
}

impl<T: Real> Primitive<T> for Series<T> {
    fn name(&self) -> &'static str {
        "residual_series"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        Ok(smallvec![Shape::batch(1), inputs[0], inputs[0]])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let rows = cx.rows;
        self.lists.with(|| Lists::new(rows), |lists| self.sums(cx, lists));
    }

    fn jvp<'t>(
        &self,
        _r: &'t Recorder<T>,
        _x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        _dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        Self::refuse("forward")
    }

    fn vjp<'t>(
        &self,
        _r: &'t Recorder<T>,
        _x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        _dy: &[Option<Var<'t, T>>],
        _need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        Self::refuse("reverse")
    }

    fn scratch(&self, inputs: &[Shape], rows: usize) -> usize {
        3 * inputs[0].len(rows)
    }
}

impl<T: Real> Series<T> {
    /// Rows with the most terms come first, so that those that still run are the first ones.
    fn sums(&self, cx: &mut Eval<'_, '_, T>, Lists { terms, order, totals }: &mut Lists) {
        let (n, d) = (cx.rows, self.dim);
        let (x, draw, params) = (cx.inputs[0], cx.inputs[1][0], &cx.inputs[2..]);
        let [estimate, sum, signs] = cx.outputs else { return };
        let rows = x.chunks_exact(d).zip(signs.chunks_exact_mut(d));
        terms.clear();
        terms.extend(rows.map(|(x, v)| chance(x, draw, v)));
        order.clear();
        order.extend(0..n);
        // Without memory of its own: rows of as many terms stay in order by their numbers.
        order.sort_unstable_by_key(|&i| (std::cmp::Reverse(terms[i]), i));
        let (own, rest) = cx.scratch.split_at_mut(n * d);
        let (term, next) = rest.split_at_mut(n * d);
        for (k, &i) in order.iter().enumerate() {
            own[k * d..(k + 1) * d].copy_from_slice(&x[i * d..(i + 1) * d]);
            term[k * d..(k + 1) * d].copy_from_slice(&signs[i * d..(i + 1) * d]);
        }
        sum.fill(T::ZERO);
        totals.clear();
        totals.resize(n, 0.0);
        let mut share = 1.0;
        for k in 1.. {
            let left = order.partition_point(|&i| terms[i] >= k);
            if left == 0 {
                break;
            }
            if k > ALWAYS {
                share *= LIPSCHITZ;
            }
            let weight = if k % 2 == 1 { 1.0 / share } else { -1.0 / share };
            let size = left * d;
            let inputs = [&own[..size], &term[..size]];
            if self.pull.run(left, &inputs, params, &mut [&mut next[..size]]).is_err() {
                return estimate.fill(T::NAN);
            }
            for (at, &i) in order[..left].iter().enumerate() {
                let (here, row) = (at * d..(at + 1) * d, i * d..(i + 1) * d);
                let of =
                    |v: &[T]| v.iter().zip(&signs[row.clone()]).map(|(a, b)| a.f64() * b.f64()).sum::<f64>();
                totals[i] += weight / k as f64 * of(&next[here.clone()]);
                sum[row].iter_mut().zip(&term[here]).for_each(|(s, &t)| *s += T::of(weight) * t);
            }
            term[..size].copy_from_slice(&next[..size]);
        }
        estimate.iter_mut().zip(totals).for_each(|(e, total)| *e = T::of(*total));
    }
}

/// The estimate with its derivatives: inputs what [`Series`] gives, which is held, the row and the network's parameters.
#[derive(Debug)]
struct Held(Mlp);

impl Held {
    /// `wᵀ J v`, of which the derivatives are those of the estimate.
    fn expand<'t, T: Real>(&self, r: &'t Recorder<T>, x: &[Var<'t, T>]) -> Result<Var<'t, T>, Error> {
        let [_, w, v, row, params @ ..] = x else { return Ok(x[0]) };
        let g = self.0.record(r, params, *row);
        Ok((r.jvp(&[g], &[(*row, *v)])?[0] * *w).sum_cols())
    }
}

impl<T: Real> Primitive<T> for Held {
    fn name(&self) -> &'static str {
        "residual_log_det"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        Ok(smallvec![inputs[0]])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        cx.outputs[0].copy_from_slice(cx.inputs[0]);
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let moving = (0..x.len()).map(|k| if k < SUMS { Tangent::zero(x[k].cols()) } else { dx[k].clone() });
        expand::push(r, &[self.expand(r, x)?], x, &moving.collect::<Vec<_>>())
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        expand::pull(r, &[self.expand(r, x)?], x, dy, need)
    }

    /// The sums are held.
    fn is_auxiliary(&self, input: usize) -> bool {
        input < SUMS
    }
}

/// Outputs of [`Series`].
const SUMS: usize = 3;

#[cfg(test)]
mod tests;
