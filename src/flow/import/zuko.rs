//! zuko's flows (F. Rozet et al.), from `state_dict` and back.
//!
//! `transform.transforms.i` is a coupling (`mask`: true passes and conditions) or an autoregressive transform (`order`:
//! the place of each feature), whose `hyper` network gives the parameters of a feature side by side: a shift, shift and log-scale, or widths,
//! heights and slopes of a spline. One feature has no network: its parameters are `phi.k`, as those of elementwise transforms of several are. `base.loc` and `base.scale` are those of a normal distribution.

use super::weights::{Weights, by_column, by_parameter};
use super::{Error, Part, Settings};
use crate::flow::bijections::{ActNorm, Autoregressive, GeneralCoupling};
use crate::flow::masks;
use crate::flow::transformer::{Logits, Scale, Spline, Transformer};
use crate::flow::{Flow, Layer};
use eigenflow_linalg::Real;
use safetensors::tensor::{Dtype, TensorView};

/// zuko's `slope`.
const SLOPE: f64 = 1e-3;
/// zuko's `bound`.
const BOUND: f64 = 5.0;

/// The layers of a file.
pub(super) fn parts(w: &mut Weights, settings: &Settings) -> Result<Vec<Part>, Error> {
    let d = w.length("base.loc")?;
    if d == 0 {
        return w.fail("base.loc", "is empty: a flow needs at least one feature");
    }
    let mut parts = Vec::new();
    for prefix in w.numbered("transform.transforms.") {
        parts.push(if w.has(&format!("{prefix}mask")) {
            coupling(w, &prefix, d, settings)?
        } else if w.has(&format!("{prefix}phi.0")) {
            elementwise(w, &prefix, d, settings)?
        } else {
            autoregressive(w, &prefix, d, settings)?
        });
    }
    let (loc, scale) = (w.take("base.loc", &[d])?, w.take("base.scale", &[d])?);
    if scale.iter().any(|s| *s <= 0.0) {
        return w.fail("base.scale", "scales must be positive");
    }
    if loc.iter().any(|v| *v != 0.0) || scale.iter().any(|v| v.ln() != 0.0) {
        let log = scale.iter().map(|s| -s.ln()).collect();
        let shift = loc.iter().zip(&scale).map(|(m, s)| -m / s).collect();
        parts.push(Part { layer: ActNorm { dim: d }.into(), parameters: vec![log, shift] });
    }
    Ok(parts)
}

/// The places of a column's parameters in zuko's order: ours are scale and shift, or as they stand.
fn places(transformer: &Transformer) -> Vec<usize> {
    match transformer {
        Transformer::Affine { .. } => vec![1, 0],
        other => (0..other.parameters()).collect(),
    }
}

/// The transformer with this number of parameters.
fn transformer(
    w: &Weights,
    name: &str,
    parameters: usize,
    settings: &Settings,
) -> Result<Transformer, Error> {
    let least = settings.slope.unwrap_or(SLOPE);
    match parameters {
        1 => Ok(Transformer::Additive),
        2 => Ok(Transformer::Affine { scale: Scale::SoftClamp { least } }),
        n if n > 2 && (n + 1).is_multiple_of(3) => {
            let bound = settings.bound.unwrap_or(BOUND);
            Ok(Transformer::Spline(Spline { bins: (n + 1) / 3, bound, logits: Logits::SoftClamp { least } }))
        }
        n => w.fail(
            name,
            format!(
                "gives {n} parameters a feature: neither a shift (1), affine (2) nor a spline (3 bins - 1)"
            ),
        ),
    }
}

/// The linear layers of `hyper`: names, widths of all layers.
fn network(w: &Weights, prefix: &str, inputs: usize) -> Result<(Vec<String>, Vec<usize>), Error> {
    let names: Vec<String> = (0..w.len())
        .map(|k| format!("{prefix}hyper.{}.", 2 * k))
        .take_while(|name| w.has(&format!("{name}weight")))
        .collect();
    if names.is_empty() {
        return w.fail(&format!("{prefix}hyper.0.weight"), "is missing");
    }
    if let Some(other) = w.other_than(&format!("{prefix}hyper."), &names) {
        return w.fail(
            &other,
            "stands where an activation is expected: residual blocks and normalised features are not read",
        );
    }
    let mut widths = vec![inputs];
    for name in &names {
        let bias = format!("{name}bias");
        match w.length(&bias)? {
            0 => return w.fail(&bias, "is empty: each layer of a network needs at least one unit"),
            width => widths.push(width),
        }
    }
    Ok((names, widths))
}

