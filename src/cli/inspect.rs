//! `inspect MODEL`.

use super::failure::Failure;
use super::output::{number, print, print_json};
use super::session::Session;
use crate::data::Element;
use crate::flow::{AnyModel, Bijection, Dequantize, Flow, Model, Way};
use crate::jacobian::condition_numbers;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::PathBuf;

/// Options of `inspect`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model
    model: PathBuf,
}

/// Samples of the model at which its condition is looked at.
const SAMPLES: usize = 256;

/// Condition numbers of `J` over samples of the model.
struct Condition {
    median: f64,
    p99: f64,
    max: f64,
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    match s.model(&a.model)? {
        AnyModel::F32(model) => inspect(s, a, &model),
        AnyModel::F64(model) => inspect(s, a, &model),
    }
}

fn inspect<T: Element>(s: &Session, a: &Arguments, model: &Model<T>) -> Result<(), Failure> {
    let file = a.model.display().to_string();
    let condition = condition(&model.flow, s.seed());
    if s.global.json {
        print_json(&as_json(&file, model, &condition))
    } else {
        print(&as_text(&file, model, &condition))
    }
}

fn condition<T: Element>(flow: &Flow<T>, seed: u64) -> Result<Condition, crate::flow::Error> {
    // A conditional model has a condition at each context.
    if !flow.context().is_empty() {
        let reason = "is of a conditional model: it has a condition at each context";
        return Err(crate::flow::Error::Base { family: flow.base().as_str(), reason });
    }
    let x = flow.sample(SAMPLES, 1.0, seed)?;
    let mut values: Vec<f64> =
        condition_numbers(flow, &x)?.into_iter().map(eigenflow_linalg::Real::f64).collect();
    values.sort_by(f64::total_cmp);
    let at = |q: usize| values[(SAMPLES * q).div_ceil(100).saturating_sub(1)];
    Ok(Condition { median: at(50), p99: at(99), max: at(100) })
}

/// Numbers of the parameters of layer `k`.
fn numbers<T: Element>(flow: &Flow<T>, k: usize) -> usize {
    flow.parameters()[flow.parameters_of(k)].iter().map(|p| p.data.len()).sum()
}

fn frozen<T: Element>(flow: &Flow<T>) -> usize {
    flow.parameters().iter().filter(|p| !p.role.is_trained()).map(|p| p.data.len()).sum()
}

fn as_json<T: Element>(
    file: &str,
    model: &Model<T>,
    condition: &Result<Condition, crate::flow::Error>,
) -> Value {
    let flow = &model.flow;
    let layers: Vec<Value> = flow
        .layers()
        .iter()
        .enumerate()
        .map(|(k, layer)| {
            let preprocessing = k < flow.preprocessing();
            let [normalize, generate] = layer.ways();
            json!({
                "layer": layer, "parameters": numbers(flow, k), "preprocessing": preprocessing,
                "normalize": normalize, "generate": generate,
            })
        })
        .collect();
    json!({
        "file": file,
        "format_version": model.format_version(),
        "dtype": T::NAME,
        "dim": flow.dim(),
        "columns": model.columns,
        "base": flow.base(),
        "context": flow.context(),
        "dequantize": flow.dequantize(),
        "layers": layers,
        "trained_parameters": flow.trained(),
        "frozen_parameters": frozen(flow),
        "condition": match condition {
            Ok(c) => json!({ "samples": SAMPLES, "median": number(c.median), "p99": number(c.p99), "max": number(c.max) }),
            Err(e) => json!({ "error": e.to_string() }),
        },
        "record": model.record,
    })
}

/// A line a layer, and what the ways of computing it cost where they are not formulas alone.
fn layers_text<T: Element>(flow: &Flow<T>, text: &mut String) {
    // Writing into a String cannot fail.
    let _ = writeln!(text, "\nlayer  kind              parameters  normalize    generate");
    for (k, layer) in flow.layers().iter().enumerate() {
        let [normalize, generate] = layer.ways().map(in_words);
        let note = if k < flow.preprocessing() { "  preprocessing" } else { "" };
        let (kind, numbers) = (crate::flow::Layer::kind(layer), numbers(flow, k));
        let line = format!("{k:>5}  {kind:<16}  {numbers:>10}  {normalize:<11}  {generate:<11}{note}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let any = |way| flow.layers().iter().any(|layer| layer.ways().contains(&way));
    if any(Way::Sequential) {
        let _ =
            writeln!(text, "sequential: column after column, at most {} passes of the network", flow.dim());
    }
    if any(Way::Numeric) {
        let _ = writeln!(text, "numeric: solves an equation a row, to a few roundings");
    }
}

fn in_words(way: Way) -> &'static str {
    match way {
        Way::ClosedForm => "closed form",
        Way::Sequential => "sequential",
        Way::Numeric => "numeric",
    }
}

fn as_text<T: Element>(
    file: &str,
    model: &Model<T>,
    condition: &Result<Condition, crate::flow::Error>,
) -> String {
    let flow = &model.flow;
    let mut text = String::new();
    // Writing into a String cannot fail.
    let format = model.format_version();
    let _ = writeln!(text, "{file}: {}, {} columns, model format {format}", T::NAME, flow.dim());
    let _ = writeln!(text, "columns: {}", model.columns.join(", "));
    for v in flow.context() {
        let what = if v.levels.is_empty() {
            "a number".to_owned()
        } else {
            format!("one of {}", v.levels.join(", "))
        };
        let _ = writeln!(text, "context: {}, {what}", v.name);
    }
    match flow.dequantize() {
        Dequantize::None => {}
        Dequantize::Uniform => text.push_str("of whole numbers, dequantised uniformly\n"),
        Dequantize::Variational { .. } => {
            text.push_str("of whole numbers, dequantised by a flow of its own\n");
        }
    }
    if !flow.base().is_standard() {
        let _ = writeln!(text, "base: {}", flow.base().as_str());
    }
    let _ = writeln!(text, "parameters: {} trained, {} frozen", flow.trained(), frozen(flow));
    layers_text(flow, &mut text);
    let _ = match condition {
        Ok(c) => writeln!(
            text,
            "\ncondition of J over {SAMPLES} samples of the model: median {:.3e}, 99 % {:.3e}, largest {:.3e}",
            c.median, c.p99, c.max
        ),
        Err(e) => writeln!(text, "\ncondition of J: not available, the model cannot be sampled ({e})"),
    };
    let Some(record) = &model.record else {
        text.push_str("\nno training record\n");
        return text;
    };
    text.push_str("\ntraining record\n");
    let epochs = record.get("epochs").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (key, value) in record.as_object().into_iter().flatten().filter(|(key, _)| *key != "epochs") {
        let _ = writeln!(text, "  {key}: {value}");
    }
    let _ = writeln!(text, "  epochs: {}", epochs.len());
    if let Some(last) = epochs.last() {
        let _ = writeln!(text, "  last epoch: {last}");
    }
    text
}
