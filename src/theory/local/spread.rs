//! G1: the covariance of a small latent neighbourhood, to second order.

use super::errors::Errors;
use super::kinks::{Limit, limit};
use super::order::Order;
use super::point::{Point, latents, random_directions};
use super::rule::Neighbourhood;
use super::series::{Cubature, Series};
use crate::flow::{Error, Flow, Smoothness};
use crate::theory::power::JacobianError;
use crate::theory::{Claim, Context, Outcome, Verdict, alarm};
use eigenflow_linalg::Matrix;

/// Up to this many columns all derivatives are taken; beyond, along random directions.
pub(super) const FULL: usize = 10;

/// G1: `Cov(g(y+εξ))/ε² = J_g J_gᵀ + ε² K + O(ε⁴)`.
pub struct LocalCovarianceOrder;

/// Orders of three errors of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Orders {
    /// `‖S(ε) - J_g J_gᵀ‖`: order 2 where `ε²K` dominates.
    pub leading: Order,
    /// `‖S(ε) - J_g J_gᵀ - ε²K‖`: order at least 4.
    pub remainder: Order,
    /// `‖(4 S(ε/2) - S(ε))/3 - J_g J_gᵀ‖`: order at least 4.
    pub richardson: Order,
}

impl Orders {
    /// Reads the orders off a series in units of `scale`, for a Jacobian `[n, m]` and a second-order term
    /// `[n, n]` in data units. `p` is the false-alarm rate of each.
    pub fn read(series: &Series, scale: &[f64], jacobian: &Matrix<f64>, k: &Matrix<f64>, p: f64) -> Self {
        Errors::of(series, scale, jacobian, k).orders(p)
    }

    /// Fails if an order is excluded; holds if the remainder is seen to be of order 4 or within rounding.
    pub fn verdict(&self) -> Verdict {
        if self.leading.other_than(2.0) || self.remainder.below(4.0) || self.richardson.below(4.0) {
            return Verdict::Fails;
        }
        match (&self.remainder, &self.richardson) {
            (Order::Unclear(why), _) | (_, Order::Unclear(why)) => Verdict::Undecided((*why).to_owned()),
            _ => Verdict::Holds,
        }
    }
}

/// How the neighbourhoods of a flow are integrated, and along how many directions.
pub(super) fn plan(flow: &Flow<f64>) -> (Cubature, usize) {
    let kind = if flow.has_finite_moments() { Neighbourhood::Normal } else { Neighbourhood::Ball };
    match flow.dim() {
        d @ 1..=3 => (Cubature::Product(kind), d),
        d if d <= FULL => (Cubature::FifthDegree, d),
        _ => (Cubature::Product(kind), 2),
    }
}

/// The verdict on all points: fails if one does, holds if at least half of them are decided, and is undecided otherwise, for the reason of
/// the first that is.
pub(crate) fn combine(verdicts: &[Verdict]) -> Verdict {
    if verdicts.contains(&Verdict::Fails) {
        return Verdict::Fails;
    }
    let open = verdicts.iter().find_map(|v| match v {
        Verdict::Undecided(why) => Some(why),
        _ => None,
    });
    let held = verdicts.iter().filter(|v| **v == Verdict::Holds).count();
    match open {
        None if held == 0 => Verdict::Undecided("no point to check it at".to_owned()),
        Some(why) if held == 0 => Verdict::Undecided(why.clone()),
        Some(why) if 2 * held < verdicts.len() => {
            Verdict::Undecided(format!("{held} of {} points decided: {why}", verdicts.len()))
        }
        _ => Verdict::Holds,
    }
}

impl LocalCovarianceOrder {
    fn smooth(cx: &Context<'_>, y: &Matrix<f64>, error: &JacobianError) -> Result<Outcome, Error> {
        let (cubature, m) = plan(cx.flow);
        let p = alarm::rate(3 * y.rows());
        let (mut verdicts, mut slopes, mut chart) = (Vec::new(), [f64::NAN; 3], None);
        for row in 0..y.rows() {
            let directions = random_directions(m, cx.flow.dim(), cx.seed.wrapping_add(row as u64))?;
            let at = Point::measure(cx.flow, y.row(row), &directions, cubature)?;
            let jacobian = error.apply_one(at.jacobian);
            let errors = Errors::of(&at.series, &at.scale, &jacobian, &at.k);
            let orders = errors.orders(p);
            for (to, order) in slopes.iter_mut().zip([&orders.leading, &orders.remainder, &orders.richardson])
            {
                if let Order::Fitted { slope, .. } = order {
                    // Reported: the lowest over the points (NaN where none was fitted).
                    *to = to.min(*slope);
                }
            }
            let verdict = orders.verdict();
            // The picture is of the first point, unless a later one fails.
            if chart.is_none() || verdict == Verdict::Fails {
                chart = Some(errors.chart(&orders));
            }
            verdicts.push(verdict);
        }
        let how = match cubature {
            Cubature::Product(Neighbourhood::Normal) => "normal neighbourhoods",
            Cubature::Product(Neighbourhood::Ball) => "uniform balls",
            Cubature::FifthDegree => "neighbourhoods with the normal moments up to the fifth",
        };
        let decided = verdicts.iter().filter(|v| **v == Verdict::Holds).count();
        let mut outcome = Outcome::undecided("G1", "")
            .predicted("orders 2, 4 and 4 (Richardson)")
            .measured(format!(
                "lowest slopes {:.3}, {:.3}, {:.3} over {} of {} points, {how}, {m} directions",
                slopes[0],
                slopes[1],
                slopes[2],
                decided,
                y.rows()
            ))
            .tolerance("t quantile of the fitted slopes, above rounding and cubature")
            .figure("slope_leading", slopes[0])
            .figure("slope_remainder", slopes[1])
            .figure("slope_richardson", slopes[2])
            .figure("directions", m as f64)
            .figure("points", y.rows() as f64)
            .figure("points_decided", decided as f64);
        outcome.verdict = combine(&verdicts);
        outcome.charts.extend(chart);
        Ok(outcome)
    }

