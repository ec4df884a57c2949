//! How much noise a model was told of.

use serde_json::Value;

/// The variance of noise, training units, that a model's density carries by its training: `2α + σ²` of the Tikhonov weight `α` and the
/// input noise `σ` in its record; `None` where the record names neither.
///
/// Both widen a linear model's covariance by their sum exactly (claims L4 and S4).
///
/// ```
/// use eigenflow::components::recorded_noise;
/// let record = serde_json::json!({ "options": { "alpha": 0.005, "noise": 0.1 } });
/// assert!((recorded_noise(&record).unwrap() - 0.02).abs() < 1e-15);
/// assert_eq!(recorded_noise(&serde_json::json!({ "options": { "alpha": 0.0 } })), None);
/// ```
pub fn recorded_noise(record: &Value) -> Option<f64> {
    let of = |key: &str| record.get("options")?.get(key)?.as_f64().filter(|v| v.is_finite() && *v > 0.0);
    let (alpha, noise) = (of("alpha").unwrap_or(0.0), of("noise").unwrap_or(0.0));
    let variance = 2.0 * alpha + noise * noise;
    (variance > 0.0).then_some(variance)
}
