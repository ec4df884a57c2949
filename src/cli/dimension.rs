//! `dimension MODEL DATA`.

use super::context;
use super::failure::Failure;
use super::output::{number, print, print_json, probe};
use super::session::{Dtype, Session, warn};
use crate::data::{Array, output};
use crate::dimension::{By, Call, Curve, Estimate, Method, Plan, Points, Rule, Rung, Survey, path};
use crate::flow::{AnyModel, Model};
use crate::report::{chart, dimension as report, table};
use crate::train::{self, TrainOptions, to_training_units};
use eigenflow_linalg::Matrix;
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Options of `dimension`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model
    model: PathBuf,
    /// The rows
    data: String,
    /// Train MODEL further on DATA at each of the scales, the largest first: onset law and LIDL need models at several scales,
    /// and only over several scales is there a plateau
    #[arg(long)]
    train: bool,
    /// Scales σ, training units [default: that of MODEL's own training, √(2α + noise²); with --train 0.025 to 0.2 by factors √2]
    #[arg(long, value_name = "S,S", value_delimiter = ',', allow_negative_numbers = true)]
    scales: Option<Vec<f64>>,
    /// What sets the scale in training: the Tikhonov weight α = σ²/2, or input noise σ
    #[arg(long, value_enum, default_value_t = Setting::Alpha, requires = "train")]
    by: Setting,
    /// Estimators: effective-dimension, onset, lidl, flipd, local-pca, two-nn [default: all that apply]
    #[arg(long, value_name = "E,E", value_delimiter = ',')]
    estimators: Option<Vec<String>>,
    /// Where FLIPD is read off: at the data, or at the rows projected by Tweedie's formula, for data as noisy as the scale
    #[arg(long, value_enum, default_value_t = At::Data)]
    points: At,
    /// Most rows at which models are read, and around which local PCA looks at neighbours
    #[arg(long, value_name = "N", default_value_t = 2000)]
    rows: usize,
    /// Passes over the rows at each scale, with --train
    #[arg(long, value_name = "E", default_value_t = 20, requires = "train")]
    epochs: usize,
    /// Rows a step, with --train
    #[arg(long, value_name = "B", default_value_t = 256, requires = "train")]
    batch: usize,
    /// Learning rate of Adam, with --train
    #[arg(
        long,
        value_name = "R",
        default_value_t = 0.002,
        allow_negative_numbers = true,
        requires = "train"
    )]
    lr: f64,
    /// Standard deviation of the noise in the data, training units: only scales of at least √20 times it count [default: not known]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    noise_std: Option<f64>,
    /// Least standard deviation of the signal, training units: only scales up to its √20th part count [default: not known]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    signal_std: Option<f64>,
    /// Reach of the set (its least radius of curvature, or half its least distance from itself), training units: the same
    /// [default: not known]
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    reach: Option<f64>,
    /// File for every array, .npz: scales, means and standard errors of each estimator, and its values row by row [default: none]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// File for the chart, .svg; the arrays go beside it as .npz [default: none]
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// What sets the scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Setting {
    Alpha,
    Noise,
}

/// Where FLIPD is read off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum At {
    Data,
    Projected,
}

/// Scales of `--train`: √2 apart.
const SCALES: [f64; 7] = [0.025, 0.035_36, 0.05, 0.070_71, 0.1, 0.141_4, 0.2];

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    check(a)?;
    if s.global.dtype == Some(Dtype::F32) {
        warn(
            "--dtype f32: dimension measures in double precision, as its differences ask for; what --train trains is in single",
        );
    }
    let model: Model<f64> = match AnyModel::load(&a.model)? {
        AnyModel::F64(model) => model,
        AnyModel::F32(model) => model.cast(),
    };
    context::refuse("dimension", model.flow.context())?;
    let methods = methods(a)?;
    let rows = s.data_for(&a.data, &model)?;
    if rows.x.rows() < 2 {
        return Err(Failure::Input(format!("{}: a dimension needs at least two rows", rows.table.source)));
    }
    let (by, rungs, at) =
        if a.train { trained(s, a, &model, &rows.table)? } else { given(a, &methods, &model, &rows.x)? };
    let units = |x: &Matrix<f64>| match to_training_units(&model.flow, x) {
        Err(train::Error::Flow(e)) => Err(rows.at(e)),
        other => Ok(other?),
    };
    let (at, all) = (units(&first(&at, a.rows))?, units(&rows.x)?);
    let plan = Plan {
        methods,
        points: if a.points == At::Data { Points::Data } else { Points::Projected },
        centres: a.rows,
        rule: Rule { noise: a.noise_std, signal: a.signal_std, reach: a.reach },
        seed: s.seed(),
        ..Plan::default()
    };
    let survey = Survey::of(&rungs, &at, &all, &plan).map_err(|e| rows.at(e))?;
    missing(s, a, &rows.table.source, &plan.methods, &survey)?;
    let section = report::section(&rows.table.source, &survey, by);
    if let Some(out) = &a.out {
        write(out, &survey)?;
    }
    if let Some(plot) = &a.plot {
        chart::file::write(plot, &section.charts[0])?;
        write(&plot.with_extension("npz"), &survey)?;
    }
    if s.global.json {
        return print_json(&as_json(a, &rows.table.source, &survey, by, &plan.rule));
    }
    print(&table::text(&section))
}