    fn piecewise(cx: &Context<'_>, y: &Matrix<f64>, error: &JacobianError) -> Result<Outcome, Error> {
        let m = cx.flow.dim().min(2);
        let (mut verdicts, mut worst) = (Vec::new(), (0.0, 0.0));
        for row in 0..y.rows() {
            let directions = random_directions(m, cx.flow.dim(), cx.seed.wrapping_add(row as u64))?;
            let jacobian = super::point::jacobian(cx.flow, y.row(row))?.mul(&directions.transpose());
            let jacobian = error.apply_one(jacobian);
            let kind = if cx.flow.has_finite_moments() { Neighbourhood::Normal } else { Neighbourhood::Ball };
            let found = limit(cx.flow, y.row(row), &directions, &jacobian, kind)?;
            if let Limit::Measured { error, tolerance } = found
                && !(error / tolerance <= worst.0 / worst.1)
            {
                worst = (error, tolerance);
            }
            verdicts.push(found.verdict());
        }
        let mut outcome = Outcome::undecided("G1", "")
            .predicted("S(ε) → J_g J_gᵀ away from kinks")
            .measured(format!("‖S - J_g J_gᵀ‖ = {:.2e} ‖J_g J_gᵀ‖", worst.0))
            .tolerance(format!("{:.2e}: variation of J_g over the neighbourhood, and rounding", worst.1))
            .figure("error", worst.0)
            .figure("tolerance", worst.1)
            .figure("points", y.rows() as f64);
        outcome.verdict = combine(&verdicts);
        Ok(outcome)
    }
}

impl LocalCovarianceOrder {
    fn run(cx: &Context<'_>, error: &JacobianError) -> Outcome {
        let result = latents(cx, if cx.quick { 2 } else { 4 }).and_then(|y| match cx.flow.smoothness() {
            Smoothness::Smooth => Self::smooth(cx, &y, error),
            Smoothness::Piecewise => Self::piecewise(cx, &y, error),
        });
        result.unwrap_or_else(|error| Outcome::undecided("G1", error.to_string()))
    }
}

impl Claim for LocalCovarianceOrder {
    fn id(&self) -> &'static str {
        "G1"
    }

    fn statement(&self) -> &'static str {
        "Cov(g(y+εξ))/ε² = J_g J_gᵀ + ε² K + O(ε⁴) with the exact K of the map"
    }

    fn formula(&self) -> &'static str {
        r"\frac{\operatorname{Cov}\, g(y + \varepsilon\xi)}{\varepsilon^2} = J_g J_g^\top + \varepsilon^2 K + O(\varepsilon^4)"
    }

    fn remedy(&self) -> &'static str {
        "Order 2 lost: J_g is not the Jacobian of this map; compare its three routes. Order 4 lost with \
         order 2 kept: the second derivatives are wrong, or a layer that calls itself smooth has a kink. \
         Look at the chart: a line that bends at small radii is rounding, one that bends at large radii \
         has not reached its regime."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        Self::run(cx, &JacobianError::NONE)
    }

    fn check_broken(&self, cx: &Context<'_>, error: &JacobianError) -> Option<Outcome> {
        Some(Self::run(cx, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One point does not speak for the others, and one that fails is enough.
    #[test]
    fn half_of_the_points_decide() {
        let open = || Verdict::Undecided("a kink".to_owned());
        let (holds, fails) = (Verdict::Holds, Verdict::Fails);
        assert_eq!(combine(&[holds.clone(), open()]), holds);
        assert_eq!(combine(&[open(), holds.clone(), holds.clone(), open()]), holds);
        assert_eq!(combine(&[open(), fails.clone(), holds.clone()]), fails);
        let few = combine(&[open(), holds, open(), open()]);
        assert_eq!(few, Verdict::Undecided("1 of 4 points decided: a kink".to_owned()));
        assert_eq!(combine(&[open(), open()]), open());
        assert!(matches!(combine(&[]), Verdict::Undecided(_)));
    }
}
