//! Inputs that do not belong together: refused, where doing something would be doing the wrong thing.

use crate::cli_support;
use cli_support::Room;

const TINY: &str = "--flow realnvp --layers 2 --hidden 4 --epochs 1";

/// A table of `rows` rows with a header.
fn table(header: &str, rows: usize, cell: impl Fn(usize, usize) -> String) -> String {
    let columns = header.split(',').count();
    let line = |i: usize| (0..columns).map(|j| cell(i, j)).collect::<Vec<_>>().join(",") + "\n";
    format!("{header}\n{}", (0..rows).map(line).collect::<String>())
}

fn number(i: usize, j: usize) -> String {
    (((i * 37 + j * 11 + i * i * (j + 1)) % 97) as f64 / 9.7).to_string()
}

/// The same with another text in one cell.
fn table_with(
    header: &str,
    rows: usize,
    (at, text): ((usize, usize), &str),
    cell: impl Fn(usize, usize) -> String,
) -> String {
    table(header, rows, |i, j| if (i, j) == at { text.to_owned() } else { cell(i, j) })
}

/// Row `i` of a context file belongs to row `i` of DATA, and to no row of another file.
#[test]
fn a_context_file_does_not_serve_rows_of_other_files() {
    let room = Room::new();
    for (name, header) in
        [("d.csv", "x,y"), ("v.csv", "x,y"), ("c.csv", "t"), ("both.csv", "x,y,t"), ("other.csv", "x,y,t")]
    {
        room.write(name, table(header, 40, number));
    }
    for option in ["--valid v.csv", "--test v.csv"] {
        let train = format!("train d.csv --context c.csv {option} --out m.safetensors {TINY}");
        room.says(&train, 2, &[option, "contexts of their own", "fraction"]);
        assert!(!room.has("m.safetensors"));
        room.ok(&format!(
            "train both.csv --context t {} --out m.safetensors {TINY}",
            option.replace("v.csv", "other.csv")
        ));
        std::fs::remove_file(room.path("m.safetensors")).unwrap();
    }
    room.ok(&format!("train d.csv --context c.csv --valid 0.2 --out m.safetensors {TINY}"));
}

/// A file is a file, whatever its name looks like; classes may be words.
#[test]
fn contexts_are_files_before_constants_and_classes_may_be_words() {
    let room = Room::new();
    std::fs::create_dir(room.path("date=2024")).unwrap();
    room.write("d.csv", table("x,y", 40, number));
    room.write("date=2024/c.csv", table("t", 40, number));
    room.ok(&format!("train d.csv --context date=2024/c.csv --out m.safetensors {TINY}"));
    room.write(
        "words.csv",
        table(
            "x,kind,y",
            60,
            |i, j| if j == 1 { ["cat", "dog", "eel"][i * i % 3].into() } else { number(i, j) },
        ),
    );
    room.ok(&format!("train words.csv --context kind:one-hot --out w.safetensors {TINY}"));
    assert_eq!(room.json("inspect w.safetensors")["context"][0]["levels"], serde_json::json!(["cat", "dog"]));
    room.ok("log-prob w.safetensors words.csv --out p.npy");
    // Two such columns, one of them by its number; another choice of columns.
    let two = |i: usize, j: usize| match j {
        0 => ["u", "v"][i % 2].into(),
        2 => ["cat", "dog", "eel"][i % 3].into(),
        _ => number(i, j),
    };
    room.write("two.csv", table("side,x,kind,y", 60, two));
    room.ok(&format!("train two.csv --context kind:one-hot,0:one-hot --out t.safetensors {TINY}"));
    let context = room.json("inspect t.safetensors")["context"].clone();
    assert_eq!((&context[0]["name"], &context[1]["name"]), (&"kind".into(), &"side".into()));
    room.ok("log-prob t.safetensors two.csv --out p.npy");
    room.ok(&format!("train two.csv --columns x,y --context kind:one-hot --out t.safetensors {TINY}"));
    // A word where numbers belong is still none.
    let typed = |i: usize, j: usize| match (i, j) {
        (4, 0) => "?!".into(),
        (_, 1) => "cat".into(),
        _ => number(i, j),
    };
    room.write("more.csv", table("x,kind,y", 9, typed));
    room.says("log-prob w.safetensors more.csv", 2, &["more.csv", "'x'", "?!"]);
    room.write("typo.csv", table_with("x,t,y", 40, ((7, 1), "1o"), number));
    room.says(
        &format!("train typo.csv --context t --out n.safetensors {TINY}"),
        2,
        &["typo.csv", "row 8", "'t'", "1o"],
    );
}

/// Columns are taken by name, or by place where no name says otherwise.
#[test]
fn columns_that_names_contradict_are_refused() {
    let room = Room::new();
    room.write("d.csv", table("a,b,c", 40, number));
    room.ok(&format!("train d.csv --out m.safetensors {TINY}"));
    let (plain, swapped) =
        (room.ok("log-prob m.safetensors d.csv"), table("c,a,b", 40, |i, j| number(i, (j + 2) % 3)));
    room.write("swapped.csv", swapped);
    assert_eq!(room.ok("log-prob m.safetensors swapped.csv"), plain);
    room.write("other.csv", table("p,q,r", 40, number));
    assert_eq!(room.ok("log-prob m.safetensors other.csv"), plain);
    room.write("wrong.csv", table("b,a,C", 40, number));
    room.says("log-prob m.safetensors wrong.csv", 2, &["wrong.csv", "'a'", "column 2", "'c'", "--columns"]);
    room.says(&format!("train d.csv --valid wrong.csv --out n.safetensors {TINY}"), 2, &["wrong.csv", "'c'"]);
    // Two columns without names, and three.
    room.write("two.csv", table("c0,c1", 40, number));
    room.write("three.csv", table("c0,c1,c2", 40, number));
    room.ok(&format!("train two.csv --out two.safetensors {TINY}"));
    room.says("log-prob two.safetensors three.csv", 2, &["three.csv", "2", "3"]);
    room.ok("log-prob two.safetensors three.csv --columns 0,1");
    room.ok("log-prob two.safetensors three.csv --columns 1,2");
    // Columns of one such file, and a file of them alone.
    room.ok(&format!("train three.csv --columns 1,2 --out last.safetensors {TINY}"));
    room.ok("log-prob last.safetensors three.csv");
    room.ok("sample last.safetensors -n 9 --out s.npy");
    room.ok("log-prob last.safetensors s.npy");
}

