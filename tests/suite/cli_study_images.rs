//! `study digits` and `study mnist`: figures, pictures, files and refusals.

use crate::cli_support::Room;
use eigenflow::components::{Walk, traverse, traverse_leading};
use eigenflow::flow::{Flow, bijections::SCurveTube};
use eigenflow_linalg::Matrix;
use serde_json::Value;

/// What every study of images finds and writes; `side` pixels along a side.
fn complete(room: &Room, side: usize, found: &Value) {
    let d = side * side;
    let of = |v: &Value| v.as_f64().unwrap_or_else(|| panic!("{v} in {found}"));
    let scales = &found["local_standard_deviations"];
    for quantile in ["5%", "50%", "95%"] {
        let all: Vec<f64> = scales[quantile].as_array().unwrap().iter().map(of).collect();
        assert_eq!(all.len(), d);
        // Quantiles of sorted rows are sorted; the penalty's noise bounds them from below, but for what training changes.
        assert!(all.is_sorted_by(|a, b| a >= b) && all[d - 1] > 0.05, "{all:?}");
    }
    assert!(of(&found["leading_axes"]["largest_relative_residual"]) <= 1e-6);
    assert_eq!(found["effective_dimension"].as_object().unwrap().len(), 10);
    let conditions = found["condition"]["quantiles"].as_object().unwrap();
    assert!(of(&conditions["5%"]) >= 1.0 && of(&conditions["5%"]) <= of(&conditions["95%"]));
    for level in found["denoising"].as_array().unwrap() {
        let [noisy, linear, flow] = ["psnr_noisy", "psnr_linear", "psnr_flow"].map(|k| of(&level[k]["mean"]));
        // Noise of a known size: its PSNR is known, within five standard errors of D rows of draws.
        let known = -20.0 * of(&level["noise"]).log10();
        let error = of(&level["psnr_noisy"]["standard_error"]);
        assert!((noisy - known).abs() < 5.0 * error + 10.0 / d as f64, "{noisy} {known} {error}");
        assert!(linear > noisy + 1.0 && flow > noisy + 1.0, "{level}");
        assert!((flow - linear - of(&level["gain_of_flow"]["mean"])).abs() < 1e-9);
    }
    let images = room.array("out/axes.npz:images");
    assert_eq!(images.shape[0], 11);
    assert_eq!(images.shape[2..], [side, side]);
    // Axes have length one, and the number below is the local standard deviation.
    let axis = &images.data[d..2 * d];
    assert!((axis.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-9);
    let below = room.array("out/axes.npz:values").data;
    assert!((below[1] - of(&found["leading_axes"]["scales"][0][0])).abs() < 1e-12);
    assert!(below[0].is_nan());
    for name in ["axes", "draws", "walk-1", "walk-2", "walk-3", "denoised", "scree"] {
        let text = String::from_utf8(room.read(&format!("out/{name}.svg"))).unwrap();
        assert!(roxmltree::Document::parse(&text).is_ok(), "{name}");
        assert!(room.has(&format!("out/{name}.npz")));
    }
}

/// From one command, with figures that hang together; `--keep` takes the models that are there and prints the same.
#[test]
fn the_study_of_digits_runs() {
    let room = Room::new();
    let text = room.ok("study digits --out out --quick --quiet");
    for part in ["64 pixels", "local standard deviations", "condition", "effective dimension", "gain of flow"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let found: Value = serde_json::from_slice(&room.read("out/findings.json")).unwrap();
    complete(&room, 8, &found);
    assert_eq!(text, room.ok("study digits --out out --quick --keep --quiet --threads 1"));
    assert_eq!(found, room.json("study digits --out out --quick --keep --quiet"));
    // The models are models.
    assert!(room.ok("inspect out/axes.safetensors").contains("coupling"));
    room.says(
        "study mnist --data builtin:magic --label 0 --out out --quick",
        2,
        &["square images of whole numbers"],
    );
}

#[test]
fn what_is_wrong_is_said() {
    let room = Room::new();
    room.says(
        "study mnist --out out",
        2,
        &["--data FOLDER", "train-images-idx3-ubyte.gz", "https://", "study digits"],
    );
    room.says("study digits --data x --out out", 2, &["--data: goes with the studies mnist"]);
    std::fs::create_dir(room.path("empty")).unwrap();
    room.says("study mnist --data empty --out out", 2, &["empty", "there is no train-images-idx3-ubyte"]);
    room.says("study mnist --data builtin:two-moons --out out", 2, &["--label"]);
    let rows: Vec<String> = (0..60).map(|i| format!("{i},1,2,0.5,{}", i % 2)).collect();
    room.write("flat.csv", format!("a,b,c,d,digit\n{}\n", rows.join("\n")));
    room.says("study mnist --data flat.csv --label digit --out out", 2, &["0.5 is no level"]);
    room.write("file", "x");
    room.says("study digits --quick --out file/x", 3, &["--out file/x"]);
}

/// MNIST itself, few rows: EIGENFLOW_DATA names the folder above `mnist`.
#[test]
fn the_study_of_mnist_runs() {
    let Ok(folder) = std::env::var("EIGENFLOW_DATA") else {
        println!("skipped: EIGENFLOW_DATA is not set");
        return;
    };
    let room = Room::new();
    let found = room.json(&format!("study mnist --data {folder}/mnist --out out --quick --quiet"));
    complete(&room, 28, &found);
}

/// On the tube the matrix-free walk is the dense one, within the tolerance of both, and exact along the arc.
#[test]
fn leading_walks_are_the_dense_ones() {
    let flow = Flow::<f64>::new(vec![SCurveTube::new(1.4, 0.1).into()], 0, 0).unwrap();
    let z = Matrix::new(2, 3, vec![0.3, 0.2, -0.4, -1.0, 0.8, 0.5]);
    let x = flow.generate(&z).unwrap();
    for component in 0..2 {
        let walk = Walk { component, reach: 0.6, points: 3, tolerance: 1e-6 };
        let dense = traverse(&flow, &x, &walk).unwrap();
        let leading = traverse_leading(&flow, &x, &walk, 2, 0).unwrap();
        assert_eq!(dense.positions, leading.positions);
        assert_eq!(dense.reached, leading.reached);
        let gap = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(gap(dense.points.data(), leading.points.data()) < 1e-5);
        assert!(gap(dense.axes.data(), leading.axes.data()) < 1e-4);
        assert!(gap(dense.scales.data(), leading.scales.data()) < 1e-5);
        // A walk along another component is another walk.
        let other = Walk { component: 1 - component, ..walk };
        let other = traverse_leading(&flow, &x, &other, 2, 0).unwrap();
        assert!(gap(dense.points.data(), other.points.data()) > 0.02);
    }
    let walk = Walk { component: 2, reach: 0.6, points: 3, tolerance: 1e-6 };
    assert!(traverse_leading(&flow, &x, &walk, 2, 0).is_err());
}
