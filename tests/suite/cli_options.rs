//! Options do what they say, or it is said that they do not.

use crate::cli_support;
use cli_support::{Room, TINY};

/// An affine flow has its optimum by polishing; where that is not done it is trained, and the options of training count.
#[test]
fn an_affine_flow_that_cannot_be_polished_is_trained() {
    let room = Room::new();
    let verify = |out: &str, more: &str| {
        let data = "builtin:s-curve?n=400 --flow affine --claims L1 --epochs 2";
        room.ok(&format!("verify {data} --out {out} {more}"));
        let record = room.json(&format!("inspect {out}/model.safetensors"));
        let nll = room.json(&format!("score {out}/model.safetensors builtin:s-curve?n=400"));
        (nll["nll"].as_f64().unwrap(), nll["gaussian_nll"].as_f64().unwrap(), record)
    };
    let (polished, gaussian, _) = verify("polished", "");
    assert!((polished - gaussian).abs() < 0.02, "{polished} and {gaussian}");
    // Two epochs of few steps stay behind the optimum, but differ with the options.
    let (noisy, ..) = verify("noisy", "--noise 0.1 --lr 0.01");
    let (other, ..) = verify("other", "--noise 0.1 --lr 0.02");
    assert!((noisy - other).abs() > 1e-6 && noisy > gaussian, "{noisy}, {other}");
}

#[test]
fn verify_asks_its_options_first_and_leaves_no_empty_folder() {
    let room = Room::with_model();
    let given = "verify builtin:s-curve?n=50 --model m.safetensors --claims S2a";
    room.says(&format!("{given} --alpha -1000"), 2, &["--alpha", "at least 0"]);
    room.says(&format!("{given} --lr -1 --out run"), 2, &["--lr", "positive"]);
    room.write("bad.csv", "x,y\n1,2\n3,nan\n");
    room.says("verify bad.csv --out run", 2, &["bad.csv", "row 2"]);
    assert!(!room.has("run"));
    room.write("file", "");
    room.says("verify builtin:s-curve?n=50 --out file/run", 3, &["--out file/run", "nothing was changed"]);
}

/// What takes long asks first whether its result can be written.
#[test]
fn places_that_cannot_be_written_are_told_first() {
    let room = Room::with_model();
    let rows = "m.safetensors builtin:s-curve?n=50";
    for command in [
        format!("dimension {rows} --train --out no/d.npz"),
        format!("dimension {rows} --train --plot no/d.svg"),
        format!("log-prob {rows} --out no/p.npy"),
    ] {
        room.says(&command, 3, &["no/", "cannot be written", "nothing was changed"]);
    }
}

/// Verification is in double precision whatever is asked, and the model it keeps is the one it was given.
#[test]
fn single_precision_is_refused_aloud() {
    let room = Room::with_model();
    let run = room
        .run("verify builtin:s-curve?n=50 --model m.safetensors --claims G1 --quick --dtype f32 --out run");
    assert!(String::from_utf8_lossy(&run.stderr).contains("--dtype f32: verify"));
    let kept = room.json("log-prob run/model.safetensors builtin:s-curve?n=20");
    assert_eq!(kept, room.json("log-prob m.safetensors builtin:s-curve?n=20"));
}

#[test]
fn built_in_rows_come_in_the_precision_asked_for() {
    let room = Room::new();
    room.ok("data s-curve -n 5 --dtype f32 --out x.npy");
    assert!(room.read("x.npy").windows(3).any(|w| w == b"<f4"));
    room.ok("data s-curve -n 5 --out y.npy");
    assert!(room.read("y.npy").windows(3).any(|w| w == b"<f8"));
}

/// An estimator without an estimate is named.
#[test]
fn estimators_with_too_few_rows_say_so() {
    let room = Room::with_model();
    let rows = "m.safetensors builtin:s-curve?n=400 --scales 0.1";
    room.says(
        &format!("dimension {rows} --estimators two-nn --out d.npz"),
        2,
        &["two-nn", "500 different rows"],
    );
    assert!(!room.has("d.npz"));
    // On a grid two neighbours are equally far.
    let grid: Vec<String> = (0..1500).map(|k| format!("{},{}", k % 40, k / 40)).collect();
    room.write("grid.csv", format!("x,y\n{}\n", grid.join("\n")));
    room.ok("train grid.csv --flow affine --epochs 1 --alpha 0.01 --out g.safetensors");
    room.says("dimension g.safetensors grid.csv --estimators two-nn", 2, &["two-nn", "equally far"]);
    let all = room.run(&format!("dimension {rows}"));
    assert_eq!(all.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&all.stderr).contains("no estimate by two-nn"));
}

