//! The contract of a claim.

use super::chart::Chart;
use super::power::JacobianError;
use crate::flow::Flow;
use eigenflow_linalg::Matrix;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a check concludes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "reason")]
pub enum Verdict {
    /// The measurement agrees with the prediction within the tolerance.
    Holds,
    /// It does not: something is broken.
    Fails,
    /// It cannot be decided here, and why: `requires …`, `not fitted`, `not stationary`, …
    Undecided(String),
}

/// The result of one check of one claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Identifier, e.g. `G1`.
    pub id: String,
    /// What theory predicts, in words and numbers.
    pub predicted: String,
    /// What was measured.
    pub measured: String,
    /// The tolerance, and what it is derived from.
    pub tolerance: String,
    /// The conclusion.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Every number behind it, by name.
    pub figures: Map<String, Value>,
    /// What the report draws of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<Chart>,
}

/// What a claim is checked on.
///
/// Verification runs in `f64`. The flow's first [`Flow::preprocessing`] layers take the data to
/// training units, in which `alpha` acts; the others are its core.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The model.
    pub flow: &'a Flow<f64>,
    /// The rows it was fitted on, in data units, if there are any.
    pub training: Option<&'a Matrix<f64>>,
    /// Rows it has not seen, in data units, if there are any.
    pub held_out: Option<&'a Matrix<f64>>,
    /// Tikhonov weight of its training, in training units.
    pub alpha: f64,
    /// Whether training used another regulariser (weight penalty, noise).
    pub other_regularisers: bool,
    /// Seed of everything drawn.
    pub seed: u64,
    /// Fewer points and draws, at the same false-alarm rate.
    pub quick: bool,
}

/// A theorem check.
///
/// Every claim is listed once in the registry of this room, has a property test over random
/// instances, and one in which a deliberately broken instance makes it fail.
pub trait Claim: Send + Sync {
    /// Identifier, as in the documentation.
    fn id(&self) -> &'static str;

    /// The statement in one line.
    fn statement(&self) -> &'static str;

    /// The statement in mathematics: LaTeX without delimiters, which the report shows as MathML.
    fn formula(&self) -> &'static str;

    /// What to do where the claim fails: what the likely causes are, and in which order to look at them.
    fn remedy(&self) -> &'static str;

    /// Checks the claim on a model and data.
    fn check(&self, cx: &Context<'_>) -> Outcome;

    /// The same with an error in every Jacobian that the claim checks, for its power; `None` if it checks none.
    fn check_broken(&self, _cx: &Context<'_>, _error: &JacobianError) -> Option<Outcome> {
        None
    }
}

/// A tolerance above this part of what is compared would hide an error as large as that.
pub(crate) const LARGEST: f64 = 0.1;

impl Outcome {
    /// An outcome that is decided by comparing an error with a tolerance: `error <= tolerance`
    /// holds; anything else, NaN included, fails.
    pub fn decide(id: &str, error: f64, tolerance: f64) -> Self {
        let verdict = if error <= tolerance { Verdict::Holds } else { Verdict::Fails };
        Self {
            id: id.to_owned(),
            predicted: String::new(),
            measured: format!("{error:.2e}"),
            tolerance: format!("{tolerance:.2e}"),
            verdict,
            figures: Map::new(),
            charts: Vec::new(),
        }
        .figure("error", error)
        .figure("tolerance", tolerance)
    }

    /// The same, but undecided where it holds although it could hardly have failed: where the tolerance is more than a tenth of
    /// `size`, which an error of the claim would have.
    ///
    /// ```
    /// use eigenflow::theory::{Outcome, Verdict};
    /// assert_eq!(Outcome::decide("L2", 0.0, 1e-9).resolving(1e-9, 1.0).verdict, Verdict::Holds);
    /// assert!(matches!(Outcome::decide("L2", 0.0, 1e9).resolving(1e9, 1.0).verdict, Verdict::Undecided(_)));
    /// assert_eq!(Outcome::decide("L2", 1e10, 1e9).resolving(1e9, 1.0).verdict, Verdict::Fails);
    /// ```
    #[must_use]
    pub fn resolving(mut self, tolerance: f64, size: f64) -> Self {
        if self.verdict == Verdict::Holds && !(tolerance <= LARGEST * size) {
            self.verdict = Verdict::Undecided(format!(
                "out of range: a tolerance of {tolerance:.1e} would hide an error of {size:.1e}"
            ));
        }
        self
    }

    /// An outcome without a decision.
    pub fn undecided(id: &str, reason: impl Into<String>) -> Self {
        Self {
            id: id.to_owned(),
            predicted: String::new(),
            measured: String::new(),
            tolerance: String::new(),
            verdict: Verdict::Undecided(reason.into()),
            figures: Map::new(),
            charts: Vec::new(),
        }
    }

    /// The same with the prediction in words.
    #[must_use]
    pub fn predicted(mut self, text: impl Into<String>) -> Self {
        self.predicted = text.into();
        self
    }

    /// The same with the measurement in words.
    #[must_use]
    pub fn measured(mut self, text: impl Into<String>) -> Self {
        self.measured = text.into();
        self
    }

    /// The same with the tolerance in words.
    #[must_use]
    pub fn tolerance(mut self, text: impl Into<String>) -> Self {
        self.tolerance = text.into();
        self
    }

    /// The same with one more chart.
    #[must_use]
    pub fn chart(mut self, chart: Chart) -> Self {
        self.charts.push(chart);
        self
    }

    /// The same with one more number. Numbers that JSON cannot hold are kept as text.
    #[must_use]
    pub fn figure(mut self, name: &str, value: f64) -> Self {
        let value =
            serde_json::Number::from_f64(value).map_or_else(|| Value::from(value.to_string()), Value::from);
        self.figures.insert(name.to_owned(), value);
        self
    }
}
