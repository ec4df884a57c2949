//! `--context` and `--base` on the command line.

use crate::cli_support;
use cli_support::Room;
use std::fmt::Write;

/// Rows `x, y, t, class`: two classes apart, a context in between.
fn table(rows: usize) -> String {
    let mut text = String::from("x,y,t,class\n");
    for i in 0..rows {
        let (t, class) = ((i * 7 % 13) as f64 / 13.0, i % 3);
        let e = ((i * 31 % 101) as f64 / 101.0 - 0.5) * 2.0;
        writeln!(text, "{},{},{t},{class}", class as f64 * 3.0 + e, t * 2.0 + 0.5 * e * e).unwrap();
    }
    text
}

const TINY: &str = "--layers 2 --hidden 6 --epochs 3";

fn room() -> Room {
    let room = Room::new();
    room.write("d.csv", table(300));
    room.ok(&format!(
        "train d.csv --flow realnvp --context t,class:one-hot --out m.safetensors {TINY} --quiet"
    ));
    room
}

#[test]
fn a_conditional_model_goes_through_every_command() {
    let room = room();
    let about = room.json("inspect m.safetensors");
    assert_eq!(about["dim"], 2);
    assert_eq!(about["columns"], serde_json::json!(["x", "y"]));
    assert_eq!(about["context"][1]["levels"], serde_json::json!(["0", "1", "2"]));
    assert!(room.ok("inspect m.safetensors").contains("context: class, one of 0, 1, 2"));
    let shape = |name: &str| room.array(name).shape;
    // The context's columns are found by name.
    room.ok("log-prob m.safetensors d.csv --out p.npy");
    assert_eq!(shape("p.npy"), [300]);
    room.ok("normalize m.safetensors d.csv --out z.npy");
    assert_eq!(shape("z.npy"), [300, 2]);
    room.ok("jacobian m.safetensors d.csv --out j.npy");
    assert_eq!(shape("j.npy"), [300, 2, 2]);
    room.ok("covariance m.safetensors d.csv --out c.npz");
    assert_eq!(shape("c.npz:eigenvectors"), [300, 2, 2]);
    room.ok("components m.safetensors d.csv --top 1 --out y.npz");
    assert_eq!(shape("y.npz:axes"), [300, 2, 1]);
    room.ok("covariance m.safetensors d.csv --top 1 --method matrix-free --out l.npz");
    let (dense, leading) = (room.array("c.npz:eigenvalues").data, room.array("l.npz:eigenvalues").data);
    assert!((0..300).all(|i| (dense[2 * i] - leading[i]).abs() <= 1e-5 * dense[2 * i]));
    room.ok("components m.safetensors d.csv --top 1 --method matrix-free --out f.npz");
    assert_eq!(shape("f.npz:axes"), [300, 2, 1]);
    assert_eq!(room.json("components m.safetensors d.csv --compare --quiet")["rows"], 300);
    let drawn = room.json("components m.safetensors d.csv --plot pictures --quiet");
    assert!(drawn["pictures"].as_array().unwrap().len() > 3 && room.has("pictures/report.html"));
    room.ok("reconstruct m.safetensors d.csv --top 1 --out r.npz");
    assert_eq!(shape("r.npz:reconstruction"), [300, 2]);
    room.ok("traverse m.safetensors d.csv -k 1 --points 2 --out t.npz");
    assert_eq!(shape("t.npz:points"), [300, 5, 2]);
    room.ok("denoise m.safetensors d.csv --noise 0.1 --out n.npy");
    assert_eq!(shape("n.npy"), [300, 2]);
    room.says(
        "dimension m.safetensors d.csv --scales 0.1",
        2,
        &["dimension", "'t', 'class'", "without --context"],
    );
    room.says("components m.safetensors d.csv --path --out p.npz", 2, &["--path", "'t', 'class'"]);
    assert!(room.json("score m.safetensors d.csv")["nll"].is_number());
    // The same context as a file, in columns of any place.
    let context: String =
        table(300).lines().map(|l| l.split(',').skip(2).collect::<Vec<_>>().join(",") + "\n").collect();
    room.write("c.csv", context);
    room.ok("log-prob m.safetensors d.csv --columns x,y --context c.csv --out q.npy");
    assert_eq!(room.array("p.npy").data, room.array("q.npy").data);
    // Back to the data, with the latents' contexts.
    room.ok("generate m.safetensors z.npy --context c.csv --out x.npy");
    room.ok("jacobian m.safetensors z.npy --direction generate --context c.csv --out g.npy");
    let (x, j, g) = (room.array("x.npy").data, room.array("j.npy").data, room.array("g.npy").data);
    let data: Vec<f64> = table(300)
        .lines()
        .skip(1)
        .flat_map(|l| l.split(',').take(2).map(|v| v.parse::<f64>().unwrap()).collect::<Vec<_>>())
        .collect();
    assert!(x.iter().zip(&data).all(|(a, b)| (a - b).abs() < 1e-9));
    for n in 0..300 {
        let at = |k: usize, i: usize| j[4 * n + 2 * i + k];
        let product = at(0, 0) * g[4 * n] + at(1, 0) * g[4 * n + 2];
        assert!((product - 1.0).abs() < 1e-9, "row {n}: {product}");
    }
}

