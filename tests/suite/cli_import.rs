//! `import` and `export`: other libraries' weights at the command line.

use crate::cli_support;
use cli_support::Room;

/// The folder of other libraries' weights, if it is named.
fn folder() -> Option<String> {
    let folder = std::env::var("EIGENFLOW_INTEROP").ok();
    if folder.is_none() {
        println!("skipped: EIGENFLOW_INTEROP is not set");
    }
    folder
}

#[test]
fn an_imported_model_does_what_a_model_does() {
    let Some(folder) = folder() else { return };
    let room = Room::new();
    let json = room.json(&format!("import nflows {folder}/nflows_rqnsf_c.safetensors --out n.safetensors"));
    assert_eq!((&json["dim"], &json["layers"], &json["dtype"]), (&5.into(), &6.into(), &"f64".into()));
    room.ok("sample n.safetensors -n 300 --temperature 0.8 --out x.npy");
    room.ok("jacobian n.safetensors x.npy --out j.npy");
    assert_eq!(room.array("j.npy").shape, [300, 5, 5]);
    room.ok("covariance n.safetensors x.npy --out c.npz");
    room.ok("components n.safetensors x.npy --out c.npz");
    assert_eq!(room.json("inspect n.safetensors")["record"]["imported"], "nflows");
    room.ok("verify x.npy --model n.safetensors --claims S1,S6,C1 --quick");
    // Further training, from the imported weights: two epochs help on draws of the model at another temperature.
    let json = room.json("train x.npy --out t.safetensors --from n.safetensors --epochs 2 --lr 0.0005");
    assert_eq!(json["epochs"], 2);
    let record = room.json("inspect t.safetensors")["record"].clone();
    assert_eq!((&record["from"], record["flow"].is_null()), (&"n.safetensors".into(), true));
    room.says(
        "train builtin:s-curve?n=50 --out u.safetensors --from n.safetensors",
        2,
        &["--from", "5 columns"],
    );
}

#[test]
fn zuko_models_go_there_and_back() {
    let Some(folder) = folder() else { return };
    let room = Room::new();
    room.ok(&format!("import zuko {folder}/zuko_nsf.safetensors --out z.safetensors"));
    room.ok("export zuko z.safetensors --out back.safetensors");
    room.ok("import zuko back.safetensors --out again.safetensors");
    room.ok("sample z.safetensors -n 20 --out x.npy");
    assert_eq!(room.ok("log-prob z.safetensors x.npy"), room.ok("log-prob again.safetensors x.npy"));
    // Another box is another density.
    room.write("c.toml", "bound = 2.5\nactivation = \"relu\"\n");
    room.ok("import zuko back.safetensors --config c.toml --out other.safetensors");
    assert_ne!(room.ok("log-prob z.safetensors x.npy"), room.ok("log-prob other.safetensors x.npy"));
    room.write("bad.toml", "bond = 2\n");
    room.says("import zuko back.safetensors --config bad.toml --out o.safetensors", 2, &["bad.toml", "bond"]);
    room.write("bad.toml", "bound = -2.0\n");
    room.says("import zuko back.safetensors --config bad.toml --out o.safetensors", 2, &["box", "--config"]);
}

#[test]
fn what_cannot_be_read_or_written_is_said() {
    let room = Room::with_model();
    room.write("text.safetensors", "no weights");
    room.says("import zuko text.safetensors --out o.safetensors", 2, &["text.safetensors", "safetensors"]);
    room.says("import zuko no.safetensors --out o.safetensors", 2, &["no.safetensors", "cannot be read"]);
    room.says(
        "import zuko m.safetensors --out o.safetensors",
        2,
        &["a model of eigenflow", "needs no import"],
    );
    room.says("import nflows m.safetensors --out o.safetensors", 2, &["a model of eigenflow", "nflows"]);
    room.says("import torch m.safetensors --out o.safetensors", 2, &["torch", "nflows"]);
    room.says("import zuko m.safetensors --out o.npy", 2, &["o.npy", ".safetensors"]);
    room.says(
        "export zuko m.safetensors --out o.safetensors",
        2,
        &["m.safetensors", "layer 0 (standardize)"],
    );
    assert!(!room.has("o.safetensors"));
}
