//! Monotone rational-quadratic splines.

use super::dual::Dual;
use super::scale::{soft_clamp, soft_clamp_slope};
use crate::flow::number::Number;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// A number for each bin or knot, on the stack for up to 16 bins.
type Few<N> = SmallVec<[N; 17]>;

/// A monotone rational-quadratic spline of `K` bins on the box `[-B, B]`, the identity outside it.
///
/// Knots `(x_k, z_k)` rise from `(-B, -B)` to `(B, B)`, with slopes `d_k > 0` there, 1 at both ends. In bin `k`, with
/// `w` its width, `h` its height, `s = h / w` and `t = (x - x_k) / w`,
///
/// `z = z_k + h (s t² + d_k t (1 - t)) / q`, `q = s + (d_k + d_{k+1} - 2s) t (1 - t)`,
///
/// `dz/dx = s² (d_{k+1} t² + 2 s t (1 - t) + d_k (1 - t)²) / q²`
///
/// (J. Gregory and R. Delbourgo, IMA J. Numer. Anal. 2, 1982; C. Durkan et al., *Neural spline flows*, 2019, equations 4
/// and 5). Back, `t` is the root in `[0, 1]` of `a t² + b t + c` with `y = z - z_k`, `e = d_k + d_{k+1} - 2s`,
/// `a = h (s - d_k) + y e`, `b = h d_k - y e`, `c = -s y`: by whichever of `-2c / (b + r)` and `(r - b) / 2a`, `r = √(b² - 4ac)`,
/// does not cancel, with the discriminant at least 0 whatever rounding says.
///
/// Where a row stands is chosen before anything is computed of it, so that no branch that is not taken divides
/// by zero: values and derivatives of all orders are finite on knots, at the ends and beyond. The first derivative is
/// continuous; the second one jumps at knots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spline {
    /// Number of bins `K`.
    pub bins: usize,
    /// Half the side `B` of the box.
    pub bound: f64,
    /// How widths, heights and slopes come of their logits.
    pub logits: Logits,
}

/// How widths, heights and slopes come of unbounded logits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Logits {
    /// Widths are `2B (m + (1 - K m) softmax u)`, the same for heights; slopes are `d + softplus u`. As in nflows.
    Softplus {
        /// Least share of a width.
        width: f64,
        /// Least share of a height.
        height: f64,
        /// Least slope.
        slope: f64,
    },
    /// Logits of widths and heights are clamped softly to `±ln(1/m) / 2`, those of slopes to `±ln(1/m)`; widths are
    /// `2B softmax u`, slopes `e^u`. As in zuko, with `m = 1e-3`.
    SoftClamp {
        /// Least slope `m`, below 1.
        least: f64,
    },
}

/// Knots of both axes, and slopes there.
struct Table<N> {
    x: Few<N>,
    z: Few<N>,
    slopes: Few<N>,
}

/// The bin of a row.
#[derive(Clone, Copy)]
struct Bin<N> {
    left: N,
    width: N,
    bottom: N,
    height: N,
    /// Slopes at its ends.
    slopes: [N; 2],
}

impl Spline {
    /// `bins` bins on `[-bound, bound]`, with least widths, heights and slopes `1e-3`.
    pub const fn new(bins: usize, bound: f64) -> Self {
        Self { bins, bound, logits: Logits::Softplus { width: 1e-3, height: 1e-3, slope: 1e-3 } }
    }

    /// Shares of the bins of one axis in its room beyond the least widths: positive, with sum 1.
    #[inline(always)]
    fn shares<N: Number>(&self, logits: &[N]) -> Few<N> {
        let mut powers: Few<N> = SmallVec::from_slice(logits);
        match self.logits {
            Logits::Softplus { .. } => {
                // Shifted by the greatest, so that no exponential overflows.
                let mut most = logits[0];
                for &u in &logits[1..] {
                    most = most.max(u);
                }
                for p in &mut powers {
                    *p = (*p - most).exp();
                }
            }
            Logits::SoftClamp { least } => {
                for p in &mut powers {
                    *p = soft_clamp(p.times(2.0), least).times(0.5).exp();
                }
            }
        }
        let mut total = powers[0];
        for &p in &powers[1..] {
            total = total + p;
        }
        for p in &mut powers {
            *p = *p / total;
        }
        powers
    }

