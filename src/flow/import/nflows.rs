//! nflows' flows (C. Durkan et al.), from `state_dict`.
//!
//! `_transform` is a transform, or a composition `_transform._transforms.i` of them, nested or not. Each is told by the
//! names of its tensors.

use super::weights::{Weights, by_parameter};
use super::{Error, Part, Settings};
use crate::flow::base::LN_2PI;
use crate::flow::bijections::{ActNorm, Autoregressive, BatchNorm, GeneralCoupling, LuLinear, Permutation};
use crate::flow::transformer::{Logits, Scale, Spline, Transformer};

/// nflows' least scale of affine transforms.
const LEAST: f64 = 1e-3;
/// The box of splines where the settings do not say it; nflows has no default that reaches beyond 1.
const BOUND: f64 = 3.0;

/// Most compositions in each other: far beyond what anybody writes, and far within a stack.
const NESTED: usize = 64;

/// The base's constant, in files that keep it.
const LOG_Z: &str = "_distribution._log_z";

/// The layers of a file.
pub(super) fn parts(w: &mut Weights, settings: &Settings) -> Result<Vec<Part>, Error> {
    let mut parts = Vec::new();
    compose(w, "_transform.", 0, settings, &mut parts)?;
    if w.has(LOG_Z) {
        let shape = w.shape(LOG_Z)?.to_vec();
        let log_z = w.take(LOG_Z, &shape)?;
        let dim = parts.first().map_or(0, |p: &Part| crate::flow::Bijection::dim(&p.layer));
        let expected = 0.5 * dim as f64 * LN_2PI;
        // It may be single precision.
        if log_z.len() != 1 || (log_z[0] - expected).abs() > 1e-5 * expected {
            return w.fail(LOG_Z, format!("is not (D/2) ln 2π = {expected}: the base is no standard normal"));
        }
    }
    Ok(parts)
}

fn compose(
    w: &mut Weights,
    prefix: &str,
    depth: usize,
    settings: &Settings,
    parts: &mut Vec<Part>,
) -> Result<(), Error> {
    let inner = w.numbered(&format!("{prefix}_transforms."));
    if inner.is_empty() {
        parts.push(transform(w, prefix, settings)?);
        return Ok(());
    }
    if depth == NESTED {
        return w.fail(
            prefix,
            format!("is nested too deeply: at most {NESTED} compositions in each other are read"),
        );
    }
    inner.iter().try_for_each(|p| compose(w, p, depth + 1, settings, parts))
}

fn transform(w: &mut Weights, prefix: &str, settings: &Settings) -> Result<Part, Error> {
    let has = |name: &str| w.has(&format!("{prefix}{name}"));
    if has("_permutation") {
        let name = format!("{prefix}_permutation");
        let d = w.length(&name)?;
        let indices = w.take_indices(&name, d)?;
        return Ok(Part { layer: Permutation { indices }.into(), parameters: Vec::new() });
    }
    if has("lower_entries") {
        return lu_linear(w, prefix, settings);
    }
    if has("running_mean") {
        return batch_norm(w, prefix, settings);
    }
    if has("log_scale") {
        let d = w.length(&format!("{prefix}log_scale"))?;
        let parameters =
            vec![w.take(&format!("{prefix}log_scale"), &[d])?, w.take(&format!("{prefix}shift"), &[d])?];
        if w.has(&format!("{prefix}initialized")) {
            let shape = w.shape(&format!("{prefix}initialized"))?.to_vec();
            w.take(&format!("{prefix}initialized"), &shape)?;
        }
        return Ok(Part { layer: ActNorm { dim: d }.into(), parameters });
    }
    if has("transform_features") {
        return coupling(w, prefix, settings);
    }
    if has("autoregressive_net.initial_layer.weight") {
        return autoregressive(w, prefix, settings);
    }
    let first = w.first_below(prefix).unwrap_or(prefix).to_owned();
    w.fail(&first, "belongs to no transform that is understood")
}

fn lu_linear(w: &mut Weights, prefix: &str, settings: &Settings) -> Result<Part, Error> {
    let d = w.length(&format!("{prefix}bias"))?;
    let half = d.saturating_mul(d.saturating_sub(1)) / 2;
    let mut entries = |name: &str, keep: fn(usize, usize) -> bool| -> Result<Vec<f64>, Error> {
        let mut given = w.take(&format!("{prefix}{name}"), &[half])?.into_iter();
        let mut entry = |k: usize| if keep(k / d, k % d) { given.next().unwrap_or(0.0) } else { 0.0 };
        Ok((0..d * d).map(&mut entry).collect())
    };
    let (lower, upper) = (entries("lower_entries", |i, j| i > j)?, entries("upper_entries", |i, j| i < j)?);
    let raw = w.take(&format!("{prefix}unconstrained_upper_diag"), &[d])?;
    let bias = w.take(&format!("{prefix}bias"), &[d])?;
    let layer = LuLinear { dim: d, least: settings.lu_eps.unwrap_or(LEAST) };
    Ok(Part { layer: layer.into(), parameters: vec![lower, upper, raw, bias] })
}

