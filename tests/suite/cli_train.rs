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
    // Options that are no settings of a flow, in the file too; whose fault it is, is said.
    room.write("all.toml", "out = \"all.safetensors\"\nflow = \"nice\"\nlayers = 2\nhidden = 4\nepochs = 1\ncontext = [\"s\"]\nquiet = true\nseed = 7\n");
    room.write(
        "rows.csv",
        (0..40)
            .map(|i| format!("{},{},{}\n", i * 7 % 11, i * 3 % 5, i % 2))
            .fold("a,b,s\n".to_owned(), |t, l| t + &l),
    );
    room.ok("train rows.csv --config all.toml");
    let about = room.json("inspect all.safetensors");
    assert_eq!((&about["context"][0]["name"], &about["record"]["options"]["seed"]), (&"s".into(), &7.into()));
    room.write("whole.toml", "dequantize = \"uniform\"\nexclude = \"s\"\nseeds = 2\n");
    room.ok(
        "train rows.csv --out d.safetensors --config whole.toml --layers 2 --hidden 4 --epochs 1 --quiet",
    );
    let about = room.json("inspect d.safetensors");
    assert_eq!((&about["dim"], &about["dequantize"]["kind"]), (&2.into(), &"uniform".into()));
    room.says("train rows.csv --out d.safetensors --config whole.toml --lr x", 2, &["--lr", "invalid"]);
    room.write("bad.toml", "lr = \"x\"\n");
    room.says("train rows.csv --out d.safetensors --config bad.toml", 2, &["--config bad.toml", "--lr", "x"]);
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
        &["d.csv", "row 1", "column 'count'", "outside the support 0,1"],
    );
    room.says(&format!("{train} --support 1,0"), 2, &["--support", "positive"]);
    room.says(&format!("{train} --support positive;0,1;real"), 2, &["--support", "one for each"]);
    room.write("o.csv", "share,count\n0.5,3\n1.5,3\n");
    room.says("log-prob m.safetensors o.csv", 2, &["row 2", "support", "column 'share'"]);
}

#[test]
fn validation_rows_may_be_data_of_their_own() {
    let room = Room::new();
    room.ok("data two-moons -n 30 --seed 5 --out v.npy");
    let train = format!("train builtin:two-moons?n=90 --out m.safetensors {TINY} --epochs 1");
    assert_eq!(room.json(&format!("{train} --valid v.npy"))["validation_rows"], 30);
    assert_eq!(room.json(&format!("{train} --valid 0"))["validation_rows"], 0);
    room.says(
        &format!("{train} --valid builtin:subspace?n=9&columns=3"),
        2,
        &["--valid", "3 columns", "has 2"],
    );
    room.says(&format!("{train} --valid 1.5"), 2, &["--valid", "1.5"]);
}

/// Interrupted or finished, a run goes on to the bits of one that never stopped: moments, average, rate and patience are
/// part of the checkpoint.
#[test]
fn resuming_has_the_bits_of_a_run_that_never_stopped() {
    let room = Room::new();
    let bits = |file: &str| {
        let model = eigenflow::flow::AnyModel::load(&room.path(file)).unwrap();
        let record = room.json(&format!("inspect {file}"))["record"].clone();
        let weights: Vec<Vec<u64>> = model
            .cast::<f64>()
            .flow
            .slices()
            .into_iter()
            .map(|s| s.iter().map(|x| x.to_bits()).collect())
            .collect();
        (weights, record["epochs"].clone(), record["best-epoch"].clone())
    };
    for (k, options) in [
        "--schedule constant --average 0.9 --weight-decay 0.01",
        "--schedule plateau --patience 6 --lr 0.05 --noise 0.1 --average 0",
        "--flow paper --layers 2 --batch-norm 1 --schedule constant --average 0.5 --dtype f32",
        "--dequantize variational --schedule constant --average 0.5 --alpha 0.01 --lr 0.01",
    ]
    .into_iter()
    .enumerate()
    {
        let tiny = if options.contains("paper") { "--batch 64" } else { TINY };
        let data = if options.contains("dequantize") {
            "builtin:digits?n=200 --columns 18-20"
        } else {
            "builtin:s-curve?n=200"
        };
        let train = format!("train {data} {tiny} {options}");
        room.ok(&format!("{train} --out whole{k}.safetensors --epochs 7"));
        room.ok(&format!("{train} --out parts{k}.safetensors --epochs 3"));
        let first = bits(&format!("parts{k}.safetensors"));
        room.ok(&format!("{train} --out parts{k}.safetensors --epochs 4 --resume"));
        room.ok(&format!("{train} --out parts{k}.safetensors --epochs 7 --resume"));
        let (whole, parts) = (bits(&format!("whole{k}.safetensors")), bits(&format!("parts{k}.safetensors")));
        assert!(whole == parts, "{options}: not the same bits");
        assert_eq!(
            (first.1.as_array().unwrap().len(), whole.1.as_array().unwrap().len()),
            (3, 7),
            "{options}"
        );
    }
}