/// Weights and biases of the network, the last layer's rows parameter by parameter; its masks, if it has some.
fn take_network(
    w: &mut Weights,
    names: &[String],
    widths: &[usize],
    columns: usize,
    places: &[usize],
    masked: bool,
) -> Result<Vec<Vec<f64>>, Error> {
    let (mut parameters, mut masks) = (Vec::new(), Vec::new());
    for (k, name) in names.iter().enumerate() {
        let (rows, cols) = (widths[k + 1], widths[k]);
        let ordered = |data: Vec<f64>, width: usize| {
            if k + 1 == names.len() { by_parameter(&data, width, columns, places) } else { data }
        };
        parameters.push(ordered(w.take(&format!("{name}weight"), &[rows, cols])?, cols));
        parameters.push(ordered(w.take(&format!("{name}bias"), &[rows])?, 1));
        if masked {
            masks.push(ordered(w.take(&format!("{name}mask"), &[rows, cols])?, cols));
        }
    }
    parameters.extend(masks);
    Ok(parameters)
}

/// Parameters a column, from the width of the last layer.
fn parameters_of(w: &Weights, names: &[String], widths: &[usize], columns: usize) -> Result<usize, Error> {
    let outputs = widths.last().copied().unwrap_or(0);
    if columns == 0 || !outputs.is_multiple_of(columns) {
        let name = names.last().map_or_else(String::new, |n| format!("{n}bias"));
        return w.fail(
            &name,
            format!("{outputs} outputs are not the same number for each of {columns} features"),
        );
    }
    Ok(outputs / columns)
}

fn coupling(w: &mut Weights, prefix: &str, d: usize, settings: &Settings) -> Result<Part, Error> {
    let mask = w.take(&format!("{prefix}mask"), &[d])?;
    let moved: Vec<usize> = (0..d).filter(|&j| mask[j] == 0.0).collect();
    if moved.len() == d {
        return w.fail(&format!("{prefix}mask"), "passes nothing: a network without inputs is not read");
    }
    let (names, widths) = network(w, prefix, d - moved.len())?;
    let count = parameters_of(w, &names, &widths, moved.len())?;
    let transformer = transformer(w, &format!("{prefix}hyper.0.weight"), count, settings)?;
    let parameters = take_network(w, &names, &widths, moved.len(), &places(&transformer), false)?;
    let layer = GeneralCoupling {
        dim: d,
        moved,
        hidden: widths[1..widths.len() - 1].to_vec(),
        activation: settings.activation(),
        residual: false,
        transformer,
    };
    Ok(Part { layer: layer.into(), parameters })
}

fn autoregressive(w: &mut Weights, prefix: &str, d: usize, settings: &Settings) -> Result<Part, Error> {
    let name = format!("{prefix}order");
    let order = if w.has(&name) { Some(w.take_indices(&name, d)?) } else { None };
    if let Some(order) = order.as_ref().filter(|order| order.len() != d) {
        return w.fail(&name, format!("{} places where the base has {d} features", order.len()));
    }
    let (names, widths) = network(w, prefix, d)?;
    let count = parameters_of(w, &names, &widths, d)?;
    let transformer = transformer(w, &format!("{prefix}hyper.0.weight"), count, settings)?;
    let parameters = take_network(w, &names, &widths, d, &places(&transformer), true)?;
    // A transform of a given adjacency has no order but that of its masks.
    let of_masks = || {
        let all: Vec<&[f64]> = parameters[2 * names.len()..].iter().map(Vec::as_slice).collect();
        masks::places(d, &widths, &all)
    };
    let Some(order) = order.or_else(of_masks) else {
        return w.fail(&name, "is missing, and the masks let features see each other");
    };
    let layer = Autoregressive {
        order,
        hidden: widths[1..widths.len() - 1].to_vec(),
        activation: settings.activation(),
        residual: false,
        transformer,
        inverse: false,
    };
    Ok(Part { layer: layer.into(), parameters })
}

/// How `phi` shares out the parameters of a feature: one tensor each, or widths, heights and slopes.
fn phi(transformer: &Transformer) -> Vec<usize> {
    match transformer {
        Transformer::Spline(s) => vec![s.bins, s.bins, s.bins - 1],
        other => vec![1; other.parameters()],
    }
}

/// The shape of such a tensor.
fn phi_shape(transformer: &Transformer, columns: usize, length: usize) -> Vec<usize> {
    match transformer {
        Transformer::Spline(_) => vec![columns, length],
        _ => vec![columns],
    }
}