fn batch_norm(w: &mut Weights, prefix: &str, settings: &Settings) -> Result<Part, Error> {
    let d = w.length(&format!("{prefix}running_mean"))?;
    let epsilon = settings.batch_norm_eps.unwrap_or(1e-5);
    let mut take = |name: &str| w.take(&format!("{prefix}{name}"), &[d]);
    let (raw, beta) = (take("unconstrained_weight")?, take("bias")?);
    let (mean, variance) = (take("running_mean")?, take("running_var")?);
    if variance.iter().any(|v| *v < 0.0) {
        return w.fail(&format!("{prefix}running_var"), "variances must not be negative");
    }
    // weight = softplus(u) + eps
    let softplus = |u: f64| u.max(0.0) + (-u.abs()).exp().ln_1p();
    let log_gamma = raw.into_iter().map(|u| (softplus(u) + epsilon).ln()).collect();
    let layer = BatchNorm { dim: d, momentum: 0.1, epsilon };
    Ok(Part { layer: layer.into(), parameters: vec![log_gamma, beta, mean, variance] })
}

/// The linear layers of a network.
struct Network {
    /// Prefixes of their tensors.
    names: Vec<String>,
    /// Widths of all layers, inputs and outputs included.
    widths: Vec<usize>,
    /// Whether pairs of layers are residual blocks; not said by a network without blocks.
    residual: Option<bool>,
}

impl Network {
    fn below(w: &Weights, prefix: &str, inputs: usize) -> Result<Self, Error> {
        let (mut names, mut residual) = (vec![format!("{prefix}initial_layer.")], None);
        for block in w.numbered(&format!("{prefix}blocks.")) {
            let is_residual = w.has(&format!("{block}linear_layers.0.bias"));
            if residual.is_some_and(|before| before != is_residual) {
                return w.fail(
                    w.first_below(&block).unwrap_or(&block),
                    "is another kind of block than those before",
                );
            }
            residual = Some(is_residual);
            if is_residual {
                names.extend([0, 1].map(|k| format!("{block}linear_layers.{k}.")));
            } else {
                names.push(format!("{block}linear."));
            }
        }
        names.push(format!("{prefix}final_layer."));
        let mut widths = vec![inputs];
        for name in &names {
            widths.push(w.length(&format!("{name}bias"))?);
        }
        Ok(Self { names, widths, residual })
    }

    fn hidden(&self) -> Vec<usize> {
        self.widths[1..self.widths.len() - 1].to_vec()
    }

    fn outputs(&self) -> usize {
        self.widths[self.widths.len() - 1]
    }

    /// Weights and biases, layer by layer, each with its number of columns; behind them the masks, if there are some. The last layer's rows are put in order.
    fn take(
        &self,
        w: &mut Weights,
        masked: bool,
        ordered: impl Fn(Vec<f64>, usize) -> Vec<f64>,
    ) -> Result<Vec<Vec<f64>>, Error> {
        let (mut parameters, mut masks) = (Vec::new(), Vec::new());
        for (k, name) in self.names.iter().enumerate() {
            let (rows, cols) = (self.widths[k + 1], self.widths[k]);
            let put =
                |data: Vec<f64>, width| if k + 1 == self.names.len() { ordered(data, width) } else { data };
            parameters.push(put(w.take(&format!("{name}weight"), &[rows, cols])?, cols));
            parameters.push(put(w.take(&format!("{name}bias"), &[rows])?, 1));
            if masked {
                masks.push(put(w.take(&format!("{name}mask"), &[rows, cols])?, cols));
                // Degrees say what the masks say.
                if w.has(&format!("{name}degrees")) {
                    w.take(&format!("{name}degrees"), &[rows])?;
                }
            }
        }
        parameters.extend(masks);
        Ok(parameters)
    }
}

