//! Plateaus: scales over which an estimate stays at one integer.

use super::{Curve, Estimate, Method};
use serde::Serialize;

/// Largest distance of an estimate, with two standard errors, from its integer.
const BAND: f64 = 0.25;
/// Least ratio between the ends of a plateau, and the scales that it takes: three scales √2 apart, as they are rounded when typed.
const WIDTH: f64 = 1.99;
const SCALES: usize = 3;

/// Scales at which a dimension may be called: claim D1's rule, for what is known of the data. All in training units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rule {
    /// Standard deviation of the noise: scales count from `√20` times it.
    pub noise: Option<f64>,
    /// Least standard deviation of the signal: scales count up to its `1/√20`.
    pub signal: Option<f64>,
    /// Reach of the set: the same.
    pub reach: Option<f64>,
}

/// The factor of the rule, in variances.
const FACTOR: f64 = 20.0;

impl Rule {
    /// Least and largest scale: `σ² >= 20 noise²` and `σ² <= signal²/20, reach²/20`.
    ///
    /// ```
    /// use eigenflow::dimension::Rule;
    /// let rule = Rule { noise: Some(0.01), signal: Some(1.0), reach: None };
    /// let (low, high) = rule.window();
    /// assert!((low - 0.044_721).abs() < 1e-6 && (high - 0.223_607).abs() < 1e-6);
    /// ```
    pub fn window(&self) -> (f64, f64) {
        let root = FACTOR.sqrt();
        let most = |v: Option<f64>| v.map_or(f64::INFINITY, |v| v / root);
        (self.noise.map_or(0.0, |v| v * root), most(self.signal).min(most(self.reach)))
    }

    pub(super) fn admits(&self, scale: f64) -> bool {
        let (low, high) = self.window();
        // Scales that a user computes by the rule itself are in.
        (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(&scale)
    }
}

/// A run of scales at which an estimate stays at one integer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Plateau {
    /// The integer.
    pub dimension: usize,
    /// Its least and largest scale.
    pub scales: (f64, f64),
    /// Slope of the estimate over `log σ`, by least squares.
    pub slope: f64,
}

/// What the estimators together say.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// They agree on a dimension.
    Dimension(usize),
    /// They do not, and why.
    Undecided(String),
}

/// Steepest slope of a plateau over `log σ`.
///
/// Of `Σ h_i`, `h = λ/(λ+σ²)`, a direction far from the scale is off its integer by `δ = h` or `1 - h`, and the slope is `-2Σ h(1-h) ≈ -2Σδ`:
/// it measures what may cancel in the value, and all of it has to stay within the band.
const STEEPEST: f64 = 2.0 * BAND;

impl Curve {
    /// The widest plateau among the scales that `rule` admits: three or more neighbouring scales, the largest at least twice the
    /// least, at which the estimate with two standard errors is within a quarter of one integer from 0 to `dim`, with a slope
    /// over `log σ` of at most a half.
    pub fn plateau(&self, dim: usize, rule: &Rule) -> Option<Plateau> {
        let usable: Vec<&Estimate> = self.estimates.iter().filter(|e| rule.admits(e.scale)).collect();
        let mut best: Option<Plateau> = None;
        for from in 0..usable.len() {
            for to in from + SCALES..=usable.len() {
                let run = &usable[from..to];
                let Some(found) = flat(run, dim) else { continue };
                let width = |p: &Plateau| p.scales.1 / p.scales.0;
                if width(&found) >= WIDTH && best.as_ref().is_none_or(|b| width(&found) > width(b)) {
                    best = Some(found);
                }
            }
        }
        best
    }
}

/// The plateau of a whole run, if it is one.
fn flat(run: &[&Estimate], dim: usize) -> Option<Plateau> {
    let dimension = run[0].mean.round();
    let near = |e: &&&Estimate| (e.mean - dimension).abs() + 2.0 * e.error <= BAND;
    if !(0.0..=dim as f64).contains(&dimension) || run.iter().filter(near).count() < run.len() {
        return None;
    }
    let n = run.len() as f64;
    let x: Vec<f64> = run.iter().map(|e| e.scale.ln()).collect();
    let (mx, my) = (x.iter().sum::<f64>() / n, run.iter().map(|e| e.mean).sum::<f64>() / n);
    let xy: f64 = x.iter().zip(run).map(|(x, e)| (x - mx) * (e.mean - my)).sum();
    let slope = xy / x.iter().map(|x| (x - mx).powi(2)).sum::<f64>();
    let scales = (run[0].scale, run[run.len() - 1].scale);
    (slope.abs() <= STEEPEST).then_some(Plateau { dimension: dimension as usize, scales, slope })
}

