//! Commands, their results and the layout of their files.

use crate::cli_support;
use cli_support::Room;

const DATA: &str = "builtin:s-curve?n=40&seed=3";

#[test]
fn results_have_the_shapes_of_the_contract() {
    let room = Room::with_model();
    let shape = |name: &str| room.array(name).shape;
    room.ok(&format!("log-prob m.safetensors {DATA} --out p.npy"));
    assert_eq!(shape("p.npy"), [40]);
    room.ok(&format!("normalize m.safetensors {DATA} --out z.npy"));
    assert_eq!(shape("z.npy"), [40, 3]);
    room.ok("generate m.safetensors z.npy --out x.csv");
    assert!(room.read("x.csv").starts_with(b"x,y,z\n"));
    room.ok("sample m.safetensors -n 7 --out s.npz");
    assert_eq!(shape("s.npz"), [7, 3]);
    room.ok(&format!("jacobian m.safetensors {DATA} --out j.npy"));
    assert_eq!(shape("j.npy"), [40, 3, 3]);
    room.ok(&format!("covariance m.safetensors {DATA} --top 2 --out c.npz"));
    assert_eq!(shape("c.npz:eigenvalues"), [40, 2]);
    assert_eq!(shape("c.npz:eigenvectors"), [40, 3, 2]);
    assert_eq!(shape("c.npz:condition"), [40]);
    room.ok("data two-moons -n 11 noise=0.2 --seed 4 --out d.npy");
    assert_eq!(shape("d.npy"), [11, 2]);
}

/// `ŷ = Vᵀ J⁻¹ z`, scales are roots of the eigenvalues of `C`, shares of all components add up to 1.
#[test]
fn components_are_latents_in_the_frame_of_the_covariance() {
    let room = Room::with_model();
    room.ok(&format!("components m.safetensors {DATA} --out y.npz"));
    room.ok(&format!("components m.safetensors {DATA} --top 2 --out t.npz"));
    assert_eq!(room.array("t.npz:components").shape, [40, 2]);
    assert_eq!(room.array("t.npz:scales").shape, [40, 2]);
    assert_eq!(room.array("t.npz:axes").shape, [40, 3, 2]);
    assert_eq!(room.array("t.npz:significance").shape, [2]);
    room.ok(&format!("covariance m.safetensors {DATA} --out c.npz"));
    room.ok(&format!("normalize m.safetensors {DATA} --out z.npy"));
    room.ok("jacobian m.safetensors z.npy --direction generate --out g.npy");
    let of = |name: &str| room.array(name).data;
    let (y, scales, axes) = (of("y.npz:components"), of("y.npz:scales"), of("y.npz:axes"));
    let (values, z, g) = (of("c.npz:eigenvalues"), of("z.npy"), of("g.npy"));
    for n in 0..40 {
        for k in 0..3 {
            let at = 3 * n + k;
            assert!((scales[at] * scales[at] - values[at]).abs() < 1e-12 * values[at]);
            let step = |i: usize| (0..3).map(|j| g[9 * n + 3 * i + j] * z[3 * n + j]).sum::<f64>();
            let expected: f64 = (0..3).map(|i| axes[9 * n + 3 * i + k] * step(i)).sum();
            assert!((y[at] - expected).abs() < 1e-11, "row {n}: {} {expected}", y[at]);
        }
    }
    assert!((of("y.npz:significance").iter().sum::<f64>() - 1.0).abs() < 1e-12);
}

/// `log p = -(D ln 2π + |z|²)/2 + ln|det J|`, from three commands.
#[test]
fn densities_latents_and_jacobians_belong_together() {
    let room = Room::with_model();
    room.ok(&format!("log-prob m.safetensors {DATA} --out p.npy"));
    room.ok(&format!("normalize m.safetensors {DATA} --out z.npy"));
    room.ok(&format!("jacobian m.safetensors {DATA} --out j.npy"));
    let (p, z, j) = (room.array("p.npy").data, room.array("z.npy").data, room.array("j.npy").data);
    for n in 0..40 {
        let a = &j[9 * n..9 * n + 9];
        let det = a[0] * (a[4] * a[8] - a[5] * a[7]) - a[1] * (a[3] * a[8] - a[5] * a[6])
            + a[2] * (a[3] * a[7] - a[4] * a[6]);
        let square: f64 = z[3 * n..3 * n + 3].iter().map(|v| v * v).sum();
        let expected = -0.5 * (3.0 * (2.0 * std::f64::consts::PI).ln() + square) + det.abs().ln();
        assert!((p[n] - expected).abs() < 1e-12 * (1.0 + square), "row {n}: {} {expected}", p[n]);
    }
}

