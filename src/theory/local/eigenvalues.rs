//! G2: the spectrum of a small latent neighbourhood's covariance.

use super::errors::slope;
use super::order::Order;
use super::point::{Point, latents, random_directions};
use super::series::difference;
use super::spread::{FULL, combine, plan};
use crate::flow::{Error, Smoothness};
use crate::jacobian::{Direction, Route, jacobians, local_covariance};
use crate::theory::power::JacobianError;
use crate::theory::{Axis, Chart, Claim, Context, Outcome, Shape, Verdict, alarm};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::bounds::{davis_kahan, weyl};
use eigenflow_linalg::eigen::{Eigh, eigh};
use eigenflow_linalg::svd::svd;

/// Gaps must exceed `ε²‖K‖` by this factor.
const GAP: f64 = 10.0;
const NO_GAP: &str = "requires a gap above 10ε²‖K‖ between eigenvalues";
/// The Richardson estimate of the remainder is to leading order: this factor stands for the rest.
const LEADING: f64 = 2.0;

/// G2: `eig_i S(ε) = s_i⁻² + ε² v_iᵀ K v_i + O(ε⁴)`, with Weyl's and Davis and Kahan's bounds.
pub struct LocalSpectrum;

/// The predicted spectrum at a point: eigenvalues of `J_g J_gᵀ`, ascending, and their axes.
#[derive(Clone, Debug)]
pub struct Eigenpairs {
    /// `s_i⁻²`, ascending.
    pub values: Vec<f64>,
    /// Axes, one a column, `[D, D]`.
    pub axes: Matrix<f64>,
    /// Bound of rounding in the values and, over the gap, in the axes.
    pub rounding: f64,
}

impl Eigenpairs {
    /// How far value `i` is from the others.
    fn gap(&self, i: usize) -> f64 {
        let others = self.values.iter().enumerate().filter(|(j, _)| *j != i);
        others.fold(f64::INFINITY, |gap, (_, x)| gap.min((x - self.values[i]).abs()))
    }

    /// Bound of rounding and cubature in the measured values at each radius.
    fn floor(&self, at: &Point) -> Vec<f64> {
        let unit = at.scale.iter().fold(0.0_f64, |m, x| m.max(*x)).powi(2);
        at.series.floor.iter().map(|f| f * unit + self.rounding).collect()
    }

    /// The values followed, the same at all radii: those that stand apart at a moderate one.
    fn followed(&self, floor: &[f64], size: f64) -> Option<Vec<usize>> {
        let apart = |eps: f64| -> Vec<usize> {
            let least = GAP * (eps * eps * size).max(floor_at(floor));
            (0..self.values.len()).filter(|&i| self.gap(i) > least).collect()
        };
        let sets = [4, 8, 12, 16].iter().map(|h| apart((-0.5 * f64::from(*h)).exp2()));
        sets.into_iter().find(|set| !set.is_empty())
    }

    /// `v_iᵀ K v_i`.
    fn shift(&self, k: &Matrix<f64>) -> Vec<f64> {
        let along = |i: usize| {
            let v = Matrix::new(self.values.len(), 1, self.axes.col(i));
            v.transpose().mul(&k.mul(&v)).data()[0]
        };
        (0..self.values.len()).map(along).collect()
    }

    /// The picture of the errors of the followed values, before and after `ε² vᵀKv`; `None` where none stands apart.
    ///
    /// # Errors
    /// Those of the symmetric eigensolver.
    pub fn chart(&self, at: &Point, k: &Matrix<f64>, order: &Order) -> Result<Option<Chart>, Error> {
        let floor = self.floor(at);
        let Some(followed) = self.followed(&floor, weyl(k)?) else { return Ok(None) };
        let (shift, eps) = (self.shift(k), &at.series.eps);
        let norm = |values: &[f64], eps: f64, part: f64| {
            let off = |i: &usize| values[*i] - self.values[*i] - part * eps * eps * shift[*i];
            followed.iter().map(|i| off(i).powi(2)).sum::<f64>().sqrt()
        };
        let spectra = spectra(at)?;
        let error = |part| -> Vec<f64> {
            spectra.iter().zip(eps).map(|(e, eps)| norm(&e.values, *eps, part)).collect()
        };
        let (plain, rest) = (error(0.0), error(1.0));
        let said = match order {
            Order::Fitted { slope, half_width } => format!("has order {slope:.3} ± {half_width:.3}"),
            Order::Rounding => "is within rounding".to_owned(),
            Order::Unclear(why) => format!("is unclear: {why}"),
        };
        let mut chart = Chart::new(
            "Eigenvalues of a small neighbourhood",
            Axis::log("radius ε of the latent neighbourhood"),
            Axis::log("error of eigenvalues"),
        )
        .described(format!(
            "Errors of {} of {} eigenvalues of S(ε) against s⁻² at one point: of order 2 by themselves, of order 4 \
             after ε² vᵀKv; the remainder {said}.",
            followed.len(),
            self.values.len()
        ))
        .mark("eig S − s⁻²", Shape::Points, eps.clone(), plain.clone())
        .mark("after ε² vᵀKv", Shape::Points, eps.clone(), rest.clone());
        for (name, error, order) in [("order 2", &plain, 2.0), ("order 4", &rest, 4.0)] {
            if let Some((x, y)) = slope(eps, error, &floor, order) {
                chart = chart.mark(name, Shape::Dashed, x, y);
            }
        }
        Ok(Some(chart.mark("rounding and cubature", Shape::Dashed, eps.clone(), floor)))
    }