/// Rows of their own for validation: columns by name, bad rows by the file's, and their option in every message.
#[test]
fn rows_of_their_own_are_told_apart() {
    let room = Room::new();
    let rows = |bad: bool| {
        let row = |i: i32| format!("{},{},{i}\n", i % 7, if bad && i == 31 { -2 } else { 1 + i % 5 });
        format!("a,b,id\n{}", (0..60).map(row).collect::<String>())
    };
    room.write("d.csv", rows(false));
    room.write("bad.csv", rows(true));
    let train = format!("train d.csv --columns a,b --epochs 1 --flow realnvp {TINY}");
    room.ok(&format!("{train} --support real;positive --out m.safetensors"));
    room.ok("train d.csv --from m.safetensors --epochs 1 --valid d.csv --out n.safetensors");
    room.says(
        "train bad.csv --from m.safetensors --epochs 1 --out n.safetensors",
        2,
        &["bad.csv: row 32", "column 'b' is -2", "--support"],
    );
    room.says(&format!("{train} --valid 0,2 --out n.safetensors"), 2, &["--valid 0,2", "a fraction such as"]);
}

#[test]
fn options_without_their_partner_are_named() {
    let room = Room::new();
    let args = "train builtin:s-curve?n=50 --epochs 1 --out m.safetensors --gauge-weight 5 --base-fixed";
    let told = room.run(&format!("{args} --flow realnvp {TINY}"));
    let error = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(error.contains("--gauge-weight: is not used without --gauge principal"), "{error}");
    assert!(error.contains("--base-fixed: is not used without a --base that is trained"), "{error}");
}

#[test]
fn studies_with_data_of_their_own_take_no_choice_of_columns() {
    let room = Room::new();
    room.says("study s-curve --quick --columns x,y --out d", 2, &["--columns", "brings its data"]);
    room.says("study dimension --quick --context a=1 --out d", 2, &["--context"]);
    assert!(!room.has("d"));
}

/// One row has a mean and no error.
#[test]
fn one_row_has_no_standard_error() {
    let room = Room::with_model();
    let one = "score m.safetensors builtin:s-curve?n=1";
    assert!(room.json(one)["standard_error"].is_null());
    assert!(room.ok(one).contains("of one row"), "{}", room.ok(one));
    assert!(room.json("score m.safetensors builtin:s-curve?n=9")["standard_error"].as_f64().unwrap() > 0.0);
}

#[test]
fn draws_out_of_range_blame_the_temperature() {
    let room = Room::with_model();
    room.says(
        "sample m.safetensors -n 3 --temperature 1e308",
        2,
        &["m.safetensors", "draw", "--temperature"],
    );
}

/// Columns far from zero do not lose their spread: models at several scales are trained on rows in training units.
#[test]
fn dimensions_do_not_depend_on_where_columns_are() {
    let room = Room::new();
    let mut found = Vec::new();
    for (name, offset) in [("near", 0.0), ("far", 2_459_000.5)] {
        let row = |k: i32| {
            let (a, b) = ((f64::from(k) * 0.7).sin() * 2.0, f64::from(k * 37 % 101) / 50.0 - 1.0);
            format!(
                "{},{}\n",
                offset + 0.0625 * (a * 64.0).round() / 64.0,
                (a * 64.0).round() / 64.0 + 0.01 * b
            )
        };
        room.write(
            &format!("{name}.csv"),
            format!("t,y\n{}\n", (0..400).map(row).collect::<Vec<_>>().join("\n")),
        );
        let small = "--flow realnvp --layers 2 --hidden 8 --epochs 4 --alpha 0.005 --preprocess standardize";
        room.ok(&format!("train {name}.csv {small} --out {name}.safetensors"));
        let args = format!("dimension {name}.safetensors {name}.csv --train --epochs 2 --scales 0.1,0.2");
        let json = room.json(&format!("{args} --estimators effective-dimension,flipd"));
        found.push(json["estimators"].clone());
    }
    for (near, far) in (0..2).flat_map(|k| (0..2).map(move |s| (k, s))).map(|(k, s)| {
        let mean = |f: &serde_json::Value| f[k]["means"][s].as_f64().unwrap();
        (mean(&found[0]), mean(&found[1]))
    }) {
        assert!((near - far).abs() < 0.05, "{near} and {far}");
    }
}
