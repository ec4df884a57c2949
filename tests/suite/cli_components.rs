//! What a user takes home: path components, tables, pictures, walks, reconstructions, denoising, gauges.

use crate::cli_support::{Room, TINY};
use std::fmt::Write;

const DATA: &str = "builtin:s-curve?n=60&seed=3";

#[test]
fn path_components_are_added_to_the_file() {
    let room = Room::with_model();
    room.ok(&format!("components m.safetensors {DATA} --out y.npz"));
    room.ok(&format!("components m.safetensors {DATA} --top 2 --path --out p.npz"));
    let shape = |name: &str| room.array(name).shape;
    assert_eq!((shape("p.npz:path"), shape("p.npz:path_scales")), (vec![60, 2], vec![60, 2]));
    assert_eq!((shape("p.npz:path_error"), shape("p.npz:path_overlap")), (vec![60], vec![60]));
    assert_eq!(shape("p.npz:path_axes"), [60, 3, 2]);
    // What was there stays as it was.
    let (all, two) = (room.array("y.npz:components").data, room.array("p.npz:components").data);
    assert!((0..60).all(|i| (0..2).all(|k| all[3 * i + k].to_bits() == two[2 * i + k].to_bits())));
    let error = room.array("p.npz:path_error").data;
    assert!(error.iter().all(|e| *e >= 0.0 && *e < 1e-3), "{error:?}");
    room.says(
        &format!("components m.safetensors {DATA} --path --tolerance 0 --out p.npz"),
        2,
        &["--tolerance 0", "above 0"],
    );
}

#[test]
fn orders_and_signs_are_choices() {
    let room = Room::with_model();
    for options in ["--signs mrf", "--signs rule", "--order followed", "--order followed --top 2"] {
        room.ok(&format!("components m.safetensors {DATA} {options} --out o.npz"));
        room.ok(&format!("components m.safetensors {DATA} --out y.npz"));
        let (a, b) = (room.array("o.npz:components"), room.array("y.npz:components"));
        if a.shape != b.shape || options.contains("followed") {
            continue;
        }
        assert!(a.data.iter().zip(&b.data).all(|(a, b)| a.abs().to_bits() == b.abs().to_bits()), "{options}");
    }
    // Followed axes still decompose the same displacement.
    room.ok(&format!("components m.safetensors {DATA} --order followed --out o.npz"));
    let (a, b) = (room.array("o.npz:components").data, room.array("y.npz:components").data);
    for i in 0..60 {
        let square = |v: &[f64]| v[3 * i..3 * i + 3].iter().map(|v| v * v).sum::<f64>();
        assert!((square(&a) - square(&b)).abs() < 1e-10 * square(&b), "{i}");
    }
    room.says(&format!("components m.safetensors {DATA} --gap 2 --out o.npz"), 2, &["--gap 2", "below 1"]);
}

#[test]
fn tables_have_error_bars_and_other_axes() {
    let room = Room::with_model();
    let text = room.ok(&format!("components m.safetensors {DATA} --compare"));
    for word in ["local deviation", "explained var.", "entropy", "local PCA", "to latent", "contrast", "±"] {
        assert!(text.contains(word), "'{word}' is not in {text}");
    }
    let json = room.json(&format!("components m.safetensors {DATA} --compare"));
    let sum =
        |key: &str| json[key].as_array().unwrap().iter().map(|e| e["value"].as_f64().unwrap()).sum::<f64>();
    assert!((sum("share") - 1.0).abs() < 1e-9 && (sum("explained_variance") - 1.0).abs() < 1e-9);
    // Entropies of latent axes exceed those of the components by the contrast, exactly.
    let contrast = json["contrast"]["value"].as_f64().unwrap();
    assert!((sum("latent_entropy") - sum("explained_entropy") - contrast).abs() < 1e-9 && contrast >= 0.0);
    assert!(json["scale"][0]["error"].as_f64().unwrap() > 0.0);
    // The same seed, the same errors; other resamples, others.
    assert_eq!(json, room.json(&format!("components m.safetensors {DATA} --compare --threads 1")));
    room.ok(&format!("train builtin:s-curve?n=300 --out m2.safetensors {TINY} --epochs 2 --seed 5"));
    let both =
        room.json(&format!("components m.safetensors {DATA} --compare --also m2.safetensors m2.safetensors"));
    assert!(both["over_models"][0]["scale"].as_f64().unwrap() > 0.0);
    room.ok("train builtin:two-moons?n=300 --out two.safetensors --layers 2 --hidden 6 --epochs 1");
    room.says(
        &format!("components m.safetensors {DATA} --compare --also two.safetensors"),
        2,
        &["--also two.safetensors", "2 columns", "3"],
    );
    for (option, parts) in [("--resamples 1", "--resamples 1"), ("--block 0", "--block 0")] {
        room.says(&format!("components m.safetensors {DATA} --compare {option}"), 2, &[parts]);
    }
}

