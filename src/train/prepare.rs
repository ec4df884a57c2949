//! A fresh flow for given data: preprocessing set from the rows, then the core.

use super::units::{Units, covariance, whitening};
use super::{Error, TrainOptions};
use crate::flow::bijections::{Affine, Form, SoftTail, Squash, Standardize, Support};
use crate::flow::presets::{Name, Preset};
use crate::flow::{Base, Dequantize, Flow, Layer, Parameter, Variable};
use eigenflow_linalg::eigen::eigh;
use eigenflow_linalg::{Matrix, Real};
use serde::{Deserialize, Serialize};

/// What happens to the data before the core of a flow sees it. All of it is part of the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preprocess {
    /// Standardised or whitened, whichever validates better: [`race`](super::race) decides, and then [`build`] takes its
    /// choice.
    Auto,
    /// Nothing.
    None,
    /// Columns are centred and scaled to unit variance.
    #[default]
    Standardize,
    /// Columns are centred and divided by one number, the root of their mean variance: distances and isotropic noise keep
    /// their form.
    Isotropic,
    /// Standardised, then the core begins with a frozen affine layer `(Σ + r I)^{-1/2}` and, in
    /// non-linear flows, soft tails.
    Whiten,
}

/// A fresh flow, and what a user should know about the data.
#[derive(Clone, Debug)]
pub struct Prepared<T> {
    /// The flow.
    pub flow: Flow<T>,
    /// Warnings, ready to print.
    pub warnings: Vec<String>,
    /// Columns that are constant in the rows.
    pub constant: Vec<usize>,
    /// Null directions of the rows' covariance, training units.
    pub null_directions: usize,
}

/// Eigenvalues below this fraction of the largest count as null directions: rounding of `Σ` itself.
const NULL: f64 = 1e-12;
/// Initial knee of soft tails, in standard deviations, and where rows reach far.
const KNEE: f64 = 5.0;
const LOW_KNEE: f64 = 2.5;
/// Rows that reach farther than this, in standard deviations, have heavy tails: of 10⁹ normal numbers none does.
const FAR: f64 = 8.0;

/// Builds a flow of the preset for the rows `x`, in data units.
///
/// # Errors
/// If there are fewer than two rows, an entry is not finite or outside its column's support, or an option is out of range.
pub fn build<T: Real>(
    preset: &Preset,
    preprocess: Preprocess,
    x: &Matrix<f64>,
    options: &TrainOptions,
) -> Result<Prepared<T>, Error> {
    build_given(&Design { preset, preprocess, base: &Base::Normal, context: &[] }, x, options)
}

/// What a fresh flow is made of.
#[derive(Clone, Copy, Debug)]
pub struct Design<'a> {
    /// The core.
    pub preset: &'a Preset,
    /// What comes before it.
    pub preprocess: Preprocess,
    /// What its latents are distributed as.
    pub base: &'a Base,
    /// Variables of the context, if the flow is conditional: their columns stand behind those of the data.
    pub context: &'a [Variable],
}