#[test]
fn what_cannot_be_resumed_is_refused() {
    let room = Room::new();
    let train = format!("train builtin:s-curve?n=200 --out m.safetensors {TINY}");
    room.says(&format!("{train} --resume"), 2, &["m.safetensors.checkpoint", "cannot be read"]);
    room.ok(&format!("{train} --epochs 3"));
    room.says(&format!("{train} --epochs 3 --resume"), 2, &["3 epochs behind it", "--epochs"]);
    room.says(&format!("{train} --epochs 9 --resume --flow paper"), 2, &["another flow than paper"]);
    room.says(&format!("{train} --epochs 9 --resume --dtype f32"), 2, &["--dtype", "f64"]);
    room.says(&format!("{train} --epochs 9 --resume --seeds 2"), 2, &["--resume", "--seeds"]);
    // A plain model is no checkpoint.
    std::fs::copy(room.path("m.safetensors"), room.path("m.safetensors.checkpoint")).unwrap();
    room.says(&format!("{train} --epochs 9 --resume"), 2, &["no state to resume", "--from"]);
    // One that stopped early does not stop again at once.
    room.ok(&format!("{train} --epochs 50 --patience 1 --lr 0.5 --clip 1e9"));
    room.says(
        &format!("{train} --epochs 90 --patience 1 --lr 0.5 --resume"),
        2,
        &["stopped early", "--patience"],
    );
}

#[test]
fn the_average_is_what_is_validated_and_kept() {
    let room = Room::new();
    let train = format!("train builtin:s-curve?n=200 {TINY} --epochs 3 --schedule constant");
    room.ok(&format!("{train} --out a.safetensors --average 0"));
    let averaged = room.json(&format!("{train} --out c.safetensors --average 0.99"));
    let of = |file: &str, key: &str| -> Vec<f64> {
        let record = room.json(&format!("inspect {file}"))["record"].clone();
        record["epochs"].as_array().unwrap().iter().map(|e| e[key].as_f64().unwrap()).collect()
    };
    // Training itself does not see the average, validation does.
    assert_eq!(of("a.safetensors", "nll"), of("c.safetensors", "nll"));
    assert_ne!(of("a.safetensors", "valid-nll"), of("c.safetensors", "valid-nll"));
    // The model in the file is the one that was validated.
    let nll = averaged["nll"].as_f64().unwrap();
    let kept = eigenflow::flow::AnyModel::load(&room.path("c.safetensors")).unwrap().cast::<f64>();
    let scale = kept.flow.parameters().iter().find(|p| p.name == "layers.0.scale").unwrap();
    let units: f64 = scale.data.iter().map(|s| s.ln()).sum();
    assert!((nll - units - averaged["best"]["valid_nll"].as_f64().unwrap()).abs() < 1e-9, "{averaged}");
}

