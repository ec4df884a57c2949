//! Linear flows: the maximum-likelihood optimum, its shrinkage by `α`, and its components.

mod components;
mod condition;
mod curvature;
mod depth;
mod illposed;
mod likelihood;
mod optimum;
mod path;
mod tikhonov;
mod whitening;

pub use components::L8;
pub use condition::L5;
pub use curvature::L3;
pub use depth::{L7, Stack};
pub use illposed::{L6, Scaling, noise_law, scaled};
pub use likelihood::L2;
pub use optimum::{Optimum, Spectrum, fit, fit_rows};
pub use path::Path;
pub use tikhonov::L4;
pub use whitening::L1;

use super::{Context, Outcome, Verdict};

/// Tikhonov weights, training units, at which optima are checked.
const ALPHAS: [f64; 3] = [1e-3, 1e-2, 1e-1];

/// The weights to check: the fixed ones, and the one of the model's own training.
fn alphas(cx: &Context<'_>) -> Vec<f64> {
    let mut all = ALPHAS.to_vec();
    if cx.alpha > 0.0 && !all.contains(&cx.alpha) {
        all.push(cx.alpha);
    }
    all
}

/// The outcomes of one claim at several weights as one: it fails if one fails, is undecided if one is
/// (and none fails), and shows the one whose error is largest relative to its tolerance.
fn worst(id: &str, outcomes: Vec<Outcome>) -> Outcome {
    let rank = |o: &Outcome| match o.verdict {
        Verdict::Fails => (2, 0.0),
        Verdict::Undecided(_) => (1, 0.0),
        Verdict::Holds => {
            let figure = |name: &str| o.figures.get(name).and_then(serde_json::Value::as_f64).unwrap_or(0.0);
            (0, figure("error") / figure("tolerance"))
        }
    };
    let later = |a: &Outcome, b: &Outcome| {
        let (a, b) = (rank(a), rank(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    };
    outcomes.into_iter().max_by(later).unwrap_or_else(|| Outcome::undecided(id, "requires data"))
}
