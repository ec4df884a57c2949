//! All estimators side by side over the scales.

use super::plateau::call;
use super::{
    Call, Curve, Estimate, Method, Plateau, Points, Rule, Rung, Trace, effective_dimension, flipd, lidl,
    local_pca, onset, regularised_losses, two_nn,
};
use crate::flow::Error;
use eigenflow_linalg::Matrix;

/// What is measured, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Which methods.
    pub methods: Vec<Method>,
    /// Where FLIPD is read off; the others are at the rows.
    pub points: Points,
    /// Traces and norms; exact for up to 128 columns unless given.
    pub trace: Option<Trace>,
    /// Most rows around which local PCA looks.
    pub centres: usize,
    /// What is known of the scales.
    pub rule: Rule,
    /// Seed of everything drawn.
    pub seed: u64,
}

impl Default for Plan {
    /// Every method, at the data, 1,000 centres.
    fn default() -> Self {
        let (points, rule) = (Points::default(), Rule::default());
        Self { methods: Method::ALL.to_vec(), points, trace: None, centres: 1000, rule, seed: 0 }
    }
}

/// Curves of estimates over scales, with the plateaus and the dimension called.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Number of columns.
    pub dim: usize,
    /// A curve a method, in the order of the plan; methods without estimates are left out.
    pub curves: Vec<Curve>,
    /// The plateau of each curve.
    pub plateaus: Vec<Option<Plateau>>,
    /// The dimension.
    pub call: Call,
}

impl Survey {
    /// Measures models in ascending order of scale at `rows`, and neighbourhoods in `all`: both in training units.
    ///
    /// # Errors
    /// As [`crate::flow::Flow::log_density`].
    pub fn of(rungs: &[Rung], rows: &Matrix<f64>, all: &Matrix<f64>, plan: &Plan) -> Result<Self, Error> {
        let dim = all.cols();
        let trace = plan.trace.unwrap_or_else(|| Trace::of(dim));
        let estimated = trace != Trace::Exact;
        let scales: Vec<f64> = rungs.iter().map(|r| r.scale).collect();
        let each = |of: &dyn Fn(&Rung) -> Result<Vec<f64>, Error>| {
            rungs.iter().map(of).collect::<Result<Vec<_>, Error>>()
        };
        let estimates = |values: Vec<Vec<f64>>| {
            scales.iter().zip(values).map(|(&s, v)| Estimate::of_rows(s, v)).collect::<Vec<_>>()
        };
        let measure = |method: Method| -> Result<Curve, Error> {
            Ok(match method {
                Method::EffectiveDimension => {
                    let of =
                        |r: &Rung| effective_dimension(&r.core, rows, r.variance(), estimated, plan.seed);
                    Curve::new(method, estimates(each(&of)?))
                }
                Method::Onset => {
                    let of = |r: &Rung| regularised_losses(r, rows, estimated, plan.seed);
                    onset(dim, &scales, &each(&of)?)
                }
                Method::Lidl => lidl(dim, &scales, &each(&|r| r.core.log_density(rows))?),
                Method::Flipd => {
                    let of = |r: &Rung| flipd(&r.core, rows, r.variance(), plan.points, trace, plan.seed);
                    Curve::new(method, estimates(each(&of)?))
                }
                Method::LocalPca => local_pca(all, plan.centres, plan.seed)?,
                Method::TwoNn => two_nn(all)?,
            })
        };
        let curves = plan.methods.iter().map(|&m| measure(m)).collect::<Result<Vec<_>, Error>>()?;
        let curves: Vec<Curve> = curves.into_iter().filter(|c| !c.estimates.is_empty()).collect();
        let plateaus: Vec<Option<Plateau>> = curves.iter().map(|c| c.plateau(dim, &plan.rule)).collect();
        let named: Vec<_> = curves.iter().map(|c| c.method).zip(plateaus.iter().copied()).collect();
        let (low, high) = plan.rule.window();
        let call = if !curves.iter().any(|c| c.method.of_model()) {
            Call::Undecided("no estimator that reads models; the others are references".to_owned())
        } else if !scales.iter().any(|&s| plan.rule.admits(s)) {
            Call::Undecided(format!("none of the scales is in the rule's window, from {low:.3} to {high:.3}"))
        } else if scales.len() < 2 {
            Call::Undecided("a single scale shows no plateau".to_owned())
        } else {
            call(&named)
        };
        Ok(Self { dim, curves, plateaus, call })
    }
}
