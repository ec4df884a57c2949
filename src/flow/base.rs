//! Base densities: what the latents are distributed as.

use super::bijection::{Declaration, Role};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal, StudentT};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// `ln 2π`.
pub const LN_2PI: f64 = 1.837_877_066_409_345_3;

/// Records `log N(z; 0, I) = -(D ln 2π + |z|²) / 2`, one column.
pub fn log_density<T: Real>(z: Var<'_, T>) -> Var<'_, T> {
    let d = z.cols() as f64;
    z.square().sum_cols() * T::of(-0.5) + T::of(-0.5 * d * LN_2PI)
}

/// The supremum of the standard normal's log-density over latents of `dim` columns: `-(D/2) ln 2π`, at `z = 0`.
pub fn sup_log_density(dim: usize) -> f64 {
    -0.5 * dim as f64 * LN_2PI
}

/// A family of base densities. Its parameters are parameters of the flow, `base.NAME`, trained with it if `learned`.
///
/// | family | `log p(z)` | parameters |
/// | --- | --- | --- |
/// | normal | `-(D ln 2π + \|z\|²)/2` | |
/// | diagonal | `Σ_j log N(z_j; m_j, e^{2 s_j})` | `location`, `log-scale` |
/// | mixture | `ln Σ_k w_k Π_j N(z_j; m_kj, e^{2 s_kj})`, `w = softmax(logits)` | `logits`, `location`, `log-scale` |
/// | student | `Σ_j log t_ν(z_j)`: Student's t at `m_j`, scale `e^{s_j}`, `ν_j = e^{l_j}` degrees of freedom | `log-freedom`, `location`, `log-scale` |
/// | uniform | `-D ln(high - low)` in the box, `-∞` outside | |
///
/// Claims that speak of normal latents are undecided for all but the first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Base {
    /// Standard normal.
    #[default]
    Normal,
    /// Independent normals with locations and scales of their own.
    Diagonal {
        /// Whether its parameters are trained.
        learned: bool,
    },
    /// A mixture of diagonal normals.
    Mixture {
        /// Number of components.
        components: usize,
        /// Whether its parameters are trained.
        learned: bool,
    },
    /// Independent Student's t.
    Student {
        /// Whether its parameters are trained.
        learned: bool,
    },
    /// Uniform on a box: the flow must end in it, for which [`super::bijections::Squash`] is there.
    Uniform {
        /// Lower edge, of every column.
        low: f64,
        /// Upper edge.
        high: f64,
    },
}

/// Degrees of freedom from which a Student's t starts.
const FREEDOM: f64 = 10.0;
/// Most components of a mixture: each is an operation of the tape.
const MOST: usize = 256;

