//! `dimension MODEL DATA`: tables, JSON, files and refusals.

use crate::cli_support;
use cli_support::Room;

const PLANE: &str = "builtin:subspace?n=1200&dim=2&columns=5&noise=0.001";

/// A linear model of a plane in five columns.
fn room() -> Room {
    let room = Room::new();
    room.ok(&format!(
        "train {PLANE} --out m.safetensors --flow affine --preprocess none --alpha 0.005 --epochs 1"
    ));
    room
}

#[test]
fn a_plane_has_two_dimensions() {
    let room = room();
    let found = room.json(&format!("dimension m.safetensors {PLANE} --train --out d.npz --plot d.svg"));
    assert_eq!(
        (&found["dimension"], &found["columns"], &found["by"]),
        (&2.into(), &5.into(), &"alpha".into())
    );
    let estimators = found["estimators"].as_array().unwrap();
    let names: Vec<&str> = estimators.iter().map(|e| e["estimator"].as_str().unwrap()).collect();
    assert_eq!(names, ["effective-dimension", "onset", "lidl", "flipd", "local-pca", "two-nn"]);
    for e in &estimators[..5] {
        assert_eq!(e["plateau"]["dimension"], 2, "{e}");
    }
    assert_eq!(estimators[0]["scales"].as_array().unwrap().len(), 7);
    assert_eq!(estimators[1]["scales"].as_array().unwrap().len(), 6);
    // The arrays, beside the picture too.
    for file in ["d.npz", "d.npz"] {
        assert_eq!(room.array(&format!("{file}:effective_dimension_means")).shape, [7]);
        assert_eq!(room.array(&format!("{file}:lidl_rows")).shape, [6, 120]);
        assert_eq!(room.array(&format!("{file}:two_nn_errors")).shape.len(), 1);
    }
    let means = room.array("d.npz:flipd_means").data;
    let rows = room.array("d.npz:flipd_rows").data;
    assert!((rows[..120].iter().sum::<f64>() / 120.0 - means[0]).abs() < 1e-9);
    let svg = String::from_utf8(room.read("d.svg")).unwrap();
    assert!(roxmltree::Document::parse(&svg).is_ok(), "well-formed");
    for part in ["FLIPD", "TwoNN", "plateau at 2", "training units"] {
        assert!(svg.contains(part), "{part}");
    }
    let text =
        room.ok(&format!("dimension m.safetensors {PLANE} --train --by noise --estimators lidl,flipd"));
    assert!(text.contains("intrinsic dimension 2 of 5 columns"), "{text}");
    assert!(text.contains("LIDL") && !text.contains("TwoNN"), "{text}");
}

#[test]
fn a_model_alone_has_one_scale() {
    let room = room();
    let found = room.json(&format!("dimension m.safetensors {PLANE}"));
    assert!(found["dimension"].is_null() && found["call"].as_str().unwrap().contains("single scale"));
    let estimators = found["estimators"].as_array().unwrap();
    assert_eq!(estimators.len(), 4);
    // √(2 · 0.005)
    assert!((estimators[0]["scales"][0].as_f64().unwrap() - 0.1).abs() < 1e-12);
    let other =
        room.json(&format!("dimension m.safetensors {PLANE} --scales 0.05 --points projected --rows 50"));
    assert_eq!(other["estimators"][0]["scales"][0], 0.05);
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let room = room();
    for threads in ["1", "2"] {
        room.ok(&format!("dimension m.safetensors {PLANE} --train --threads {threads} --out d{threads}.npz"));
    }
    for key in ["flipd_rows", "onset_rows", "local_pca_rows", "two_nn_means", "lidl_means"] {
        assert_eq!(
            room.array(&format!("d1.npz:{key}")).data,
            room.array(&format!("d2.npz:{key}")).data,
            "{key}"
        );
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let room = room();
    let says = |options: &str, parts: &[&str]| {
        room.says(&format!("dimension m.safetensors {PLANE} {options}"), 2, parts);
    };
    says("--estimators fractal", &["fractal", "two-nn"]);
    says("--estimators lidl", &["lidl", "--train"]);
    says("--scales 0.1,0.2", &["--train"]);
    says("--train --scales 0.1,0.1", &["once"]);
    says("--train --scales 0.1,-0.2", &["-0.2", "positive"]);
    says("--scales nan", &["positive"]);
    says("--rows 1", &["--rows"]);
    says("--noise-std -1", &["--noise-std"]);
    says("--out d.npy", &[".npz"]);
    says("--plot d.png", &[".svg"]);
    says("--epochs 3", &["--train"]);
    says("--train --lr 0", &["--lr"]);
    room.says("dimension m.safetensors builtin:s-curve?n=50", 2, &["5 columns", "3"]);
    room.says("dimension m.safetensors builtin:subspace?n=1&columns=5", 2, &["two rows"]);
    room.ok("train builtin:s-curve?n=100 --out p.safetensors --flow affine --epochs 1");
    room.says(
        "dimension p.safetensors builtin:s-curve?n=50",
        2,
        &["no scale of its own", "--scales", "--train"],
    );
    let text = room.ok("dimension p.safetensors builtin:s-curve?n=600 --estimators local-pca");
    assert!(text.contains("undecided: no estimator that reads models"), "{text}");
    let text = room.ok(&format!("dimension m.safetensors {PLANE} --train --noise-std 0.3"));
    assert!(text.contains("undecided: none of the scales is in the rule's window, from 1.342"), "{text}");
    room.says("data subspace dim=9 columns=3 -n 5", 2, &["at least 9"]);
}

/// The study runs from one command; planes are called rightly however short it is, for linear flows go to their optimum.
#[test]
fn the_study_of_dimensions_runs() {
    let room = Room::new();
    let text = room.ok("study dimension --out study --quick --quiet");
    let found: serde_json::Value = serde_json::from_slice(&room.read("study/findings.json")).unwrap();
    let sets = found["sets"].as_array().unwrap();
    assert_eq!(sets.len(), 11);
    for set in sets.iter().filter(|set| set["set"].as_str().unwrap().starts_with("subspace")) {
        assert_eq!(set["called"], set["dimension"], "{set}");
    }
    for name in ["s-curve.svg", "sphere-dim-5.npz", "subspace-dim-10-columns-100.svg", "report.html"] {
        assert!(room.has(&format!("study/{name}")), "{name}");
    }
    let page = String::from_utf8(room.read("study/report.html")).unwrap();
    assert!(page.matches("<svg ").count() == 11 && page.contains("Study: intrinsic dimension"));
    assert!(text.contains("mobius-band") && page.contains(&text[..text.find("\n\n").unwrap()]));
}