/// What a model is does not change when it is trained further.
#[test]
fn options_of_another_model_are_not_taken_for_those_of_this_one() {
    let room = Room::new();
    room.write("d.csv", table("a,b", 60, |i, j| ((i * 7 + j * i) % 9).to_string()));
    room.ok(&format!("train d.csv --out m.safetensors --preprocess standardize {TINY}"));
    let again = "train d.csv --epochs 2 --out n.safetensors --from m.safetensors";
    room.says(&format!("{again} --dequantize uniform"), 2, &["--dequantize", "leave the option out"]);
    room.ok(&format!("train d.csv --out u.safetensors --dequantize uniform {TINY}"));
    room.ok("train d.csv --epochs 2 --out n.safetensors --from u.safetensors --dequantize uniform");
    assert_eq!(room.json("inspect n.safetensors")["record"]["dequantize"], "uniform");
    let output = room.run(&format!("{again} --layers 5 --quiet"));
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && warning.contains("--from") && warning.contains("not used"),
        "{warning}"
    );
    let resume =
        format!("train d.csv --out m.safetensors --resume {TINY} --epochs 2").replace("--epochs 1 ", "");
    room.says(
        &format!("{resume} --preprocess none"),
        2,
        &["m.safetensors.checkpoint", "--preprocess standardize"],
    );
    room.says(&format!("{resume} --support positive"), 2, &["m.safetensors.checkpoint", "--support"]);
    room.write("longer.csv", table("a,b", 80, |i, j| ((i * 7 + j * i) % 9).to_string()));
    let output = room.run(&resume.replace("d.csv", "longer.csv"));
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && warning.contains("was trained on") && warning.contains("another run"),
        "{warning}"
    );
}

/// Rows that a model cannot have are named as their file has them, wherever they come from.
#[test]
fn rows_outside_are_named_in_every_file() {
    let room = Room::new();
    let positive = |i: usize, j: usize| (1.0 + ((i * 5 + j * 3) % 17) as f64).to_string();
    room.write("d.csv", table("a,b", 40, positive));
    room.write("bad.csv", table_with("a,b", 40, ((31, 1), "-2"), positive));
    let place = &["bad.csv", "row 32", "column 'b'", "-2"];
    room.says(
        &format!("train d.csv --valid bad.csv --support positive --out m.safetensors {TINY}"),
        2,
        place,
    );
    room.says(&format!("train d.csv --test bad.csv --support positive --out m.safetensors {TINY}"), 2, place);
    room.says("verify bad.csv --support positive --quick --claims L1 --epochs 1", 2, place);
    room.says("verify d.csv --valid bad.csv --support positive --quick --claims L1 --epochs 1", 2, place);
    room.says(
        &format!(
            "train d.csv --valid bad.csv --support positive --jitter-columns b --out m.safetensors {TINY}"
        ),
        2,
        place,
    );
    room.ok(&format!("train d.csv --support positive --out m.safetensors {TINY}"));
    room.says("train bad.csv --from m.safetensors --epochs 1 --out n.safetensors", 2, place);
    room.write("broken.csv", table_with("a,b", 40, ((31, 1), "2.5"), positive));
    let place = &["broken.csv", "row 32", "column 'b'", "2.5"];
    room.says(
        &format!("train d.csv --valid broken.csv --dequantize uniform --out n.safetensors {TINY}"),
        2,
        place,
    );
}

/// A file that cannot be written is told before training; what a version can be read by is told of the file.
#[test]
fn files_beside_the_model() {
    let room = Room::new();
    std::fs::create_dir(room.path("m.safetensors.checkpoint")).unwrap();
    let train = format!("train builtin:s-curve?n=50 --out m.safetensors {TINY}");
    room.says(&train, 3, &["m.safetensors.checkpoint", "nothing was changed"]);
    assert!(!room.has("m.safetensors"));
    std::fs::remove_dir(room.path("m.safetensors.checkpoint")).unwrap();
    let json = room.json(&train);
    assert!(json["seeds"]["valid_nll"]["standard_error"].is_null());
    assert_eq!(room.json("inspect m.safetensors")["format_version"], 1);
    room.ok(&format!("{train} --base student"));
    assert_eq!(room.json("inspect m.safetensors")["format_version"], 2);
}

/// Seeds that came to their end are kept when a later one does not.
#[cfg(unix)]
#[test]
fn finished_seeds_are_kept() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let room = Room::new();
    let train = "train builtin:s-curve?n=2000 --out m.safetensors --flow realnvp --layers 2 --hidden 8 --epochs 12 --patience 0 --seeds 400";
    let mut child = room.command(train).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    lines.by_ref().find(|line| line.as_ref().unwrap().contains("seed 2")).unwrap().unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest: String = lines.map(|line| line.unwrap() + "\n").collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("the best of them is in m.safetensors"), "{rest}");
    room.ok("log-prob m.safetensors builtin:s-curve?n=5");
}