/// A transformer, and the places of its parameters in a column's list.
fn transformer(
    w: &Weights,
    name: &str,
    outputs: usize,
    columns: usize,
    settings: &Settings,
    affine: Scale,
) -> Result<Transformer, Error> {
    if columns == 0 || !outputs.is_multiple_of(columns) {
        let problem = format!("{outputs} outputs are not the same number for each of {columns} features");
        return w.fail(name, problem);
    }
    match outputs / columns {
        1 => Ok(Transformer::Additive),
        2 => Ok(Transformer::Affine { scale: affine }),
        n if (n + 1).is_multiple_of(3) => {
            let logits = Logits::Softplus {
                width: settings.min_bin_width.unwrap_or(LEAST),
                height: settings.min_bin_height.unwrap_or(LEAST),
                slope: settings.min_derivative.unwrap_or(LEAST),
            };
            let bound = settings.bound.unwrap_or(BOUND);
            Ok(Transformer::Spline(Spline { bins: (n + 1) / 3, bound, logits }))
        }
        n => w.fail(
            name,
            format!("gives {n} parameters a feature: neither a shift (1), affine (2) nor a spline with linear tails (3 bins - 1)"),
        ),
    }
}

fn coupling(w: &mut Weights, prefix: &str, settings: &Settings) -> Result<Part, Error> {
    let (identity, transformed) =
        (format!("{prefix}identity_features"), format!("{prefix}transform_features"));
    let (passing, m) = (w.length(&identity)?, w.length(&transformed)?);
    let dim = passing + m;
    let passed = w.take_indices(&identity, dim)?;
    let moved = w.take_indices(&transformed, dim)?;
    let mut both: Vec<usize> = passed.iter().chain(&moved).copied().collect();
    both.sort_unstable();
    if both.iter().enumerate().any(|(k, &j)| k != j) {
        return w.fail(&transformed, "does not share out the features with 'identity_features'");
    }
    if !passed.is_sorted() || !moved.is_sorted() {
        return w.fail(&transformed, "features must be ascending");
    }
    let network = Network::below(w, &format!("{prefix}transform_net."), passing)?;
    if m == 0 {
        // It moves nothing, whatever its network says.
        network.take(w, false, |data, _| data)?;
        return Ok(Part { layer: Permutation { indices: passed }.into(), parameters: Vec::new() });
    }
    let last = format!("{prefix}transform_net.final_layer.bias");
    let affine = Scale::Sigmoid { offset: 2.0, least: LEAST };
    let transformer = transformer(w, &last, network.outputs(), m, settings, affine)?;
    let hidden = network.hidden();
    let wide = hidden[hidden.len() - 1];
    let mut parameters =
        network.take(w, false, |data, width| coupling_rows(data, width, m, &transformer, wide))?;
    let mut layer = GeneralCoupling {
        dim,
        moved,
        hidden,
        activation: settings.activation(),
        residual: network.residual.unwrap_or(true),
        transformer,
    };
    if passing == 0 {
        // A network without inputs is a constant.
        let outputs = layer.constant(&parameters);
        parameters = vec![Vec::new(), outputs];
        (layer.hidden, layer.residual) = (Vec::new(), false);
    }
    Ok(Part { layer: layer.into(), parameters })
}

/// Rows of a coupling's last layer in our order: affine ones are all shifts, then all scales; splines stand
/// column by column, and logits of widths and heights are divided by the root of the last hidden width.
fn coupling_rows(
    data: Vec<f64>,
    width: usize,
    m: usize,
    transformer: &Transformer,
    hidden: usize,
) -> Vec<f64> {
    match transformer {
        Transformer::Additive => data,
        Transformer::Affine { .. } => {
            let (shift, scale) = data.split_at(m * width);
            [scale, shift].concat()
        }
        Transformer::Spline(s) => {
            let places: Vec<usize> = (0..transformer.parameters()).collect();
            let mut rows = by_parameter(&data, width, m, &places);
            let root = (hidden as f64).sqrt();
            rows[..2 * s.bins * m * width].iter_mut().for_each(|v| *v /= root);
            rows
        }
    }
}

fn autoregressive(w: &mut Weights, prefix: &str, settings: &Settings) -> Result<Part, Error> {
    let below = format!("{prefix}autoregressive_net.");
    let first = format!("{below}initial_layer.weight");
    let &[_, d] = w.shape(&first)? else { return w.fail(&first, "has not two axes") };
    let network = Network::below(w, &below, d)?;
    let last = format!("{below}final_layer.bias");
    let Some(residual) = network.residual.or(settings.residual) else {
        return w.fail(&last, "follows no block, so that the weights do not say whether there is an activation before it; say residual = true (there is none) or false with --config");
    };
    let transformer =
        transformer(w, &last, network.outputs(), d, settings, Scale::Softplus { least: LEAST })?;
    // A column's scale logit comes before its shift, as ours.
    let places: Vec<usize> = (0..transformer.parameters()).collect();
    let parameters = network.take(w, true, |data, width| by_parameter(&data, width, d, &places))?;
    let layer = Autoregressive {
        order: (0..d).collect(),
        hidden: network.hidden(),
        activation: settings.activation(),
        residual,
        transformer,
        inverse: false,
    };
    Ok(Part { layer: layer.into(), parameters })
}