#[test]
fn pictures_come_with_their_numbers() {
    let room = Room::with_model();
    room.ok(&format!("components m.safetensors {DATA} --path --plot pictures"));
    for name in [
        "scree",
        "explained-variance",
        "explained-entropy",
        "component-1",
        "traversal-1",
        "traversal-1-columns",
    ] {
        let svg = String::from_utf8(room.read(&format!("pictures/{name}.svg"))).unwrap();
        roxmltree::Document::parse(&svg).unwrap();
        assert!(svg.contains("<style>"), "{name}");
        assert!(room.has(&format!("pictures/{name}.npz")), "{name}");
        #[cfg(feature = "png")]
        if room.has(&format!("pictures/{name}.png")) {
            assert!(room.read(&format!("pictures/{name}.png")).starts_with(b"\x89PNG\r\n"), "{name}");
        }
    }
    let json = room.json(&format!("components m.safetensors {DATA} --compare"));
    let scree = room.array("pictures/scree.npz:0_local__mean_over_rows_y").data;
    assert!((scree[0] - json["scale"][0]["value"].as_f64().unwrap()).abs() < 1e-12);
    room.write("file", "");
    room.says(&format!("components m.safetensors {DATA} --plot file"), 3, &["file", "cannot be made"]);
}

#[test]
fn walks_stay_on_the_map() {
    let room = Room::with_model();
    room.ok(&format!("traverse m.safetensors {DATA} -k 2 --reach 0.5 --points 3 --out t.npz"));
    let shape = |name: &str| room.array(&format!("t.npz:{name}")).shape;
    assert_eq!((shape("positions"), shape("points")), (vec![7], vec![60, 7, 3]));
    assert_eq!((shape("axes"), shape("scales")), (vec![60, 7, 3], vec![60, 7]));
    assert_eq!((shape("error"), shape("reached")), (vec![60, 7], vec![60, 2]));
    room.ok("data s-curve -n 60 --seed 3 --out d.npy");
    let (points, d) = (room.array("t.npz:points").data, room.array("d.npy").data);
    assert!((0..60).all(|i| (0..3).all(|j| (points[21 * i + 9 + j] - d[3 * i + j]).abs() < 1e-15)));
    for (option, part) in [
        ("-k 4", "between 1 and 3"),
        ("-k 0", "between 1 and 3"),
        ("--reach -1", "--reach -1"),
        ("--points 0", "--points 0"),
        ("--tolerance nan", "--tolerance"),
    ] {
        room.says(&format!("traverse m.safetensors {DATA} {option} --out t.npz"), 2, &[part]);
    }
    room.says(&format!("traverse m.safetensors {DATA}"), 2, &["--out"]);
    room.says(&format!("traverse m.safetensors {DATA} --out t.csv"), 2, &[".npz"]);
}

#[test]
fn reconstructions_tell_their_error() {
    let room = Room::with_model();
    let json = room.json(&format!("reconstruct m.safetensors {DATA}"));
    let line = |k: usize| &json["root_mean_square_errors"][k];
    assert_eq!(line(2)["components"], 3);
    assert!(line(2)["measured"].as_f64().unwrap() < 1e-10 && line(0)["predicted"].as_f64().unwrap() > 0.0);
    assert!(room.ok(&format!("reconstruct m.safetensors {DATA}")).contains("PCA"));
    room.ok(&format!("reconstruct m.safetensors {DATA} --top 2 --out r.npz"));
    assert_eq!(room.array("r.npz:reconstruction").shape, [60, 3]);
    let squares = room.array("r.npz:measured").data;
    let rms = (squares.iter().sum::<f64>() / 60.0).sqrt();
    assert!((rms - line(1)["measured"].as_f64().unwrap()).abs() < 1e-12);
    room.says(&format!("reconstruct m.safetensors {DATA} --out r.npz"), 2, &["--top"]);
    room.says(&format!("reconstruct m.safetensors {DATA} --top 9"), 2, &["--top 9", "between 1 and 3"]);
}