#[test]
fn several_seeds_share_their_rows_and_the_best_is_kept() {
    let room = Room::new();
    let rows = format!("train builtin:two-moons?n=300 {TINY} --epochs 2 --test");
    let train = format!("{rows} 0.2");
    let json = room.json(&format!("{train} --out m.safetensors --seeds 3 --seed 5"));
    let runs = json["seeds"]["runs"].as_array().unwrap();
    let valid: Vec<f64> = runs.iter().map(|r| r["valid_nll"].as_f64().unwrap()).collect();
    assert_eq!(runs.iter().map(|r| r["seed"].as_u64().unwrap()).collect::<Vec<_>>(), [5, 6, 7]);
    let least = valid.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(json["best"]["valid_nll"], serde_json::Value::from(least));
    let kept: Vec<f64> =
        runs.iter().filter(|r| r["kept"] == true).map(|r| r["valid_nll"].as_f64().unwrap()).collect();
    assert_eq!(kept, [least]);
    let mean = valid.iter().sum::<f64>() / 3.0;
    assert!((json["seeds"]["valid_nll"]["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    // The parts: 20 % and 10 % of all rows.
    assert_eq!((&json["test"]["rows"], &json["validation_rows"]), (&60.into(), &30.into()));
    // The first of them is what one seed gives.
    let one = room.json(&format!("{train} --out n.safetensors --seed 5"));
    assert_eq!(one["best"]["valid_nll"], runs[0]["valid_nll"]);
    assert_eq!(one["test"]["nll_training_units"], runs[0]["test_nll"]);
    room.says(&format!("{rows} 0.95 --out n.safetensors"), 2, &["--test 0.95", "--valid"]);
    room.says(
        &format!("{rows} builtin:subspace?n=9&columns=3 --out n.safetensors"),
        2,
        &["--test", "3 columns"],
    );
    let text = room.ok(&format!("{train} --out m.safetensors --seeds 2"));
    assert!(text.contains("mean test NLL") && text.contains("kept"), "{text}");
    room.says(&format!("{train} --out m.safetensors --resume"), 2, &["several seeds", "--from"]);
}

/// Where the truth is known, `score` pairs the model with it.
#[test]
fn the_gap_to_the_truth_is_reported() {
    let room = Room::new();
    room.ok(&format!("train builtin:circles?n=500 --out m.safetensors {TINY} --epochs 1"));
    let json = room.json("score m.safetensors builtin:circles?n=2000&seed=9");
    let (nll, truth) = (json["nll"].as_f64().unwrap(), json["truth"]["nll"].as_f64().unwrap());
    assert!((nll - truth - json["truth"]["gap"].as_f64().unwrap()).abs() < 1e-9, "{json}");
    assert!(json["truth"]["gap"].as_f64().unwrap() > 0.0);
    assert!(room.ok("score m.safetensors builtin:circles?n=50").contains("gap to the truth"));
    assert!(room.json("score m.safetensors builtin:swiss-roll?n=50 --columns x,y")["truth"].is_null());
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

/// Options of other flows do nothing, and that is said.
#[test]
fn options_of_other_flows_are_named() {
    let room = Room::new();
    let error = |args: &str| {
        String::from_utf8(room.run(&format!("{args} --epochs 1 --quiet --out m.safetensors")).stderr).unwrap()
    };
    let train = "train builtin:two-moons?n=200 --layers 2 --hidden 6";
    let text = error(&format!("{train} --flow realnvp --bins 4"));
    assert!(text.contains("--bins: is no option of realnvp") && text.lines().count() == 1, "{text}");
    let text = error("train builtin:two-moons?n=200 --flow affine --layers 3 --mask halves");
    assert!(text.contains("--layers: is no option of affine") && text.contains("--mask"), "{text}");
    // Bins are of splines alone: they choose them even where there is a penalty.
    assert_eq!(error(&format!("{train} --bins 4 --alpha 0.01")), "");
    assert_eq!(room.json("inspect m.safetensors")["record"]["flow"]["flow"], "nsf");
}

/// Columns with few distinct values are named, and can be spread or left out.
#[test]
fn discrete_columns_are_named_and_spread() {
    let room = Room::new();
    let rows: Vec<String> =
        (0..900).map(|i| format!("{},{}\n", (f64::from(i) * 0.7).sin(), 0.5 * f64::from(i % 4))).collect();
    room.write("d.csv", format!("wave,steps\n{}", rows.concat()));
    let train = format!("train d.csv --out m.safetensors {TINY} --quiet --epochs");
    let error = |args: &str| String::from_utf8(room.run(args).stderr).unwrap();
    let warned = error(&format!("{train} 1"));
    assert!(warned.contains("1 % distinct") && warned.contains("steps (4 values)"), "{warned}");
    assert!(warned.contains("--jitter-columns 1") && warned.contains("--exclude"), "{warned}");
    for remedy in ["--jitter-columns 1", "--jitter-columns steps", "--exclude steps"] {
        assert_eq!(error(&format!("{train} 1 {remedy}")), "", "{remedy}");
    }
    room.says(&format!("{train} 1 --jitter-columns stairs"), 2, &["--jitter-columns", "stairs"]);
    room.says("verify d.csv --jitter-columns 1", 2, &["--jitter-columns", "train"]);
    // The density of a spread column is bounded: at most 1/4 of the rows in each half.
    let nll = |more: &str| room.json(&format!("{train} 60 --columns steps {more}"))["nll"].as_f64().unwrap();
    assert!(nll("--jitter-columns 0") > 2.0_f64.ln() - 0.1);
}

/// What preprocessing suits the data is found by validation, and said.
#[test]
fn preprocessing_is_chosen_by_validation() {
    let room = Room::new();
    let rows: Vec<String> = (0..400)
        .map(|i| {
            let (a, b) = ((f64::from(i) * 0.7).sin(), (f64::from(i) * 1.3).cos());
            format!("{},{}\n", a, a + 0.001 * b)
        })
        .collect();
    room.write("thin.csv", rows.concat());
    let train = format!("train thin.csv --out m.safetensors {TINY} --epochs");
    let json = room.json(&format!("{train} 8"));
    assert_eq!(json["preprocess"], "whiten", "{json}");
    assert!(json["race"][1]["nll"].as_f64().unwrap() < json["race"][0]["nll"].as_f64().unwrap());
    assert_eq!(room.json("inspect m.safetensors")["record"]["preprocess"], "whiten");
    let given = room.json(&format!("{train} 8 --preprocess standardize"));
    assert!(given["preprocess"] == "standardize" && given["race"].is_null());
    // A checkpoint has its own.
    let resumed = room.json(&format!("{train} 12 --resume"));
    assert!(resumed["epochs"] == 12 && resumed["race"].is_null());
}

#[test]
fn a_place_that_cannot_be_written_is_found_before_training() {
    let room = Room::new();
    room.says("train builtin:s-curve --out no/m.safetensors", 3, &["no/m.safetensors", "cannot be written"]);
    room.says("train builtin:s-curve --out m.npy", 2, &["m.npy", ".safetensors"]);
    std::fs::create_dir(room.path("d.safetensors")).unwrap();
    room.says("train builtin:s-curve --out d.safetensors", 3, &["d.safetensors", "cannot be written"]);
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
    assert!(line.starts_with("preprocessing: "), "{line}");
    line.clear();
    errors.read_line(&mut line).unwrap();
    assert!(line.starts_with("training nsf on 270 rows"), "{line}");
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

/// Splines where nothing is asked for; a smooth flow where the objective has Jacobians in it.
#[test]
fn the_default_flow_suits_the_objective() {
    let room = Room::new();
    for (options, flow) in [
        ("", "nsf"),
        ("--alpha 0", "nsf"),
        ("--alpha 0.01", "realnvp"),
        ("--gauge principal", "realnvp"),
        ("--scale-bound 1", "realnvp"),
        ("--alpha 0.01 --flow nsf", "nsf"),
    ] {
        room.ok(&format!(
            "train builtin:s-curve?n=60 --out m.safetensors --layers 2 --hidden 4 --epochs 1 {options}"
        ));
        assert_eq!(room.json("inspect m.safetensors")["record"]["flow"]["flow"], flow, "{options}");
    }
}

/// The soft tails that far rows ask for are not an option: a run with them is resumed by the options that it began with, and by no others.
#[test]
fn a_run_on_far_rows_is_resumed() {
    let room = Room::new();
    let rows: Vec<String> = (0..80_i32).map(|i| format!("{},{}", i % 7, (i * i) % 11)).collect();
    room.write("far.csv", format!("a,b\n{}\n3,900\n", rows.join("\n")));
    for flow in ["realnvp", "nsf", "realnvp --output-affine"] {
        let train = format!(
            "train far.csv --out m.safetensors --flow {flow} --layers 2 --hidden 4 --valid 0 --quiet"
        );
        room.ok(&format!("{train} --preprocess standardize --epochs 2"));
        assert!(room.ok("inspect m.safetensors").matches("soft-tail").count() == 2, "{flow}");
        room.ok(&format!("{train} --preprocess standardize --epochs 3 --resume"));
        assert_eq!(room.json("inspect m.safetensors")["record"]["epochs"].as_array().unwrap().len(), 3);
        let other = train.replace("--layers 2", "--layers 3");
        room.says(&format!("{other} --epochs 4 --resume"), 2, &["another flow"]);
    }
}