fn elementwise(w: &mut Weights, prefix: &str, d: usize, settings: &Settings) -> Result<Part, Error> {
    let first = format!("{prefix}phi.0");
    let mut count = 0;
    for k in 0.. {
        let name = format!("{prefix}phi.{k}");
        if !w.has(&name) {
            break;
        }
        // A feature each, so that there are as many numbers as their sum says.
        count += match *w.shape(&name)? {
            [rows] if rows == d => 1,
            [rows, length] if rows == d => length,
            ref shape => {
                return w.fail(&name, format!("has shape {shape:?} where the base has {d} features"));
            }
        };
    }
    let transformer = transformer(w, &first, count, settings)?;
    let lengths = phi(&transformer);
    // Before there is room for them: a damaged file may ask for any.
    let given = (lengths.iter().enumerate())
        .map(|(k, &length)| w.take(&format!("{prefix}phi.{k}"), &phi_shape(&transformer, d, length)))
        .collect::<Result<Vec<_>, Error>>()?;
    let mut rows = vec![0.0; count * d];
    let mut at = 0;
    for (length, given) in lengths.into_iter().zip(given) {
        for (i, v) in given.into_iter().enumerate() {
            rows[i / length * count + at + i % length] = v;
        }
        at += length;
    }
    let bias = by_parameter(&rows, 1, d, &places(&transformer));
    let layer = GeneralCoupling {
        dim: d,
        moved: (0..d).collect(),
        hidden: Vec::new(),
        activation: settings.activation(),
        residual: false,
        transformer,
    };
    Ok(Part { layer: layer.into(), parameters: vec![Vec::new(), bias] })
}

