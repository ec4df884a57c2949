//! Other libraries' weights, with those libraries' own answers: their folder is named by EIGENFLOW_INTEROP.

use eigenflow::flow::bijections::GeneralCoupling;
use eigenflow::flow::conditioner::Activation;
use eigenflow::flow::import::{Library, Settings, export_zuko, import_bytes};
use eigenflow::flow::presets::{Name, Preset};
use eigenflow::flow::transformer::{Logits, Scale, Spline, Transformer};
use eigenflow::flow::{AnyModel, Base, Bijection, Dequantize, Flow, Model};
use eigenflow::jacobian::{Direction, Route, jacobians};
use eigenflow_linalg::{Matrix, lu};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;

/// A file of the folder, if it is named.
fn file(name: &str) -> Option<Vec<u8>> {
    let Ok(folder) = std::env::var("EIGENFLOW_INTEROP") else {
        println!("skipped: EIGENFLOW_INTEROP is not set");
        return None;
    };
    Some(std::fs::read(format!("{folder}/{name}.safetensors")).unwrap())
}

fn f64s(tensors: &SafeTensors<'_>, name: &str) -> Vec<f64> {
    let view = tensors.tensor(name).unwrap();
    assert_eq!(view.dtype(), Dtype::F64);
    view.data().as_chunks::<8>().0.iter().map(|&b| f64::from_le_bytes(b)).collect()
}

const FILES: [(Library, &str); 4] = [
    (Library::Zuko, "zuko_realnvp"),
    (Library::Zuko, "zuko_nsf"),
    (Library::Nflows, "nflows_maf"),
    (Library::Nflows, "nflows_rqnsf_c"),
];

fn model(library: Library, bytes: &[u8]) -> Model<f64> {
    match import_bytes(library, bytes, "weights", &Settings::default()).unwrap() {
        AnyModel::F64(model) => model,
        AnyModel::F32(_) => panic!("the file is double precision"),
    }
}

#[test]
fn log_densities_are_those_of_the_library() {
    for (library, name) in FILES {
        let Some(bytes) = file(name) else { return };
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let model = model(library, &bytes);
        let x = Matrix::new(16, 5, f64s(&tensors, "__x__"));
        let log_p = model.flow.log_density(&x).unwrap();
        let mut worst = 0.0_f64;
        for (own, theirs) in log_p.iter().zip(f64s(&tensors, "__log_prob__")) {
            let error = (own - theirs).abs() / theirs.abs().max(1.0);
            worst = worst.max(error);
            assert!(error <= 1e-12, "{name}: {own} {theirs}");
        }
        println!("{name}: within {worst:.1e}");
    }
}

