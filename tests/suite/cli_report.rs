//! `verify --out` and `report`: the page and the JSON file, from the real binary.

use crate::cli_support;
use cli_support::{Room, TINY};
use std::process::Stdio;

const VERIFY: &str = "verify builtin:s-curve?n=300 --quick --epochs 2 --claims S1,L5,G1 --out run";

#[test]
fn a_report_is_rebuilt_byte_for_byte() {
    let room = Room::new();
    room.ok(&format!("{VERIFY} {TINY}"));
    let page = room.read("run/report.html");
    let text = String::from_utf8(page.clone()).unwrap();
    for part in
        ["All 3 checks hold", "<math", "<svg", "Local covariance on the data", "Likelihood over training"]
    {
        assert!(text.contains(part), "{part}");
    }
    room.write("run/report.html", "");
    let said = room.ok("report run");
    assert_eq!(said, "All 3 checks hold.\n");
    assert!(room.read("run/report.html") == page, "the page differs");
    // Another run of the same seed writes the same files.
    let json = room.read("run/report.json");
    room.ok(&format!("{VERIFY} {TINY} --threads 1"));
    assert!(room.read("run/report.json") == json && room.read("run/report.html") == page);
}

/// A model that is given is kept beside its report; options that it does not take are said to do nothing, but for α.
#[test]
fn the_report_of_a_given_model_keeps_the_model() {
    let room = Room::with_model();
    let verify = "verify builtin:s-curve?n=200&seed=3 --model m.safetensors --quick --claims S1 --out run";
    let output = room.run(&format!("{verify} --quiet --alpha 0.25 --epochs 3"));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && error.contains("--model: a model is checked as it is"), "{error}");
    let again = room.json("report run");
    assert!(
        again["page"] == "run/report.html" && again["counts"]["holds"] == 1 && again["sentence"].is_string()
    );
    assert!(String::from_utf8(room.read("run/report.json")).unwrap().contains("α = 0.25"));
    let same = room.json("score run/model.safetensors builtin:s-curve?n=50 --against m.safetensors");
    assert_eq!(same["against"]["difference"], 0.0);
    assert_eq!(room.run(&format!("{verify} --quiet --alpha 0.25")).stderr, b"");
}

/// A reader that goes away ends the command quietly, and the files are written all the same.
#[test]
fn a_closed_pipe_leaves_the_report() {
    let room = Room::new();
    let mut command = room.command(&format!("{VERIFY} {TINY} --quiet"));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(room.has("run/report.html") && room.has("run/report.json") && room.has("run/model.safetensors"));
}

#[test]
fn what_is_no_report_is_refused_by_name() {
    let room = Room::new();
    room.write("file", "");
    std::fs::create_dir(room.path("run")).unwrap();
    room.says("report nowhere", 2, &["nowhere/report.json", "verify --out"]);
    room.says("report run", 2, &["run/report.json", "verify --out"]);
    room.write("run/report.json", "{\n\"schema\": 1,");
    room.says("report run", 2, &["run/report.json", "line 2", "not a report"]);
    room.write("run/report.json", "{\"schema\": 99}");
    room.says("report run", 2, &["'schema' is 99", "reads schema 1", "later"]);
    room.write("run/report.json", b"\xff\xfe");
    room.says("report run", 2, &["run/report.json"]);
    assert!(!room.has("run/report.html"));
}
