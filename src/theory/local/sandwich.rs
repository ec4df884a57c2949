//! G3: the sandwich of the global covariance, Stein's identity and the two-point identity, decided.

use super::moments::{BLOCKS, Block, Directions, average, blocks_broken, draws, entries, least};
use super::series::difference;
use super::student::Blocks;
use crate::flow::Error;
use crate::theory::power::JacobianError;
use crate::theory::tolerance::gamma;
use crate::theory::{Axis, Chart, Claim, Context, Outcome, Shape, Verdict, alarm};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::eigen::eigvalsh;

/// G3: `E[J_g]E[J_g]ᵀ ⪯ Cov(x) ⪯ E[J_g J_gᵀ]`, `Cov(x, y) = E[J_g]`, and the two-point identity.
pub struct Sandwich;

/// The statistics of one check: how far each is from its prediction, studentised.
#[derive(Clone, Debug)]
struct Statistics {
    /// Two-sided, of Stein's identity and of the two-point one: these means are zero.
    zero: [Vec<Blocks>; 2],
    /// One-sided: these are not negative.
    positive: [Blocks; 2],
    /// Rounding of any of them.
    floor: f64,
}

impl Sandwich {
    /// The verdict on the moments of blocks of draws.
    ///
    /// Every statistic is a mean over independent blocks; it is off where it exceeds what [`Blocks::allowed`] says at the false-alarm rate
    /// of [`alarm::rate`]. One whose variance sits in one block is left out.
    ///
    /// # Errors
    /// Those of the symmetric eigensolver.
    pub fn judge(blocks: &[Block]) -> Result<Outcome, Error> {
        let statistics = Self::statistics(blocks)?;
        let [stein, two_point] = &statistics.zero;
        let count = stein.len() + two_point.len() + statistics.positive.len();
        let p = alarm::rate(count);
        let allowed = |b: &Blocks| b.allowed(p, statistics.floor);
        let two_sided = stein.iter().chain(two_point).map(|b| (b, b.mean.abs()));
        let one_sided = statistics.positive.iter().map(|b| (b, -b.mean));
        let (mut worst, mut stable) = ((f64::NEG_INFINITY, 0.0, 0.0), 0);
        for (b, error) in two_sided.chain(one_sided) {
            // An unstable one may not pass, but what is not a number fails.
            if b.stable || !error.is_finite() {
                stable += 1;
                let ratio = error / allowed(b);
                if !f64::is_nan(worst.0) && !(ratio <= worst.0) {
                    worst = (ratio, error, allowed(b));
                }
            }
        }
        let mut outcome = Outcome::decide("G3", worst.0, 1.0);
        // Each part of the claim has to be seen, most of its entries and both ends of the sandwich.
        let seen = |part: &[Blocks], least: usize| part.iter().filter(|b| b.stable).count() >= least;
        let all = seen(stein, stein.len().div_ceil(2))
            && seen(two_point, two_point.len().div_ceil(2))
            && seen(&statistics.positive, 2);
        if !all && outcome.verdict == Verdict::Holds || 2 * stable < count {
            outcome.verdict =
                Verdict::Undecided("requires stable variances: single draws dominate".to_owned());
        }
        let spectrum = |of: fn(&Block) -> Matrix<f64>| -> Result<Vec<f64>, Error> {
            let mut values = eigvalsh(&average(blocks, of))?;
            values.reverse();
            Ok(values)
        };
        let (low, middle) = (spectrum(|b| b.inner.clone())?, spectrum(|b| b.covariance.clone())?);
        let high = spectrum(|b| b.outer.clone())?;
        let (rho, error) = ratio(blocks);
        let at: Vec<f64> = (1..=high.len()).map(|k| k as f64).collect();
        let chart = Chart::new("Global covariance between two local ones", Axis::linear("index"), Axis::log("eigenvalue"))
            .described(format!(
                "Eigenvalues of E[J_g]E[J_g]ᵀ, Cov(x) and E[J_g J_gᵀ] along {} directions, columns in units of their \
                 standard deviations. Largest: {:.4}, {:.4}, {:.4}. The three agree for a linear map; linearity ratio {rho:.4}.",
                high.len(),
                low[0],
                middle[0],
                high[0]
            ))
            .mark("E[J_g J_gᵀ]", Shape::Dashed, at.clone(), high)
            .mark("Cov(x)", Shape::Points, at.clone(), middle)
            .mark("E[J_g]E[J_g]ᵀ", Shape::Dashed, at, low);
        Ok(outcome
            .predicted("E[J_g]E[J_g]ᵀ ⪯ Cov(x) ⪯ E[J_g J_gᵀ], Cov(x, y) = E[J_g], two-point identity")
            .measured(format!(
                "worst of {stable} statistics off by {:.1e}; linearity ratio {rho:.4} ± {error:.4}",
                worst.1
            ))
            .tolerance(format!("{:.1e}: t quantile over {} blocks", worst.2, blocks.len()))
            .figure("linearity_ratio", rho)
            .figure("linearity_ratio_error", error)
            .figure("statistics", count as f64)
            .figure("statistics_stable", stable as f64)
            .chart(chart))
    }

