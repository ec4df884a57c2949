//! The MNIST example, small: EIGENFLOW_DATA names the folder above `mnist`.

#[path = "../../examples/mnist/picture.rs"]
mod picture;
#[path = "../../examples/mnist/pixels.rs"]
mod pixels;
#[path = "../../examples/mnist/training.rs"]
mod training;

use clap::{Args, Command, FromArgMatches};
use eigenflow::flow::Flow;
use eigenflow_linalg::Matrix;
use pixels::{COLUMNS, LAMBDA, LEVELS, Pixels};
use std::ops::ControlFlow;
use training::{Settings, bits_per_dimension, fresh, score, train};

/// The example's settings, with some of its options.
fn settings(options: &[&str]) -> Settings {
    let command = Settings::augment_args(Command::new("mnist").no_binary_name(true));
    Settings::from_arg_matches(&command.get_matches_from(options)).unwrap()
}

fn digits() -> Option<Pixels> {
    let Ok(folder) = std::env::var("EIGENFLOW_DATA") else {
        println!("skipped: EIGENFLOW_DATA is not set");
        return None;
    };
    Some(Pixels::read(&format!("{folder}/mnist/t10k-images-idx3-ubyte.gz")).unwrap())
}

/// One epoch on 2,000 rows: better than independent normal columns, on rows it has not seen, by far more than the standard error. The
/// flow's own density of pixels, in bits, is the paper's conversion, and draws lie in the box.
#[test]
fn one_epoch_beats_independent_columns() {
    let Some(digits) = digits() else { return };
    let (training, valid) = digits.split(500, 2000);
    assert_eq!((training.rows(), valid.rows()), (2000, 500));
    let settings =
        settings(&["--hidden", "256", "--layers", "3", "--epochs", "1", "--batch", "20", "--lr", "0.003"]);
    let mut flow = fresh(&training, &settings).unwrap();
    let columns = score(&flow.part(0..2).unwrap(), &valid, 1).unwrap().0;
    let mut epochs = Vec::new();
    train(&mut flow, &training, &valid, &settings, &mut |epoch, _| {
        epochs.push(epoch.valid.mean);
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    let (nats, bits) = score(&flow, &valid, 1).unwrap();
    println!(
        "independent columns {:.1} nats, one epoch {:.1} +- {:.1} nats, {:.3} bits",
        columns.mean, nats.mean, nats.error, bits.mean
    );
    assert_eq!(epochs.len(), 1);
    // The epoch's score is that of other noise.
    assert!((epochs[0] - nats.mean).abs() < 4.0 * nats.error, "{} {}", epochs[0], nats.mean);
    assert!(nats.mean < columns.mean - 4.0 * nats.error.hypot(columns.error));

    let draws = flow.cast::<f64>().sample(4, 0.9, 3).unwrap();
    assert!(draws.data().iter().all(|v| (-1e-3..=256.001).contains(v)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("draws.png");
    picture::write(&path, &draws, 2).unwrap();
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&path).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut grey = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut grey).unwrap();
    assert_eq!(grey.len(), 56 * 56);
    // Row 29 of the picture, column 28, is row 1, column 0 of the fourth draw.
    assert_eq!(grey[29 * 56 + 28], draws[(3, 28)].clamp(0.0, 255.0).floor() as u8);
}

/// Uniform noise is another one in each draw, and logits lie between those of `λ` and `1 - λ`.
#[test]
fn pixels_are_dequantised_anew() {
    let Some(digits) = digits() else { return };
    let rows = |draw| {
        let mut out = vec![0.0; 3 * COLUMNS];
        digits.logits(&[0, 5, 9], 1, draw, |_, v| v as f32, &mut out);
        out
    };
    let (a, b) = (rows(1), rows(2));
    assert_eq!(a, rows(1));
    assert!(a.iter().zip(&b).filter(|(a, b)| a.to_bits() == b.to_bits()).count() < COLUMNS / 10);
    let edge = ((1.0 - LAMBDA) / LAMBDA).ln() as f32;
    assert!(a.iter().chain(&b).all(|v| v.abs() <= edge));
}

/// By hand: a model whose density of logits is that of a logistic variable has uniform pixels, so 8 bits for `λ = 0`; and the paper's
/// conversion is the log-density of pixels in `[0, 256]`, in bits.
#[test]
fn bits_per_dimension_are_those_of_pixels() {
    let logits = [-3.0_f32, 0.0, 0.5, 11.0];
    // log of the logistic density: log σ(x) + log(1 - σ(x))
    let log_p: f64 =
        logits.iter().map(|&x| -f64::from(x).abs() - 2.0 * (-f64::from(x).abs()).exp().ln_1p()).sum();
    assert!((bits_per_dimension(log_p, &logits) - 8.0 + (1.0 - 2.0 * LAMBDA).log2()).abs() < 1e-12);

    let Some(digits) = digits() else { return };
    let (training, _) = digits.split(9_900, 100);
    let flow: Flow<f64> = fresh(&training, &settings(&["--hidden", "8", "--layers", "2"])).unwrap().cast();
    let x = Matrix::from_fn(3, COLUMNS, |i, j| ((i * 131 + j * 37) % 256) as f64 + 0.25);
    let of_pixels = flow.log_density(&x).unwrap();
    let logit = |x: f64| {
        let u = LAMBDA + (1.0 - 2.0 * LAMBDA) * x / LEVELS;
        (u / (1.0 - u)).ln()
    };
    let layers = 1..flow.layers().len();
    let y = x.map(logit);
    let of_logits =
        flow.run(&y, |params, y| vec![flow.record_log_density(params, y, layers.clone())]).unwrap();
    for i in 0..3 {
        let row: Vec<f32> = y.row(i).iter().map(|&v| v as f32).collect();
        let bits = bits_per_dimension(of_logits[0][i], &row);
        let direct = -of_pixels[i] / (COLUMNS as f64 * std::f64::consts::LN_2);
        // Logits are single precision in the conversion.
        assert!((bits - direct).abs() < 1e-6, "{bits} {direct}");
    }
}