/// Builds a flow of this design for the rows `rows`, in data units, with their contexts beside them if there are any.
///
/// Where standardised or whitened rows reach farther than 8 standard deviations, a non-linear flow (other than the paper's) begins and ends with soft tails
/// ([`SoftTail`]): what no row has taught a network to do far out then costs a held-out row hundreds of nats and not millions.
///
/// Means and scales of the context are set from the rows as those of the data are. A uniform base gets a [`Squash`] onto its box at the
/// latent end.
///
/// # Errors
/// As [`build`]; a flow without conditioners that is given a context.
pub fn build_given<T: Real>(
    design: &Design<'_>,
    rows: &Matrix<f64>,
    options: &TrainOptions,
) -> Result<Prepared<T>, Error> {
    let Design { preset, preprocess, base, context } = *design;
    options.check()?;
    if preprocess == Preprocess::Auto {
        let (option, range) =
            ("--preprocess", "none, standardize or whiten where no rows validate the choice");
        return Err(Error::Option { option, value: "auto".into(), range });
    }
    let (x, beside) = &checked(rows, context)?;
    check_support(preset, x)?;
    let support = preset.support(x.cols())?;
    let mapped = support.as_ref().map(|support| on_the_line(support, x)).transpose()?;
    let x = mapped.as_ref().unwrap_or(x);
    let units = Units::of(x);
    let units = if preprocess == Preprocess::Isotropic { units.isotropic() } else { units };
    let unit = units.apply(x);
    let spectrum = eigh(&covariance(&unit))?;
    let largest = spectrum.values.last().copied().unwrap_or(0.0);
    let null_directions =
        spectrum.values.iter().filter(|&&l| l <= NULL * largest.max(f64::MIN_POSITIVE)).count();
    let whitening = (preprocess == Preprocess::Whiten).then(|| whitening(&spectrum, options));
    let heavy = match (preprocess, &whitening) {
        _ if !takes_tails(preset.flow) => false,
        (_, Some(w)) => farthest(&unit.mul(&w.transpose())) > FAR,
        (Preprocess::Standardize, _) => farthest(&unit) > FAR,
        _ => false,
    };

    let standardize = usize::from(support.is_some());
    let preprocessing = standardize + usize::from(preprocess != Preprocess::None);
    let mut flow =
        Flow::new(layers(design, support, x.cols(), heavy, options.seed)?, preprocessing, options.seed)?
            .with_context(context.to_vec())?;
    if !base.is_standard() {
        flow = flow.with_base(base.clone(), options.seed)?;
    }
    if beside.cols() > 0 {
        let Units { mean, scale, .. } = Units::of(beside);
        flow.standardise_context(&mean, &scale);
    }
    let mut set = |name: &str, data: &[f64]| {
        if let Some(p) = flow.parameters_mut().iter_mut().find(|p| p.name == name) {
            p.data = data.iter().map(|&v| T::of(v)).collect();
        }
    };
    if preprocess != Preprocess::None {
        set(&format!("layers.{standardize}.mean"), &units.mean);
        set(&format!("layers.{standardize}.scale"), &units.scale);
    }
    if let Some(w) = whitening {
        set(&format!("layers.{preprocessing}.weight"), w.data());
    }
    normalise_activations(&mut flow, rows)?;
    let warnings = warnings(&units.constant, null_directions, options);
    Ok(Prepared { flow, warnings, constant: units.constant, null_directions })
}

/// The columns of the data and those of the context, all of them finite numbers.
fn checked(rows: &Matrix<f64>, context: &[Variable]) -> Result<(Matrix<f64>, Matrix<f64>), Error> {
    let width: usize = context.iter().map(Variable::width).sum();
    let own = rows.cols().saturating_sub(width);
    if own == 0 {
        return Err(crate::flow::Error::NoColumns.into());
    }
    if rows.rows() < 2 {
        return Err(Error::TooFewRows { given: rows.rows(), needed: 2 });
    }
    let part = |from: usize, to: usize| Matrix::from_fn(rows.rows(), to - from, |i, j| rows[(i, from + j)]);
    let (x, beside) = (part(0, own), part(own, rows.cols()));
    for (what, part) in [("data", &x), ("context", &beside)] {
        if let Some(k) = part.data().iter().position(|v| !v.is_finite()) {
            let (row, column) = (k / part.cols(), k % part.cols());
            return Err(crate::flow::Error::NotFinite { what, row, column }.into());
        }
    }
    Ok((x, beside))
}

