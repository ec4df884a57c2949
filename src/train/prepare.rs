//! A fresh flow for given data: preprocessing set from the rows, then the core.

use super::{Error, TrainOptions};
use crate::flow::bijections::{Affine, Form, SoftTail, Squash, Standardize, Support};
use crate::flow::presets::{Name, Preset};
use crate::flow::{Base, Dequantize, Flow, Layer, Parameter, Variable};
use eigenflow_linalg::eigen::{Eigh, eigh};
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
/// Least ridge of whitening, relative to the mean variance.
const RIDGE: f64 = 1e-10;
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
    let width: usize = context.iter().map(Variable::width).sum();
    if rows.cols() <= width {
        return Err(crate::flow::Error::NoColumns.into());
    }
    let split = |from: usize, to: usize| Matrix::from_fn(rows.rows(), to - from, |i, j| rows[(i, from + j)]);
    let own = rows.cols() - width;
    let (x, beside) = (&split(0, own), &split(own, rows.cols()));
    if x.rows() < 2 {
        return Err(Error::TooFewRows { given: x.rows(), needed: 2 });
    }
    if let Some(k) = x.data().iter().position(|v| !v.is_finite()) {
        let (row, column) = (k / x.cols(), k % x.cols());
        return Err(crate::flow::Error::NotFinite { what: "data", row, column }.into());
    }
    if let Some(k) = beside.data().iter().position(|v| !v.is_finite()) {
        let (row, column) = (k / width, k % width);
        return Err(crate::flow::Error::NotFinite { what: "context", row, column }.into());
    }
    let d = x.cols();
    let given = x;
    check_support(preset, x)?;
    let support = preset.support(d)?;
    let mapped = support.as_ref().map(|support| on_the_line(support, x)).transpose()?;
    let x = mapped.as_ref().unwrap_or(given);
    let (mean, mut scale) = moments(x);
    let constant: Vec<usize> = (0..d).filter(|&j| is_constant(mean[j], scale[j])).collect();
    constant.iter().for_each(|&j| scale[j] = 1.0);
    if preprocess == Preprocess::Isotropic && constant.len() < d {
        let square = |j: &usize| if constant.contains(j) { 0.0 } else { scale[*j] * scale[*j] };
        let root = ((0..d).map(|j| square(&j)).sum::<f64>() / d as f64).sqrt();
        scale.fill(root);
    }
    let unit = Matrix::from_fn(x.rows(), d, |i, j| (x[(i, j)] - mean[j]) / scale[j]);
    let sigma = covariance(&unit);
    let spectrum = eigh(&sigma)?;
    let largest = spectrum.values.last().copied().unwrap_or(0.0);
    let null_directions =
        spectrum.values.iter().filter(|&&l| l <= NULL * largest.max(f64::MIN_POSITIVE)).count();

    let mut layers: Vec<Layer> = Vec::new();
    let standardize = usize::from(support.is_some());
    let preprocessing = standardize + usize::from(preprocess != Preprocess::None);
    layers.extend(support.map(Layer::from));
    if preprocess != Preprocess::None {
        layers.push(Standardize { dim: d }.into());
    }
    let whitening = (preprocess == Preprocess::Whiten).then(|| whitening(&spectrum, options));
    if whitening.is_some() {
        layers.push(Affine { dim: d, form: Form::Full, frozen: true }.into());
    }
    let heavy = match (preprocess, &whitening) {
        // The paper's flows stay what they are.
        _ if matches!(preset.flow, Name::Affine | Name::Paper | Name::PaperTril) => false,
        (_, Some(w)) => farthest(&unit.mul(&w.transpose())) > FAR,
        (Preprocess::Standardize, _) => farthest(&unit) > FAR,
        _ => false,
    };
    let tail = || Layer::from(SoftTail { dim: d, knee: if heavy { LOW_KNEE } else { KNEE } });
    if heavy || (whitening.is_some() && preset.flow != Name::Affine) {
        layers.push(tail());
    }
    let mut core = preset.layers(d, options.seed)?;
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
    let mut flow = Flow::new(layers, preprocessing, options.seed)?.with_context(context.to_vec())?;
    if !base.is_standard() {
        flow = flow.with_base(base.clone(), options.seed)?;
    }
    if width > 0 {
        let (mean, mut scale) = moments(beside);
        mean.iter().zip(&mut scale).filter(|(m, s)| is_constant(**m, **s)).for_each(|(_, s)| *s = 1.0);
        flow.standardise_context(&mean, &scale);
    }
    let mut set = |name: &str, data: &[f64]| {
        if let Some(p) = flow.parameters_mut().iter_mut().find(|p| p.name == name) {
            p.data = data.iter().map(|&v| T::of(v)).collect();
        }
    };
    if preprocess != Preprocess::None {
        set(&format!("layers.{standardize}.mean"), &mean);
        set(&format!("layers.{standardize}.scale"), &scale);
    }
    if let Some(w) = whitening {
        set(&format!("layers.{preprocessing}.weight"), w.data());
    }
    normalise_activations(&mut flow, rows)?;
    let warnings = warnings(&constant, null_directions, options);
    Ok(Prepared { flow, warnings, constant, null_directions })
}