impl Base {
    /// The name of the family.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Diagonal { .. } => "diagonal",
            Self::Mixture { .. } => "mixture",
            Self::Student { .. } => "student",
            Self::Uniform { .. } => "uniform",
        }
    }

    /// Whether it is the standard normal.
    pub fn is_standard(&self) -> bool {
        *self == Self::Normal
    }

    /// Whether drawing at a temperature other than 1 means something: for one normal, whose deviations it scales.
    pub fn takes_temperature(&self) -> bool {
        matches!(self, Self::Normal | Self::Diagonal { .. })
    }

    /// What is wrong with the fields.
    ///
    /// # Errors
    /// With the reason.
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Mixture { components, .. } if !(1..=MOST).contains(components) => {
                Err("a mixture has between 1 and 256 components (--base-components)")
            }
            Self::Uniform { low, high } if !(low < high && low.is_finite() && high.is_finite()) => {
                Err("the box must have low < high")
            }
            _ => Ok(()),
        }
    }

    /// A lower bound of the number of parameter entries for `dim` columns, found without allocating them.
    pub(crate) fn least_entries(&self, dim: usize) -> u128 {
        let dim = dim as u128;
        match *self {
            Self::Normal | Self::Uniform { .. } => 0,
            Self::Diagonal { .. } => 2 * dim,
            Self::Mixture { components, .. } => (2 * dim).saturating_mul(components as u128),
            Self::Student { .. } => 3 * dim,
        }
    }

    /// Parameters with their initial values: those of a standard normal, but for a mixture's locations, which are drawn from it, and
    /// for 10 degrees of freedom.
    pub(crate) fn declare(&self, dim: usize, random: &mut Pcg64) -> Vec<Declaration> {
        let role = |learned: bool| if learned { Role::Bias } else { Role::Frozen };
        let fill = |name: &str, rows: usize, cols: usize, value: f64, learned: bool| {
            Declaration::new(name, rows, cols, vec![value; rows * cols], role(learned))
        };
        match *self {
            Self::Normal | Self::Uniform { .. } => Vec::new(),
            Self::Diagonal { learned } => {
                vec![fill("location", 1, dim, 0.0, learned), fill("log-scale", 1, dim, 0.0, learned)]
            }
            Self::Mixture { components: k, learned } => {
                let mut location = fill("location", k, dim, 0.0, learned);
                location.initial.iter_mut().for_each(|m| *m = random.sample(StandardNormal));
                vec![fill("logits", 1, k, 0.0, learned), location, fill("log-scale", k, dim, 0.0, learned)]
            }
            Self::Student { learned } => vec![
                fill("log-freedom", 1, dim, FREEDOM.ln(), learned),
                fill("location", 1, dim, 0.0, learned),
                fill("log-scale", 1, dim, 0.0, learned),
            ],
        }
    }

    /// Records `log p(z)`, one column, in nats.
    pub(crate) fn record<'t, T: Real>(&self, params: &[Var<'t, T>], z: Var<'t, T>) -> Var<'t, T> {
        match (self, params) {
            (Self::Diagonal { .. }, [location, log_scale]) => normal(z, *location, *log_scale),
            (Self::Mixture { components, .. }, [logits, location, log_scale]) => {
                let one = |k: usize| normal(z, location.gather_rows(&[k]), log_scale.gather_rows(&[k]));
                let each: Vec<_> = (0..*components).map(one).collect();
                (Var::concat(&each) + (*logits - logits.logsumexp())).logsumexp()
            }
            (Self::Student { .. }, [log_freedom, location, log_scale]) => {
                let freedom = log_freedom.exp();
                let t = (z - *location) * (-*log_scale).exp();
                let half = freedom * T::of(0.5);
                let constant =
                    gamma_ratio(half) - (*log_freedom + T::of(std::f64::consts::PI.ln())) * T::of(0.5);
                let tail = (t.square() / freedom).ln_1p() * (half + T::of(0.5));
                (constant - *log_scale - tail).sum_cols()
            }
            (Self::Uniform { low, high }, _) => {
                let r = z.recorder();
                let inside = z.ge(r.scalar(T::of(*low))).and(z.le(r.scalar(T::of(*high))));
                let level = r.scalar(T::of(-(high - low).ln()));
                // What is no number must not become a density.
                (inside.select(level, r.scalar(-T::INFINITY)) + z * T::ZERO).sum_cols()
            }
            _ => log_density(z),
        }
    }

    /// One draw. A temperature `T` scales it about its location.
    pub(crate) fn draw(&self, params: &[&[f64]], random: &mut Pcg64, temperature: f64, row: &mut [f64]) {
        let d = row.len();
        match (self, params) {
            (Self::Uniform { low, high }, _) => {
                let middle = 0.5 * (low + high);
                for z in row {
                    *z = middle + temperature * (low + (high - low) * random.random::<f64>() - middle);
                }
            }
            (Self::Student { .. }, [log_freedom, location, log_scale]) => {
                for (j, z) in row.iter_mut().enumerate() {
                    // Beyond the range of its sampler it is a normal.
                    let t = match StudentT::new(log_freedom[j].exp()) {
                        Ok(student) => student.sample(random),
                        Err(_) => random.sample(StandardNormal),
                    };
                    *z = location[j] + temperature * log_scale[j].exp() * t;
                }
            }
            (Self::Diagonal { .. } | Self::Mixture { .. }, [.., location, log_scale]) => {
                let k = if let [logits, _, _] = params { choose(logits, random.random()) } else { 0 };
                for (j, z) in row.iter_mut().enumerate() {
                    let normal: f64 = random.sample(StandardNormal);
                    *z = location[k * d + j] + temperature * log_scale[k * d + j].exp() * normal;
                }
            }
            _ => row.iter_mut().for_each(|z| *z = temperature * random.sample::<f64, _>(StandardNormal)),
        }
    }

    /// A latent at which the density is greatest; `None` for a mixture.
    pub(crate) fn mode(&self, dim: usize, params: &[&[f64]]) -> Option<Vec<f64>> {
        match (self, params) {
            (Self::Mixture { .. }, _) => None,
            (Self::Uniform { low, high }, _) => Some(vec![0.5 * (low + high); dim]),
            (_, [.., location, _]) => Some(location.to_vec()),
            _ => Some(vec![0.0; dim]),
        }
    }

    /// An upper bound of a mixture's log-density: the sum of its components' peaks.
    pub(crate) fn peaks(dim: usize, params: &[&[f64]]) -> f64 {
        let [logits, _, log_scale] = params else { return f64::INFINITY };
        let peak = |scale: &[f64]| sup_log_density(dim) - scale.iter().sum::<f64>();
        let each: Vec<f64> = logits.iter().zip(log_scale.chunks(dim)).map(|(l, s)| l + peak(s)).collect();
        ln_sum_exp(&each) - ln_sum_exp(logits)
    }
}