    /// Compares them with the measured series of a point, for a second-order term `k`, `[D, D]`.
    ///
    /// # Errors
    /// Those of the symmetric eigensolver.
    pub fn verdict(&self, at: &Point, k: &Matrix<f64>, p: f64) -> Result<(Verdict, Order), Error> {
        let (d, series) = (self.values.len(), &at.series);
        let size = weyl(k)?;
        let unit = at.scale.iter().fold(0.0_f64, |m, x| m.max(*x)).powi(2);
        let floor = self.floor(at);
        let Some(followed) = self.followed(&floor, size) else {
            return Ok((Verdict::Undecided(NO_GAP.to_owned()), Order::Unclear(NO_GAP)));
        };
        let shift = self.shift(k);
        let spectra = spectra(at)?;
        let usable: Vec<bool> = (0..series.eps.len())
            .map(|r| {
                let least = followed.iter().fold(f64::INFINITY, |g, &i| g.min(self.gap(i)));
                series.usable[r] && least > GAP * (series.eps[r].powi(2) * size).max(floor[r])
            })
            .collect();
        let error: Vec<f64> = spectra
            .iter()
            .zip(&series.eps)
            .map(|(e, eps)| {
                let off = |i: &usize| e.values[*i] - self.values[*i] - eps * eps * shift[*i];
                followed.iter().map(|i| off(i).powi(2)).sum::<f64>().sqrt()
            })
            .collect();
        // What a wrong eigenvalue would be mistaken by.
        let apart = followed.iter().fold(f64::INFINITY, |g, &i| g.min(self.gap(i)).min(self.values[i]));
        let order = Order::fit(&series.eps, &error, &floor, &vec![apart; floor.len()], &usable, p);
        let mut within = true;
        // Coefficient of ε⁴ by the second divided difference in ε² of S at three radii.
        let fourth = |r: usize| {
            let square = |a: usize| series.eps[a].powi(2);
            let slope = |a: usize| {
                difference(&series.s[a], &series.s[a + 1]).map(|x| x / (square(a) - square(a + 1)))
            };
            difference(&slope(r), &slope(r + 1)).map(|x| x * unit / (square(r) - square(r + 2)))
        };
        for r in (0..series.eps.len().saturating_sub(3)).filter(|&r| usable[r]) {
            let quarter = series.eps[r].powi(4);
            // Rounding in the estimate, for radii √2 apart.
            let own_floor = (2.0 * (floor[r] + floor[r + 1]) + 4.0 * (floor[r + 1] + floor[r + 2])) / 0.75;
            let (here, next) = (fourth(r), fourth(r + 1));
            // With S = A + ε²K + ε⁴L + ε⁶P the two differ by 0.875 ε²P: below half of the first, the
            // remainder ‖L + ε²P‖ is at most 1.43 times the estimate.
            if quarter * difference(&here, &next).norm() > 0.5 * quarter * here.norm() + own_floor {
                continue;
            }
            let remainder = LEADING * quarter * here.norm() + own_floor;
            let bound = series.eps[r].powi(2) * size + remainder + floor[r];
            let e = &spectra[r];
            within &= (0..d).all(|i| (e.values[i] - self.values[i]).abs() <= bound);
            for &i in &followed {
                let allowed = davis_kahan(&self.values, &e.values, i..i + 1, bound)?;
                within &= sine(&self.axes.col(i), &e.vectors.col(i)) <= allowed;
            }
        }
        let verdict = match &order {
            _ if !within || order.below(4.0) => Verdict::Fails,
            Order::Unclear(why) => Verdict::Undecided((*why).to_owned()),
            _ => Verdict::Holds,
        };
        Ok((verdict, order))
    }
}

/// The spectra of the measured series, in data units.
fn spectra(at: &Point) -> Result<Vec<Eigh<f64>>, eigenflow_linalg::Error> {
    let d = at.scale.len();
    let in_units = |s: &Matrix<f64>| Matrix::from_fn(d, d, |i, j| s[(i, j)] * at.scale[i] * at.scale[j]);
    at.series.s.iter().map(|s| eigh(&in_units(s))).collect()
}

