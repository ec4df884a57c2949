//! `data NAME -n N` and `data --list`.

use super::failure::Failure;
use super::output::{Out, number, print, print_json};
use super::session::{Dtype, Session};
use crate::data::builtin::{Listing, list};
use crate::data::{Array, Source};
use serde_json::{Value, json};
use std::fmt::Write;

/// Options of `data`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Name of a built-in set
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// Parameters of the set, as --list shows them: noise=0.1
    #[arg(value_name = "KEY=VALUE")]
    parameters: Vec<String>,
    /// List the sets, their parameters and what is known about them
    #[arg(long, conflicts_with_all = ["name", "n"])]
    list: bool,
    /// Number of rows [default: the set's own]
    #[arg(short, value_name = "N")]
    n: Option<u64>,
    #[command(flatten)]
    out: Out,
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    let Some(name) = &a.name else {
        let sets = list();
        return if s.global.json { print_json(&as_json(&sets)) } else { print(&as_text(&sets)) };
    };
    let mut parameters = a.parameters.clone();
    parameters.extend(a.n.map(|n| format!("n={n}")));
    parameters.extend(s.global.seed.map(|seed| format!("seed={seed}")));
    let name = name.strip_prefix("builtin:").unwrap_or(name);
    let join = if name.contains('?') { "&" } else { "?" };
    let source: Source = format!("builtin:{name}{join}{}", parameters.join("&")).parse()?;
    let table = source.load(&s.selection())?;
    a.out.check(&[&[table.rows(), table.cols()]])?;
    if s.global.dtype == Some(Dtype::F32) {
        let rows = table.cast::<f32>()?;
        return a.out.emit(s, &[Array::matrix("x", &rows).with_columns(&table.names)]);
    }
    a.out.emit(s, &[Array::table("x", &table)])
}

fn as_text(sets: &[Listing]) -> String {
    let mut text = String::new();
    for set in sets {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{}\n  {}", set.name, set.summary);
        let _ = write!(text, "  {} rows, {} columns", set.rows, set.dimension);
        if let Some(d) = set.intrinsic_dimension {
            let _ = write!(text, ", intrinsic dimension {d}");
        }
        if let Some(h) = set.entropy {
            let _ = write!(text, ", entropy {h:.4} nats");
        }
        text.push('\n');
        for (parameter, meaning) in &set.parameters {
            let _ = writeln!(text, "  {parameter:<14} {meaning}");
        }
        if let Some(licence) = set.licence {
            let _ = writeln!(text, "  {licence}");
        }
        text.push('\n');
    }
    text
}

fn as_json(sets: &[Listing]) -> Value {
    let sets: Vec<Value> = sets
        .iter()
        .map(|set| {
            let parameters: Vec<Value> = set
                .parameters
                .iter()
                .map(|(p, meaning)| {
                    let (name, default) = p.split_once('=').unwrap_or((p, ""));
                    json!({ "name": name, "default": default, "meaning": meaning })
                })
                .collect();
            json!({
                "name": set.name, "summary": set.summary, "parameters": parameters, "rows": set.rows,
                "dimension": set.dimension, "intrinsic_dimension": set.intrinsic_dimension,
                "entropy": set.entropy.map(number), "licence": set.licence,
            })
        })
        .collect();
    json!({ "sets": sets })
}