/// `Σ_j log N(z_j; m_j, e^{2 s_j})`.
fn normal<'t, T: Real>(z: Var<'t, T>, location: Var<'t, T>, log_scale: Var<'t, T>) -> Var<'t, T> {
    log_density((z - location) * (-log_scale).exp()) - log_scale.sum_cols()
}

/// The index that the uniform number `u` falls on, with the weights `softmax(logits)`.
fn choose(logits: &[f64], u: f64) -> usize {
    let total = ln_sum_exp(logits);
    let mut below = 0.0;
    let found = logits.iter().position(|l| {
        below += (l - total).exp();
        u < below
    });
    found.unwrap_or(logits.len().saturating_sub(1))
}

pub(crate) fn ln_sum_exp(x: &[f64]) -> f64 {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

/// Steps of the recurrence before Stirling's series, which at 12 and beyond has 6 terms to 1e-16.
const STEPS: usize = 12;
/// `B_2k / (2k (2k - 1))`: coefficients of `z^{1-2k}` in Stirling's series (NIST DLMF 5.11.1).
const STIRLING: [f64; 6] =
    [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0];

/// `ln Γ(x + ½) - ln Γ(x)` for positive `x`, without the cancellation of its two terms:
/// `z ln(1 + 1/2z) + ½ ln z - ½ + Σ_k c_k [(z + ½)^{1-2k} - z^{1-2k}] - Σ_{i<12} ln(1 + ½/(x + i))` with `z = x + 12`.
fn gamma_ratio<T: Real>(x: Var<'_, T>) -> Var<'_, T> {
    let z = x + T::of(STEPS as f64);
    let mut out = z * (z.recip() * T::of(0.5)).ln_1p() + z.ln() * T::of(0.5) + T::of(-0.5);
    for (k, c) in STIRLING.into_iter().enumerate() {
        let power = -(2 * k as i32 + 1);
        out = out + ((z + T::of(0.5)).powi(power) - z.powi(power)) * T::of(c);
    }
    (0..STEPS).fold(out, |out, i| out - ((x + T::of(i as f64)).recip() * T::of(0.5)).ln_1p())
}