/// The call of all curves: the dimension on whose plateaus the estimators of models agree, at least two of them at common scales. Where there are
/// both kinds, one of the two reads a single model and one the path of models: a model that has learnt little of the set has the
/// dimension of its columns by itself, while the slopes over its path still change. (Models that do not change at all along the path have
/// that dimension by every estimator: the rule finds training that is not done, not training that never began.)
///
/// Local PCA and `TwoNN` are references: they are shown, and do not vote.
pub(super) fn call(plateaus: &[(Method, Option<Plateau>)]) -> Call {
    let of_models: Vec<_> = plateaus.iter().filter(|p| p.0.of_model()).collect();
    let found: Vec<(Method, Plateau)> = of_models.iter().filter_map(|(m, p)| Some((*m, (*p)?))).collect();
    let without: Vec<&str> = of_models.iter().filter(|p| p.1.is_none()).map(|p| p.0.title()).collect();
    let Some(first) = found.first() else {
        return Call::Undecided("no plateau: no estimator of the models stays at one integer".to_owned());
    };
    if found.iter().any(|f| f.1.dimension != first.1.dimension) {
        let each: Vec<String> =
            found.iter().map(|(m, p)| format!("{} at {}", m.title(), p.dimension)).collect();
        return Call::Undecided(format!("the plateaus disagree: {}", each.join(", ")));
    }
    if found.len() < 2 {
        return Call::Undecided(format!(
            "only {} has a plateau, at {}; none: {}",
            first.0.title(),
            first.1.dimension,
            without.join(", ")
        ));
    }
    for of_path in [false, true] {
        let measured = of_models.iter().any(|p| p.0.of_path() == of_path);
        if measured && !found.iter().any(|f| f.0.of_path() == of_path) {
            let kind = if of_path { "the path of models" } else { "single models" };
            let each = found.iter().map(|f| f.0.title()).collect::<Vec<_>>().join(", ");
            return Call::Undecided(format!(
                "only {each} have a plateau, at {}; no estimator that reads {kind} has one ({}): the models may not be trained far enough",
                first.1.dimension,
                without.join(", ")
            ));
        }
    }
    let (low, high) = common(&found);
    if low > high {
        return Call::Undecided("the plateaus have no scale in common".to_owned());
    }
    Call::Dimension(first.1.dimension)
}

/// The scales that all plateaus have in common.
fn common(found: &[(Method, Plateau)]) -> (f64, f64) {
    let low = found.iter().fold(0.0_f64, |m, f| m.max(f.1.scales.0));
    (low, found.iter().fold(f64::INFINITY, |m, f| m.min(f.1.scales.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two estimators of single models agree: without any of the path, where that was measured, nothing is called.
    #[test]
    fn both_kinds_of_estimators_have_to_agree() {
        let at = |dimension| Some(Plateau { dimension, scales: (0.05, 0.2), slope: 0.0 });
        let (single, path) = ([Method::EffectiveDimension, Method::Flipd], [Method::Onset, Method::Lidl]);
        let all = |a: [Option<Plateau>; 2], b: [Option<Plateau>; 2]| {
            single.into_iter().zip(a).chain(path.into_iter().zip(b)).collect::<Vec<_>>()
        };
        assert_eq!(call(&all([at(2), at(2)], [at(2), None])), Call::Dimension(2));
        assert_eq!(call(&all([at(2), None], [at(2), None])), Call::Dimension(2));
        let undecided = |plateaus: &[_], why: &str| {
            assert!(matches!(call(plateaus), Call::Undecided(text) if text.contains(why)), "{why}");
        };
        undecided(&all([at(3), at(3)], [None, None]), "reads the path of models has one (onset law, LIDL)");
        undecided(&all([None, None], [at(3), at(3)]), "reads single models");
        undecided(&all([at(2), at(3)], [at(2), at(2)]), "disagree");
        undecided(&all([at(2), None], [None, None]), "only effective dimension");
        // A model alone has no path.
        assert_eq!(call(&[(single[0], at(2)), (single[1], at(2))]), Call::Dimension(2));
    }
}