#[test]
fn draws_are_given_rows_or_values() {
    let room = room();
    room.write("c.csv", "class,t\n2,0.5\n0,0.25\n");
    room.ok("sample m.safetensors -n 4 --context c.csv --out a.npy");
    room.ok("sample m.safetensors -n 4 --context t=0.5,class=2 --out b.npy");
    let (both, first) = (room.array("a.npy"), room.array("b.npy"));
    assert_eq!((both.shape, first.shape), (vec![8, 2], vec![4, 2]));
    assert_eq!(both.data[..8], first.data[..]);
    assert!(both.data[8..].iter().zip(&first.data).any(|(a, b)| (a - b).abs() > 1e-3));
}

#[test]
fn wrong_contexts_are_said_to_be_so() {
    let room = room();
    room.write("x.csv", "x,y\n1,2\n3,4\n");
    room.write("one.csv", "t,class\n0.5,1\n");
    room.write("seven.csv", "t,class\n0.5,1\n0.5,7\n");
    room.write("nan.csv", "t,class\n0.5,1\nnan,1\n");
    room.write("other.csv", "class,u\n1,1\n1,0\n");
    room.says("log-prob m.safetensors x.csv", 2, &["--context", "'t', 'class'"]);
    room.says("sample m.safetensors -n 2", 2, &["conditional on 't', 'class'", "--context FILE", "t=…"]);
    room.says(
        "log-prob m.safetensors x.csv --context one.csv",
        2,
        &["1 rows where there are 2", "--context"],
    );
    room.says("log-prob m.safetensors x.csv --context seven.csv", 2, &["row 2: 'class' is '7'", "0, 1, 2"]);
    room.says("log-prob m.safetensors x.csv --context nan.csv", 2, &["nan.csv", "row 2"]);
    room.says("log-prob m.safetensors x.csv --context missing.csv", 2, &["no such file"]);
    room.says(
        "log-prob m.safetensors x.csv --context other.csv",
        2,
        &["--context", "'class' stands at another's place", "'t' is missing"],
    );
    room.says(
        "log-prob m.safetensors d.csv --context q",
        2,
        &["--context", "no column 'q'", "x, y, t, class"],
    );
    room.says("sample m.safetensors -n 2 --context t=1", 2, &["conditional on 't', 'class'"]);
    room.says("inspect m.safetensors --context t", 2, &["--context"]);
    room.says("train d.csv --context t --flow affine --out n.safetensors", 2, &["--context", "realnvp"]);
    room.says("train d.csv --context x,y,t,class --out n.safetensors", 2, &["leaves no column"]);
    room.says("verify --context t", 2, &["--context", "DATA"]);
    room.says("verify d.csv --context q", 2, &["--context", "no column 'q'"]);
    room.ok(&format!("train d.csv --columns x,y --out u.safetensors {TINY} --quiet"));
    room.says("log-prob u.safetensors d.csv --context t", 2, &["takes no context"]);
    room.says("sample u.safetensors -n 2 --context t=1", 2, &["takes no context"]);
    room.says("verify --model u.safetensors --context t=1", 2, &["takes no context"]);
}

