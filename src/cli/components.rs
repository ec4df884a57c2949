//! `components MODEL DATA`.

use super::covariance::{Method, tell_late, top};
use super::failure::Failure;
use super::output::{Out, print_json};
use super::session::{Rows, Session};
use super::{compare, context, plot};
use crate::components::{
    self, Bootstrap, Combing, Components, FOLLOWED, PathComponents, Significance, Walk, leading_components,
    path_components, significance, traverse,
};
use crate::data::{Array, Element};
use crate::flow::{AnyModel, Flow, Model};
use crate::report::pictures;
use eigenflow_linalg::Matrix;
use serde_json::json;
use std::path::{Path, PathBuf};

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
    /// `dense`: the SVD of each row's Jacobian; `matrix-free`: the leading components from products with it, of which the shares in
    /// `significance` are estimates, with their standard errors in `significance_error` and a bound of each squared scale's error in
    /// `residuals`; `auto`: the latter from 512 columns on, for up to an eighth of them
    #[arg(long, value_enum, default_value_t = Method::Auto)]
    method: Method,
    /// Signs of the axes: `aligned` with those of neighbouring rows; `mrf`, the same by the paper's relaxed random field, for
    /// comparison; or by the `rule` that the largest entry of each is positive, which looks at one row alone
    #[arg(long, value_enum, default_value_t = Signs::Aligned)]
    signs: Signs,
    /// Order of the components: by `rank` of their local standard deviation in each row; or `followed`, where axes keep their identity
    /// from neighbour to neighbour, through crossings and near-coincidences of scales (replaces --signs)
    #[arg(long, value_enum, default_value_t = Order::Rank)]
    order: Order,
    /// Relative difference of scales below which --order followed takes axes for a cluster, of which only the span counts
    #[arg(long, value_name = "GAP", default_value_t = 0.05, allow_negative_numbers = true)]
    gap: f64,
    /// How many nearest rows are a row's neighbours, for aligned signs
    #[arg(long, value_name = "N", default_value_t = 10)]
    neighbours: usize,
    /// Path components too: the axes followed along the ray from the latent origin, lengths along the data rather than first-order
    /// displacements
    #[arg(long)]
    path: bool,
    /// Allowed error of path components, relative to the length of the path
    #[arg(long, value_name = "TOL", default_value_t = 1e-6, allow_negative_numbers = true)]
    tolerance: f64,
    /// Print a table: local standard deviations, shares, explained variance and entropy with error bars, beside PCA, local PCA and the
    /// latent axes; arrays are written with --out only
    #[arg(long)]
    compare: bool,
    /// Further models of the same columns (other seeds), whose figures --compare sets beside: how much training matters
    #[arg(long, value_name = "MODEL", num_args = 1.., requires = "compare")]
    also: Vec<PathBuf>,
    /// Resamples of the bootstrap behind error bars
    #[arg(long, value_name = "B", default_value_t = 200)]
    resamples: usize,
    /// Consecutive rows that the bootstrap draws together [default: cube root of N]
    #[arg(long, value_name = "L")]
    block: Option<usize>,
    /// Folder for pictures (SVG, PNG) and their numbers (.npz): scree, explained variance and entropy, the data coloured by
    /// components with local axes, traversals; arrays are written with --out only
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    out: Out,
}

/// How the signs of axes are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Signs {
    Aligned,
    Mrf,
    Rule,
}

/// In which order components come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Order {
    Rank,
    Followed,
}