/// `(Σ + r I)^{-1/2}`: input noise adds `σ²` to every variance, the penalty `2α`; both are the ridge `r` of the optimum.
fn whitening(spectrum: &Eigh<f64>, options: &TrainOptions) -> Matrix<f64> {
    let d = spectrum.values.len();
    let mean_variance = spectrum.values.iter().sum::<f64>() / d as f64;
    let ridge = options.noise * options.noise + 2.0 * options.alpha + RIDGE * mean_variance;
    let ridge = if ridge > 0.0 { ridge } else { 1.0 };
    let v = &spectrum.vectors;
    let root: Vec<f64> = spectrum.values.iter().map(|l| (l.max(0.0) + ridge).sqrt().recip()).collect();
    Matrix::from_fn(d, d, |i, j| (0..d).map(|k| v[(i, k)] * root[k] * v[(j, k)]).sum())
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
    let (mean, mut scale) = moments(&own);
    mean.iter().zip(&mut scale).filter(|(m, s)| is_constant(**m, **s)).for_each(|(_, s)| *s = 1.0);
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
            let (mean, scale) = moments(&h.cast::<f64>());
            let first = flow.parameters_of(k).start;
            let Some([log, shift]) = flow.parameters_mut().get_mut(first..first + 2) else { continue };
            let set = |p: &mut Parameter<T>, j: usize, v: f64| p.data[j] = T::of(v);
            for (j, (&mean, &scale)) in mean.iter().zip(&scale).enumerate().take(d) {
                let scale = if is_constant(mean, scale) { 1.0 } else { scale };
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

/// A column whose deviation is rounding of its mean.
fn is_constant(mean: f64, deviation: f64) -> bool {
    deviation <= 8.0 * f64::EPSILON * mean.abs()
}

/// Means and standard deviations (`1/n`) of columns. The mean of deviations corrects the mean, so that a column of one value has that mean
/// and no deviation, whatever the rounding of the sum.
pub(crate) fn moments(x: &Matrix<f64>) -> (Vec<f64>, Vec<f64>) {
    let n = x.rows() as f64;
    let mut mean = vec![0.0; x.cols()];
    let mut square = vec![0.0; x.cols()];
    for i in 0..x.rows() {
        mean.iter_mut().zip(x.row(i)).for_each(|(m, v)| *m += v / n);
    }
    let mut correction = vec![0.0; x.cols()];
    for i in 0..x.rows() {
        correction.iter_mut().zip(x.row(i)).zip(&mean).for_each(|((c, v), m)| *c += (v - m) / n);
    }
    mean.iter_mut().zip(correction).for_each(|(m, c)| *m += c);
    for i in 0..x.rows() {
        for ((s, v), m) in square.iter_mut().zip(x.row(i)).zip(&mean) {
            *s += (v - m) * (v - m) / n;
        }
    }
    square.iter_mut().for_each(|s| *s = s.sqrt());
    (mean, square)
}

/// Covariance (`1/n`) of centred rows.
pub(crate) fn covariance(centred: &Matrix<f64>) -> Matrix<f64> {
    let n = centred.rows().max(1) as f64;
    centred.transpose().mul(centred).map(|v| v / n)
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
            assert!(!kinds(Name::Paper, Preprocess::Standardize, x).contains(&"soft-tail"));
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
