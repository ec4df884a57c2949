//! Files of every format, sound and damaged: what is read, what is written, what is refused and how.

use eigenflow::data::formats::Location;
use eigenflow::data::output::{self, Array};
use eigenflow::data::{Dtype, Error, Selection, Source, Table};
use eigenflow_linalg::{Batch, Matrix};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::LazyLock;

fn parse(name: &str, bytes: &[u8]) -> Result<Table, Error> {
    parse_with(name, bytes, &Selection::default())
}

fn parse_with(name: &str, bytes: &[u8], selection: &Selection) -> Result<Table, Error> {
    let table = Location::of(name)?.table_from(Cursor::new(bytes), selection)?;
    table.check_finite()?;
    Ok(table)
}

fn message(name: &str, bytes: &[u8]) -> String {
    parse(name, bytes).expect_err("this file must be refused").to_string()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A `.npy` file by hand.
fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

fn idx(code: u8, lengths: &[u32], data: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, code, lengths.len() as u8];
    file.extend(lengths.iter().flat_map(|n| n.to_be_bytes()));
    file.extend(data);
    file
}

/// Written by `output`, as bytes.
fn written(name: &str, arrays: &[Array<'_>]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    output::write(&path, arrays).unwrap();
    std::fs::read(path).unwrap()
}

/// Every element type, either order, either endianness, plain and gzipped; the same 2 x 3 numbers.
#[test]
fn npy_in_all_types_orders_and_endiannesses() {
    let (c, fortran) = ([1, 2, 3, 4, 5, 6], [1, 4, 2, 5, 3, 6]);
    macro_rules! check {
        ($t:ty, $code:literal, $dtype:expr) => {
            for order in [c, fortran] {
                for (mark, big) in [('<', false), ('>', true)] {
                    let encode = |x: i32| {
                        let x = x as $t;
                        if big { x.to_be_bytes() } else { x.to_le_bytes() }
                    };
                    let data: Vec<u8> = order.iter().flat_map(|&x| encode(x)).collect();
                    let file = npy(&format!("{mark}{}", $code), order == fortran, "(2, 3)", &data);
                    for (name, bytes) in [("a.npy", file.clone()), ("a.npy.gz", gz(&file))] {
                        let table = parse(name, &bytes).unwrap();
                        assert_eq!(table.values, Matrix::new(2, 3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
                        assert_eq!((table.dtype, table.names[2].as_str()), ($dtype, "c2"));
                    }
                }
            }
        };
    }
    check!(i8, "i1", Dtype::Int(1));
    check!(i16, "i2", Dtype::Int(2));
    check!(i32, "i4", Dtype::Int(4));
    check!(i64, "i8", Dtype::Int(8));
    check!(u8, "u1", Dtype::Uint(1));
    check!(u16, "u2", Dtype::Uint(2));
    check!(u32, "u4", Dtype::Uint(4));
    check!(u64, "u8", Dtype::Uint(8));
    check!(f32, "f4", Dtype::F32);
    check!(f64, "f8", Dtype::F64);
    let bools = parse("a.npy", &npy("|b1", false, "(2, 1)", &[0, 1])).unwrap();
    assert_eq!((bools.values.data(), bools.dtype), (&[0.0, 1.0][..], Dtype::Bool));
    let negative = parse("a.npy", &npy("<i2", false, "(1, 1)", &(-300_i16).to_le_bytes())).unwrap();
    assert!(negative.values[(0, 0)].to_bits() == (-300.0_f64).to_bits() && negative.integer[0]);
}

#[test]
fn npy_refusals_say_what_was_expected() {
    let eight = [0; 64];
    let f8 = |shape| npy("<f8", false, shape, &eight);
    for (bytes, part) in [
        (f8("(8,)"), "shape [8], where rows and columns are needed; reshape it: array.reshape(-1, 1)"),
        (npy("<f8", false, "()", &[0; 8]), "a single number is no data"),
        (f8("(2, 2, 2)"), "array.reshape(len(array), -1)"),
        (f8("(3, 3)"), "cut short: 8 numbers are there; expected 9 numbers of 8 bytes"),
        (f8("(7, 1)"), "more bytes follow the numbers"),
        (f8("(0, 3)"), "more bytes follow"),
        (npy("<f8", false, "(0, 3)", &[]), "has no rows"),
        (npy("<f8", false, "(3, 0)", &[]), "has no columns"),
        (f8("(99999999999, 99999999999)"), "beyond any memory"),
        (f8("(1000000000000, 1000)"), "cut short: 8 numbers"),
        (npy("<c16", false, "(2, 2)", &eight), "element type '<c16' is not read"),
        (npy("|O", false, "(2, 2)", &eight), "element type '|O'"),
        (gz(&f8("(8, 1)")), "a gzipped file (add .gz"),
        (b"a,b\n1,2\n".to_vec(), "this is text (.csv?)"),
        (vec![], "has no bytes"),
        (b"\x93NUMPY\x09\x00".to_vec(), "format version 9"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), "a header of 4294967295 bytes"),
    ] {
        let message = message("a.npy", &bytes);
        assert!(message.starts_with("a.npy: ") && message.contains(part), "{message}");
    }
    let nan = npy("<f8", false, "(1, 2)", &[1.0_f64, f64::NAN].map(f64::to_le_bytes).concat());
    assert!(message("a.npy", &nan).contains("row 1, column 'c1': NaN is not a finite number"));
    // A truncated gzip stream, and none at all.
    let zipped = gz(&f8("(8, 1)"));
    assert!(message("a.npy.gz", &zipped[..zipped.len() - 9]).contains("cut short"));
    assert!(message("a.npy.gz", &f8("(8, 1)")).contains("damaged"));
}

#[test]
fn a_small_file_of_many_zeros_is_read_as_a_stream_and_refused() {
    // 64 MiB of zeros in some 64 KiB, claimed to be 2^50 numbers.
    let file = npy("<f8", false, "(1125899906842624, 1)", &vec![0; 1 << 26]);
    assert!(message("a.npy.gz", &gz(&file)).contains("cut short: 8388608 numbers"));
}

#[test]
fn a_small_file_of_a_row_of_many_cells_is_refused() {
    let commas = gz(&vec![b','; 1 << 22]);
    assert!(message("a.csv.gz", &commas).contains("a row of more than 1048576 cells"));
}

#[test]
fn npz_by_key_or_the_only_one() {
    let (a, b) = (Matrix::new(1, 2, vec![1.0_f32, 2.0]), Batch::new(1, 1, 1, vec![3.0_f64]));
    let one = written("a.npz", &[Array::matrix("train", &a)]);
    let two = written("a.npz", &[Array::matrix("train", &a), Array::batch("cube", &b)]);
    for (name, bytes) in [
        ("a.npz", one.clone()),
        ("a.npz:train", one.clone()),
        ("a.npz:train", two.clone()),
        ("a.npz.gz:train", gz(&two)),
        ("a.npz.gz", gz(&one)),
    ] {
        let table = parse(name, &bytes).unwrap();
        assert_eq!((table.values.data(), table.dtype), (&[1.0, 2.0][..], Dtype::F32), "{name}");
    }
    assert!(
        message("a.npz", &two).contains("holds 2 arrays; name one as a.npz:KEY with KEY one of: train, cube")
    );
    assert!(message("a.npz:test", &two).contains("has no array 'test'; it has: train, cube"));
    assert!(message("a.npz:cube", &two).contains("shape [1, 1, 1]"));
    assert!(message("a.npz", b"not a zip").contains("expected a zip archive"));
    // The same arrays give the same bytes: no date is written.
    assert_eq!(two, written("b.npz", &[Array::matrix("train", &a), Array::batch("cube", &b)]));
}

#[test]
fn csv_with_and_without_header() {
    let names = |name, text: &str| parse(name, text.as_bytes()).map(|t| (t.names.join("|"), t.rows()));
    for (name, text, expected) in [
        ("a.csv", "1,2\n3,4\n", ("c0|c1", 2)),
        ("a.csv", "x,y\n3,4\n", ("x|y", 1)),
        ("a.csv", "# x, y\r\n3, 4\r\n\r\n5,6", ("x|y", 2)),
        ("a.csv", "\u{feff}x,y\n3,4\n", ("x|y", 1)),
        ("a.csv", "\"a, b\",1990\n3,4\n", ("a, b|1990", 1)),
        ("a.csv", ",x\n0,4\n", ("c0|x", 1)),
        ("a.tsv", "x\ty\n-1e-3\t+4.5\n", ("x|y", 1)),
        ("a.csv", "7", ("c0", 1)),
        ("a.csv", "#1990,2000\n3,4\n", ("1990|2000", 1)),
    ] {
        assert_eq!(names(name, text).unwrap(), (expected.0.to_string(), expected.1), "{text}");
    }
    let zipped = parse("a.csv.gz", &gz(b"x,y\n1,2.5\n")).unwrap();
    assert_eq!((zipped.values.data(), zipped.integer), (&[1.0, 2.5][..], vec![true, false]));
}

#[test]
fn csv_refusals_name_row_line_and_column() {
    for (text, part) in [
        ("x,y\n1,2\n\n3\n", "row 2 (line 4) has 1 cells, the first has 2"),
        ("x,y\r\n1,2\r\n\r\n3\r\n", "row 2 (line 4) has 1 cells, the first has 2"),
        ("\n\nx,y\n1,\"2\n\n\"\n3,z", "row 2 (line 7), column 'y': 'z'"),
        ("x,y\n1,2\n3,4,5\n", "row 2 (line 3) has 3 cells"),
        ("x,y\n1,2\n3,oops\n", "row 2 (line 3), column 'y': 'oops' is not a number"),
        ("x,y\n1,2\n,4\n", "row 2 (line 3), column 'x': the value is missing"),
        ("1,2\n3,NA\n", "row 2 (line 2), column 'c1': the value is missing"),
        ("x,y\n1,nan\n", "row 1 (line 2), column 'y': NaN is not a finite number"),
        ("x,y\n1,1e999\n", "row 1 (line 2), column 'y': inf is not a finite number"),
        ("1,2,cat\n3,4,dog\n", "row 1 (line 1), column 'c2': 'cat' is not a number"),
        ("place,1990\nhere,4\n", "'place' is not a number; where this row is a header write # before it"),
        ("#place,1990\nhere,4\n", "row 1 (line 2), column 'place': 'here' is not a number; correct it"),
        ("x;y\n1;2\n", "cells are separated by ';'; expected commas"),
        ("x,y\n", "has no rows"),
        ("", "has no rows"),
        ("\n\n", "has no rows"),
        ("x,y\n1,\"2\n3,4\n", "row 1 (line 2), column 'y': '2\n3,4' is not a number"),
    ] {
        let message = message("a.csv", text.as_bytes());
        assert!(message.starts_with("a.csv: ") && message.contains(part), "{text:?}: {message}");
    }
}

#[test]
fn csv_reads_only_what_is_chosen() {
    let text = b"name,x,y,kind\nann,1,2,10\nbob,3,,9\n";
    let choice = |columns: Option<&str>, exclude: Option<&str>, label: Option<&str>| Selection {
        columns: columns.map(Into::into),
        exclude: exclude.map(Into::into),
        label: label.map(Into::into),
    };
    let table = parse_with("a.csv", text, &choice(None, Some("name,y"), Some("kind"))).unwrap();
    assert_eq!((table.values.data(), table.names.join("|")), (&[1.0, 3.0][..], "x".to_string()));
    assert_eq!(table.places, [1]);
    let label = table.label.unwrap();
    assert_eq!(
        (label.name.as_str(), label.classes, label.codes),
        ("kind", vec!["9".into(), "10".into()], vec![1, 0])
    );
    let text_label = parse_with("a.csv", text, &choice(Some("1"), None, Some("0"))).unwrap().label.unwrap();
    assert_eq!(text_label.classes, ["ann", "bob"]);
    let missing = parse_with("a.csv", text, &choice(Some("x"), None, Some("y"))).unwrap_err();
    assert!(missing.to_string().contains("row 2 (line 3), column 'y': the value is missing"));
    let unknown = parse_with("a.csv", text, &choice(Some("x,z"), None, None)).unwrap_err();
    assert!(
        unknown.to_string().contains("--columns: a.csv has no column 'z'; its columns are: name, x, y, kind")
    );
    // Labels of an array of numbers.
    let file = npy("<f4", false, "(2, 2)", &[1.0_f32, 7.0, 2.0, 7.5].map(f32::to_le_bytes).concat());
    let label = parse_with("a.npy", &file, &choice(None, None, Some("c1"))).unwrap().label.unwrap();
    assert_eq!(label.classes, ["7", "7.5"]);
    // What is no number is no class.
    let file = npy("<f4", false, "(2, 2)", &[1.0_f32, 7.0, 2.0, f32::NAN].map(f32::to_le_bytes).concat());
    let message = parse_with("a.npy", &file, &choice(None, None, Some("c1"))).unwrap_err().to_string();
    assert!(message.contains("row 2, column 'c1': NaN is not a finite number"), "{message}");
    let text = b"x,kind\n1,a\n2,nan\n";
    let message = parse_with("a.csv", text, &choice(None, None, Some("kind"))).unwrap_err().to_string();
    assert!(message.contains("row 2 (line 3), column 'kind': NaN is not a finite number"), "{message}");
}

#[test]
fn idx_images_are_flattened() {
    let pixels: Vec<u8> = (0..12).collect();
    for (name, bytes) in [
        ("t10k-images-idx3-ubyte", idx(8, &[2, 2, 3], &pixels)),
        ("a.idx.gz", gz(&idx(8, &[2, 2, 3], &pixels))),
    ] {
        let table = parse(name, &bytes).unwrap();
        assert_eq!((table.values.shape(), table.dtype), ((2, 6), Dtype::Uint(1)));
        assert!(table.values.data().iter().map(|&x| x as u8).eq(0..12));
    }
    let shorts = parse("a.idx", &idx(0x0b, &[1, 2], &[0xff, 0xfe, 1, 0])).unwrap();
    assert_eq!(shorts.values.data(), [-2.0, 256.0]);
    for (bytes, part) in [
        (idx(8, &[12], &pixels), "these are labels"),
        (idx(8, &[2, 7], &pixels), "cut short: 12 numbers"),
        (idx(8, &[2, 5], &pixels), "more bytes follow"),
        (idx(7, &[2, 6], &pixels), "element type 'IDX 0x07'"),
        (idx(8, &[u32::MAX, u32::MAX, u32::MAX], &pixels), "beyond any memory"),
        (idx(8, &[0, u32::MAX, u32::MAX, u32::MAX], &[]), "beyond any memory"),
        (vec![0, 0, 8, 3, 0, 0], "cut short within the header"),
        (b"1,2\n".to_vec(), "this is text"),
        (vec![], "has no bytes"),
    ] {
        let message = message("a.idx", &bytes);
        assert!(message.starts_with("a.idx: ") && message.contains(part), "{message}");
    }
}

/// What is written reads back to the bit, in both precisions and any number of axes.
#[test]
fn round_trips() {
    let wild = [0.1, -0.0, 1e300, 5e-324, f64::MAX, std::f64::consts::PI];
    let wide = Matrix::new(2, 3, wild.to_vec());
    let narrow = Matrix::new(3, 2, vec![0.1_f32, -0.0, 3.4e38, 1e-45, 7.0, -1.5]);
    let bits = |m: &Matrix<f64>| m.data().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for name in ["a.npy", "a.npz", "a.csv"] {
        let table = parse(name, &written(name, &[Array::matrix("x", &wide)])).unwrap();
        assert_eq!(bits(&table.values), bits(&wide), "{name}");
        let table = parse(name, &written(name, &[Array::matrix("x", &narrow)])).unwrap();
        let back: Matrix<f32> = table.cast().unwrap();
        assert_eq!(bits(&back.cast()), bits(&narrow.cast()), "{name}");
    }
    let cube = Array::new("cube", &[3, 2, 1], wide.data());
    let line = Array::new("line", &[6], wide.data());
    for (array, shape) in [(&cube, vec![3, 2, 1]), (&line, vec![6])] {
        for name in ["a.npy", "a.npz"] {
            let bytes = written(name, std::slice::from_ref(array));
            let back = Location::of(name).unwrap().array_from(Cursor::new(bytes)).unwrap();
            assert_eq!((&back.shape, &back.data[..]), (&shape, &wild[..]));
        }
    }
    // Data of .npy begin at a multiple of 64 bytes.
    assert_eq!((written("a.npy", &[cube]).len() - 8 * wild.len()) % 64, 0);
    // One axis in a .csv is one column under the array's name; names that need quoting are quoted.
    let named = Array::matrix("x", &narrow).with_columns(&["a, b".into(), "c\"d".into()]);
    assert_eq!(parse("a.csv", &written("a.csv", &[named])).unwrap().names, ["a, b", "c\"d"]);
    assert_eq!(parse("a.csv", &written("a.csv", &[line])).unwrap().names, ["line"]);
    // Names that look like numbers, or like nothing, stay names.
    for names in [["1990", "2e3"], ["nan", "-"], ["NA", "c"], ["", "1"]] {
        let named = Array::matrix("x", &narrow).with_columns(&names.map(String::from));
        let table = parse("a.csv", &written("a.csv", &[named])).unwrap();
        let kept = names.map(|name| if name.is_empty() { "c0" } else { name });
        assert_eq!((table.rows(), table.names), (3, kept.map(String::from).to_vec()));
    }
    // A result that is not finite is written as it is.
    let text = written("a.csv", &[Array::new("x", &[2], &[f64::NAN, f64::NEG_INFINITY])]);
    assert_eq!(text, b"x\nNaN\n-inf\n");
}

#[test]
fn missing_places_and_folders() {
    let folder = tempfile::tempdir().unwrap();
    let load = |path: &Path| path.to_str().unwrap().parse::<Source>().unwrap().load(&Selection::default());
    let missing = load(&folder.path().join("a.npy")).unwrap_err();
    assert!(matches!(missing, Error::Read { .. }) && !missing.is_output());
    std::fs::create_dir(folder.path().join("b.npy")).unwrap();
    assert!(matches!(load(&folder.path().join("b.npy")), Err(Error::Read { .. })));
    let array = [Array::new("x", &[1], &[1.0_f64])];
    assert!(output::write(&folder.path().join("no/x.npy"), &array).unwrap_err().is_output());
    assert!(!output::write(&folder.path().join("x.txt"), &array).unwrap_err().is_output());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was left behind");
}

/// One small sound file of each format.
static SOUND: LazyLock<Vec<(&'static str, Vec<u8>)>> = LazyLock::new(|| {
    let m = Matrix::new(3, 2, vec![1.0_f64, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let npy = written("a.npy", &[Array::matrix("x", &m)]);
    let npz = written("a.npz", &[Array::matrix("x", &m), Array::matrix("y", &m)]);
    let csv = written("a.csv", &[Array::matrix("x", &m)]);
    vec![
        ("a.npy.gz", gz(&npy)),
        ("a.npz.gz:x", gz(&npz)),
        ("a.csv.gz", gz(&csv)),
        ("a.npy", npy),
        ("a.npz:x", npz),
        ("a.csv", csv),
        ("a.idx", idx(8, &[2, 2, 2], &[0; 8])),
    ]
});

const NAMES: [&str; 8] = ["a.npy", "a.npz", "a.npz:x", "a.csv", "a.tsv", "a.idx", "a.npy.gz", "a.npz.gz"];

/// A table that was read is sound; an error names the file.
fn sane(name: &str, bytes: &[u8]) -> Result<(), TestCaseError> {
    match parse(name, bytes) {
        Ok(table) => prop_assert!(table.rows() > 0 && table.names.len() == table.cols()),
        Err(error) => {
            let file = name.split(':').next().unwrap_or(name);
            prop_assert!(error.to_string().contains(file), "{}", error);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn random_bytes_never_panic(which in 0..NAMES.len(), magic: bool, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let name = NAMES[which];
        let start: &[u8] = match name {
            _ if !magic => b"",
            "a.npy" => b"\x93NUMPY\x01\x00",
            "a.npz" | "a.npz:x" => b"PK\x05\x06",
            "a.idx" => &[0, 0, 8, 2],
            _ => &[0x1f, 0x8b, 8, 0],
        };
        sane(name, &[start, &bytes].concat())?;
    }

    #[test]
    fn random_headers_never_panic(text in "[{}()',: \\-0-9a-zA-Z<>|]{0,80}", shape in "\\([0-9]{0,20}, ?[0-9]{0,20}(, [0-9]{0,20})?\\)") {
        for header in [text, format!("{{'descr': '<f8', 'fortran_order': True, 'shape': {shape}}}")] {
            let mut file = b"\x93NUMPY\x01\x00".to_vec();
            file.extend((header.len() as u16).to_le_bytes());
            file.extend(header.as_bytes());
            file.extend([0; 40]);
            sane("a.npy", &file)?;
        }
    }

    #[test]
    fn random_text_never_panics(text in "[0-9a-c.,;\t\n\r\"#eE+\\- ]{0,120}") {
        sane("a.csv", text.as_bytes())?;
        sane("a.tsv", text.as_bytes())?;
    }

    #[test]
    fn mutated_files_never_panic(
        which in 0..7_usize, cut in prop::option::of(0.0..1.0), flips in prop::collection::vec((0.0..1.0, any::<u8>()), 0..4),
    ) {
        let (name, mut bytes) = SOUND[which].clone();
        for (place, byte) in flips {
            let at = (place * bytes.len() as f64) as usize;
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate((cut * bytes.len() as f64) as usize);
        }
        sane(name, &bytes)?;
    }
}

/// Every truncation of every sound binary file is refused, never read as something shorter.
#[test]
fn truncations_are_refused() {
    for (name, bytes) in SOUND.iter() {
        assert!(parse(name, bytes).is_ok(), "{name}");
        for length in 0..bytes.len() {
            // A text file cut between rows is a sound text file.
            if *name != "a.csv" {
                assert!(parse(name, &bytes[..length]).is_err(), "{name} cut to {length} bytes");
            }
        }
    }
}
