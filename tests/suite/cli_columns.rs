//! Columns are found by their names, wherever rows come from.

use crate::cli_support;
use cli_support::{Room, TINY};

/// Rows of three columns, in an order of our choice.
fn table(rows: std::ops::Range<usize>, order: [usize; 3]) -> String {
    let names = ["a", "b", "c"];
    let mut text = order.map(|j| names[j]).join(",") + "\n";
    for i in rows {
        let t = i as f64;
        let row = [(t * 0.7).sin(), 10.0 + 3.0 * (t * 1.3).cos(), 100.0 * (t * 0.37).sin() * (t * 0.7).sin()];
        text += &(order.map(|j| row[j].to_string()).join(",") + "\n");
    }
    text
}

const ORDER: [usize; 3] = [0, 1, 2];
const TURNED: [usize; 3] = [2, 0, 1];

#[test]
fn validation_and_test_rows_may_have_their_columns_in_any_order() {
    let room = Room::new();
    room.write("d.csv", table(0..200, ORDER));
    let train = format!("train d.csv --valid v.csv --test t.csv --out m.safetensors {TINY} --epochs 3");
    let run = |order| {
        room.write("v.csv", table(200..260, order));
        room.write("t.csv", table(260..300, order));
        (room.json(&train)["test"].clone(), room.read("m.safetensors"))
    };
    let (plain, turned) = (run(ORDER), run(TURNED));
    assert_eq!(plain.0, turned.0);
    assert!(plain.1 == turned.1, "not the same model");
    // By place, the columns would be others.
    room.write("v.csv", table(200..260, TURNED).replace("c,a,b", "x,y,z"));
    room.ok(&train);
    assert!(room.read("m.safetensors") != plain.1);
}

#[test]
fn a_model_goes_on_with_its_own_columns() {
    let room = Room::new();
    room.write("d.csv", table(0..200, ORDER));
    room.write("turned.csv", table(0..200, TURNED));
    room.ok(&format!("train d.csv --out m.safetensors {TINY} --epochs 2 --quiet"));
    let more = |data: &str| {
        room.ok(&format!("train {data} --from m.safetensors --out n.safetensors --epochs 2 --quiet"));
        room.json("score n.safetensors d.csv")["nll"].clone()
    };
    assert_eq!(more("d.csv"), more("turned.csv"));
    assert_eq!(room.json("inspect n.safetensors")["columns"], serde_json::json!(["a", "b", "c"]));
    // Another model of the same columns in another order is one for the same rows.
    room.ok(&format!("train turned.csv --out o.safetensors {TINY} --epochs 2 --quiet"));
    let both = room.json("components m.safetensors d.csv --compare --also o.safetensors --quiet");
    let swapped = room.json("components m.safetensors turned.csv --compare --also o.safetensors --quiet");
    assert_eq!(both["over_models"], swapped["over_models"]);
    room.json("score m.safetensors d.csv --against o.safetensors");
}

#[test]
fn densities_of_other_variables_are_not_compared() {
    let room = Room::new();
    room.write("d.csv", table(0..200, ORDER));
    for (columns, name) in [("a,b", "m"), ("b,c", "o")] {
        room.ok(&format!(
            "train d.csv --columns {columns} --out {name}.safetensors {TINY} --epochs 1 --quiet"
        ));
    }
    room.says(
        "score m.safetensors d.csv --against o.safetensors",
        2,
        &["--against", "other variables", "b, c"],
    );
    let whole: Vec<String> = (0..200).map(|i| format!("{},{}\n", i % 5, i * i % 7)).collect();
    room.write("w.csv", format!("a,b\n{}", whole.concat()));
    for (option, name) in [("--dequantize uniform", "u"), ("", "p")] {
        room.ok(&format!("train w.csv --out {name}.safetensors {TINY} --epochs 1 --quiet {option}"));
    }
    room.says("score p.safetensors w.csv --against u.safetensors", 2, &["--against", "whole numbers"]);
}

#[test]
fn numbers_that_are_not_whole_are_named_with_their_row() {
    let room = Room::new();
    room.write("half.csv", "a,b\n1,2\n3,4\n5,6.5\n");
    room.says(
        "train half.csv --dequantize uniform --out m.safetensors",
        2,
        &["half.csv: row 3, column 'b' is 6.5", "--dequantize"],
    );
}