/// It saves and loads, inverts, and its log-determinant is that of its Jacobian.
#[test]
fn an_imported_model_is_a_model() {
    for (library, name) in FILES {
        let Some(bytes) = file(name) else { return };
        let model = model(library, &bytes);
        let again = AnyModel::from_bytes(&model.to_bytes().unwrap(), "again").unwrap();
        assert_eq!(again, AnyModel::F64(model.clone()), "{name}");
        let x = model.flow.sample(20, 0.7, 3).unwrap();
        let (z, log_det) = model.flow.normalize(&x).unwrap();
        let back = model.flow.generate(&z).unwrap();
        let j = jacobians(&model.flow, &x, Direction::Normalize, Route::Push).unwrap();
        for (i, log_det) in log_det.into_iter().enumerate() {
            let error = x.row(i).iter().zip(back.row(i)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(error <= 1e-9, "{name}: {error:e}");
            assert!((log_det - lu::slogdet(&j.matrix(i)).unwrap().1).abs() <= 1e-9, "{name}");
        }
    }
}

/// Every tensor of the library's file is written again, bit for bit.
#[test]
fn zuko_models_go_back_as_they_came() {
    for name in ["zuko_realnvp", "zuko_nsf"] {
        let Some(bytes) = file(name) else { return };
        let written = export_zuko(&model(Library::Zuko, &bytes).flow).unwrap();
        let (before, after) =
            (SafeTensors::deserialize(&bytes).unwrap(), SafeTensors::deserialize(&written).unwrap());
        let mut count = 0;
        for tensor in before.names().into_iter().filter(|n| !n.starts_with("__")) {
            let (a, b) = (before.tensor(tensor).unwrap(), after.tensor(tensor).unwrap());
            assert_eq!(
                (a.dtype(), a.shape(), a.data()),
                (b.dtype(), b.shape(), b.data()),
                "{name}: {tensor}"
            );
            count += 1;
        }
        assert_eq!(count, after.len(), "{name}");
    }
}

/// The file's tensors, changed.
fn changed(bytes: &[u8], change: impl FnOnce(&mut HashMap<String, (Dtype, Vec<usize>, Vec<u8>)>)) -> Vec<u8> {
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let mut all: HashMap<String, (Dtype, Vec<usize>, Vec<u8>)> = tensors
        .tensors()
        .into_iter()
        .map(|(name, t)| (name, (t.dtype(), t.shape().to_vec(), t.data().to_vec())))
        .collect();
    change(&mut all);
    let views = all.iter().map(|(n, (d, s, b))| (n, TensorView::new(*d, s.clone(), b).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn what_is_not_understood_is_named() {
    let Some(zuko) = file("zuko_nsf") else { return };
    let Some(nflows) = file("nflows_rqnsf_c") else { return };
    let says = |library, bytes: &[u8], parts: &[&str]| {
        let text =
            import_bytes(library, bytes, "w.safetensors", &Settings::default()).unwrap_err().to_string();
        assert!(text.starts_with("w.safetensors: "), "{text}");
        parts.iter().for_each(|part| assert!(text.contains(part), "'{part}' is not in: {text}"));
    };
    says(Library::Zuko, &zuko[..100], &["safetensors"]);
    says(Library::Zuko, &nflows, &["looks like nflows", "import it as nflows"]);
    says(Library::Nflows, &zuko, &["looks like zuko", "import it as zuko"]);
    says(
        Library::Zuko,
        &model(Library::Zuko, &zuko).to_bytes().unwrap(),
        &["a model of eigenflow", "needs no import"],
    );
    let more = changed(&zuko, |t| {
        let copy = t["base.loc"].clone();
        t.insert("transform.transforms.1.hyper.5.weight".into(), copy);
    });
    says(Library::Zuko, &more, &["'transform.transforms.1.hyper.5.weight'", "activation"]);
    let less = changed(&zuko, |t| drop(t.remove("transform.transforms.1.hyper.2.mask")));
    says(Library::Zuko, &less, &["'transform.transforms.1.hyper.2.mask'", "missing"]);
    let shape =
        changed(&zuko, |t| t.get_mut("transform.transforms.0.hyper.2.weight").unwrap().1 = vec![8, 32]);
    says(Library::Zuko, &shape, &["'transform.transforms.0.hyper.2.weight'", "[8, 32]", "[16, 16]"]);
    let mask = changed(&zuko, |t| t.get_mut("transform.transforms.0.hyper.4.mask").unwrap().2.fill(1));
    says(Library::Zuko, &mask, &["layer 0 (autoregressive)", "masks let"]);
    let nan = changed(&zuko, |t| t.get_mut("base.scale").unwrap().2.fill(0xff));
    says(Library::Zuko, &nan, &["'base.scale'", "finite"]);
    let order = changed(&zuko, |t| t.get_mut("transform.transforms.0.order").unwrap().2[0] = 9);
    says(Library::Zuko, &order, &["'transform.transforms.0.order'", "9"]);
    let twice = changed(&nflows, |t| t.get_mut("_transform._transforms.0._permutation").unwrap().2[0] ^= 1);
    says(Library::Nflows, &twice, &["permutation", "exactly once"]);
    let features =
        changed(&nflows, |t| t.get_mut("_transform._transforms.2.identity_features").unwrap().2.fill(0));
    says(Library::Nflows, &features, &["transform_features", "share out"]);
}

/// Base means and scales become an elementwise layer at the end, and go back to the base.
#[test]
fn the_base_is_part_of_the_model() {
    let Some(bytes) = file("zuko_realnvp") else { return };
    let numbers = |v: [f64; 5]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let shifted = changed(&bytes, |t| {
        t.get_mut("base.loc").unwrap().2 = numbers([0.5, 0.0, -1.0, 2.0, 0.0]);
        t.get_mut("base.scale").unwrap().2 = numbers([2.0, 1.0, 0.5, 1.0, 4.0]);
    });
    let (plain, moved) = (model(Library::Zuko, &bytes), model(Library::Zuko, &shifted));
    assert_eq!(moved.flow.layers().last().unwrap().kind(), "act-norm");
    let x = plain.flow.sample(3, 1.0, 1).unwrap();
    let (a, b) = (plain.flow.normalize(&x).unwrap().0, moved.flow.normalize(&x).unwrap().0);
    for i in 0..3 {
        assert!((b[(i, 0)] - (a[(i, 0)] - 0.5) / 2.0).abs() < 1e-14);
        assert!((b[(i, 4)] - a[(i, 4)] / 4.0).abs() < 1e-14);
    }
    let written = export_zuko(&moved.flow).unwrap();
    let tensors = SafeTensors::deserialize(&written).unwrap();
    assert_eq!(f64s(&tensors, "base.loc"), [0.5, 0.0, -1.0, 2.0, 0.0]);
}

#[test]
fn other_flows_have_no_counterpart() {
    let layers = Preset::named(Name::Glow).layers(3, 0).unwrap();
    let flow = Flow::<f64>::new(layers, 0, 0).unwrap();
    let text = export_zuko(&flow).unwrap_err().to_string();
    assert!(text.contains("layer 0 (act-norm)") && text.contains("zuko"), "{text}");
    assert_eq!(flow.layers()[0].dim(), 3);
    // Layers that zuko has, with a base or a dequantiser that it has not.
    let layers = Preset::named(Name::Nice).layers(2, 0).unwrap();
    let flow = Flow::<f64>::new(layers, 0, 0).unwrap();
    assert!(export_zuko(&flow).is_ok());
    let based = flow.with_base(Base::Student { learned: true }, 0).unwrap();
    let whole = flow.with_dequantizer(Dequantize::Uniform, 0).unwrap();
    for (flow, part) in [(based, "base"), (whole, "dequantiser")] {
        let text = export_zuko(&flow).unwrap_err().to_string();
        assert!(text.contains(&format!("the model's {part} has no counterpart in zuko")), "{text}");
    }
}

/// A file of these tensors of doubles.
fn of_tensors(tensors: &[(&str, &[usize], &[f64])], metadata: &[(&str, &str)]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, _, data)| data.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (*name, TensorView::new(Dtype::F64, shape.to_vec(), bytes).unwrap())
    });
    let metadata = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    safetensors::serialize(views, Some(metadata)).unwrap()
}

/// Files that no library writes: errors that name the tensor.
#[test]
fn hostile_weights_are_refused() {
    let says = |library, tensors: &[(&str, &[usize], &[f64])], parts: &[&str]| {
        let error = import_bytes(library, &of_tensors(tensors, &[]), "w", &Settings::default()).unwrap_err();
        let text = error.to_string();
        parts.iter().for_each(|part| assert!(text.contains(part), "'{part}' is not in: {text}"));
    };
    let base: [(&str, &[usize], &[f64]); 2] =
        [("base.loc", &[2], &[0.0, 0.0]), ("base.scale", &[2], &[1.0, 1.0])];
    let network: [(&str, &[usize], &[f64]); 6] = [
        ("transform.transforms.0.hyper.0.weight", &[0, 2], &[]),
        ("transform.transforms.0.hyper.0.bias", &[0], &[]),
        ("transform.transforms.0.hyper.0.mask", &[0, 2], &[]),
        ("transform.transforms.0.hyper.2.weight", &[4, 0], &[]),
        ("transform.transforms.0.hyper.2.bias", &[4], &[0.0; 4]),
        ("transform.transforms.0.hyper.2.mask", &[4, 0], &[]),
    ];
    let empty = [&base[..], &network].concat();
    says(Library::Zuko, &empty, &["'transform.transforms.0.hyper.0.bias'", "at least one unit"]);
    let none: [(&str, &[usize], &[f64]); 3] = [
        ("base.loc", &[0], &[]),
        ("base.scale", &[0], &[]),
        ("transform.transforms.0.phi.0", &[0, 1 << 40], &[]),
    ];
    says(Library::Zuko, &none, &["'base.loc'", "at least one feature"]);
    let mut wide = base.to_vec();
    wide.extend(["transform.transforms.0.phi.0", "transform.transforms.0.phi.1"].map(|name| {
        let (shape, numbers): (&[usize], &[f64]) = (&[0, 1 << 63], &[]);
        (name, shape, numbers)
    }));
    says(Library::Zuko, &wide, &["'transform.transforms.0.phi.0'", "2 features"]);
    // Tensors that are finite, and make parameters that are not: -m/s, and a double in a model of singles.
    let mut tiny = base.to_vec();
    tiny[0].2 = &[1e10, 0.0];
    tiny[1].2 = &[1e-300, 1.0];
    says(Library::Zuko, &tiny, &["'layers.0.shift'", "f64"]);
    tiny[0].2 = &[1e300, 0.0];
    tiny[1].2 = &[1.0, 1.0];
    let mixed = changed(&of_tensors(&tiny, &[]), |t| {
        t.insert("transform.transforms.0.phi.0".into(), (Dtype::F32, vec![2], vec![0; 8]));
    });
    let text = import_bytes(Library::Zuko, &mixed, "w", &Settings::default()).unwrap_err().to_string();
    assert!(text.contains("'layers.1.shift'") && text.contains("f32"), "{text}");
    // Compositions in compositions, to any depth that a name has room for.
    let nested = |depth: usize| format!("_transform.{}_permutation", "_transforms.0.".repeat(depth));
    says(Library::Nflows, &[(&nested(100_000), &[1], &[0.0])], &["nested too deeply", "64"]);
    let deep = of_tensors(&[(&nested(64), &[1], &[0.0])], &[]);
    assert_eq!(model(Library::Nflows, &deep).flow.layers().len(), 1);
}

/// By hand: one feature, which a coupling either passes or moves by what its network makes of nothing, `0.5 · (2 + 3 relu(0.25 · 2 - 0.1) - 1) + 0.75`.
#[test]
fn a_coupling_without_inputs_is_a_constant() {
    let net = "_transform.transform_net.";
    let names: Vec<String> = [
        "initial_layer.weight",
        "initial_layer.bias",
        "blocks.0.linear_layers.0.weight",
        "blocks.0.linear_layers.0.bias",
        "blocks.0.linear_layers.1.weight",
        "blocks.0.linear_layers.1.bias",
        "final_layer.weight",
        "final_layer.bias",
    ]
    .iter()
    .map(|name| format!("{net}{name}"))
    .collect();
    let moving: Vec<(&str, &[usize], &[f64])> = vec![
        ("_transform.identity_features", &[0], &[]),
        ("_transform.transform_features", &[1], &[0.0]),
        (&names[0], &[1, 0], &[]),
        (&names[1], &[1], &[2.0]),
        (&names[2], &[1, 1], &[0.25]),
        (&names[3], &[1], &[-0.1]),
        (&names[4], &[1, 1], &[3.0]),
        (&names[5], &[1], &[-1.0]),
        (&names[6], &[1, 1], &[0.5]),
        (&names[7], &[1], &[0.75]),
    ];
    let moved = model(Library::Nflows, &of_tensors(&moving, &[]));
    let (z, log_det) = moved.flow.normalize(&Matrix::new(1, 1, vec![1.0])).unwrap();
    let shift = 0.5 * (2.0 + 3.0 * (0.25 * 2.0 - 0.1) - 1.0) + 0.75;
    assert!((z[(0, 0)] - (1.0 + shift)).abs() < 1e-15 && log_det[0].abs() < 1e-300, "{z:?}");

    let mut passing = moving;
    passing[0] = ("_transform.identity_features", &[1], &[0.0]);
    passing[1] = ("_transform.transform_features", &[0], &[]);
    passing[2] = (&names[0], &[1, 1], &[9.0]);
    passing[8] = (&names[6], &[0, 1], &[]);
    passing[9] = (&names[7], &[0], &[]);
    let passed = model(Library::Nflows, &of_tensors(&passing, &[]));
    assert_eq!(passed.flow.normalize(&Matrix::new(1, 1, vec![1.5])).unwrap().0.data(), [1.5]);
}

/// By hand: two features and one hidden unit a layer; without residual blocks each layer but the last has an activation behind it.
#[test]
fn a_feedforward_made_is_read_as_one() {
    let net = "_transform.autoregressive_net.";
    let name = |n: &str| format!("{net}{n}");
    let all = ["initial_layer", "blocks.0.linear", "final_layer"].map(|n| {
        [
            name(&format!("{n}.weight")),
            name(&format!("{n}.bias")),
            name(&format!("{n}.mask")),
            name(&format!("{n}.degrees")),
        ]
    });
    let tensors: Vec<(&str, &[usize], &[f64])> = vec![
        (&all[0][0], &[1, 2], &[0.5, 7.0]),
        (&all[0][1], &[1], &[0.25]),
        (&all[0][2], &[1, 2], &[1.0, 0.0]),
        (&all[0][3], &[1], &[1.0]),
        (&all[1][0], &[1, 1], &[2.0]),
        (&all[1][1], &[1], &[-0.5]),
        (&all[1][2], &[1, 1], &[1.0]),
        (&all[2][0], &[4, 1], &[5.0, 6.0, 0.3, -0.4]),
        (&all[2][1], &[4], &[0.1, 0.2, 0.6, 0.7]),
        (&all[2][2], &[4, 1], &[0.0, 0.0, 1.0, 1.0]),
        (&all[2][3], &[4], &[1.0, 1.0, 2.0, 2.0]),
    ];
    let flow = model(Library::Nflows, &of_tensors(&tensors, &[])).flow;
    let z = flow.normalize(&Matrix::new(1, 2, vec![2.0, 3.0])).unwrap().0;
    let scale = |u: f64| u.exp().ln_1p() + 1e-3;
    let h = 2.0 * (0.5 * 2.0 + 0.25) - 0.5;
    assert!((z[(0, 0)] - (scale(0.1) * 2.0 + 0.2)).abs() < 1e-14);
    assert!((z[(0, 1)] - (scale(0.3 * h + 0.6) * 3.0 + 0.7 - 0.4 * h)).abs() < 1e-14);

    // Without a block the weights do not say which of the two it is.
    let bare: Vec<_> = tensors.iter().copied().filter(|t| !t.0.contains("blocks")).collect();
    let text = import_bytes(Library::Nflows, &of_tensors(&bare, &[]), "w", &Settings::default()).unwrap_err();
    assert!(text.to_string().contains("final_layer.bias") && text.to_string().contains("residual"), "{text}");
    let of = |residual: &str| model(Library::Nflows, &of_tensors(&bare, &[("residual", residual)])).flow;
    let x = Matrix::new(1, 2, vec![-2.0, 3.0]);
    let at = |flow: &Flow<f64>| flow.normalize(&x).unwrap().0[(0, 1)];
    let (plain, linear) = (at(&of("false")), at(&of("true")));
    assert!((plain - (scale(0.6) * 3.0 + 0.7)).abs() < 1e-14);
    assert!((linear - (scale(0.3 * -0.75 + 0.6) * 3.0 + 0.7 + 0.4 * 0.75)).abs() < 1e-14);
}

/// Settings in the file's metadata count, unless others are given; other entries are the writer's own affair.
#[test]
fn metadata_hold_settings() {
    let affine: Vec<(&str, &[usize], &[f64])> = vec![
        ("transform.transforms.0.phi.0", &[1], &[0.5]),
        ("transform.transforms.0.phi.1", &[1], &[0.8]),
        ("base.loc", &[1], &[0.0]),
        ("base.scale", &[1], &[1.0]),
    ];
    let of = |metadata: &[(&str, &str)], settings: &Settings| {
        let bytes = of_tensors(&affine, metadata);
        import_bytes(Library::Zuko, &bytes, "w", settings).map(|m| m.cast::<f64>().flow)
    };
    let z = |flow: Flow<f64>| flow.normalize(&Matrix::new(1, 1, vec![2.0])).unwrap().0[(0, 0)];
    let formula = |slope: f64| 2.0 * (0.8 / (1.0 + (0.8 / slope.ln()).abs())).exp() + 0.5;
    let given = Settings { slope: Some(0.1), ..Settings::default() };
    for (metadata, settings, slope) in [
        (&[][..], &Settings::default(), 1e-3),
        (&[("slope", "0.01"), ("note", "trained at night"), ("tail_bound", "4")], &Settings::default(), 0.01),
        (&[("slope", "0.01")], &given, 0.1),
    ] {
        assert!((z(of(metadata, settings).unwrap()) - formula(slope)).abs() < 1e-14);
    }
    let text = of(&[("slope", "steep")], &given).unwrap_err().to_string();
    assert!(text.contains("'slope' = 'steep'") && text.contains("--config"), "{text}");
}

/// Features without a network, of any transformer, go to zuko's `phi` and come back.
#[test]
fn elementwise_transforms_go_there_and_back() {
    let least = 1e-3;
    for (dim, transformer) in [
        (1, Transformer::Additive),
        (3, Transformer::Affine { scale: Scale::SoftClamp { least } }),
        (2, Transformer::Spline(Spline { bins: 4, bound: 5.0, logits: Logits::SoftClamp { least } })),
    ] {
        let layer = GeneralCoupling {
            dim,
            moved: (0..dim).collect(),
            hidden: vec![],
            activation: Activation::Relu,
            residual: false,
            transformer,
        };
        let mut flow = Flow::<f64>::new(vec![layer.into()], 0, 0).unwrap();
        flow.parameters_mut()[1].data.iter_mut().enumerate().for_each(|(k, v)| *v = (k as f64).sin());
        let again = model(Library::Zuko, &export_zuko(&flow).unwrap()).flow;
        assert_eq!(again, flow);
    }
}
