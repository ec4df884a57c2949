//! Monotone rational-quadratic splines.

use super::scale::soft_clamp;
use crate::flow::number::Number;
use serde::{Deserialize, Serialize};

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

/// The bin of a row.
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

    /// The knots of one axis, `K + 1` of them: the first one is `-B`, the last one `B`.
    fn knots<N: Number>(&self, logits: &[N], least: f64) -> Vec<N> {
        let clamped: Vec<N> = match self.logits {
            Logits::Softplus { .. } => {
                // Shifted by the greatest, so that no exponential overflows.
                let most = logits.iter().copied().reduce(N::max).unwrap_or(logits[0]);
                logits.iter().map(|&u| u - most).collect()
            }
            Logits::SoftClamp { least } => {
                logits.iter().map(|&u| soft_clamp(u.times(2.0), least).times(0.5)).collect()
            }
        };
        let powers: Vec<N> = clamped.into_iter().map(N::exp).collect();
        let total = powers.iter().copied().reduce(|a, b| a + b).unwrap_or(powers[0]);
        let share = total.constant(1.0 - least * self.bins as f64) / total;
        let mut knots = vec![total.constant(-self.bound)];
        let mut sum: Option<N> = None;
        for &power in &powers[..self.bins - 1] {
            let width = (power * share).plus(least);
            let so_far = sum.map_or(width, |s| s + width);
            knots.push(so_far.times(2.0 * self.bound).plus(-self.bound));
            sum = Some(so_far);
        }
        knots.push(total.constant(self.bound));
        knots
    }

    /// The bin of `v`, which stands on the axis of data or (`of_latent`) on that of latents, inside the box.
    fn bin<N: Number>(&self, p: &[N], v: N, of_latent: bool) -> Bin<N> {
        let k = self.bins;
        let (least_width, least_height) = match self.logits {
            Logits::Softplus { width, height, .. } => (width, height),
            Logits::SoftClamp { .. } => (0.0, 0.0),
        };
        let x = self.knots(&p[..k], least_width);
        let z = self.knots(&p[k..2 * k], least_height);
        let inner = p[2 * k..].iter().map(|&u| match self.logits {
            Logits::Softplus { slope, .. } => u.softplus().plus(slope),
            Logits::SoftClamp { least } => soft_clamp(u, least).exp(),
        });
        let one = v.constant(1.0);
        let slopes: Vec<N> = [one].into_iter().chain(inner).chain([one]).collect();
        let of = |i: usize| Bin {
            left: x[i],
            width: x[i + 1] - x[i],
            bottom: z[i],
            height: z[i + 1] - z[i],
            slopes: [slopes[i], slopes[i + 1]],
        };
        let mut bin = of(0);
        for i in 1..k {
            let beyond = v - if of_latent { z[i] } else { x[i] };
            let next = of(i);
            bin = Bin {
                left: beyond.choose(next.left, bin.left),
                width: beyond.choose(next.width, bin.width),
                bottom: beyond.choose(next.bottom, bin.bottom),
                height: beyond.choose(next.height, bin.height),
                slopes: [0, 1].map(|e| beyond.choose(next.slopes[e], bin.slopes[e])),
            };
        }
        bin
    }

    /// The value moved to 0 where it is outside the box, and what chooses: not negative inside.
    fn inside<N: Number>(&self, v: N) -> (N, N) {
        let room = -v.abs().plus(-self.bound);
        (room.choose(v, v.constant(0.0)), room)
    }

    pub(super) fn normalize<N: Number>(&self, p: &[N], x: N) -> (N, N) {
        let (inner, room) = self.inside(x);
        let bin = self.bin(p, inner, false);
        let t = (inner - bin.left) / bin.width;
        let (z, log) = bin.at(t);
        (room.choose(z, x), room.choose(log, x.constant(0.0)))
    }

    pub(super) fn generate<N: Number>(&self, p: &[N], z: N) -> (N, N) {
        let (inner, room) = self.inside(z);
        let bin = self.bin(p, inner, true);
        let t = bin.solve(inner - bin.bottom);
        let x = t * bin.width + bin.left;
        (room.choose(x, z), room.choose(bin.at(t).1, z.constant(0.0)))
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

impl<N: Number> Bin<N> {
    /// `(s, d_k + d_{k+1} - 2s)`.
    fn shape(&self) -> (N, N) {
        let s = self.height / self.width;
        (s, self.slopes[0] + self.slopes[1] - s.times(2.0))
    }

    /// `(z, ln dz/dx)` at `x_k + t w`.
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
