//! `components MODEL DATA`.

use super::covariance::top;
use super::failure::Failure;
use super::output::Out;
use super::session::Session;
use crate::components;
use crate::data::{Array, Element};
use crate::flow::{AnyModel, Model};
use std::path::PathBuf;

/// Options of `components`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model
    model: PathBuf,
    /// The rows
    data: String,
    /// How many components, largest local standard deviation first [default: all D]
    #[arg(long, value_name = "K")]
    top: Option<usize>,
    /// Signs of the axes: `aligned` with those of neighbouring rows, or by the `rule` that the largest entry of each is
    /// positive, which looks at one row alone
    #[arg(long, value_enum, default_value_t = Signs::Aligned)]
    signs: Signs,
    /// How many nearest rows are a row's neighbours, for aligned signs
    #[arg(long, value_name = "N", default_value_t = 10)]
    neighbours: usize,
    #[command(flatten)]
    out: Out,
}

/// How the signs of axes are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Signs {
    Aligned,
    Rule,
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    match s.model(&a.model)? {
        AnyModel::F32(model) => project(s, a, &model),
        AnyModel::F64(model) => project(s, a, &model),
    }
}

fn project<T: Element>(s: &Session, a: &Arguments, model: &Model<T>) -> Result<(), Failure> {
    let rows = s.data_for(&a.data, model)?;
    let (n, d) = (rows.x.rows(), model.flow.dim());
    let k = top(a.top, d)?;
    a.out.check(&[&[n, k], &[n, k], &[n, d, k], &[k]])?;
    if a.neighbours == 0 {
        return Err(Failure::Input("--neighbours 0: must be at least 1".to_owned()));
    }
    let mut found = components::components(&model.flow, &rows.x, k).map_err(|e| rows.at(e))?;
    if a.signs == Signs::Aligned {
        let aligned = found.align(&rows.x, a.neighbours).map_err(|e| rows.at(e))?;
        for (k, signs) in aligned.iter().enumerate().filter(|(_, s)| s.frustrated > 0) {
            s.note(&format!(
                "component {}: {:.1} % of neighbouring rows disagree in sign whatever is chosen, or nearly so (within {:.1e} of the \
                 best possible agreement); its axis may turn around, or cross another",
                k + 1,
                100.0 * signs.frustration(),
                (signs.bound - signs.objective) / signs.bound
            ));
        }
    }
    a.out.emit(
        s,
        &[
            Array::matrix("components", &found.values),
            Array::matrix("scales", &found.scales),
            Array::batch("axes", &found.axes),
            Array::new("significance", &[k], &found.significance),
        ],
    )
}
