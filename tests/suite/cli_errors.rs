//! What is refused: the exit code, and a message that names the place and the remedy.

use crate::cli_support;
use cli_support::{Room, TINY};

#[test]
fn data_at_fault_is_named_with_its_place() {
    let room = Room::with_model();
    room.write("nan.csv", "x,y,z\n1,2,3\n4,nan,6\n");
    room.write("text.csv", "x,y,z\n1,2,3\n4,5,six\n");
    room.write("two.csv", "a,b\n1,2\n");
    room.write("cut.npy", b"\x93NUMPY\x01\x00");
    let m = "log-prob m.safetensors";
    room.says(&format!("{m} nan.csv"), 2, &["nan.csv", "row 2", "column 'y'"]);
    room.says(&format!("{m} text.csv"), 2, &["text.csv", "row 2", "column 'z'", "six", "--exclude"]);
    room.says(&format!("{m} two.csv"), 2, &["two.csv", "3 columns", "has 2", "--columns"]);
    room.says(&format!("{m} cut.npy"), 2, &["cut.npy"]);
    room.says(&format!("{m} no.npy"), 2, &["no.npy", "cannot be read"]);
    room.says(&format!("{m} x.txt"), 2, &["x.txt", ".npy"]);
    room.says(&format!("{m} builtin:moons"), 2, &["moons", "two-moons"]);
    room.says(&format!("{m} builtin:s-curve?rows=3"), 2, &["rows", "noise"]);
    room.says(&format!("{m} builtin:s-curve?n=3 --columns x,w"), 2, &["--columns", "'w'", "x, y, z"]);
    room.says(&format!("{m} builtin:s-curve?n=3 --exclude q"), 2, &["--exclude", "'q'"]);
    room.says(&format!("{m} builtin:s-curve?n=3 --label q"), 2, &["--label", "'q'"]);
    room.says("train nan.csv --out n.safetensors", 2, &["nan.csv", "row 2", "column 'y'"]);
    assert!(!room.has("n.safetensors") && !room.has("n.safetensors.checkpoint"));
}

#[test]
fn rows_out_of_reach_are_named() {
    let room = Room::with_model();
    room.write("far.csv", "x,y,z\n0,0,0\n1,1e300,1\n");
    room.says("log-prob m.safetensors far.csv", 2, &["far.csv", "row 2", "out"]);
    room.says("score m.safetensors far.csv", 2, &["far.csv", "row 2", "out"]);
    room.write("big.csv", "x,y,z\n1,1e39,1\n");
    room.says("log-prob m.safetensors big.csv --dtype f32", 2, &["big.csv", "row 1", "column 'y'", "f64"]);
}

#[test]
fn models_at_fault_are_named_with_their_place() {
    let room = Room::with_model();
    let sound = room.read("m.safetensors");
    room.write("cut.safetensors", &sound[..sound.len() - 3]);
    room.write("text.safetensors", "no model");
    let mut nan = sound.clone();
    let end = nan.len();
    nan[end - 8..].copy_from_slice(&f64::NAN.to_le_bytes());
    room.write("nan.safetensors", nan);
    let version = br#"\"format_version\":1"#;
    let at = sound.windows(version.len()).position(|w| w == version).unwrap();
    let mut newer = sound.clone();
    newer[at + version.len() - 1] = b'9';
    room.write("newer.safetensors", newer);
    let data = "builtin:s-curve?n=3";
    room.says(&format!("log-prob cut.safetensors {data}"), 2, &["cut.safetensors"]);
    room.says(&format!("log-prob text.safetensors {data}"), 2, &["text.safetensors", "safetensors file"]);
    room.says(
        &format!("log-prob nan.safetensors {data}"),
        2,
        &["nan.safetensors", "tensor 'layers.", "finite"],
    );
    room.says(&format!("log-prob newer.safetensors {data}"), 2, &["newer.safetensors", "format 9", "update"]);
    room.says(&format!("log-prob no.safetensors {data}"), 2, &["no.safetensors", "cannot be read"]);
    room.says(&format!("score m.safetensors {data} --against no.safetensors"), 2, &["no.safetensors"]);
    room.says("inspect cut.safetensors", 2, &["cut.safetensors"]);
    room.says("sample text.safetensors -n 1", 2, &["text.safetensors"]);
}