    /// Shares of both axes.
    #[inline(always)]
    fn both_shares<N: Number>(&self, p: &[N]) -> [Few<N>; 2] {
        [self.shares(&p[..self.bins]), self.shares(&p[self.bins..2 * self.bins])]
    }

    /// The knots of one axis, `K + 1` of them: the first one is `-B`, the last one `B`.
    #[inline(always)]
    fn knots<N: Number>(&self, shares: &[N], least: f64) -> Few<N> {
        let side = 2.0 * self.bound;
        let first = shares[0].constant(-self.bound);
        let mut knots: Few<N> = SmallVec::new();
        knots.push(first);
        let mut sum = first;
        for (k, share) in shares[..self.bins - 1].iter().enumerate() {
            let width = share.times(1.0 - least * self.bins as f64).plus(least);
            sum = if k == 0 { width } else { sum + width };
            knots.push(sum.times(side).plus(-self.bound));
        }
        knots.push(first.constant(self.bound));
        knots
    }

    /// Slopes at all knots, 1 at both ends.
    #[inline(always)]
    fn slopes<N: Number>(&self, logits: &[N], one: N) -> Few<N> {
        let mut slopes: Few<N> = SmallVec::new();
        slopes.push(one);
        for &u in logits {
            slopes.push(match self.logits {
                Logits::Softplus { slope, .. } => u.softplus().plus(slope),
                Logits::SoftClamp { least } => soft_clamp(u, least).exp(),
            });
        }
        slopes.push(one);
        slopes
    }

    /// Least shares of widths and of heights.
    fn least(&self) -> [f64; 2] {
        match self.logits {
            Logits::Softplus { width, height, .. } => [width, height],
            Logits::SoftClamp { .. } => [0.0; 2],
        }
    }

    /// Knots of both axes and slopes there.
    #[inline(always)]
    fn table<N: Number>(&self, p: &[N], shares: [&[N]; 2]) -> Table<N> {
        let [width, height] = self.least();
        Table {
            x: self.knots(shares[0], width),
            z: self.knots(shares[1], height),
            slopes: self.slopes(&p[2 * self.bins..], shares[0][0].constant(1.0)),
        }
    }

    /// The bin of `v`, which stands on the axis of data or (`of_latent`) on that of latents, inside the box.
    #[inline(always)]
    fn bin<N: Number>(&self, p: &[N], v: N, of_latent: bool) -> Bin<N> {
        let shares = self.both_shares(p);
        self.table(p, [&shares[0], &shares[1]]).bin(v, of_latent)
    }

    /// The value moved to 0 where it is outside the box, and what chooses: not negative inside.
    #[inline(always)]
    fn inside<N: Number>(&self, v: N) -> (N, N) {
        let room = -v.abs().plus(-self.bound);
        (room.choose(v, v.constant(0.0)), room)
    }

    /// `(z, ln dz/dx)`, or (`generate`) `(x, ln dz/dx)`.
    #[inline(always)]
    pub(crate) fn transform<N: Number>(&self, p: &[N], v: N, generate: bool) -> (N, N) {
        let (inner, room) = self.inside(v);
        let (y, log) = self.bin(p, inner, generate).transform(inner, generate);
        (room.choose(y, v), room.choose(log, v.constant(0.0)))
    }