/// Residual of a pair, relative to its eigenvalue, at which the matrix-free iteration stops: an axis is off by this over the relative
/// distance to the next eigenvalue.
const RESIDUAL: f64 = 1e-8;
/// Rows in a neighbourhood of local PCA, at least, and for each column.
const NEIGHBOURHOOD: (usize, usize) = (30, 5);
/// Components that are drawn, and rows at which walks along them begin.
const DRAWN: usize = 4;
const WALKS: usize = 3;

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
    if a.method.is_matrix_free(d, k) {
        return matrix_free(s, a, &rows, model, k);
    }
    let (one, by_row, numbers, frames) = ([k], [n], [n, k], [n, d, k]);
    let mut shapes: Vec<&[usize]> = vec![&numbers, &numbers, &frames, &one];
    if a.path {
        shapes.extend([&numbers[..], &by_row, &by_row, &numbers, &frames]);
    }
    // A table or pictures are a result too; then arrays only go where a file is named.
    let arrays_wanted = a.out.named() || (!a.compare && a.plot.is_none());
    if arrays_wanted {
        a.out.check(&shapes)?;
    }
    check(a)?;
    let mut found =
        components::components(&model.flow, &rows.x, if a.order == Order::Followed { d } else { k })
            .map_err(|e| rows.at(e))?;
    arrange(s, a, &rows, &mut found)?;
    let found = found.leading(k);
    let path = if a.path {
        context::refuse("--path", model.flow.context())?;
        Some(path_components(&model.flow, &rows.x, k, a.tolerance).map_err(|e| rows.at(e))?)
    } else {
        None
    };
    let mut arrays = vec![
        Array::matrix("components", &found.values),
        Array::matrix("scales", &found.scales),
        Array::batch("axes", &found.axes),
        Array::new("significance", &[k], &found.significance),
    ];
    if let Some(path) = &path {
        tell(s, path);
        arrays.extend([
            Array::matrix("path", &path.values),
            Array::new("path_error", &[n], &path.error),
            Array::new("path_overlap", &[n], &path.overlap),
            Array::matrix("path_scales", &path.scales),
            Array::batch("path_axes", &path.axes),
        ]);
    }
    if arrays_wanted {
        // Beside a table the note on the files would be a second result.
        if a.compare { a.out.write(&arrays)? } else { a.out.emit(s, &arrays)? }
    }
    if a.compare || a.plot.is_some() {
        let figures = figures(s, a, &rows, model)?;
        let flow = model.flow.cast::<f64>();
        let x = flow.with_contexts_of(rows.table.values.clone(), &rows.x.cast())?;
        let others = components::compare(&flow, &x, neighbourhood(n, d)).map_err(|e| rows.at(e))?;
        if let Some(folder) = &a.plot {
            let (path, figures, others) = (path.as_ref(), &figures, &others);
            let drawn = Drawn { flow: &flow, x: &x, found: &found, path, figures, others };
            let names = draw(s, folder, &rows, &drawn)?;
            if s.global.json && !a.compare && !arrays_wanted {
                print_json(&json!({ "plot": folder.display().to_string(), "pictures": names }))?;
            }
        }
        if a.compare {
            compare::show(s.global.json, &figures[0], &others, &figures[1..])?;
        }
    }
    Ok(())
}

/// The leading components, by products alone.
fn matrix_free<T: Element>(
    s: &Session,
    a: &Arguments,
    rows: &Rows<T>,
    model: &Model<T>,
    top: usize,
) -> Result<(), Failure> {
    let (n, d) = (rows.x.rows(), model.flow.dim());
    let needs_all = [
        (a.order == Order::Followed, "--order followed"),
        (a.path, "--path"),
        (a.compare, "--compare"),
        (a.plot.is_some(), "--plot"),
    ];
    if let Some((_, option)) = needs_all.into_iter().find(|(given, _)| *given) {
        return Err(Failure::Input(format!(
            "{option}: needs all {d} axes of every row, not the leading {top} alone; leave it out, or form Jacobians by --method dense"
        )));
    }
    a.out.check(&[&[n, top], &[n, top], &[n, d, top], &[top], &[top], &[n, top]])?;
    check(a)?;
    let tolerance = RESIDUAL.max(256.0 * T::EPS.f64());
    let mut found =
        leading_components(&model.flow, &rows.x, top, tolerance, s.seed()).map_err(|e| rows.at(e))?;
    tell_late(s, &found.components.scales, &found.residuals, tolerance);
    arrange(s, a, rows, &mut found.components)?;
    let largest = found.significance_error.iter().fold(T::ZERO, |m, e| m.maximum(*e));
    s.note(&format!(
        "the leading {top} of {d} axes, without Jacobians: what lies beyond them is in the shares of `significance` by an estimate, standard \
         error at most {:.1e}",
        largest.f64()
    ));
    let c = &found.components;
    a.out.emit(
        s,
        &[
            Array::matrix("components", &c.values),
            Array::matrix("scales", &c.scales),
            Array::batch("axes", &c.axes),
            Array::new("significance", &[top], &c.significance),
            Array::new("significance_error", &[top], &found.significance_error),
            Array::matrix("residuals", &found.residuals),
        ],
    )
}