/// The least floor of a series: rounding at its best radius.
fn floor_at(floor: &[f64]) -> f64 {
    floor.iter().fold(f64::INFINITY, |m, x| m.min(*x))
}

/// Sine of the angle between two unit vectors, without cancellation.
fn sine(a: &[f64], b: &[f64]) -> f64 {
    let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    a.iter().zip(b).map(|(a, b)| (a - dot * b).powi(2)).sum::<f64>().sqrt()
}

impl LocalSpectrum {
    fn decide(cx: &Context<'_>, error: &JacobianError) -> Result<Outcome, Error> {
        let d = cx.flow.dim();
        if d > FULL {
            return Ok(Outcome::undecided("G2", format!("requires at most {FULL} columns")));
        }
        if cx.flow.smoothness() != Smoothness::Smooth {
            return Ok(Outcome::undecided("G2", "requires a smooth flow"));
        }
        let y = latents(cx, if cx.quick { 2 } else { 4 })?;
        let (cubature, m) = plan(cx.flow);
        let directions = random_directions(m, d, cx.seed)?;
        let p = alarm::rate(y.rows());
        let (mut verdicts, mut lowest, mut chart) = (Vec::new(), f64::NAN, None);
        for row in 0..y.rows() {
            let at = Point::measure(cx.flow, y.row(row), &directions, cubature)?;
            let x = cx.flow.generate(&Matrix::new(1, d, y.row(row).to_vec()))?;
            let local = local_covariance(cx.flow, &x, d)?;
            let values: Vec<f64> = (0..d).rev().map(|k| local.scales[(0, k)].powi(2)).collect();
            let axes = Matrix::from_fn(d, d, |i, k| local.axes.get(0)[i * d + d - 1 - k]);
            // They come from J at the rounded g(y): relative errors up to κ roundings a layer.
            let roundings = (16 * d * cx.flow.layers().len()) as f64 * f64::EPSILON;
            let rounding = roundings * local.condition[0] * values[d - 1];
            let mut pairs = Eigenpairs { values, axes, rounding };
            if error.size != 0.0 {
                let j = jacobians(cx.flow, &x, Direction::Normalize, Route::Push)?;
                let broken = svd(&error.apply(j).matrix(0))?;
                pairs.values = broken.s.iter().map(|s| 1.0 / (s * s)).collect();
                pairs.axes = broken.v;
            }
            let (verdict, order) = pairs.verdict(&at, &at.k, p)?;
            if let Order::Fitted { slope, .. } = order {
                lowest = lowest.min(slope);
            }
            if chart.is_none() || verdict == Verdict::Fails {
                chart = pairs.chart(&at, &at.k, &order)?;
            }
            verdicts.push(verdict);
        }
        let decided = verdicts.iter().filter(|v| **v == Verdict::Holds).count();
        let mut outcome = Outcome::undecided("G2", "")
            .predicted("order 4 of the eigenvalues' remainder; Weyl and Davis-Kahan")
            .measured(format!("lowest slope {lowest:.3}; {decided} of {} points decided", y.rows()))
            .tolerance("t quantile of the slope; ε²‖K‖ plus the Richardson estimate of the remainder")
            .figure("slope", lowest)
            .figure("points", y.rows() as f64)
            .figure("points_decided", decided as f64);
        outcome.verdict = combine(&verdicts);
        outcome.charts.extend(chart);
        Ok(outcome)
    }
}

impl LocalSpectrum {
    fn run(cx: &Context<'_>, error: &JacobianError) -> Outcome {
        Self::decide(cx, error).unwrap_or_else(|error| Outcome::undecided("G2", error.to_string()))
    }
}

impl Claim for LocalSpectrum {
    fn id(&self) -> &'static str {
        "G2"
    }

    fn statement(&self) -> &'static str {
        "eig_i S(ε) = s_i⁻² + ε² v_iᵀ K v_i + O(ε⁴), within the bounds of Weyl and of Davis and Kahan"
    }

    fn formula(&self) -> &'static str {
        r"\operatorname{eig}_i S(\varepsilon) = s_i^{-2} + \varepsilon^2\, v_i^\top K v_i + O(\varepsilon^4)"
    }

    fn remedy(&self) -> &'static str {
        "If G1 holds, the spectrum of J is wrong: its singular values, its order or its axes. If G1 \
         fails too, start there."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        Self::run(cx, &JacobianError::NONE)
    }

    fn check_broken(&self, cx: &Context<'_>, error: &JacobianError) -> Option<Outcome> {
        Some(Self::run(cx, error))
    }
}