    /// First derivatives of [`Spline::transform`], of both its outputs: by `v`, and by each parameter into `by` and `log_by`.
    ///
    /// Through the seven numbers of the bin by their gradient, and from there to the logits: with shares `a`, their sum `A`
    /// before bin `k` and `r = 2B (1 - K m)`, `∂x_k/∂u_j = r a_j ([j < k] - A)` and `∂w/∂u_j = r a_j ([j = k] - a_k)`.
    #[inline(always)]
    pub(crate) fn rates<N: Number>(&self, p: &[N], v: N, generate: bool, by: [&mut [N]; 2]) -> [N; 2] {
        let k = self.bins;
        let (inner, room) = self.inside(v);
        let shares = self.both_shares(p);
        let table = self.table(p, [&shares[0], &shares[1]]);
        let bin = table.bin(inner, generate);
        let variable = Dual::<N, 7>::variable;
        let moving = Bin {
            left: variable(bin.left, 1),
            width: variable(bin.width, 2),
            bottom: variable(bin.bottom, 3),
            height: variable(bin.height, 4),
            slopes: [variable(bin.slopes[0], 5), variable(bin.slopes[1], 6)],
        };
        let (y, log) = moving.transform(variable(inner, 0), generate);
        let (zero, one) = (v.constant(0.0), v.constant(1.0));
        let mut outputs = [y.gradient, log.gradient];
        for gradient in &mut outputs {
            for g in gradient {
                *g = room.choose(*g, zero);
            }
        }
        // Whether the value is in bin j, or beyond it.
        let axis = table.axis(generate);
        let (mut beyond, mut inside): (Few<N>, Few<N>) = (SmallVec::new(), SmallVec::new());
        let mut before = one;
        for j in 0..k {
            let after = if j + 1 < k { (inner - axis[j + 1]).choose(one, zero) } else { zero };
            beyond.push(after);
            inside.push(before - after);
            before = after;
        }
        let least = self.least();
        for (gradient, by) in outputs.iter().zip(by) {
            for axis in 0..2 {
                let (a, room) = (&shares[axis], 2.0 * self.bound * (1.0 - least[axis] * k as f64));
                let (start, width) = (gradient[1 + 2 * axis], gradient[2 + 2 * axis]);
                let common = start * dot(&beyond, a) + width * dot(&inside, a);
                for j in 0..k {
                    let rate = start * beyond[j] + width * inside[j] - common;
                    let rate = (rate * a[j]).times(room);
                    by[axis * k + j] = match self.logits {
                        Logits::Softplus { .. } => rate,
                        Logits::SoftClamp { least } => {
                            rate * soft_clamp_slope(p[axis * k + j].times(2.0), least)
                        }
                    };
                }
            }
            for i in 0..k - 1 {
                let rate = gradient[5] * inside[i + 1] + gradient[6] * inside[i];
                let u = p[2 * k + i];
                by[2 * k + i] = match self.logits {
                    Logits::Softplus { .. } => rate * u.sigmoid(),
                    Logits::SoftClamp { least } => rate * table.slopes[i + 1] * soft_clamp_slope(u, least),
                };
            }
        }
        [room.choose(y.gradient[0], one), outputs[1][0]]
    }

    /// Equal bins, slopes 1.
    pub(super) fn identity(&self) -> Vec<f64> {
        let slope = match self.logits {
            Logits::Softplus { slope, .. } => (1.0 - slope).exp_m1().ln(),
            Logits::SoftClamp { .. } => 0.0,
        };
        let widths_and_heights = 2 * self.bins;
        (0..3 * self.bins - 1).map(|k| if k < widths_and_heights { 0.0 } else { slope }).collect()
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        if !(1..=1024).contains(&self.bins) {
            return Err("a spline has between 1 and 1024 bins");
        }
        if !(self.bound > 0.0 && self.bound.is_finite()) {
            return Err("the spline's box must be finite and positive");
        }
        let share = |m: f64| m >= 0.0 && m * (self.bins as f64) < 1.0;
        match self.logits {
            Logits::Softplus { width, height, slope } => {
                if share(width) && share(height) && (0.0..1.0).contains(&slope) {
                    Ok(())
                } else {
                    Err(
                        "least widths and heights of all bins must leave room in the box, the least slope lie in [0, 1)",
                    )
                }
            }
            Logits::SoftClamp { least } if least > 0.0 && least < 1.0 => Ok(()),
            Logits::SoftClamp { .. } => Err("the least slope must lie in (0, 1)"),
        }
    }
}

