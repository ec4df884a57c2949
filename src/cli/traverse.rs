//! `traverse MODEL DATA`.

use super::failure::Failure;
use super::output::Out;
use super::session::{Session, warn};
use crate::components::{Walk, traverse};
use crate::data::{Array, Element};
use crate::flow::{AnyModel, Model};
use std::path::PathBuf;

/// Options of `traverse`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model
    model: PathBuf,
    /// The rows at which walks begin
    data: String,
    /// Which component, counted from 1, largest local standard deviation first
    #[arg(long, short = 'k', value_name = "K", default_value_t = 1)]
    component: usize,
    /// How far each walk goes in both directions, in local standard deviations
    #[arg(long, value_name = "R", default_value_t = 2.0, allow_negative_numbers = true)]
    reach: f64,
    /// Points in each direction, beside the row itself
    #[arg(long, value_name = "P", default_value_t = 10)]
    points: usize,
    /// Allowed error of a walk per local standard deviation, in local standard deviations
    #[arg(long, value_name = "TOL", default_value_t = 1e-6, allow_negative_numbers = true)]
    tolerance: f64,
    #[command(flatten)]
    out: Out,
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    match s.model(&a.model)? {
        AnyModel::F32(model) => walk(s, a, &model),
        AnyModel::F64(model) => walk(s, a, &model),
    }
}

fn walk<T: Element>(s: &Session, a: &Arguments, model: &Model<T>) -> Result<(), Failure> {
    let d = model.flow.dim();
    if a.component == 0 || a.component > d {
        let k = a.component;
        return Err(Failure::Input(format!(
            "--component {k}: must be between 1 and {d}, the model's columns"
        )));
    }
    for (option, value) in [("--reach", a.reach), ("--tolerance", a.tolerance)] {
        if !(value > 0.0 && value.is_finite()) {
            return Err(Failure::Input(format!("{option} {value}: must be finite and above 0")));
        }
    }
    if a.points == 0 || a.points > 100_000 {
        return Err(Failure::Input(format!("--points {}: must be between 1 and 100,000", a.points)));
    }
    let rows = s.data_for(&a.data, model)?;
    let (n, p) = (rows.x.rows(), 2 * a.points + 1);
    a.out.check(&[&[p], &[n, p, d], &[n, p, d], &[n, p], &[n, p], &[n, 2]])?;
    let walk = Walk {
        component: a.component - 1,
        reach: a.reach,
        points: a.points,
        tolerance: a.tolerance.max(T::EPS.f64()),
    };
    let t = traverse(&model.flow, &rows.x, &walk).map_err(|e| rows.at(e))?;
    let short = (0..n).filter(|&i| t.reached.row(i).iter().any(|r| r.f64() < a.reach * (1.0 - 1e-6)));
    let short: Vec<usize> = short.collect();
    if let Some(first) = short.first() {
        warn(&format!(
            "{}: {} of {n} walks end early (row {} first): at the edge of the model's support, or where the axis turns too fast to be \
             followed; the points beyond are NaN, and 'reached' says how far each came",
            rows.table.source,
            short.len(),
            first + 1
        ));
    }
    a.out.emit(
        s,
        &[
            Array::new("positions", &[p], &t.positions),
            Array::batch("points", &t.points),
            Array::batch("axes", &t.axes),
            Array::matrix("scales", &t.scales),
            Array::matrix("error", &t.error),
            Array::matrix("reached", &t.reached),
        ],
    )
}