#[test]
fn denoising_takes_its_weight_from_the_record() {
    let room = Room::with_model();
    room.says(
        &format!("denoise m.safetensors {DATA} --out x.npy"),
        2,
        &["m.safetensors", "without penalty", "--noise"],
    );
    room.says(&format!("denoise m.safetensors {DATA} --noise -1 --out x.npy"), 2, &["--noise -1"]);
    room.ok(&format!("train builtin:s-curve?n=300 --out n.safetensors {TINY} --epochs 2 --alpha 0.005"));
    room.ok(&format!("denoise n.safetensors {DATA} --out a.npy"));
    room.ok(&format!("denoise n.safetensors {DATA} --alpha 0.005 --out b.npy"));
    room.ok(&format!("denoise n.safetensors {DATA} --noise 0.1 --out c.npy"));
    room.ok(&format!("denoise n.safetensors {DATA} --noise 0 --out d.npy"));
    let of = |name: &str| room.array(name).data;
    let near = |a: &str, b: &str| of(a).iter().zip(of(b)).all(|(a, b)| (a - b).abs() < 1e-14);
    assert!(near("a.npy", "b.npy") && near("a.npy", "c.npy") && !near("a.npy", "d.npy"));
    room.ok("data s-curve -n 60 --seed 3 --out x.npy");
    assert!(near("d.npy", "x.npy"));
}

/// A gauge makes the contrast vanish at no cost in likelihood (trained to the optimum: 300 epochs are too few); the record says that
/// there was one.
#[test]
fn the_principal_gauge_straightens_latent_axes() {
    let room = Room::new();
    // Tilted, of unequal variances: an affine flow's latents can be any rotation.
    let mut rows = String::from("a,b,c\n");
    for i in 0..400 {
        let f = |k: f64| (k * f64::from(i)).sin();
        let (u, v, w) = (3.0 * f(1.0), f(1.7), 0.4 * f(2.3));
        writeln!(rows, "{},{},{}", u + v, u - v + w, v - w).unwrap();
    }
    room.write("d.csv", rows);
    let train = |gauge: &str, out: &str| {
        room.ok(&format!(
            "train d.csv --flow affine --epochs 3000 --batch 0 --lr 0.03 --valid 0 --patience 0 --out {out} {gauge}"
        ));
        let json = room.json(&format!("components {out} d.csv --compare"));
        let nll = room.json(&format!("score {out} d.csv"))["nll"].as_f64().unwrap();
        (json["contrast"]["value"].as_f64().unwrap(), nll)
    };
    let plain = train("", "p.safetensors");
    let exact = train("--gauge principal", "e.safetensors");
    let one = train("--gauge principal --stochastic-penalty", "s.safetensors");
    println!("contrast and NLL: {plain:?}, exact {exact:?}, one column a step {one:?}");
    assert!(plain.0 > 0.05 && exact.0 < 1e-3 && one.0 < 0.02);
    assert!((exact.1 - plain.1).abs() < 1e-3 && (one.1 - plain.1).abs() < 0.02);
    assert!(room.ok("inspect e.safetensors --json").contains("principal"));
    room.says("train d.csv --out x.safetensors --gauge principal --gauge-weight -1", 2, &["--gauge-weight"]);
    room.says("train d.csv --out x.safetensors --gauge nonsense", 2, &["nonsense"]);
}

/// The study runs from one command, and what is known exactly comes out exactly.
#[test]
fn the_study_of_the_s_curve_runs() {
    let room = Room::new();
    let text = room.ok("study s-curve --out study --quick");
    assert!(text.contains("analytic tube") && text.contains("principal gauge"), "{text}");
    let json: serde_json::Value = serde_json::from_slice(&room.read("study/findings.json")).unwrap();
    let tube = &json["analytic tube"];
    for k in 0..2 {
        assert!(tube["path_rank_correlations"][k].as_f64().unwrap() > 0.99);
        assert!(tube["scale_errors"][k].as_f64().unwrap() < 1e-9);
    }
    assert!(tube["tangent_degrees"].as_f64().unwrap() < 1e-5);
    assert!(tube["contrast_nats"].as_f64().unwrap().abs() < 1e-9);
    for name in ["analytic-arc.svg", "principal-component-1.svg", "plain-scree.npz", "plain.safetensors"] {
        assert!(room.has(&format!("study/{name}")), "{name}");
    }
    // The models are used again.
    assert_eq!(text, room.ok("study s-curve --out study --quick --keep"));
}