/// That every option makes sense, before anything is read.
fn check(a: &Arguments) -> Result<(), Failure> {
    let fail = |text: String| Err(Failure::Input(text));
    for (name, value) in [("--noise-std", a.noise_std), ("--signal-std", a.signal_std), ("--reach", a.reach)]
    {
        if let Some(v) = value.filter(|v| !(*v >= 0.0 && v.is_finite())) {
            return fail(format!("{name} {v}: must be a number from 0"));
        }
    }
    for &scale in a.scales.iter().flatten() {
        if !(scale > 0.0 && scale.is_finite()) {
            return fail(format!("--scales {scale}: a scale must be positive"));
        }
    }
    let mut sorted = a.scales.clone().unwrap_or_default();
    sorted.sort_by(f64::total_cmp);
    if sorted.windows(2).any(|w| w[0] >= w[1]) {
        return fail("--scales: name each scale once".to_owned());
    }
    if !a.train && sorted.len() > 1 {
        return fail("--scales: MODEL alone has one scale; give --train for several".to_owned());
    }
    if a.rows < 2 {
        return fail(format!("--rows {}: must be at least 2", a.rows));
    }
    let wrong = |path: &Option<PathBuf>, ending: &str| {
        path.as_ref().is_some_and(|p| p.extension().is_none_or(|e| !e.eq_ignore_ascii_case(ending)))
    };
    if wrong(&a.out, "npz") {
        return fail("--out: several arrays need a file that ends in .npz".to_owned());
    }
    if wrong(&a.plot, "svg") {
        return fail("--plot: the chart needs a file that ends in .svg".to_owned());
    }
    let places = [("--out", &a.out), ("--plot", &a.plot)];
    places.into_iter().try_for_each(|(option, file)| file.as_ref().map_or(Ok(()), |f| probe(option, f)))
}

/// Says which estimators have nothing to say of these rows; where one was asked for by name that is an error.
fn missing(
    s: &Session,
    a: &Arguments,
    source: &str,
    methods: &[Method],
    survey: &Survey,
) -> Result<(), Failure> {
    for method in methods.iter().filter(|m| !survey.curves.iter().any(|c| c.method == **m)) {
        let (name, needs) = (method.name(), method.needs());
        if a.estimators.is_some() {
            let message = format!("--estimators {name}: {source} has too little for it: it needs {needs}");
            return Err(Failure::Input(message));
        }
        s.note(&format!("{source}: no estimate by {name}, which needs {needs}"));
    }
    Ok(())
}

/// The estimators asked for, all known and possible.
fn methods(a: &Arguments) -> Result<Vec<Method>, Failure> {
    let Some(asked) = &a.estimators else {
        return Ok(Method::ALL.into_iter().filter(|m| a.train || !m.of_path()).collect());
    };
    let one = |name: &String| {
        let known = Method::ALL.map(Method::name).join(", ");
        let method = Method::ALL.into_iter().find(|m| m.name() == name).ok_or_else(|| {
            Failure::Input(format!("--estimators {name}: there is no such estimator; there are: {known}"))
        })?;
        if method.of_path() && !a.train {
            let message = format!("--estimators {name}: needs models at several scales; give --train");
            return Err(Failure::Input(message));
        }
        Ok(method)
    };
    let mut methods = asked.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    methods.sort_by_key(|m| Method::ALL.iter().position(|k| k == m));
    methods.dedup();
    Ok(methods)
}