/// `Σ a_i b_i`.
#[inline(always)]
fn dot<N: Number>(a: &[N], b: &[N]) -> N {
    let mut sum = a[0] * b[0];
    for (&a, &b) in a[1..].iter().zip(&b[1..]) {
        sum = sum + a * b;
    }
    sum
}

impl<N: Number> Table<N> {
    /// The axis on which a value stands.
    #[inline(always)]
    fn axis(&self, of_latent: bool) -> &[N] {
        if of_latent { &self.z } else { &self.x }
    }

    #[inline(always)]
    fn bin(&self, v: N, of_latent: bool) -> Bin<N> {
        let of = |i: usize| Bin {
            left: self.x[i],
            width: self.x[i + 1] - self.x[i],
            bottom: self.z[i],
            height: self.z[i + 1] - self.z[i],
            slopes: [self.slopes[i], self.slopes[i + 1]],
        };
        let mut bin = of(0);
        for (i, &knot) in self.axis(of_latent).iter().enumerate().take(self.x.len() - 1).skip(1) {
            let (beyond, next) = (v - knot, of(i));
            bin = Bin {
                left: beyond.choose(next.left, bin.left),
                width: beyond.choose(next.width, bin.width),
                bottom: beyond.choose(next.bottom, bin.bottom),
                height: beyond.choose(next.height, bin.height),
                slopes: [
                    beyond.choose(next.slopes[0], bin.slopes[0]),
                    beyond.choose(next.slopes[1], bin.slopes[1]),
                ],
            };
        }
        bin
    }
}

impl<N: Number> Bin<N> {
    /// `(y, ln dz/dx)` of a value inside.
    #[inline(always)]
    fn transform(&self, v: N, generate: bool) -> (N, N) {
        if generate {
            let t = self.solve(v - self.bottom);
            (t * self.width + self.left, self.at(t).1)
        } else {
            self.at((v - self.left) / self.width)
        }
    }

    /// `(s, d_k + d_{k+1} - 2s)`.
    #[inline(always)]
    fn shape(&self) -> (N, N) {
        let s = self.height / self.width;
        (s, self.slopes[0] + self.slopes[1] - s.times(2.0))
    }

    /// `(z, ln dz/dx)` at `x_k + t w`.
    #[inline(always)]
    fn at(&self, t: N) -> (N, N) {
        let (s, excess) = self.shape();
        let [d, e] = self.slopes;
        let u = -t.plus(-1.0);
        let tu = t * u;
        let q = s + excess * tu;
        let z = self.bottom + self.height * (s * t * t + d * tu) / q;
        let rate = e * t * t + s * tu.times(2.0) + d * u * u;
        (z, (s / q).ln().times(2.0) + rate.ln())
    }

    /// The `t` at which `z - z_k` is `y`.
    #[inline(always)]
    fn solve(&self, y: N) -> N {
        let (s, excess) = self.shape();
        let ye = y * excess;
        let a = self.height * (s - self.slopes[0]) + ye;
        let b = self.height * self.slopes[0] - ye;
        let c = -(s * y);
        let discriminant = b * b - a.times(4.0) * c;
        let least = discriminant.constant(f64::from(f32::MIN_POSITIVE));
        let root = (discriminant - least).choose(discriminant, least).sqrt();
        let top = b.choose(c.times(-2.0), root - b);
        let bottom = b.choose(b + root, a.times(2.0));
        top / bottom
    }
}