/// `C = V Λ Vᵀ` inverts `JᵀJ`, eigenvalues fall, and `J_g` of the latents inverts `J`.
#[test]
fn covariance_is_that_of_the_jacobian() {
    let room = Room::with_model();
    room.ok(&format!("covariance m.safetensors {DATA} --out c.npz"));
    room.ok(&format!("jacobian m.safetensors {DATA} --out j.npy"));
    room.ok(&format!("normalize m.safetensors {DATA} --out z.npy"));
    room.ok("jacobian m.safetensors z.npy --direction generate --out g.npy");
    let (values, vectors) = (room.array("c.npz:eigenvalues").data, room.array("c.npz:eigenvectors").data);
    let (j, g, condition) =
        (room.array("j.npy").data, room.array("g.npy").data, room.array("c.npz:condition").data);
    for n in 0..40 {
        let (l, v) = (&values[3 * n..3 * n + 3], |i: usize, k: usize| vectors[9 * n + 3 * i + k]);
        let (j, g) = (|i: usize, k: usize| j[9 * n + 3 * i + k], |i: usize, k: usize| g[9 * n + 3 * i + k]);
        assert!(l[0] >= l[1] && l[1] >= l[2] && l[2] > 0.0);
        assert!((condition[n] - (l[0] / l[2]).sqrt()).abs() < 1e-12 * condition[n]);
        for a in 0..3 {
            for b in 0..3 {
                let c = |i: usize, k: usize| (0..3).map(|e| v(i, e) * l[e] * v(k, e)).sum::<f64>();
                let gram = |i: usize, k: usize| (0..3).map(|e| j(e, i) * j(e, k)).sum::<f64>();
                let unit = f64::from(u8::from(a == b));
                let (left, right): (f64, f64) =
                    ((0..3).map(|e| c(a, e) * gram(e, b)).sum(), (0..3).map(|e| g(a, e) * j(e, b)).sum());
                assert!(
                    (left - unit).abs() < 1e-11 && (right - unit).abs() < 1e-11,
                    "row {n}: {left} {right}"
                );
            }
        }
    }
}

#[test]
fn latents_and_samples_go_round() {
    let room = Room::with_model();
    room.ok("data s-curve -n 40 --seed 3 --out d.npy");
    room.ok("normalize m.safetensors d.npy --out z.npy");
    room.ok("generate m.safetensors z.npy --out x.npy");
    let (d, x) = (room.array("d.npy").data, room.array("x.npy").data);
    assert!(d.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-13 * (1.0 + a.abs())));
    // A draw does not depend on how many there are; temperature 0 is the image of the mode.
    let (few, many) = (room.ok("sample m.safetensors -n 2"), room.ok("sample m.safetensors -n 5"));
    assert!(many.starts_with(&few) && many.lines().count() == 5);
    assert_ne!(few, room.ok("sample m.safetensors -n 2 --seed 1"));
    let cold = room.ok("sample m.safetensors -n 2 --temperature 0");
    let lines: Vec<&str> = cold.lines().collect();
    assert_eq!(lines[0], lines[1]);
}

#[test]
fn one_and_two_threads_give_the_same_bits() {
    let room = Room::new();
    for threads in ["1", "2"] {
        room.ok(&format!(
            "train builtin:s-curve?n=700 --out t{threads}.safetensors --layers 3 --hidden 8 --epochs 2 --alpha 0.01 \
             --noise 0.05 --threads {threads}"
        ));
        let model = format!("t{threads}.safetensors");
        let data = "builtin:s-curve?n=3000&seed=2";
        for (command, out) in [("log-prob", "p"), ("normalize", "z"), ("jacobian", "j")] {
            room.ok(&format!("{command} {model} {data} --threads {threads} --out {out}{threads}.npy"));
        }
        room.ok(&format!("covariance {model} {data} --threads {threads} --out c{threads}.npz"));
        room.ok(&format!("sample {model} -n 3000 --threads {threads} --out s{threads}.npy"));
    }
    for file in
        ["t?.safetensors", "t?.safetensors.checkpoint", "p?.npy", "z?.npy", "j?.npy", "c?.npz", "s?.npy"]
    {
        assert!(room.read(&file.replace('?', "1")) == room.read(&file.replace('?', "2")), "{file}");
    }
}