#[test]
fn a_conditional_model_is_trained_on_and_verified() {
    let room = room();
    let before = room.read("m.safetensors");
    room.ok(&format!("train d.csv --from m.safetensors --out n.safetensors {TINY} --quiet"));
    assert_ne!(before, room.read("n.safetensors"));
    room.ok("train d.csv --flow realnvp --context t,class:one-hot --out m.safetensors --layers 2 --hidden 6 --epochs 4 --resume --quiet");
    // Same seed, same bits, on any number of threads.
    for threads in [1, 2] {
        room.ok(&format!("train d.csv --flow realnvp --context t,class:one-hot --out t{threads}.safetensors --threads {threads} {TINY} --quiet"));
    }
    assert!(
        room.read("t1.safetensors") == room.read("t2.safetensors") && room.read("t1.safetensors") == before
    );
    let report = room.json("verify d.csv --model m.safetensors --quick --claims S1,S5,S6,C1,C3,G2 --quiet");
    // Two contexts, at each of which the claims about the map hold.
    let names: Vec<&str> =
        report["sections"].as_array().unwrap().iter().map(|s| s["data"].as_str().unwrap()).collect();
    assert!(
        names.len() == 2 && names.iter().all(|n| n.contains("t = ") && n.contains("class = ")),
        "{names:?}"
    );
    assert_eq!((&report["counts"]["fails"], &report["counts"]["holds"]), (&0.into(), &12.into()));
    room.ok("verify --model m.safetensors --context t=0.5,class=1 --quick --claims S6,C1 --quiet");
    // A conditional model that verify trains itself, at contexts of its rows.
    let report = room.json(&format!(
        "verify d.csv --context class:one-hot --columns x,y {TINY} --quick --claims S6,C1,C3 --out v --quiet"
    ));
    let sections = report["sections"].as_array().unwrap();
    assert_eq!(sections.len(), 2);
    for section in sections {
        assert!(section["data"].as_str().unwrap().contains("d.csv at class = "), "{section}");
        // Each class has a third of the rows, nine tenths of them to train on.
        assert!(section["notes"].to_string().contains("rows of d.csv with this context"), "{section}");
    }
    assert_eq!((&report["counts"]["fails"], &report["counts"]["holds"]), (&0.into(), &6.into()));
    let about = room.json("inspect v/model.safetensors");
    assert_eq!(about["columns"], serde_json::json!(["x", "y"]));
    assert_eq!(about["context"][0]["levels"], serde_json::json!(["0", "1", "2"]));
}

/// Of two columns with one name, the one that is a context is no data, and the other one is.
#[test]
fn columns_of_one_name_are_told_apart_by_number() {
    let room = Room::new();
    room.write("d.csv", table(60).replace("x,y,t,class", "x,y,e,e"));
    let train = |context: &str| {
        room.ok(&format!("train d.csv --context {context} --out m.safetensors {TINY} --quiet"));
        let about = room.json("inspect m.safetensors");
        (about["columns"].clone(), about["context"].as_array().unwrap().len())
    };
    assert_eq!(train("3"), (serde_json::json!(["x", "y", "e"]), 1));
    assert_eq!(train("2,3"), (serde_json::json!(["x", "y"]), 2));
    // The second of the two is the second again, not the first.
    let constant = |class: &str| room.ok(&format!("sample m.safetensors -n 2 --context e=0.5,e={class}"));
    assert_ne!(constant("0"), constant("2"));
    room.says("train d.csv --context e --out n.safetensors", 2, &["--context", "several columns"]);
}

#[test]
fn labels_are_classes() {
    let room = Room::new();
    room.ok(&format!(
        "train builtin:digits?n=200 --columns 18-21 --context label --noise 0.1 --out m.safetensors {TINY} --quiet"
    ));
    assert_eq!(room.json("inspect m.safetensors")["context"][0]["levels"][9], "9");
    room.ok("sample m.safetensors -n 3 --context label=7");
    room.ok("log-prob m.safetensors builtin:digits?n=20 --columns 18-21");
}

#[test]
fn bases_are_trained_drawn_from_and_kept() {
    let room = Room::new();
    for base in ["diagonal", "mixture --base-components 3", "student", "student --base-fixed", "uniform"] {
        room.ok(&format!("train builtin:two-moons?n=300 --out m.safetensors --base {base} {TINY} --quiet"));
        let name = base.split(' ').next().unwrap();
        assert_eq!(room.json("inspect m.safetensors")["base"]["family"], name);
        room.ok("sample m.safetensors -n 5 --out s.npy");
        room.ok("log-prob m.safetensors s.npy");
        room.ok(&format!("train builtin:two-moons?n=300 --out m.safetensors --base {base} --layers 2 --hidden 6 --epochs 4 --resume --quiet"));
        if name != "diagonal" {
            room.says("sample m.safetensors -n 5 --temperature 0.5", 2, &[name, "no temperature"]);
        }
    }
    let report = room.json("verify --model m.safetensors --quick --claims S1,S3,S5,S6 --quiet");
    assert_eq!(
        (&report["counts"]["holds"], &report["counts"]["undecided"]),
        (&2.into(), &2.into()),
        "{report}"
    );
    assert!(report.to_string().contains("requires a standard normal base"));
    room.says(
        &format!("train builtin:two-moons?n=300 --out m.safetensors --base cauchy {TINY}"),
        2,
        &["cauchy", "student"],
    );
    room.says(
        &format!(
            "train builtin:two-moons?n=300 --out m.safetensors --base mixture --base-components 0 {TINY}"
        ),
        2,
        &["--base-components", "between 1 and 256"],
    );
    room.says(
        &format!("train builtin:two-moons?n=300 --out m.safetensors --base-components 2 {TINY}"),
        2,
        &["--base-components", "mixture"],
    );
}