/// That every number lies in its range.
fn check(a: &Arguments) -> Result<(), Failure> {
    if a.neighbours == 0 {
        return Err(Failure::Input("--neighbours 0: must be at least 1".to_owned()));
    }
    if !(a.tolerance > 0.0 && a.tolerance.is_finite()) {
        return Err(Failure::Input(format!("--tolerance {}: must be finite and above 0", a.tolerance)));
    }
    if !(0.0..1.0).contains(&a.gap) {
        return Err(Failure::Input(format!("--gap {}: must be at least 0 and below 1", a.gap)));
    }
    if !(2..=100_000).contains(&a.resamples) {
        return Err(Failure::Input(format!("--resamples {}: must be between 2 and 100,000", a.resamples)));
    }
    if a.block == Some(0) {
        return Err(Failure::Input("--block 0: must be at least 1".to_owned()));
    }
    Ok(())
}

/// Order and signs, and what is to be said about them.
fn arrange<T: Element>(
    s: &Session,
    a: &Arguments,
    rows: &Rows<T>,
    found: &mut Components<T>,
) -> Result<(), Failure> {
    if a.order == Order::Followed {
        let t = found.transport(&rows.x, a.neighbours, a.gap).map_err(|e| rows.at(e))?;
        s.note(&format!(
            "axes followed from neighbour to neighbour: {:.2} % of pairs disagree, {:.2} % before; {} of {} rows are no longer in the order \
             of their scales; {} connected pieces",
            100.0 * t.disagreeing[1],
            100.0 * t.disagreeing[0],
            t.reordered,
            rows.x.rows(),
            t.pieces
        ));
        return Ok(());
    }
    let method = match a.signs {
        Signs::Rule => return Ok(()),
        Signs::Aligned => Combing::Synchronised,
        Signs::Mrf => Combing::Mrf(s.seed()),
    };
    let combed = found.comb(&rows.x, a.neighbours, method).map_err(|e| rows.at(e))?;
    for (k, signs) in combed.iter().enumerate().filter(|(_, s)| s.frustrated > 0) {
        let gap = (signs.bound - signs.objective) / signs.bound;
        s.note(&match method {
            Combing::Synchronised => format!(
                "component {}: {:.1} % of neighbouring rows disagree in sign whatever is chosen, or nearly so (within {gap:.1e} of the \
                 best possible agreement); its axis may turn around, or cross another",
                k + 1,
                100.0 * signs.frustration(),
            ),
            Combing::Mrf(_) => format!(
                "component {}: {:.1} % of neighbouring rows disagree in sign, within {gap:.1e} of the best possible agreement; --signs \
                 aligned comes as near or nearer",
                k + 1,
                100.0 * signs.frustration(),
            ),
        });
    }
    Ok(())
}

/// How well paths were followed.
fn tell<T: Element>(s: &Session, path: &PathComponents<T>) {
    let largest = path.error.iter().fold(T::ZERO, |m, e| m.maximum(*e));
    let lost = path.overlap.iter().filter(|o| o.f64() < FOLLOWED).count();
    let tail = match lost {
        0 => "every axis was followed".to_owned(),
        _ => format!("on {lost} of {} paths an axis turned too fast to be followed", path.overlap.len()),
    };
    s.note(&format!("path components: error at most {:.1e}; {tail}", largest.f64()));
}

