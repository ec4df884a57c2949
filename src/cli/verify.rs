//! `verify [DATA]`.

use super::failure::Failure;
use super::session::Session;
use super::settings::WithFile;
use std::path::PathBuf;

/// Options of `verify`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The rows [default: the embedded sets; with --model the model's own samples]
    pub data: Option<String>,
    /// Check this model instead of training one
    #[arg(long, value_name = "MODEL")]
    pub model: Option<PathBuf>,
    /// Check these claims only, comma separated [default: all that apply]
    #[arg(long, value_name = "L1,G1", value_delimiter = ',')]
    pub claims: Option<Vec<String>>,
    /// Count undecided claims as failures
    #[arg(long)]
    pub strict: bool,
    /// Fewer points and draws, at the same false-alarm rate
    #[arg(long)]
    pub quick: bool,
    /// Folder for report.html, report.json and model.safetensors [default: none is written]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub settings: WithFile,
}

/// Refused until the checks are wired to data.
pub(crate) fn run(_s: &Session, _a: &Arguments) -> Result<(), Failure> {
    Err(Failure::Input("verify: not part of this build".to_owned()))
}