/// The layers of a design for `d` columns, some of which lie within a `support`; `heavy` gives them soft tails.
fn layers(
    design: &Design<'_>,
    support: Option<Support>,
    d: usize,
    heavy: bool,
    seed: u64,
) -> Result<Vec<Layer>, Error> {
    let Design { preset, preprocess, base, context } = *design;
    let whiten = preprocess == Preprocess::Whiten;
    let width: usize = context.iter().map(Variable::width).sum();
    let tail = || Layer::from(SoftTail { dim: d, knee: if heavy { LOW_KNEE } else { KNEE } });
    let mut layers: Vec<Layer> = support.map(Layer::from).into_iter().collect();
    if preprocess != Preprocess::None {
        layers.push(Standardize { dim: d }.into());
    }
    if whiten {
        layers.push(Affine { dim: d, form: Form::Full, frozen: true }.into());
    }
    if heavy || (whiten && takes_tails(preset.flow)) {
        layers.push(tail());
    }
    let mut core = preset.layers(d, seed)?;
    if heavy {
        let last = core.len() - usize::from(preset.output_affine);
        core.insert(last, tail());
    }
    layers.extend(core.into_iter().map(|layer| layer.given(width)));
    if width > 0 && !layers.iter().any(|layer| layer.context() > 0) {
        let reason = "goes with flows that have conditioners: realnvp, nice, glow, nsf, maf, iaf, nsf-ar";
        let flow = preset.flow.as_str();
        return Err(crate::flow::Error::Option { flow, option: "--context", reason }.into());
    }
    if let Base::Uniform { low, high } = *base {
        layers.push(Squash { dim: d, low, high }.into());
    }
    Ok(layers)
}

/// Whether a flow gets soft tails at all: linear flows and the paper's stay what they are.
fn takes_tails(flow: Name) -> bool {
    !matches!(flow, Name::Affine | Name::Paper | Name::PaperTril)
}

/// The entry of largest magnitude.
fn farthest(x: &Matrix<f64>) -> f64 {
    x.data().iter().fold(0.0, |most, v| v.abs().max(most))
}

/// That the rows lie where the preset's `support` says.
///
/// # Errors
/// [`Error::OutsideSupport`] names the first row and column that does not, or the option is not one for these columns.
pub fn check_support(preset: &Preset, x: &Matrix<f64>) -> Result<(), Error> {
    let Some(Support { columns }) = preset.support(x.cols())? else { return Ok(()) };
    let outside = |k: &usize| !columns[k % x.cols()].contains(x.data()[*k]);
    let Some(k) = (0..x.data().len()).find(outside) else { return Ok(()) };
    let (row, column) = (k / x.cols(), k % x.cols());
    Err(Error::OutsideSupport { row, column, value: x.data()[k], support: columns[column].to_string() })
}

/// The rows with each column's interval taken to the line.
fn on_the_line(support: &Support, x: &Matrix<f64>) -> Result<Matrix<f64>, Error> {
    Ok(Flow::<f64>::new(vec![support.clone().into()], 1, 0)?.normalize(x)?.0)
}

/// The flow as one of whole numbers, with a fresh dequantiser that knows their means and scales.
///
/// # Errors
/// If the dequantiser does not fit.
pub fn dequantizing<T: Real>(
    flow: &Flow<T>,
    dequantize: Dequantize,
    rows: &Matrix<f64>,
    seed: u64,
) -> Result<Flow<T>, Error> {
    let mut flow = flow.with_dequantizer(dequantize, seed)?;
    let own = Matrix::from_fn(rows.rows(), flow.dim(), |i, j| rows[(i, j)]);
    let Units { mean, scale, .. } = Units::of(&own);
    flow.standardise_dequantizer(&mean, &scale);
    Ok(flow)
}

/// Rows from which activation normalization starts.
const ACTIVATION_ROWS: usize = 4096;

/// Sets each activation normalization so that the rows leave it with mean 0 and variance 1; columns that are constant
/// there keep their scale.
fn normalise_activations<T: Real>(flow: &mut Flow<T>, x: &Matrix<f64>) -> Result<(), Error> {
    if !flow.layers().iter().any(|l| matches!(l, Layer::ActNorm(_))) {
        return Ok(());
    }
    let (n, d) = (x.rows().min(ACTIVATION_ROWS), flow.dim());
    let mut h = Matrix::new(n, x.cols(), x.data()[..n * x.cols()].to_vec()).cast::<T>();
    for k in 0..flow.layers().len() {
        if matches!(flow.layers()[k], Layer::ActNorm(_)) {
            let Units { mean, scale, .. } = Units::of(&h.cast::<f64>());
            let first = flow.parameters_of(k).start;
            let Some([log, shift]) = flow.parameters_mut().get_mut(first..first + 2) else { continue };
            let set = |p: &mut Parameter<T>, j: usize, v: f64| p.data[j] = T::of(v);
            for (j, (&mean, &scale)) in mean.iter().zip(&scale).enumerate().take(d) {
                set(log, j, -scale.ln());
                set(shift, j, -mean / scale);
            }
        }
        h = flow.with_contexts_of(flow.part(k..k + 1)?.normalize(&h)?.0, &h)?;
    }
    Ok(())
}