    fn statistics(blocks: &[Block]) -> Result<Statistics, Error> {
        let stein = entries(blocks, |b| difference(&b.stein, &b.slope), false);
        let two_point = entries(blocks, |b| difference(&b.two_point, &b.covariance), true);
        let upper = least(blocks, |b| difference(&b.outer, &b.covariance))?;
        let lower = least(blocks, |b| difference(&b.covariance, &b.inner))?;
        let size = average(blocks, |b| b.outer.clone()).norm();
        let m = blocks[0].outer.rows();
        Ok(Statistics {
            zero: [stein, two_point],
            positive: [upper, lower],
            floor: gamma(64 * m) * (size + size.sqrt()),
        })
    }

    fn decide(cx: &Context<'_>, error: &JacobianError) -> Result<Outcome, Error> {
        if !cx.flow.has_finite_moments() {
            return Ok(Outcome::undecided("G3", "requires finite moments"));
        }
        let directions = Directions::of(cx.flow, cx.seed)?;
        let n = draws(cx);
        let Some(all) = blocks_broken(cx.flow, &directions, n, cx.seed, error)? else {
            return Ok(Outcome::undecided("G3", "out of range: a draw of the model is not finite"));
        };
        let mut outcome = Self::judge(&all)?
            .figure("directions", directions.data.rows() as f64)
            .figure("draws", (n * BLOCKS) as f64);
        if let Some(x) = cx.training.filter(|x| x.rows() > 1) {
            // A statement about the fit: figures, not part of the verdict.
            let data = directions.covariance(x);
            let (two, outer) = (average(&all, |b| b.two_point.clone()), average(&all, |b| b.outer.clone()));
            outcome = outcome
                .figure("data_linearity_ratio", trace(&data) / trace(&outer))
                .figure("data_two_point_gap", difference(&data, &two).norm() / data.norm());
        }
        Ok(outcome)
    }
}

fn trace(a: &Matrix<f64>) -> f64 {
    (0..a.rows()).map(|i| a[(i, i)]).sum()
}

/// The linearity ratio `tr Cov(x) / E tr J_g J_gᵀ`, and its standard error by the delta method.
fn ratio(blocks: &[Block]) -> (f64, f64) {
    let all: Vec<(f64, f64)> = blocks.iter().map(|b| (trace(&b.covariance), trace(&b.outer))).collect();
    let mean = |f: fn(&(f64, f64)) -> f64| all.iter().map(f).sum::<f64>() / all.len() as f64;
    let (covariance, outer) = (mean(|b| b.0), mean(|b| b.1));
    let rho = covariance / outer;
    let residuals: Vec<f64> = all.iter().map(|(c, o)| (c - rho * o) / outer).collect();
    (rho, Blocks::of(&residuals).error)
}

impl Claim for Sandwich {
    fn id(&self) -> &'static str {
        "G3"
    }

    fn statement(&self) -> &'static str {
        "E[J_g]E[J_g]ᵀ ⪯ Cov(x) ⪯ E[J_g J_gᵀ]; Cov(x, y) = E[J_g]; Cov(x) = ∫E[J_g(Y) J_g(tY + √(1-t²)Y')ᵀ]dt"
    }

    fn formula(&self) -> &'static str {
        r"E[J_g]\, E[J_g]^\top \preceq \operatorname{Cov}(x) \preceq E[J_g J_g^\top], \qquad \operatorname{Cov}(x, y) = E[J_g]"
    }

    fn remedy(&self) -> &'static str {
        "Stein's identity alone off: J_g is not the Jacobian of the map that is sampled; see G1. All of it off: the \
         draws are not standard normal, or tails are too heavy for the blocks."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        Self::run(cx, &JacobianError::NONE)
    }

    fn check_broken(&self, cx: &Context<'_>, error: &JacobianError) -> Option<Outcome> {
        Some(Self::run(cx, error))
    }
}

impl Sandwich {
    fn run(cx: &Context<'_>, error: &JacobianError) -> Outcome {
        Self::decide(cx, error).unwrap_or_else(|e| Outcome::undecided("G3", format!("out of range: {e}")))
    }
}
