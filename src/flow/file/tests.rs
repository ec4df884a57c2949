//! Files that are sound, and files that are not.

use super::*;
use crate::flow::bijections::{Affine, BatchNorm, Form, Sinh, Standardize};
use crate::flow::presets::{Name, Preset};
use serde_json::json;
use std::path::Path;

fn model<T: Real>() -> Model<T> {
    let mut layers = vec![Standardize { dim: 3 }.into()];
    layers.extend(Preset { hidden: Some(vec![4]), ..Preset::named(Name::Realnvp) }.layers(3, 0).unwrap());
    let flow = Flow::new(layers, 1, 5).unwrap();
    Model { flow, columns: vec!["a".into(), "b".into(), "c".into()], record: Some(json!({"alpha": 0.1})) }
}

/// The file with its header changed by `f`.
fn tampered(f: impl FnOnce(&mut Value)) -> FileError {
    let bytes = small().to_bytes().unwrap();
    let n = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + n]).unwrap();
    let mut inner: Value = serde_json::from_str(header["__metadata__"][KEY].as_str().unwrap()).unwrap();
    f(&mut inner);
    header["__metadata__"][KEY] = inner.to_string().into();
    rebuilt(&header, &bytes[8 + n..])
}

fn rebuilt(header: &Value, data: &[u8]) -> FileError {
    let text = header.to_string();
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes.extend(data);
    AnyModel::from_bytes(&bytes, "m.safetensors").unwrap_err()
}

fn small() -> Model<f64> {
    let flow = Flow::new(vec![Affine::new(2, Form::Full).into(), Sinh { dim: 2 }.into()], 0, 1).unwrap();
    Model { flow, columns: vec!["a".into(), "b".into()], record: None }
}

#[test]
fn round_trips_to_the_bit_in_both_precisions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let single = model::<f32>();
    single.save(&path).unwrap();
    assert_eq!(AnyModel::load(&path).unwrap(), AnyModel::F32(single));
    let mut double = model::<f64>();
    double.flow.parameters_mut()[2].data[0] = -0.0;
    double.flow.parameters_mut()[2].data[1] = f64::from_bits(1);
    double.save(&path).unwrap();
    let AnyModel::F64(back) = AnyModel::load(&path).unwrap() else { panic!("precision") };
    assert_eq!(back, double);
    assert!(back.flow.parameters()[2].data[0].is_sign_negative());
    assert_eq!(back.to_bytes().unwrap(), double.to_bytes().unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn hostile_headers_are_typed_errors() {
    let says = |error: FileError, part: &str| {
        let text = error.to_string();
        assert!(text.starts_with("m.safetensors: ") && text.contains(part), "{text}");
    };
    says(tampered(|h| h["format_version"] = json!(3)), "newer than 2");
    says(tampered(|h| h["format_version"] = json!("x")), "format_version");
    says(tampered(|h| h["layers"][1]["kind"] = json!("warp")), "unknown variant `warp`");
    says(tampered(|h| h["surprise"] = json!(1)), "unknown field `surprise`");
    says(tampered(|h| h["dtype"] = json!("f16")), "none of f32, f64");
    says(tampered(|h| h["dtype"] = json!("f32")), "the layer needs F32");
    says(tampered(|h| h["preprocessing"] = json!(9)), "9 preprocessing layers of 2");
    says(tampered(|h| h["columns"] = json!(["a"])), "1 names of columns");
    says(tampered(|h| h["layers"][1]["dim"] = json!(3)), "layer 1 (sinh) has 3 columns");
    says(tampered(|h| h["layers"] = json!([])), "at least one column");
    says(tampered(|h| h["layers"] = json!([{"kind": "sinh", "dim": 2}])), "belongs to no layer");
    let affine = json!({"kind": "affine", "dim": 2, "form": "full"});
    says(tampered(|h| h["layers"] = json!([affine, affine])), "need at least 8 numbers, the file holds 6");
    let coupling = json!({"kind": "coupling", "dim": 2, "moved": [1], "hidden": [1_u64 << 60, 1_u64 << 60],
        "activation": "tanh", "bound": 1.0});
    says(tampered(|h| h["layers"] = json!([coupling])), "need at least");
    let act_norm = |dim: u64| json!({"kind": "act-norm", "dim": dim});
    says(tampered(|h| h["layers"][1] = act_norm(2)), "need at least 8 numbers, the file holds 6");
    let mixture = json!({"family": "mixture", "components": u64::MAX, "learned": true});
    says(tampered(|h| h["base"] = mixture), "need at least");
    let behind = |dim: u64| json!({"kind": "variational", "layers": [act_norm(dim)]});
    says(
        tampered(|h| h["dequantize"] = behind(1 << 60)),
        "dequantiser's layer 0 (act-norm) has 1152921504606846976 columns, dim is 2",
    );
    says(tampered(|h| h["dequantize"] = behind(2)), "need at least 8 numbers, the file holds 6");
    let wide = json!({"kind": "permutation", "indices": [0, 0]});
    says(tampered(|h| h["layers"][1] = wide), "every column must occur exactly once");
    says(
        tampered(|h| h["layers"][1] = json!({"kind": "banana", "dim": 2})),
        "tensor 'layers.1.bend': is missing",
    );
}

#[test]
fn damaged_bytes_are_typed_errors() {
    let bytes = small().to_bytes().unwrap();
    for cut in 0..bytes.len() {
        assert!(matches!(AnyModel::from_bytes(&bytes[..cut], "m"), Err(FileError::Damaged { .. })), "{cut}");
    }
    // Any one byte changed: an error or another model, never a panic.
    for k in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[k] ^= 0x15;
        let _ = AnyModel::from_bytes(&changed, "m");
    }
    let mut huge = bytes.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(AnyModel::from_bytes(&huge, "m"), Err(FileError::Damaged { .. })));
    let mut nan = small();
    nan.flow.parameters_mut()[0].data[3] = f64::NAN;
    let error = AnyModel::from_bytes(&nan.to_bytes().unwrap(), "m").unwrap_err();
    assert_eq!(error.to_string(), "m: tensor 'layers.0.weight': entry [1, 1] is not a finite number");
    assert!(matches!(AnyModel::load(Path::new("missing.safetensors")), Err(FileError::Read { .. })));
    // Numbers that no training sets.
    for (layer, place, value, reason) in [
        (Standardize { dim: 2 }.into(), 1, 0.0, "layer 0 (standardize): scales must be positive"),
        (Standardize { dim: 2 }.into(), 1, -1.0, "layer 0 (standardize): scales must be positive"),
        (BatchNorm::new(2).into(), 3, -1.0, "layer 0 (batch-norm): running variances must not be negative"),
    ] {
        let mut model = Model { flow: Flow::<f64>::new(vec![layer], 0, 1).unwrap(), ..small() };
        assert!(AnyModel::from_bytes(&model.to_bytes().unwrap(), "m").is_ok());
        model.flow.parameters_mut()[place].data[1] = value;
        let error = AnyModel::from_bytes(&model.to_bytes().unwrap(), "m").unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
    let flow = small().flow.with_dequantizer(Dequantize::variational(2), 0).unwrap();
    let mut whole = Model { flow, ..small() };
    let scale = whole.flow.parameters().iter().position(|p| p.name == "dequantizer.context.scale").unwrap();
    whole.flow.parameters_mut()[scale].data[0] = -1.0;
    let error = AnyModel::from_bytes(&whole.to_bytes().unwrap(), "m").unwrap_err();
    assert!(error.to_string().contains("context.scale must be positive"), "{error}");
}