fn warnings(constant: &[usize], null_directions: usize, options: &TrainOptions) -> Vec<String> {
    let mut out = Vec::new();
    if !constant.is_empty() {
        let list: Vec<String> = constant.iter().map(usize::to_string).collect();
        out.push(format!(
            "constant columns keep scale 1 and count as null directions: {} (counted from 0); drop them with --exclude",
            list.join(", ")
        ));
    }
    if null_directions > 0 && options.alpha == 0.0 && options.noise == 0.0 {
        out.push(format!(
            "the data has {null_directions} null directions: the likelihood has no upper bound, and training \
             without --alpha or --noise only follows it up; --alpha 0.005 (as noise 0.1) makes it well-posed"
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::generator;
    use rand::RngExt;
    use rand_distr::StandardNormal;

    fn kinds(flow: Name, preprocess: Preprocess, x: &Matrix<f64>) -> Vec<&'static str> {
        let preset =
            Preset { hidden: Some(vec![4]), layers: Some(2), output_affine: true, ..Preset::named(flow) };
        let built = build::<f64>(&preset, preprocess, x, &TrainOptions::default()).unwrap();
        built.flow.layers().iter().map(Layer::kind).collect()
    }

    /// Soft tails at both ends, before an affine layer at the latent one, where a row lies far out; else only behind whitening.
    #[test]
    fn far_rows_get_soft_tails() {
        let mut random = generator(0, "far rows", 0);
        let tame = Matrix::from_fn(500, 2, |_, _| random.sample::<f64, _>(StandardNormal));
        let mut far = tame.clone();
        far[(7, 1)] = 40.0;
        let core = ["coupling", "coupling"];
        let with = |first: &[&'static str], last: &[&'static str]| [first, &core, last].concat();
        for (x, standardized, whitened) in [
            (
                &tame,
                with(&["standardize"], &["affine"]),
                with(&["standardize", "affine", "soft-tail"], &["affine"]),
            ),
            (
                &far,
                with(&["standardize", "soft-tail"], &["soft-tail", "affine"]),
                with(&["standardize", "affine", "soft-tail"], &["soft-tail", "affine"]),
            ),
        ] {
            assert_eq!(kinds(Name::Realnvp, Preprocess::Standardize, x), standardized);
            assert_eq!(kinds(Name::Realnvp, Preprocess::Whiten, x), whitened);
            for preprocess in [Preprocess::Standardize, Preprocess::Whiten] {
                assert!(!kinds(Name::Paper, preprocess, x).contains(&"soft-tail"));
            }
            assert!(!kinds(Name::Realnvp, Preprocess::None, x).contains(&"soft-tail"));
        }
    }

    /// What training has never seen costs a soft tail the square of a logarithm: at 1e6 standard deviations hundreds of nats.
    #[test]
    fn a_far_row_costs_hundreds_of_nats() {
        let mut random = generator(0, "far rows", 1);
        let mut x = Matrix::from_fn(500, 2, |_, _| random.sample::<f64, _>(StandardNormal));
        x[(3, 0)] = 30.0;
        let preset = Preset { hidden: Some(vec![8]), ..Preset::named(Name::Realnvp) };
        let flow = build::<f64>(&preset, Preprocess::Standardize, &x, &TrainOptions::default()).unwrap().flow;
        let at = flow.log_density(&Matrix::new(1, 2, vec![1e6, -1e6])).unwrap()[0];
        assert!(at < -50.0 && at > -1000.0, "{at}");
    }
}
