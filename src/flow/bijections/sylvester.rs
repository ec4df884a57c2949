//! Sylvester layers: planar ones along several orthogonal axes at once.

use super::householder::reflect;
use super::tanh_step::{invert, log_slope, steepness};
use crate::flow::bijection::{Bijection, Declaration, Role, Scope, Way};
use crate::flow::number::{Bounded, Number};
use crate::flow::rounding::{Rounding, RoundingAt, count};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand::RngExt;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// `z = x + Q R tanh(S Qᵀ x + b)`, with `M` orthonormal columns in `Q` and upper triangular `R` and `S`.
///
/// `log|det| = Σ ln(1 + p_i sech² t_i)`, `t = S Qᵀ x + b`, `p_i = r_ii s_ii` (R. van den Berg et al., *Sylvester normalizing flows for variational
/// inference*, 2018, theorems 1 and 2). `Q` is the first `M` columns of a product of `M` reflections, `s_ii > 0` (the sign of an axis says nothing), and
/// `r_ii = p_i / s_ii` with `p_i > -1` whatever the parameters are, so that the layer is invertible. It starts near the identity.
///
/// The way back is numeric, axis by axis from the last one: with `c = Qᵀ z`, `t_i + p_i tanh t_i = s_ii (c_i - Σ_{j>i} r_ij tanh t_j) +
/// Σ_{j>i} s_ij y_j + b_i`, where `y = Qᵀ x`, by Newton's method with an error of a few roundings; then `x = z - Q R tanh t`. Both directions cost
/// `O(MD + M²)` a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sylvester {
    /// Number of columns.
    pub dim: usize,
    /// Number of axes `M`, at most `D`.
    pub axes: usize,
}

const AXES: usize = 0;
const OUTER: usize = 1;
const INNER: usize = 2;
const RAW_SCALE: usize = 3;
const STRENGTH: usize = 4;
const SHIFT: usize = 5;

/// Least `s_ii`.
const LEAST: f64 = 1e-3;

/// The diagonals: `s_ii` and `1 + p_i`.
fn diagonals<N: Number>(raw_scale: N, strength: N) -> (N, N) {
    (raw_scale.softplus().plus(LEAST), steepness(strength))
}

/// The parameters on the tape, shared by all rows.
struct Parts<'t, T> {
    /// `Qᵀ`, one axis a row.
    axes: Var<'t, T>,
    /// `R`.
    outer: Var<'t, T>,
    /// `S`.
    inner: Var<'t, T>,
    /// `s_ii`.
    scale: Var<'t, T>,
    /// `1 + p_i`.
    slope: Var<'t, T>,
}

impl Sylvester {
    fn parts<'t, T: Real>(&self, scope: &Scope<'_, 't, T>) -> Parts<'t, T> {
        let m = self.axes;
        let constant = |cols: usize, keep: fn(usize, usize) -> bool| {
            let one = |k: usize| if keep(k / cols, k % cols) { T::ONE } else { T::ZERO };
            scope.recorder.constant(m, cols, &(0..m * cols).map(one).collect::<Vec<T>>())
        };
        let (above, diagonal) = (constant(m, |i, j| i < j), constant(m, |i, j| i == j));
        let (scale, slope) = diagonals(scope.params[RAW_SCALE], scope.params[STRENGTH]);
        Parts {
            axes: reflect(scope.params[AXES], constant(self.dim, |i, j| i == j), 0..m),
            outer: scope.params[OUTER] * above + diagonal * ((slope - T::ONE) / scale),
            inner: scope.params[INNER] * above + diagonal * scale,
            scale,
            slope,
        }
    }
}

