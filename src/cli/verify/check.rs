//! Checks of the claims on a model and its data, with their pictures.

use super::Arguments;
use crate::cli::failure::Failure;
use crate::cli::output::print;
use crate::cli::session::Session;
use crate::flow::{Flow, Model};
use crate::report::pictures::pictures;
use crate::report::{Check, Section, table};
use crate::theory::power::power;
use crate::theory::{Context, Outcome, alarm, registry};
use crate::train::{TrainOptions, TrainingRecord};
use eigenflow_linalg::Matrix;
use serde_json::Value;

/// Draws that are shown of a model without data.
const OWN: usize = 1000;

/// Checks of the claims on one model and its data.
pub(super) fn check(
    name: &str,
    ids: &[String],
    cx: &Context<'_>,
    mut notes: Vec<String>,
    s: &Session,
    with_power: bool,
) -> Section {
    s.note(&format!("{name}: checking claims"));
    notes.push(format!(
        "false alarms: a healthy model fails anything in the whole run with a chance of at most 1 in {:.0}, over all claims, \
         points and data sets",
        1.0 / alarm::RUN
    ));
    let claims = registry::claims();
    let claim = |id: &str| claims.iter().find(|c| c.id() == id);
    let mut outcomes = registry::verify(cx, ids);
    if with_power {
        s.note(&format!("{name}: putting errors into Jacobians"));
        for o in &mut outcomes {
            let applies = registry::missing(&o.id, cx.flow).is_none();
            if let Some(found) = claim(&o.id).filter(|_| applies).and_then(|c| power(c.as_ref(), cx)) {
                let seen = if found.is_finite() {
                    format!("notices errors of {found:.0e} in J")
                } else {
                    "does not notice errors in J here".to_owned()
                };
                let tolerance = format!("{}; {seen}", o.tolerance);
                *o = o.clone().tolerance(tolerance).figure("power", found);
            }
        }
    }
    let check = |o: Outcome| claim(&o.id).map(|c| Check::of(c.as_ref(), o));
    let checks = outcomes.into_iter().filter_map(check).collect();
    Section { notes, ..Section::new(name, checks) }
}

/// Adds the pictures of the model on these rows; where they cannot be made, a note says why.
pub(super) fn show(
    section: &mut Section,
    cx: &Context<'_>,
    data: &Matrix<f64>,
    names: &[String],
    record: Option<&TrainingRecord>,
) {
    match pictures(cx.flow, data, cx.held_out, names, record) {
        Ok(charts) => section.charts = charts,
        Err(error) => section.notes.push(format!("no pictures: {error}")),
    }
}

/// What claims are checked on: a name, in words what the rows are, and the rows, in data units.
pub(super) struct Rows<'a> {
    pub name: &'a str,
    pub on: &'a str,
    pub training: Option<&'a Matrix<f64>>,
    pub held_out: Option<&'a Matrix<f64>>,
}

/// The claims on one flow of a model, with these notes before theirs.
pub(super) fn checked(
    s: &Session,
    a: &Arguments,
    ids: &[String],
    model: &Model<f64>,
    flow: &Flow<f64>,
    rows: &Rows<'_>,
    mut notes: Vec<String>,
) -> Result<Section, Failure> {
    let record = model.record.as_ref().and_then(|r| r.get("options"));
    let alpha = record.and_then(|o| o.get("alpha")).and_then(Value::as_f64).unwrap_or(0.0);
    // Options that this version does not know may be regularisers.
    let others = |o: &Value| {
        serde_json::from_value::<TrainOptions>(o.clone()).map_or(true, |o| o.has_other_regularisers())
    };
    let cx = Context {
        flow,
        training: rows.training,
        held_out: rows.held_out,
        alpha: a.settings.alpha.unwrap_or(alpha),
        other_regularisers: record.is_some_and(others),
        seed: s.seed(),
        quick: a.quick,
    };
    notes.push(format!("model {} on {}; α = {}", rows.name, rows.on, cx.alpha));
    let mut section = check(rows.name, ids, &cx, notes, s, a.power);
    let drawn = match rows.training {
        Some(x) => x.clone(),
        None => flow.sample(OWN, 1.0, s.seed())?,
    };
    let record = model.record.clone().and_then(|r| serde_json::from_value(r).ok());
    show(&mut section, &cx, &drawn, &model.columns, record.as_ref());
    Ok(section)
}

/// A section as text, unless all is to be JSON. A reader that went away still gets the files that were asked for.
pub(super) fn tell(s: &Session, section: &Section) -> Result<(), Failure> {
    if s.global.json {
        return Ok(());
    }
    match print(&format!("{}\n", table::text(section))) {
        Err(Failure::Closed) => Ok(()),
        other => other,
    }
}