#[test]
fn results_print_as_text_or_json() {
    let room = Room::with_model();
    let text = room.ok("log-prob m.safetensors builtin:s-curve?n=3");
    let json = room.json("log-prob m.safetensors builtin:s-curve?n=3");
    let printed: Vec<f64> = text.lines().map(|line| line.parse().unwrap()).collect();
    let listed: Vec<f64> = json["log_prob"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    assert_eq!((printed.len(), &printed), (3, &listed));
    let json = room.json("jacobian m.safetensors builtin:s-curve?n=2");
    assert_eq!(json["jacobian"][1][2].as_array().unwrap().len(), 3);
    let json = room.json("log-prob m.safetensors builtin:s-curve?n=3 --out p.npy");
    assert_eq!(json["arrays"]["log_prob"]["shape"], serde_json::json!([3]));
    let sets = room.json("data --list");
    assert!(
        sets["sets"]
            .as_array()
            .unwrap()
            .iter()
            .any(|set| set["name"] == "magic" && !set["licence"].is_null())
    );
    assert!(room.ok("data --list").contains("two-moons"));
}

#[test]
fn single_precision_is_single_precision() {
    let room = Room::with_model();
    room.ok(&format!("log-prob m.safetensors {DATA} --out d.npy"));
    room.ok(&format!("log-prob m.safetensors {DATA} --dtype f32 --out s.npy"));
    let (double, single) = (room.array("d.npy"), room.array("s.npy"));
    assert_eq!((double.dtype.size(), single.dtype.size()), (8, 4));
    assert!(double.data.iter().zip(&single.data).all(|(a, b)| (a - b).abs() < 1e-4 * (1.0 + a.abs())));
    room.ok("train builtin:s-curve?n=200 --out f.safetensors --layers 2 --hidden 4 --epochs 1 --dtype f32");
    assert_eq!(room.json("inspect f.safetensors")["dtype"], "f32");
}

#[test]
fn score_compares_models_on_the_same_rows() {
    let room = Room::with_model();
    room.ok("train builtin:s-curve?n=300 --out a.safetensors --flow affine --epochs 5");
    let score = room.json("score m.safetensors builtin:s-curve?n=500&seed=9 --against a.safetensors");
    let number = |v: &serde_json::Value| v.as_f64().unwrap();
    let against = &score["against"];
    assert!(
        (number(&against["difference"]) - (number(&score["nll"]) - number(&against["nll"]))).abs() < 1e-12
    );
    assert!(
        (number(&score["bits_per_dimension"]) - number(&score["nll"]) / (3.0 * 2_f64.ln())).abs() < 1e-12
    );
    assert!(number(&score["standard_error"]) > 0.0);
    // No normal distribution beats the best one.
    assert!(number(&score["gaussian_nll"]) <= number(&against["nll"]));
    let same = room.json("score m.safetensors builtin:s-curve?n=50 --against m.safetensors");
    assert_eq!(
        (&same["against"]["difference"], &same["against"]["difference_standard_error"]),
        (&0.0.into(), &0.0.into())
    );
    room.write("flat.csv", "x,y,z\n1,2,3\n2,4,1\n3,6,0\n4,8,1\n");
    assert!(room.ok("score m.safetensors flat.csv").contains("1 null directions"));
}

#[test]
fn inspect_tells_what_the_model_is() {
    let room = Room::with_model();
    let model = room.json("inspect m.safetensors");
    assert_eq!((&model["dim"], &model["columns"]), (&3.into(), &serde_json::json!(["x", "y", "z"])));
    let layers = model["layers"].as_array().unwrap();
    assert_eq!(
        (&layers[0]["layer"]["kind"], &layers[0]["preprocessing"]),
        (&"standardize".into(), &true.into())
    );
    let numbers: u64 = layers.iter().map(|l| l["parameters"].as_u64().unwrap()).sum();
    assert_eq!(
        numbers,
        model["trained_parameters"].as_u64().unwrap() + model["frozen_parameters"].as_u64().unwrap()
    );
    assert_eq!(model["record"]["epochs"].as_array().unwrap().len(), 2);
    assert!(model["condition"]["p99"].as_f64().unwrap() >= model["condition"]["median"].as_f64().unwrap());
    assert!(room.ok("inspect m.safetensors").contains("coupling"));
}

/// A table with the model's columns among others, in another order, is taken by names.
#[test]
fn columns_are_matched_by_name() {
    let room = Room::with_model();
    room.write("a.csv", "x,y,z\n0.5,1,0.25\n");
    room.write("b.csv", "z,w,y,x\n0.25,9,1,0.5\n");
    room.write("c.csv", "w,y,z,x,kind\n9,1,0.25,0.5,cat\n");
    let expected = room.ok("log-prob m.safetensors a.csv");
    assert_eq!(room.ok("log-prob m.safetensors b.csv"), expected);
    assert_eq!(room.ok("log-prob m.safetensors c.csv --label kind"), expected);
    assert_eq!(room.ok("log-prob m.safetensors c.csv --columns x,y,z"), expected);
}

#[test]
fn version_and_help_go_to_standard_output() {
    let room = Room::new();
    let version = room.ok("--version");
    assert!(version.starts_with("eigenflow ") && version.contains("model format 2"), "{version}");
    assert!(version.contains("instruction set"));
    assert!(room.ok("--help").contains("covariance"));
    let help = room.ok("train --help");
    for option in ["--alpha", "--max-condition", "--resume", "--config", "[default: 256]"] {
        assert!(help.contains(option), "{option}");
    }
}

/// Ctrl-C while a result is written: 130, and nothing of it stays.
#[cfg(unix)]
#[test]
fn an_interrupted_write_leaves_nothing() {
    use std::process::Command;
    let room = Room::with_model();
    let files = || {
        let names =
            std::fs::read_dir(room.path(".")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".eigenflow-")).count()
    };
    let mut child = room.command("sample m.safetensors -n 8000000 --out big.npy").spawn().unwrap();
    while files() == 0 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    // Where it was too late the file is whole.
    let code = child.wait().unwrap().code();
    assert!(code == Some(130) || (code == Some(0) && room.has("big.npy")), "{code:?}");
    assert_eq!(files(), 0);
}