#[test]
fn usage_errors_name_the_option_and_what_there_is() {
    let room = Room::with_model();
    room.says("", 2, &["Usage"]);
    room.says("predict m.safetensors d.npy", 2, &["'predict'", "verify", "covariance"]);
    room.says("log-prob m.safetensors", 2, &["<DATA>"]);
    room.says("log-prob m.safetensors d.npy --colums x", 2, &["--colums"]);
    let train = "train builtin:s-curve?n=50 --out n.safetensors";
    room.says(
        &format!("{train} --flow ffjord"),
        2,
        &[
            "ffjord",
            "affine, glow",
            "nsf-ar, paper, paper-tril, planar, radial, realnvp, residual, sylvester",
        ],
    );
    room.says(&format!("{train} --preprocess pca"), 2, &["pca", "whiten"]);
    room.says(&format!("{train} --activation prelu"), 2, &["--activation", "silu"]);
    room.says(&format!("{train} --layers 0"), 2, &["--layers"]);
    for hidden in ["0", "70000", "9000,9000", "65536,65536,65536"] {
        for flow in ["realnvp", "nsf", "maf", "residual"] {
            room.says(&format!("{train} --flow {flow} --hidden {hidden}"), 2, &[flow, "--hidden"]);
        }
    }
    room.says(&format!("{train} --lr -1"), 2, &["--lr", "positive"]);
    room.says(&format!("{train} --alpha nan"), 2, &["--alpha"]);
    room.says(&format!("{train} --max-condition 0.5"), 2, &["--max-condition", "above 1"]);
    room.says("train builtin:s-curve?n=50", 2, &["--out"]);
    room.says("train builtin:s-curve?n=1 --out n.safetensors", 2, &["s-curve"]);
    room.says("sample m.safetensors", 2, &["-n"]);
    room.says("sample m.safetensors -n 0", 2, &["-n"]);
    room.says("sample m.safetensors -n 3 --temperature -1", 2, &["--temperature"]);
    room.says("sample m.safetensors -n 3 --threads 0", 2, &["--threads"]);
    room.says("sample m.safetensors -n 3 --threads 99999999", 2, &["--threads"]);
    room.says("sample m.safetensors -n 3 --seed -4", 2, &["--seed"]);
    room.says("sample m.safetensors -n 3 --dtype f16", 2, &["--dtype", "f32"]);
    room.says("sample m.safetensors -n 1099511627776 --out x.npy", 2, &["-n", "memory"]);
    room.says("covariance m.safetensors builtin:s-curve?n=3 --top 4", 2, &["--top 4", "between 1 and 3"]);
    room.says("jacobian m.safetensors builtin:s-curve?n=3 --direction up", 2, &["up", "generate"]);
    room.says("data moons -n 3", 2, &["moons", "two-moons"]);
    room.says("data s-curve -n 3 width=2", 2, &["width", "noise"]);
    assert!(!room.has("n.safetensors"));
}

#[test]
fn a_result_needs_a_place_that_can_hold_it() {
    let room = Room::with_model();
    let jacobian = "jacobian m.safetensors builtin:s-curve?n=5";
    let covariance = "covariance m.safetensors builtin:s-curve?n=5";
    room.says(&format!("{jacobian} --out j.csv"), 2, &["j.csv", ".npy or .npz"]);
    room.says(&format!("{covariance} --out c.npy"), 2, &["c.npy", ".npz"]);
    room.says(&format!("{jacobian} --out j.parquet"), 2, &["j.parquet", "not built in"]);
    room.says(&format!("{jacobian} --out j"), 2, &["--out j", ".npy"]);
    assert!(!room.has("j.csv") && !room.has("c.npy"));
    // 1,000 numbers are printed, 1,001 are not.
    assert_eq!(room.ok("log-prob m.safetensors builtin:s-curve?n=1000").lines().count(), 1000);
    room.says("log-prob m.safetensors builtin:s-curve?n=1001", 2, &["1001", "--out"]);
    room.says("sample m.safetensors -n 334", 2, &["1002", "--out"]);
    room.says("jacobian m.safetensors builtin:s-curve?n=112 --json", 2, &["1008", "--out"]);
    for command in [jacobian, covariance, "sample m.safetensors -n 5", "data s-curve -n 5"] {
        room.says(&format!("{command} --out no/r.npz"), 3, &["no/r.npz", "cannot be written"]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_output_error_and_leaves_what_was_there() {
    let room = Room::with_model();
    std::os::unix::fs::symlink("/dev/full", room.path("full.npy")).unwrap();
    room.says("sample m.safetensors -n 5 --out full.npy", 3, &["full.npy", "cannot be written"]);
    std::os::unix::fs::symlink("/dev/full", room.path("full.safetensors")).unwrap();
    room.says(
        &format!("train builtin:s-curve?n=60 --out full.safetensors {TINY} --epochs 1 -q"),
        3,
        &["full.safetensors"],
    );
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = room.command("sample m.safetensors -n 5").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output"));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let room = Room::with_model();
    for command in ["sample m.safetensors -n 5", "data --list", "--help", "inspect m.safetensors --json"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = room.command(command).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{command}");
    }
}
