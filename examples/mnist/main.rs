//! A masked autoregressive flow on MNIST, as in its paper (G. Papamakarios, T. Pavlakou, I. Murray, 2017): digits are dequantised anew
//! in each epoch and taken through the logit with `λ = 1e-6`; 50,000 rows are trained on, 10,000 choose the epoch, 10,000 are the test.
//!
//! ```text
//! cargo run --release --example mnist -- FOLDER        # the folder of train-images-idx3-ubyte.gz and t10k-images-idx3-ubyte.gz
//! ```

mod picture;
mod pixels;
mod training;

use clap::Parser;
use eigenflow::flow::{AnyModel, Model};
use pixels::{COLUMNS, Pixels, SIDE};
use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use training::{Settings, fresh, score, train};

/// Trains a masked autoregressive flow on MNIST, scores it on the test rows, and draws from it.
#[derive(Parser)]
struct Arguments {
    /// Folder of train-images-idx3-ubyte.gz and t10k-images-idx3-ubyte.gz
    folder: PathBuf,
    #[command(flatten)]
    settings: Settings,
    /// Go on from this model's weights (with --epochs 0: only score it and draw from it)
    #[arg(long)]
    from: Option<PathBuf>,
    /// Where the weights of the best epoch go
    #[arg(long, default_value = "mnist.safetensors")]
    out: PathBuf,
    /// Where the picture of draws goes
    #[arg(long, default_value = "mnist.png")]
    picture: PathBuf,
    /// Draws along each side of the picture
    #[arg(long, default_value_t = 10)]
    side: usize,
    /// Temperature of the draws' latents
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// Threads [default: one a core]
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global()?;
    let read = |name: &str| Pixels::read(&arguments.folder.join(name).display().to_string());
    let settings = &arguments.settings;
    let load = |path: &Path| AnyModel::load(path).map(|model| model.cast::<f32>().flow);
    let mut flow = arguments.from.as_deref().map(load).transpose()?;
    if settings.epochs > 0 || flow.is_none() {
        let (training, valid) = read("train-images-idx3-ubyte.gz")?.split(10_000, settings.rows);
        println!("{} rows to train on, {} to validate", training.rows(), valid.rows());
        let mut fitted = flow.take().map_or_else(|| fresh(&training, settings), Ok)?;
        train(&mut fitted, &training, &valid, settings, &mut |epoch, flow| {
            println!("{epoch}");
            if epoch.is_best {
                let columns = (0..COLUMNS).map(|j| format!("r{}c{}", j / SIDE, j % SIDE)).collect();
                let record = serde_json::json!({ "data": "mnist", "epoch": epoch.number, "valid-nll": epoch.valid.mean });
                let model = Model { flow: flow.clone(), columns, record: Some(record) };
                model.save(&arguments.out)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        flow = Some(load(&arguments.out)?);
    }
    let Some(flow) = flow else { return Ok(()) };
    let test = read("t10k-images-idx3-ubyte.gz")?;
    let (nats, bits) = score(&flow, &test, settings.seed)?;
    println!(
        "test: log-likelihood {:.2} +- {:.2} nats in logit space, {:.4} +- {:.4} bits per dimension",
        -nats.mean, nats.error, bits.mean, bits.error
    );
    let count = arguments.side * arguments.side;
    let draws = flow.cast::<f64>().sample(count, arguments.temperature, settings.seed)?;
    picture::write(&arguments.picture, &draws, arguments.side)?;
    println!("draws: {}", arguments.picture.display());
    Ok(())
}
