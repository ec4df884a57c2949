//! `import LIBRARY WEIGHTS --out MODEL` and `export LIBRARY MODEL --out FILE`.

use super::failure::Failure;
use super::output::{print, print_json};
use super::session::{Session, in_precision};
use crate::data::atomic::write_whole;
use crate::flow::import::{self, Library, Settings};
use crate::flow::{AnyModel, Model};
use eigenflow_linalg::Real;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Options of `import`.
#[derive(clap::Args)]
pub(crate) struct ImportArguments {
    /// Whose weights: zuko (RealNVP, NICE, MAF, NSF) or nflows (RealNVP, MAF, RQ-NSF, LULinear, permutations, batch and
    /// activation normalization)
    library: Given,
    /// The state_dict, as .safetensors
    weights: PathBuf,
    /// TOML file with what weights do not say: bound (of splines: 5 for zuko, 3 for nflows), activation (relu), slope
    /// (zuko, 1e-3), min-bin-width, min-bin-height, min-derivative (nflows, 1e-3), lu-eps (1e-3), batch-norm-eps
    /// (1e-5), residual (nflows' MADE without blocks) [default: the entries of these names in the file's metadata, else those values]
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// The model file, .safetensors
    #[arg(long, value_name = "MODEL")]
    out: PathBuf,
}

/// Options of `export`.
#[derive(clap::Args)]
pub(crate) struct ExportArguments {
    /// In whose names: zuko
    library: Wanted,
    /// The model
    model: PathBuf,
    /// The state_dict, .safetensors
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// A library that is read.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Given {
    /// zuko.
    Zuko,
    /// nflows.
    Nflows,
}

/// A library that is written.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Wanted {
    /// zuko.
    Zuko,
}

/// That a file is named as what it will be.
fn check_name(path: &Path) -> Result<(), Failure> {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors")) {
        return Ok(());
    }
    let file = path.display();
    Err(Failure::Input(format!("--out {file}: what is written is a .safetensors file; name it so")))
}

fn settings(path: Option<&Path>) -> Result<Settings, Failure> {
    let Some(path) = path else { return Ok(Settings::default()) };
    let file = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::Input(format!("--config {file}: cannot be read: {e}")))?;
    toml::from_str(&text)
        .map_err(|e| Failure::Input(format!("--config {file}: {}", e.to_string().trim_end())))
}

pub(crate) fn import(s: &Session, a: &ImportArguments) -> Result<(), Failure> {
    check_name(&a.out)?;
    let library = match a.library {
        Given::Zuko => Library::Zuko,
        Given::Nflows => Library::Nflows,
    };
    let model = import::import(library, &a.weights, &settings(a.config.as_deref())?)?;
    let model = match s.global.dtype {
        None => model,
        Some(dtype) => in_precision(&model, dtype, &a.weights)?,
    };
    match model {
        AnyModel::F32(model) => save(s, a, library, &model),
        AnyModel::F64(model) => save(s, a, library, &model),
    }
}

fn save<T: Real>(
    s: &Session,
    a: &ImportArguments,
    library: Library,
    model: &Model<T>,
) -> Result<(), Failure> {
    model.save(&a.out)?;
    let (out, layers) = (a.out.display().to_string(), model.flow.layers().len());
    let (dim, trained) = (model.flow.dim(), model.flow.trained());
    if s.global.json {
        return print_json(&json!({
            "out": out, "library": library.as_str(), "dtype": T::NAME, "dim": dim, "layers": layers,
            "trained_parameters": trained,
        }));
    }
    print(&format!("{out}: {dim} columns, {layers} layers, {trained} parameters, {}\n", T::NAME))
}

pub(crate) fn export(s: &Session, a: &ExportArguments) -> Result<(), Failure> {
    check_name(&a.out)?;
    let Wanted::Zuko = a.library;
    let bytes = match s.model(&a.model)? {
        AnyModel::F32(model) => import::export_zuko(&model.flow),
        AnyModel::F64(model) => import::export_zuko(&model.flow),
    }
    .map_err(|e| Failure::Input(format!("{}: {e}", a.model.display())))?;
    write_whole(&a.out, |out| out.write_all(&bytes))?;
    let out = a.out.display().to_string();
    if s.global.json {
        return print_json(&json!({ "out": out, "library": "zuko" }));
    }
    print(&format!("{out}: written in zuko's names\n"))
}
