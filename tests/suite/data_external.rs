//! Real data sets that do not travel with the project. `EIGENFLOW_DATA` names their folder.

use eigenflow::data::{Dtype, Selection, Source, Table};
use std::path::PathBuf;

fn folder(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("EIGENFLOW_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("{test}: skipped: EIGENFLOW_DATA is not set");
    }
    folder
}

fn load(path: &std::path::Path) -> Table {
    path.to_str().unwrap().parse::<Source>().unwrap().load(&Selection::default()).unwrap()
}

#[test]
fn magic_is_read_and_its_embedded_sample_lies_in_it() {
    let Some(folder) = folder("magic") else { return };
    let table = load(&folder.join("magic.npy"));
    assert_eq!((table.values.shape(), table.dtype), ((19_020, 10), Dtype::F32));
    let bits = |table: &Table, i| table.values.row(i).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let all: std::collections::HashSet<Vec<u64>> = (0..table.rows()).map(|i| bits(&table, i)).collect();
    let sample = "builtin:magic".parse::<Source>().unwrap().load(&Selection::default()).unwrap();
    assert!((0..sample.rows()).all(|i| all.contains(&bits(&sample, i))));
}

#[test]
fn texture_is_read() {
    let Some(folder) = folder("texture") else { return };
    let table = load(&folder.join("texture.npy"));
    assert_eq!((table.values.shape(), table.dtype), ((5500, 40), Dtype::F64));
    assert!(table.constant_columns().is_empty(), "its null directions are combinations of columns");
    let (train, valid) = table.split(0.2, 0).unwrap();
    assert_eq!(train.rows() + valid.rows(), 5500);
    assert!(valid.rows().abs_diff(1100) <= 5);
}

#[test]
fn mnist_is_read_and_flattened() {
    let Some(folder) = folder("mnist") else { return };
    let table = load(&folder.join("mnist/t10k-images-idx3-ubyte.gz"));
    assert_eq!((table.values.shape(), table.dtype), ((10_000, 784), Dtype::Uint(1)));
    assert!(table.integer.iter().all(|&whole| whole));
    assert!(table.values.data().iter().all(|x| (0.0..=255.0).contains(x)));
    let labels = folder.join("mnist/t10k-labels-idx1-ubyte.gz");
    let refused =
        labels.to_str().unwrap().parse::<Source>().unwrap().load(&Selection::default()).unwrap_err();
    assert!(refused.to_string().contains("give the file of images"));
}