/// The model as it is, at its own scale.
fn given(
    a: &Arguments,
    methods: &[Method],
    model: &Model<f64>,
    x: &Matrix<f64>,
) -> Result<(By, Vec<Rung>, Matrix<f64>), Failure> {
    if !methods.iter().any(|m| m.of_model()) {
        return Ok((By::Alpha, Vec::new(), x.clone()));
    }
    let option = |key: &str| {
        let record = model.record.as_ref().and_then(|r| r.get("options"));
        record.and_then(|o| o.get(key)).and_then(Value::as_f64).unwrap_or(0.0)
    };
    let (alpha, noise) = (option("alpha"), option("noise"));
    let own = (2.0 * alpha + noise * noise).sqrt();
    let scale = match a.scales.as_deref() {
        Some([scale]) => *scale,
        _ if own > 0.0 => own,
        _ => {
            return Err(Failure::Input(format!(
                "{}: was trained without --alpha and --noise, so that it has no scale of its own; give --scales S, the \
                 standard deviation of the noise in the data, or --train",
                a.model.display()
            )));
        }
    };
    let by = if noise > 0.0 { By::Noise } else { By::Alpha };
    let core = model.flow.part(model.flow.core())?;
    Ok((by, vec![Rung { scale, by, core }], x.clone()))
}

/// The model trained further at every scale; rows held out of that are those it is read at.
fn trained(
    s: &Session,
    a: &Arguments,
    model: &Model<f64>,
    table: &crate::data::Table,
) -> Result<(By, Vec<Rung>, Matrix<f64>), Failure> {
    let by = if a.by == Setting::Alpha { By::Alpha } else { By::Noise };
    let scales = a.scales.clone().unwrap_or_else(|| SCALES.to_vec());
    let options = TrainOptions {
        epochs: a.epochs,
        batch: a.batch,
        lr: a.lr,
        patience: 0,
        seed: s.seed(),
        ..TrainOptions::default()
    };
    options.check()?;
    let (training, held) = table.split(options.valid, s.seed())?;
    let (mut done, total) = (0, scales.len());
    let rungs =
        path(&model.flow, &training.values, Some(&held.values), &scales, by, &options, &mut |scale| {
            done += 1;
            s.note(&format!("scale {scale} ({done} of {total})"));
            ControlFlow::Continue(())
        })?;
    Ok((by, rungs, held.values))
}

/// The first `count` rows.
fn first(x: &Matrix<f64>, count: usize) -> Matrix<f64> {
    let n = x.rows().min(count);
    Matrix::new(n, x.cols(), x.data()[..n * x.cols()].to_vec())
}

/// Every array of a survey.
fn write(path: &Path, survey: &Survey) -> Result<(), Failure> {
    let of = |c: &Curve, f: fn(&Estimate) -> f64| c.estimates.iter().map(f).collect::<Vec<f64>>();
    let mut held: Vec<(String, Vec<usize>, Vec<f64>)> = Vec::new();
    for curve in &survey.curves {
        let name = curve.method.name().replace('-', "_");
        let count = curve.estimates.len();
        held.push((format!("{name}_scales"), vec![count], of(curve, |e| e.scale)));
        held.push((format!("{name}_means"), vec![count], of(curve, |e| e.mean)));
        held.push((format!("{name}_errors"), vec![count], of(curve, |e| e.error)));
        let rows = curve.estimates.first().map_or(0, |e| e.rows.len());
        if rows > 0 {
            let all = curve.estimates.iter().flat_map(|e| e.rows.iter().copied()).collect();
            held.push((format!("{name}_rows"), vec![count, rows], all));
        }
    }
    let arrays: Vec<Array<'_>> = held.iter().map(|(n, shape, data)| Array::new(n, shape, data)).collect();
    Ok(output::write(path, &arrays)?)
}

fn as_json(a: &Arguments, source: &str, survey: &Survey, by: By, rule: &Rule) -> Value {
    let one = |(curve, plateau): (&Curve, &Option<crate::dimension::Plateau>)| {
        let of = |f: fn(&Estimate) -> f64| curve.estimates.iter().map(|e| number(f(e))).collect::<Vec<_>>();
        let error = |e: &Estimate| (!e.error.is_nan()).then(|| number(e.error));
        json!({
            "estimator": curve.method.name(),
            "scales": of(|e| e.scale),
            "means": of(|e| e.mean),
            "standard_errors": curve.estimates.iter().map(error).collect::<Vec<_>>(),
            "medians": of(Estimate::median),
            "plateau": plateau,
        })
    };
    json!({
        "model": a.model.display().to_string(),
        "data": source,
        "columns": survey.dim,
        "by": by,
        "rule": rule,
        "dimension": if let Call::Dimension(d) = survey.call { Some(d) } else { None },
        "call": report::sentence(survey),
        "estimators": survey.curves.iter().zip(&survey.plateaus).map(one).collect::<Vec<_>>(),
    })
}
