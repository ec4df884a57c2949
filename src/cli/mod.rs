//! The command line: one file a command, which parses, calls and prints.

mod checkpoint;
mod compare;
mod components;
mod config;
mod context;
mod covariance;
mod data;
mod denoise;
mod dimension;
mod failure;
mod generate;
mod import;
mod inspect;
mod interrupt;
mod jacobian;
mod log_prob;
mod normalize;
mod output;
mod parts;
mod plot;
mod progress;
mod reconstruct;
mod report;
mod sample;
mod score;
mod session;
mod settings;
mod stability;
mod study;
mod train;
mod traverse;
mod verify;
mod version;

use clap::{CommandFactory, Parser, Subcommand};
use failure::Failure;
use session::{Global, Session};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

/// Learn a normalizing flow, read the local covariance of the data off its exact Jacobians, and check on
/// the spot that the theory holds for that model.
///
/// DATA is a file (.npy, .npz or FILE.npz:KEY, .csv, .tsv, .idx or *-ubyte, each also with .gz) or a built-in
/// set (builtin:NAME?key=value&..., see `eigenflow data --list`). MODEL is a .safetensors file.
///
/// Exit codes: 0 done; 1 the answer is no (a claim fails, a guard stopped training); 2 the input is at fault;
/// 3 output could not be written; 130 interrupted.
#[derive(Parser)]
#[command(name = "eigenflow", version = version::text(), subcommand_required = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take or train a model, and check every claim that applies: the main job
    Verify(verify::Arguments),
    /// Fit a flow by maximum likelihood
    Train(train::Arguments),
    /// Held-out negative log-likelihood, with its standard error
    Score(score::Arguments),
    /// Log-density of each row, in nats: (N,)
    LogProb(log_prob::Arguments),
    /// Data to latents: (N, D)
    Normalize(normalize::Arguments),
    /// Latents to data: (N, D)
    Generate(generate::Arguments),
    /// Draws from a model: (N, D)
    Sample(sample::Arguments),
    /// Exact Jacobians: (N, D, D), entry [n, i, j] = d out_i / d in_j
    Jacobian(jacobian::Arguments),
    /// Eigendecomposition of the local covariance of each row, largest first
    Covariance(covariance::Arguments),
    /// Un-whitened components of each row, with their scales, axes and significance
    Components(components::Arguments),
    /// Intrinsic dimension of the data at a scale, by six estimators with error bars
    Dimension(dimension::Arguments),
    /// Walk along a component from each row, following the local axis as it turns
    Traverse(traverse::Arguments),
    /// Rows from their leading components, with the predicted and the measured error
    Reconstruct(reconstruct::Arguments),
    /// Take the noise out of rows (Tweedie): h + 2 alpha grad log p(h) in training units
    Denoise(denoise::Arguments),
    /// A worked study, remade: models, figures and pictures of data whose geometry is known
    Study(study::Arguments),
    /// Architecture, parameters, training record and condition of a model
    Inspect(inspect::Arguments),
    /// Another library's weights as a model
    Import(import::ImportArguments),
    /// A model's weights in another library's names
    Export(import::ExportArguments),
    /// A built-in data set as a file, or a list of them
    Data(data::Arguments),
    /// Rebuild the HTML report of a verification from its report.json
    Report(report::Arguments),
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

impl Command {
    /// Whether a conditional model's context can be given to it.
    fn takes_context(&self) -> bool {
        !matches!(
            self,
            Self::Inspect(_)
                | Self::Import(_)
                | Self::Export(_)
                | Self::Data(_)
                | Self::Report(_)
                | Self::Study(_)
                | Self::Other(_)
        )
    }
}

/// Runs the command line of this process; gives its exit code.
pub fn main() -> ExitCode {
    match parsed().and_then(|cli| cli.map_or_else(|error| usage(&error), |cli| run(&cli))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// The options of the command line, and of the file that it names.
fn parsed() -> Result<Result<Cli, clap::Error>, Failure> {
    let given: Vec<OsString> = std::env::args_os().collect();
    let command = Cli::command();
    let (all, file) = config::with_file(&command, given.clone())?;
    Ok(Cli::try_parse_from(all).map_err(|error| match &file {
        Some(file) => config::blame(&command, &given, file, &error),
        None => error,
    }))
}

fn run(cli: &Cli) -> Result<(), Failure> {
    interrupt::install();
    let session = Session::new(&cli.global)?;
    // By a thread of the pool: one from outside would sleep while a training step runs, and be woken after it.
    rayon::scope(|_| command(&session, cli))
}

fn command(s: &Session, cli: &Cli) -> Result<(), Failure> {
    if s.global.context.is_some() && !cli.command.takes_context() {
        return Err(Failure::Input(
            "--context: goes with commands that evaluate or train a conditional model".to_owned(),
        ));
    }
    match &cli.command {
        Command::Verify(a) => verify::run(s, a),
        Command::Train(a) => train::run(s, a),
        Command::Score(a) => score::run(s, a),
        Command::LogProb(a) => log_prob::run(s, a),
        Command::Normalize(a) => normalize::run(s, a),
        Command::Generate(a) => generate::run(s, a),
        Command::Sample(a) => sample::run(s, a),
        Command::Jacobian(a) => jacobian::run(s, a),
        Command::Covariance(a) => covariance::run(s, a),
        Command::Components(a) => components::run(s, a),
        Command::Dimension(a) => dimension::run(s, a),
        Command::Traverse(a) => traverse::run(s, a),
        Command::Reconstruct(a) => reconstruct::run(s, a),
        Command::Denoise(a) => denoise::run(s, a),
        Command::Study(a) => study::run(s, a),
        Command::Inspect(a) => inspect::run(s, a),
        Command::Import(a) => import::import(s, a),
        Command::Export(a) => import::export(s, a),
        Command::Data(a) => data::run(s, a),
        Command::Report(a) => report::run(s, a),
        Command::Other(words) => {
            let name = words.first().map(|w| w.to_string_lossy()).unwrap_or_default();
            let command = Cli::command();
            let known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
            Err(Failure::Input(format!("there is no command '{name}'; there are: {}", known.join(", "))))
        }
    }
}

/// Help and version go to standard output, everything else is a usage error.
fn usage(error: &clap::Error) -> Result<(), Failure> {
    if error.use_stderr() {
        return Err(Failure::Input(config::text(error)));
    }
    let styled = error.render();
    let text = if std::io::stdout().is_terminal() { styled.ansi().to_string() } else { styled.to_string() };
    output::print(&text)
}