impl Bijection for Sylvester {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, random: &mut Pcg64) -> Vec<Declaration> {
        let (m, d) = (self.axes, self.dim);
        let axes = (0..m * d).map(|_| random.sample::<f64, _>(StandardNormal)).collect();
        let spread = (m.max(1) as f64).sqrt().recip();
        let mut above = |size: f64| -> Vec<f64> {
            let mut draw = || size * spread * (2.0 * random.random::<f64>() - 1.0);
            (0..m * m).map(|k| if k / m < k % m { draw() } else { 0.0 }).collect()
        };
        let (outer, inner) = (above(0.01), above(1.0));
        vec![
            // Only directions matter: no penalty on lengths.
            Declaration::new("axes", m, d, axes, Role::Bias),
            Declaration::new("outer", m, m, outer, Role::Weight),
            Declaration::new("inner", m, m, inner, Role::Weight),
            Declaration::new("raw-scale", 1, m, vec![(1.0 - LEAST).exp_m1().ln(); m], Role::Bias),
            Declaration::bias("strength", m),
            Declaration::bias("shift", m),
        ]
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let Parts { axes, outer, inner, slope, .. } = self.parts(scope);
        let t = x.matmul_t(axes).matmul_t(inner) + scope.params[SHIFT];
        (x + t.tanh().matmul_t(outer).matmul(axes), log_slope(slope, t).sum_cols())
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        let (m, Parts { axes, outer, inner, scale, slope }) = (self.axes, self.parts(scope));
        let c = z.matmul_t(axes);
        let (p, shift) = (slope - T::ONE, scope.params[SHIFT]);
        // tanh t and y of the axes that are known, the last one last.
        let (mut tanh, mut y): (Vec<Var<'t, T>>, Vec<Var<'t, T>>) = (Vec::new(), Vec::new());
        for i in (0..m).rev() {
            let at = |v: Var<'t, T>| v.slice(i..i + 1);
            let row = |w: Var<'t, T>, from: usize| w.gather_rows(&[i]).slice(from..m);
            let (mut free, mut rest) = (at(c), at(shift));
            if i + 1 < m {
                free = free - Var::concat(&tanh).matmul_t(row(outer, i + 1));
                rest = rest + Var::concat(&y).matmul_t(row(inner, i + 1));
            }
            let own = invert(at(p), free * at(scale) + rest).tanh();
            tanh.insert(0, own);
            y.insert(0, free - own * row(outer, i).slice(0..1));
        }
        z - Var::concat(&tanh).matmul_t(outer).matmul(axes)
    }

    /// `normalize` by running error. `generate` solves for `t` but for the rounding of the terms of its equations: that moves `t` on the way
    /// back there, and `z` by `|Q||R|` times it (`sech² <= 1`). A reflection of a unit vector rounds by `2 c_D + 6`.
    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        let (m, d) = (self.axes, self.dim);
        let axes = numbers::axes(p[AXES], m, d);
        let each = (0..m).map(|i| diagonals(Bounded::exact(p[RAW_SCALE][i]), Bounded::exact(p[STRENGTH][i])));
        let (scale, slope): (Vec<Bounded>, Vec<Bounded>) = each.unzip();
        let upper = |off: &[f64], diagonal: &dyn Fn(usize) -> Bounded| -> Vec<Vec<Bounded>> {
            let entry = |i: usize, j: usize| match i.cmp(&j) {
                std::cmp::Ordering::Less => Bounded::exact(off[i * m + j]),
                std::cmp::Ordering::Equal => diagonal(i),
                std::cmp::Ordering::Greater => Bounded::exact(0.0),
            };
            (0..m).map(|i| (0..m).map(|j| entry(i, j)).collect()).collect()
        };
        let outer = upper(p[OUTER], &|i| slope[i].plus(-1.0) / scale[i]);
        let inner = upper(p[INNER], &|i| scale[i]);
        Box::new(move |x, z| {
            let project = |v: &[f64]| -> Vec<Bounded> {
                let v: Vec<Bounded> = v.iter().map(|&v| Bounded::exact(v)).collect();
                axes.iter().map(|q| Bounded::dot(q, &v)).collect()
            };
            let (y, c) = (project(x), project(z));
            let t: Vec<Bounded> =
                (0..m).map(|i| Bounded::dot(&inner[i], &y) + Bounded::exact(p[SHIFT][i])).collect();
            let tanh: Vec<Bounded> = t.iter().map(|t| t.tanh()).collect();
            let step: Vec<Bounded> = outer.iter().map(|r| Bounded::dot(r, &tanh)).collect();
            // The error of each equation's right side and of its root.
            let root: Vec<f64> = (0..m)
                .map(|i| {
                    let free = c[i] - Bounded::dot(&outer[i][i + 1..], &tanh[i + 1..]);
                    let known = Bounded::dot(&inner[i][i + 1..], &y[i + 1..]);
                    let side = free * scale[i] + known + Bounded::exact(p[SHIFT][i]);
                    let terms = t[i].value.abs() + side.value.abs() + slope[i].value.abs() + 1.0;
                    side.error + t[i].error + slope[i].error + 16.0 * terms
                })
                .collect();
            let moved: Vec<f64> = outer
                .iter()
                .map(|r| r.iter().zip(&root).map(|(r, e)| r.value.abs() * (e + 8.0)).sum())
                .collect();
            let mut out = Rounding::none(d);
            for j in 0..d {
                let column: Vec<Bounded> = axes.iter().map(|q| q[j]).collect();
                let add = Bounded::dot(&column, &step);
                let there = Bounded::exact(x[j]) + add;
                let back = Bounded::exact(z[j]) - add;
                let solved: f64 = column.iter().zip(&moved).map(|(q, e)| q.value.abs() * e).sum();
                out.latent[j] = there.error + back.error + solved;
            }
            for (q, t) in slope.iter().zip(&t) {
                let log = log_slope(*q, *t);
                // Columns of Q are orthonormal to rounding only.
                let frame = 2.0 * axes[0][0].error * d as f64 * m as f64 / log.value.exp();
                out.log_det += log.error + frame + count(m) * log.value.abs();
            }
            out
        })
    }

    fn least_entries(&self) -> u128 {
        (self.dim as u128).saturating_mul(self.axes as u128)
    }

    fn check_parameters(&self, parameters: &[&[f64]]) -> Result<(), &'static str> {
        let zero = |axis: &[f64]| axis.iter().all(|v| *v == 0.0);
        if parameters[AXES].chunks(self.dim).any(zero) {
            return Err("an axis of zeros has no direction");
        }
        Ok(())
    }

    fn ways(&self) -> [Way; 2] {
        [Way::ClosedForm, Way::Numeric]
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim, axes: dim.min(4) }]
    }

    fn check(&self) -> Result<(), &'static str> {
        if (1..=self.dim).contains(&self.axes) {
            Ok(())
        } else {
            Err("there must be at least one axis and at most as many as columns")
        }
    }
}

/// The frame in plain numbers, for the bound of rounding.
mod numbers {
    use super::{Bounded, count};

    /// Rows of `Qᵀ`: the first unit vectors, reflected.
    pub(super) fn axes(reflections: &[f64], m: usize, d: usize) -> Vec<Vec<Bounded>> {
        let error = m as f64 * (2.0 * count(d + 1) + 6.0);
        let row = |i: usize| {
            let mut v = vec![0.0; d];
            v[i] = 1.0;
            for axis in reflections.chunks(d) {
                let rate = 2.0 * axis.iter().zip(&v).map(|(a, v)| a * v).sum::<f64>()
                    / axis.iter().map(|a| a * a).sum::<f64>();
                v.iter_mut().zip(axis).for_each(|(v, a)| *v -= rate * a);
            }
            v.into_iter().map(|value| Bounded { value, error }).collect()
        };
        (0..m).map(row).collect()
    }
}