/// A tensor to write.
struct Out {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// A flow of couplings and autoregressive layers in zuko's parametrisation as the bytes of a `state_dict`, with zuko's names.
///
/// An elementwise affine layer at the end becomes the base's mean and scale. What configuration the weights do not hold
/// (`bound`, `slope`, the activation) has to be given to zuko as the model has it.
///
/// # Errors
/// [`Error::Beyond`] with a base other than the standard normal, or a dequantiser; [`Error::NoCounterpart`] at the first layer that zuko has no
/// transform for.
pub fn export<T: Real>(flow: &Flow<T>) -> Result<Vec<u8>, Error> {
    let beyond = |part, remedy| Err(Error::Beyond { library: "zuko", part, remedy });
    if !flow.base().is_standard() {
        return beyond("base", "export one of the standard normal base");
    }
    if !flow.dequantize().is_none() {
        return beyond("dequantiser", "export one that was trained without --dequantize");
    }
    let d = flow.dim();
    let (mut loc, mut scale) = (vec![0.0; d], vec![1.0; d]);
    let mut out: Vec<Out> = Vec::new();
    for (k, layer) in flow.layers().iter().enumerate() {
        let own = &flow.parameters()[flow.parameters_of(k)];
        let data: Vec<Vec<f64>> = own.iter().map(|p| p.data.iter().map(|v| v.f64()).collect()).collect();
        let prefix = format!("transform.transforms.{k}.");
        let fail = |reason| Error::NoCounterpart { library: "zuko", layer: k, kind: layer.kind(), reason };
        match layer {
            Layer::GeneralCoupling(c) if is_plain(&c.transformer, c.residual) && c.moved.len() == d => {
                put_elementwise::<T>(&mut out, &prefix, &data[data.len() - 1], d, &c.transformer);
            }
            // The parameters of a single column see nothing: they are the last bias.
            Layer::Autoregressive(a) if is_plain(&a.transformer, a.residual) && !a.inverse && d == 1 => {
                let bias = &data[2 * a.hidden.len() + 1];
                put_elementwise::<T>(&mut out, &prefix, bias, d, &a.transformer);
            }
            Layer::GeneralCoupling(c) if is_plain(&c.transformer, c.residual) => {
                let mask = (0..d).map(|j| u8::from(!c.moved.contains(&j))).collect();
                out.push(Out {
                    name: format!("{prefix}mask"),
                    dtype: Dtype::BOOL,
                    shape: vec![d],
                    bytes: mask,
                });
                let widths = widths(own);
                put_network::<T>(&mut out, &prefix, &data, &widths, c.moved.len(), &places(&c.transformer));
            }
            Layer::Autoregressive(a) if is_plain(&a.transformer, a.residual) && !a.inverse => {
                let order = a.order.iter().flat_map(|&p| (p as i64).to_le_bytes()).collect();
                out.push(Out {
                    name: format!("{prefix}order"),
                    dtype: Dtype::I64,
                    shape: vec![d],
                    bytes: order,
                });
                let widths = widths(own);
                put_network::<T>(&mut out, &prefix, &data, &widths, d, &places(&a.transformer));
            }
            Layer::ActNorm(_) if k + 1 == flow.layers().len() => {
                scale = data[0].iter().map(|l| (-l).exp()).collect();
                loc = data[1].iter().zip(&scale).map(|(b, s)| -b * s).collect();
                let finite = |v: &f64| T::of(*v).is_finite();
                if !(scale.iter().all(|s| finite(s) && T::of(*s) > T::ZERO) && loc.iter().all(finite)) {
                    return Err(fail("its slopes and shifts make scales and means that are out of range"));
                }
            }
            Layer::GeneralCoupling(_) | Layer::Autoregressive(_) => {
                return Err(fail(
                    "its parametrisation is not zuko's (soft clamps, no residual blocks, not inverse)",
                ));
            }
            _ => return Err(fail("couplings and autoregressive layers alone are exported")),
        }
    }
    for (name, data) in [("base.loc", loc), ("base.scale", scale)] {
        out.push(Out { name: name.into(), dtype: dtype::<T>(), shape: vec![d], bytes: bytes::<T>(&data) });
    }
    let damaged =
        |e: safetensors::SafeTensorError| Error::Damaged { file: "model".into(), problem: e.to_string() };
    let views = out
        .iter()
        .map(|o| Ok((o.name.as_str(), TensorView::new(o.dtype, o.shape.clone(), &o.bytes)?)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(damaged)?;
    safetensors::serialize(views, None).map_err(damaged)
}

/// Whether zuko's networks and parametrisation can say it.
fn is_plain(transformer: &Transformer, residual: bool) -> bool {
    let clamped = match transformer {
        Transformer::Additive | Transformer::Affine { scale: Scale::SoftClamp { .. } } => true,
        Transformer::Spline(s) => matches!(s.logits, Logits::SoftClamp { .. }) && s.bins > 1,
        Transformer::Affine { .. } => false,
    };
    clamped && !residual
}

/// Parameters of columns that no network gives, parameter by parameter, as `phi.k`.
fn put_elementwise<T: Real>(
    out: &mut Vec<Out>,
    prefix: &str,
    bias: &[f64],
    columns: usize,
    transformer: &Transformer,
) {
    let rows = by_column(bias, 1, columns, &places(transformer));
    let (count, mut at) = (transformer.parameters(), 0);
    for (k, length) in phi(transformer).into_iter().enumerate() {
        let data: Vec<f64> =
            rows.chunks_exact(count).flat_map(|row| &row[at..at + length]).copied().collect();
        out.push(Out {
            name: format!("{prefix}phi.{k}"),
            dtype: dtype::<T>(),
            shape: phi_shape(transformer, columns, length),
            bytes: bytes::<T>(&data),
        });
        at += length;
    }
}

/// Widths of all layers of a network, from its weights.
fn widths<T>(parameters: &[crate::flow::Parameter<T>]) -> Vec<usize> {
    let weights: Vec<_> = parameters.iter().filter(|p| p.name.contains("weight")).collect();
    weights.first().map(|p| p.cols).into_iter().chain(weights.iter().map(|p| p.rows)).collect()
}

/// The network's weights, biases and masks, the last layer's rows column by column.
fn put_network<T: Real>(
    out: &mut Vec<Out>,
    prefix: &str,
    data: &[Vec<f64>],
    widths: &[usize],
    columns: usize,
    places: &[usize],
) {
    let layers = widths.len() - 1;
    let masks = data.len() > 2 * layers;
    for k in 0..layers {
        let (rows, cols) = (widths[k + 1], widths[k]);
        let ordered = |data: &[f64], width: usize| {
            if k + 1 == layers { by_column(data, width, columns, places) } else { data.to_vec() }
        };
        let mut put = |name: &str, dtype, shape: Vec<usize>, bytes: Vec<u8>| {
            out.push(Out { name: format!("{prefix}hyper.{}.{name}", 2 * k), dtype, shape, bytes });
        };
        put("weight", dtype::<T>(), vec![rows, cols], bytes::<T>(&ordered(&data[2 * k], cols)));
        put("bias", dtype::<T>(), vec![rows], bytes::<T>(&ordered(&data[2 * k + 1], 1)));
        if masks {
            let mask = ordered(&data[2 * layers + k], cols).into_iter().map(|m| u8::from(m != 0.0)).collect();
            put("mask", Dtype::BOOL, vec![rows, cols], mask);
        }
    }
}

fn dtype<T: Real>() -> Dtype {
    if size_of::<T>() == 4 { Dtype::F32 } else { Dtype::F64 }
}

fn bytes<T: Real>(data: &[f64]) -> Vec<u8> {
    match dtype::<T>() {
        Dtype::F32 => data.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect(),
        _ => data.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}
