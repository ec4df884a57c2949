//! Samples of real data, embedded in the program. Licences stand beside the files.

use super::{Builtin, Parameter, Parameters};
use crate::data::formats::{Format, Location};
use crate::data::table::permutation;
use crate::data::{Error, Selection, Table};
use std::io::Cursor;

const MAGIC_ROWS: u64 = 5000;
const DIGITS_ROWS: u64 = 1797;

pub(super) static MAGIC: Builtin = Builtin {
    name: "magic",
    summary: "image parameters of showers seen by the MAGIC gamma-ray telescope: 5,000 of 19,020 rows",
    licence: Some(
        "MAGIC Gamma Telescope, R. Bock, UCI Machine Learning Repository, doi:10.24432/C52C8B; CC BY 4.0",
    ),
    parameters: &[Parameter::rows(MAGIC_ROWS, MAGIC_ROWS), Parameter::seed()],
    dimension: |_| 10,
    intrinsic: |_| None,
    entropy: |_| None,
    make: |parameters| sample(magic()?, "magic", parameters),
};

pub(super) static DIGITS: Builtin = Builtin {
    name: "digits",
    summary: "handwritten digits, 8 x 8 pixels of 0 to 16, with labels; three columns are constant",
    licence: Some(
        "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, \
         doi:10.24432/C50P49; CC BY 4.0",
    ),
    parameters: &[Parameter::rows(DIGITS_ROWS, DIGITS_ROWS), Parameter::seed()],
    dimension: |_| 64,
    intrinsic: |_| None,
    entropy: |_| None,
    make: |parameters| sample(digits()?, "digits", parameters),
};

fn magic() -> Result<Table, Error> {
    let bytes = include_bytes!("embedded/magic.npy.gz");
    let location = Location { file: "builtin:magic".into(), format: Format::Npy, gz: true, key: None };
    let names = "fLength fWidth fSize fConc fConc1 fAsym fM3Long fM3Trans fAlpha fDist".split(' ');
    let table = location.table_from(Cursor::new(bytes), &Selection::default())?;
    Ok(Table { names: names.map(String::from).collect(), ..table })
}

fn digits() -> Result<Table, Error> {
    let bytes = include_bytes!("embedded/digits.csv.gz");
    let location =
        Location { file: "builtin:digits".into(), format: Format::Text(b','), gz: true, key: None };
    location
        .table_from(Cursor::new(bytes), &Selection { label: Some("label".into()), ..Selection::default() })
}

/// `n` rows chosen by the seed, in the order of the whole: all of them unless `n` is given, and a
/// smaller choice lies within a larger one.
fn sample(table: Table, name: &str, parameters: &Parameters) -> Result<Table, Error> {
    let n = parameters.count("n");
    if n >= table.rows() {
        return Ok(table);
    }
    let mut rows = permutation(table.rows(), parameters.seed(), &format!("rows of {name}"));
    rows.truncate(n);
    rows.sort_unstable();
    table.select_rows(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dtype;

    #[test]
    fn magic_is_the_telescope_data() {
        let table = magic().unwrap();
        assert_eq!((table.rows(), table.cols(), table.dtype), (5000, 10, Dtype::F32));
        assert_eq!(table.names[0], "fLength");
        // fConc1 <= fConc: the share of one pixel and of two.
        assert!((0..5000).all(|i| table.values[(i, 4)] <= table.values[(i, 3)]));
        // fAlpha is an angle in degrees.
        assert!((0..5000).all(|i| (0.0..=90.0).contains(&table.values[(i, 8)])));
        assert!(table.constant_columns().is_empty());
    }

    #[test]
    fn digits_are_integers_with_three_constant_columns_and_labels() {
        let table = digits().unwrap();
        assert_eq!((table.rows(), table.cols()), (1797, 64));
        assert!(table.integer.iter().all(|&whole| whole));
        assert!(table.values.data().iter().all(|x| (0.0..=16.0).contains(x)));
        assert_eq!(table.constant_columns(), [0, 32, 39]);
        assert_eq!(table.distinct()[0], 1);
        assert_eq!(table.names[39], "r4c7");
        let label = table.label.unwrap();
        assert_eq!(label.classes, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
        assert_eq!(label.codes[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
