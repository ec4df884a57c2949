//! Training: its files, its options, resuming, the guard and Ctrl-C.

use crate::cli_support;
use cli_support::{Room, TINY};

#[test]
fn options_come_from_a_file_and_the_command_line_wins() {
    let room = Room::new();
    room.write(
        "c.toml",
        "flow = \"realnvp\"\nlayers = 3\nhidden = [5]\nepochs = 4\nvalid = 0.25\nalpha = 0.5\n",
    );
    room.ok("train builtin:s-curve?n=100 --out m.safetensors --config c.toml --epochs 1");
    let record = room.json("inspect m.safetensors")["record"].clone();
    assert_eq!(record["epochs"].as_array().unwrap().len(), 1);
    assert_eq!((&record["flow"]["layers"], &record["options"]["alpha"]), (&3.into(), &0.5.into()));
    assert_eq!((&record["rows"], &record["valid-rows"]), (&75.into(), &25.into()));
    room.write("bad.toml", "flow = \"realnvp\"\nlearning-rate = 3\n");
    room.says(
        "train builtin:s-curve?n=9 --out n.safetensors --config bad.toml",
        2,
        &["bad.toml", "learning-rate"],
    );
    room.write("bad.toml", "flow = \"ffjord\"\n");
    room.says(
        "train builtin:s-curve?n=9 --out n.safetensors --config bad.toml",
        2,
        &["bad.toml", "ffjord", "paper-tril"],
    );
    room.says(
        "train builtin:s-curve?n=9 --out n.safetensors --config no.toml",
        2,
        &["no.toml", "cannot be read"],
    );
}

#[test]
fn every_flow_and_preprocessing_trains() {
    let room = Room::new();
    for options in [
        "--flow affine --preprocess whiten",
        "--flow paper --layers 2 --activation sinh",
        "--flow paper-tril --layers 1 --preprocess none --batch-norm 1",
        "--flow nice --layers 2 --hidden 4",
        "--flow glow --layers 2 --hidden 4 --mask halves",
        "--flow maf --layers 2 --hidden 4 --mask random",
        "--flow iaf --layers 2 --hidden 4 --dtype f32",
        "--flow nsf --layers 2 --hidden 4 --bins 4 --preprocess whiten",
        "--flow nsf-ar --layers 2 --hidden 4,4 --bins 3 --activation relu --alpha 0.01",
        "--flow realnvp --layers 2 --hidden 4 --preprocess whiten --mask random --activation tanh",
        "--flow planar --layers 3",
        "--flow realnvp --layers 4 --hidden 4,4,4 --residual --mask mixed",
        "--flow radial --layers 3 --dtype f32",
        "--flow sylvester --layers 2 --preprocess whiten",
        "--flow residual --layers 2 --hidden 4 --support -9,9",
    ] {
        let train =
            format!("train builtin:two-moons?n=120 --out m.safetensors {options} --epochs 2 --lr 0.001");
        let json = room.json(&train);
        assert_eq!((&json["epochs"], &json["stop"]), (&2.into(), &"finished".into()), "{options}");
        room.ok("log-prob m.safetensors builtin:two-moons?n=5");
    }
}

#[test]
fn a_support_is_kept_and_rows_outside_are_named() {
    let room = Room::new();
    let rows: Vec<String> = (1..80).map(|i| format!("{},{}\n", f64::from(i) / 80.0, i * i)).collect();
    room.write("d.csv", format!("share,count\n{}", rows.concat()));
    room.write(
        "c.toml",
        "support = [\"0,1\", \"positive\"]\nflow = \"nsf\"\nlayers = 2\nhidden = [4]\nbins = 3\n",
    );
    room.ok("train d.csv --out m.safetensors --config c.toml --epochs 2");
    room.ok("sample m.safetensors -n 500 --temperature 2 --out s.csv");
    let samples = String::from_utf8(room.read("s.csv")).unwrap();
    let mut seen = 0;
    for line in samples.lines() {
        let Some([share, count]) =
            line.split_once(',').and_then(|(a, b)| Some([a.parse().ok()?, b.parse::<f64>().ok()?]))
        else {
            continue; // the header
        };
        let share: f64 = share;
        assert!((0.0..=1.0).contains(&share) && count >= 0.0, "{line}");
        seen += 1;
    }
    assert_eq!(seen, 500);
    let train = "train d.csv --out n.safetensors --flow affine --epochs 1";
    room.says(
        &format!("{train} --support 0,1"),
        2,
        &["d.csv", "row 0", "column 1", "outside the support 0,1"],
    );
    room.says(&format!("{train} --support 1,0"), 2, &["--support", "positive"]);
    room.says(&format!("{train} --support positive;0,1;real"), 2, &["--support", "one for each"]);
    room.write("o.csv", "share,count\n0.5,3\n1.5,3\n");
    room.says("log-prob m.safetensors o.csv", 2, &["row 1", "support", "column 0"]);
}