/// Figures of the model, and of those beside it.
fn figures<T: Element>(
    s: &Session,
    a: &Arguments,
    rows: &Rows<T>,
    model: &Model<T>,
) -> Result<Vec<Significance>, Failure> {
    let bootstrap = Bootstrap { resamples: a.resamples, block: a.block.unwrap_or(0), seed: s.seed() };
    let mut all = vec![significance(&model.flow, &rows.x, &bootstrap).map_err(|e| rows.at(e))?];
    for path in &a.also {
        let other: Model<T> = match s.model(path)? {
            AnyModel::F32(model) => model.cast(),
            AnyModel::F64(model) => model.cast(),
        };
        if other.flow.dim() != model.flow.dim() {
            let (file, has, needed) = (path.display(), other.flow.dim(), model.flow.dim());
            return Err(Failure::Input(format!("--also {file}: has {has} columns where MODEL has {needed}")));
        }
        // Its own columns, in its own order.
        let own = s.data_for(&a.data, &other)?;
        all.push(significance(&other.flow, &own.x, &bootstrap).map_err(|e| own.at(e))?);
    }
    Ok(all)
}

/// Rows in a neighbourhood of local PCA.
fn neighbourhood(rows: usize, columns: usize) -> usize {
    NEIGHBOURHOOD.0.max(NEIGHBOURHOOD.1 * columns).min(rows.saturating_sub(1))
}

/// What pictures show.
struct Drawn<'a, T> {
    flow: &'a Flow<f64>,
    /// The rows, with their contexts.
    x: &'a Matrix<f64>,
    found: &'a Components<T>,
    path: Option<&'a PathComponents<T>>,
    /// Of the model, and of the others.
    figures: &'a [Significance],
    others: &'a components::Comparison,
}

/// The pictures of a model and its rows; their names.
fn draw<T: Element>(
    s: &Session,
    folder: &Path,
    rows: &Rows<T>,
    drawn: &Drawn<'_, T>,
) -> Result<Vec<String>, Failure> {
    let linalg = |e| rows.at(crate::flow::Error::from(e));
    let (x, names) = (&rows.table.values, &rows.table.names);
    let mut charts: Vec<_> = ["scree", "explained-variance", "explained-entropy"]
        .map(str::to_owned)
        .into_iter()
        .zip(pictures::importance(&drawn.figures[0], drawn.others))
        .collect();
    let found = drawn.found.cast();
    let start = |i: usize| (2 * i + 1) * x.rows() / (2 * WALKS);
    let starts = Matrix::from_fn(WALKS.min(x.rows()), drawn.x.cols(), |i, j| drawn.x[(start(i), j)]);
    for k in 0..drawn.found.values.cols().min(DRAWN) {
        let (what, values, axes) = match drawn.path {
            Some(path) => {
                let own = path.as_components().cast();
                ("path component", own.values.col(k), own)
            }
            None => ("component", found.values.col(k), found.clone()),
        };
        let chart = pictures::coloured(x, names, what, k, &values, &axes).map_err(linalg)?;
        charts.extend(chart.map(|c| (format!("component-{}", k + 1), c)));
        let walk = Walk { component: k, reach: 2.0, points: 20, tolerance: 1e-5 };
        let t = traverse(drawn.flow, &starts, &walk).map_err(|e| rows.at(e))?;
        let both = pictures::walk(x, names, k, &t).map_err(linalg)?;
        let count = both.len();
        for (at, chart) in both.into_iter().enumerate() {
            let columns = if at + 1 == count { "-columns" } else { "" };
            charts.push((format!("traversal-{}{columns}", k + 1), chart));
        }
    }
    let heading = format!("Components of {}", rows.table.source);
    let text = compare::text(&drawn.figures[0], drawn.others, &drawn.figures[1..]);
    let names: Vec<String> = charts.iter().map(|(name, _)| name.clone()).collect();
    plot::write(s, folder, &heading, &text, &plot::charts(charts))?;
    Ok(names)
}
