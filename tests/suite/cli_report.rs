//! `verify --out` and `report`: the page and the JSON file, from the real binary.

use crate::cli_support;
use cli_support::{Room, TINY};

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