#[test]
fn validation_rows_may_be_data_of_their_own() {
    let room = Room::new();
    room.ok("data two-moons -n 30 --seed 5 --out v.npy");
    let train = format!("train builtin:two-moons?n=90 --out m.safetensors {TINY} --epochs 1");
    assert_eq!(room.json(&format!("{train} --valid v.npy"))["validation_rows"], 30);
    assert_eq!(room.json(&format!("{train} --valid 0"))["validation_rows"], 0);
    room.says(&format!("{train} --valid builtin:s-curve?n=9"), 2, &["--valid", "3 columns", "has 2"]);
    room.says(&format!("{train} --valid 1.5"), 2, &["--valid", "1.5"]);
}

#[test]
fn resuming_goes_on_from_the_checkpoint() {
    let room = Room::new();
    let train = format!("train builtin:s-curve?n=200 --out m.safetensors {TINY}");
    room.says(&format!("{train} --resume"), 2, &["m.safetensors.checkpoint", "cannot be read"]);
    room.ok(&format!("{train} --epochs 3"));
    assert_eq!(room.read("m.safetensors"), room.read("m.safetensors.checkpoint"));
    room.says(&format!("{train} --epochs 3 --resume"), 2, &["3 epochs behind it", "--epochs"]);
    room.says(&format!("{train} --epochs 9 --resume --flow paper"), 2, &["another flow than paper"]);
    room.says(&format!("{train} --epochs 9 --resume --dtype f32"), 2, &["--dtype", "f64"]);
    let before = room.json("inspect m.safetensors")["record"]["epochs"][2]["valid-nll"].as_f64().unwrap();
    let output = room.run(&format!("{train} --epochs 8 --resume --json"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("optimiser and schedule start anew"));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["epochs"], 8);
    let record = room.json("inspect m.safetensors")["record"].clone();
    assert_eq!((&record["epochs-before"], record["epochs"].as_array().unwrap().len()), (&3.into(), 5));
    assert!(json["best"]["valid_nll"].as_f64().unwrap() < before, "training went on: {json}");
}

#[test]
fn a_guard_that_stops_is_an_answer_and_keeps_the_model_that_was() {
    let room = Room::new();
    let train = format!("train builtin:s-curve?n=200 --out m.safetensors {TINY} --epochs 2");
    room.ok(&train);
    let before = room.read("m.safetensors");
    let error = room.fails(&format!("{train} --max-condition 1.0001 --seed 3"), 1);
    assert!(error.contains("--max-condition") && error.contains("m.safetensors.checkpoint"), "{error}");
    assert_eq!(room.read("m.safetensors"), before);
    room.ok("log-prob m.safetensors.checkpoint builtin:s-curve?n=5");
}

#[test]
fn constant_columns_are_named() {
    let room = Room::new();
    let rows: Vec<String> = (0..60).map(|i| format!("{},{},7\n", i % 7, i * i % 11)).collect();
    room.write("d.csv", format!("a,b,flat\n{}", rows.concat()));
    let output = room.run(&format!("train d.csv --out m.safetensors {TINY} --epochs 1 --alpha 0.01 --quiet"));
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("d.csv: constant columns") && text.contains("flat;"), "{text}");
    assert_eq!(text.lines().count(), 1, "quiet: {text}");
}

#[test]
fn a_place_that_cannot_be_written_is_found_before_training() {
    let room = Room::new();
    room.says("train builtin:s-curve --out no/m.safetensors", 3, &["no/m.safetensors", "cannot be written"]);
    room.says("train builtin:s-curve --out m.npy", 2, &["m.npy", ".safetensors"]);
}

/// Ctrl-C in training: 130, a checkpoint that can be resumed, no model.
#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_a_checkpoint() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};
    let room = Room::new();
    let train = format!("train builtin:s-curve?n=300 --out m.safetensors {TINY} --patience 0");
    let mut child = room
        .command(&format!("{train} --epochs 100000000"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    assert!(line.starts_with("training realnvp on 270 rows"), "{line}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("interrupted") && rest.contains("--resume"), "{rest}");
    assert!(!room.has("m.safetensors") && room.has("m.safetensors.checkpoint"));
    let done = room.json("inspect m.safetensors.checkpoint")["record"]["epochs"].as_array().unwrap().len();
    room.ok(&format!("{train} --epochs {} --resume", done + 1));
    assert!(room.has("m.safetensors"));
}
