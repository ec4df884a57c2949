//! Every claim, listed once.

use super::{Claim, Context, Outcome, linear, local, stability};
use crate::flow::Flow;

/// All claims, in the order in which they are reported.
pub fn claims() -> Vec<Box<dyn Claim>> {
    vec![
        Box::new(linear::L1),
        Box::new(linear::L2),
        Box::new(linear::L3),
        Box::new(linear::L4),
        Box::new(linear::L5),
        Box::new(linear::L6),
        Box::new(linear::L7),
        Box::new(linear::L8),
        Box::new(local::LocalCovarianceOrder),
        Box::new(local::LocalSpectrum),
        Box::new(local::Sandwich),
        Box::new(local::HeldOut),
        Box::new(local::Gauge),
        Box::new(local::AnalyticFlows),
        Box::new(stability::S1),
        Box::new(stability::S2a),
        Box::new(stability::S2b),
        Box::new(stability::S3),
        Box::new(stability::S4),
        Box::new(stability::S5),
        Box::new(stability::S6),
        Box::new(local::Unwhitened),
        Box::new(local::SignSynchronisation),
        Box::new(local::Orthogonality),
        Box::new(local::Entropies),
        Box::new(stability::D1),
    ]
}

/// Claims that speak of standard normal latents.
pub const NORMAL: [&str; 18] = [
    "L1", "L2", "L3", "L4", "L5", "L6", "L7", "L8", "G3", "G4", "G5", "S2a", "S2b", "S3", "S4", "S5", "C4",
    "D1",
];

/// Claims that look at exact log-densities.
const EXACT: [&str; 13] = ["L6", "G3", "G4", "G5", "S1", "S2a", "S2b", "S4", "S5", "S6", "C3", "C4", "D1"];

/// What a claim requires of a model that this one does not have.
pub fn missing(id: &str, flow: &Flow<f64>) -> Option<&'static str> {
    if !flow.context().is_empty() {
        return Some("requires one context: check the flow at it (`Flow::at`)");
    }
    if flow.is_estimated() && EXACT.contains(&id) {
        return Some("requires an exact log-determinant, which a residual layer has up to 64 columns");
    }
    (!flow.base().is_standard() && NORMAL.contains(&id)).then_some("requires a standard normal base")
}

/// Checks the claims whose identifiers are in `ids` (without regard to case), or all if it is empty.
pub fn verify(cx: &Context<'_>, ids: &[String]) -> Vec<Outcome> {
    let asked = |c: &dyn Claim| ids.is_empty() || ids.iter().any(|id| id.eq_ignore_ascii_case(c.id()));
    let check = |c: &dyn Claim| match missing(c.id(), cx.flow) {
        Some(reason) => Outcome::undecided(c.id(), reason),
        None => c.check(cx),
    };
    claims().iter().filter(|c| asked(c.as_ref())).map(|c| check(c.as_ref())).collect()
}
