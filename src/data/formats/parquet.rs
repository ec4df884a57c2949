//! `.parquet`: columns of numbers.

use crate::data::output::{Array, Values};
use crate::data::{Dtype, Error, Labels, Selection, Table};
use bytes::Bytes;
use eigenflow_linalg::Matrix;
use parquet::basic::{Compression, Repetition, Type};
use parquet::data_type::{DoubleType, FloatType};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::Field;
use parquet::schema::types::Type as Schema;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

/// Reads the chosen columns from the bytes of a file; their names are the file's. Columns that are not chosen may hold anything.
///
/// # Errors
/// A damaged file; text, missing values or numbers that are not finite in a chosen column: row (from 1) and column are named.
pub fn read(bytes: Vec<u8>, file: &str, selection: &Selection) -> Result<Table, Error> {
    // The library takes some of a file on trust and panics where it is damaged: that is an error here, and nothing of its own is kept.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let found = panic::catch_unwind(AssertUnwindSafe(|| decode(bytes, file, selection)));
    panic::set_hook(hook);
    found.unwrap_or_else(|_| {
        Err(Error::damaged(file, "its pages are damaged".to_owned(), "a sound parquet file"))
    })
}

fn decode(bytes: Vec<u8>, file: &str, selection: &Selection) -> Result<Table, Error> {
    let damaged =
        |e: parquet::errors::ParquetError| Error::damaged(file, e.to_string(), "a sound parquet file");
    let reader = SerializedFileReader::new(Bytes::from(bytes)).map_err(damaged)?;
    let schema = reader.metadata().file_metadata().schema();
    let names: Vec<String> = schema.get_fields().iter().map(|f| f.name().to_owned()).collect();
    let chosen = selection.resolve(file, &names)?;
    let (mut data, mut labels, mut rows) = (Vec::new(), Vec::new(), 0);
    let mut single = true;
    for row in reader.get_row_iter(None).map_err(damaged)? {
        let row = row.map_err(damaged)?;
        rows += 1;
        super::numbers::grow(&mut data, chosen.columns.len(), usize::MAX, file)?;
        let fields: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
        let place = |j: usize| (file.to_owned(), names[j].clone());
        for &j in &chosen.columns {
            let (file, column) = place(j);
            single &= matches!(fields[j], Field::Float(_));
            match (number(fields[j]), fields[j]) {
                (Some(x), _) if x.is_finite() => data.push(x),
                (Some(value), _) => {
                    return Err(Error::NotFinite { file, row: rows, line: None, column, value });
                }
                (None, Field::Null) => return Err(Error::Missing { file, row: rows, line: None, column }),
                (None, other) => {
                    let cell = text(other).chars().take(40).collect();
                    return Err(Error::Cell { file, row: rows, line: None, column, cell, first: false });
                }
            }
        }
        if let Some(j) = chosen.label {
            if matches!(fields[j], Field::Null) {
                let (file, column) = place(j);
                return Err(Error::Missing { file, row: rows, line: None, column });
            }
            let label = text(fields[j]);
            if let Some(value) = label.parse::<f64>().ok().filter(|x| !x.is_finite()) {
                let (file, column) = place(j);
                return Err(Error::NotFinite { file, row: rows, line: None, column, value });
            }
            super::numbers::grow(&mut labels, 1, usize::MAX, file)?;
            labels.push(label);
        }
    }
    let own = chosen.columns.iter().map(|&j| names[j].clone()).collect();
    let values = Matrix::new(rows, chosen.columns.len(), data);
    let table = Table::new(values, own, file, if single { Dtype::F32 } else { Dtype::F64 })?;
    let table = Table { places: chosen.columns, ..table };
    match chosen.label {
        None => Ok(table),
        Some(j) => table.with_label(Labels::new(&names[j], &labels)),
    }
}

fn number(field: &Field) -> Option<f64> {
    Some(match *field {
        Field::Bool(v) => f64::from(u8::from(v)),
        Field::Byte(v) => v.into(),
        Field::Short(v) => v.into(),
        Field::Int(v) => v.into(),
        Field::Long(v) => v as f64,
        Field::UByte(v) => v.into(),
        Field::UShort(v) => v.into(),
        Field::UInt(v) => v.into(),
        Field::ULong(v) => v as f64,
        Field::Float(v) => v.into(),
        Field::Double(v) => v,
        // Half precision and decimals, by their text.
        Field::Float16(_) | Field::Decimal(_) => return field.to_string().parse().ok(),
        _ => return None,
    })
}

fn text(field: &Field) -> String {
    match field {
        Field::Str(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Writes one matrix, a column each under its name, or one column; compressed with Snappy.
pub fn write(out: &mut dyn Write, array: &Array<'_>) -> io::Result<()> {
    let columns = array.shape.get(1).copied().unwrap_or(1);
    let physical = match array.values {
        Values::F32(_) => Type::FLOAT,
        Values::F64(_) => Type::DOUBLE,
    };
    let field = |name: String| {
        let field = Schema::primitive_type_builder(&name, physical).with_repetition(Repetition::REQUIRED);
        field.build().map(Arc::new)
    };
    let fields = array.column_names().into_iter().map(field).collect::<Result<Vec<_>, _>>()?;
    let schema = Schema::group_type_builder("table").with_fields(fields).build()?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let mut at = 0;
    while let Some(mut column) = group.next_column()? {
        match array.values {
            Values::F32(x) => {
                let own: Vec<f32> = x.iter().skip(at).step_by(columns.max(1)).copied().collect();
                column.typed::<FloatType>().write_batch(&own, None, None)?;
            }
            Values::F64(x) => {
                let own: Vec<f64> = x.iter().skip(at).step_by(columns.max(1)).copied().collect();
                column.typed::<DoubleType>().write_batch(&own, None, None)?;
            }
        }
        column.close()?;
        at += 1;
    }
    group.close()?;
    writer.close()?;
    out.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Source, output};

    fn table(path: &std::path::Path, selection: &Selection) -> Result<Table, Error> {
        path.to_str().unwrap().parse::<Source>().unwrap().load(selection)
    }

    /// What is written comes back to the bit, in both precisions, with its names.
    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let x: Vec<f64> = (0..30).map(|i| (f64::from(i) * 0.7).sin()).collect();
        let names = ["b".to_owned(), "a, with a comma".to_owned(), "a".to_owned()];
        output::write(&path, &[Array::new("x", &[10, 3], &x).with_columns(&names)]).unwrap();
        let whole = table(&path, &Selection::default()).unwrap();
        assert_eq!((&whole.names[..], whole.values.data(), whole.dtype), (&names[..], &x[..], Dtype::F64));
        let some = Selection { columns: Some("a,b".to_owned()), ..Selection::default() };
        assert_eq!(table(&path, &some).unwrap().values.row(4), [x[14], x[12]]);
        let labelled = Selection { label: Some("b".to_owned()), ..Selection::default() };
        assert_eq!(table(&path, &labelled).unwrap().label.unwrap().codes.len(), 10);
        let single: Vec<f32> = x.iter().map(|v| *v as f32).collect();
        output::write(&path, &[Array::new("x", &[30], &single)]).unwrap();
        let back = table(&path, &Selection::default()).unwrap();
        assert_eq!((back.values.shape(), back.dtype), ((30, 1), Dtype::F32));
        assert!(back.values.data().iter().zip(&single).all(|(a, b)| (*a as f32).to_bits() == b.to_bits()));
    }

    /// Bytes that are no such file, or half of one, are errors that name it.
    #[test]
    fn damage_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        output::write(&path, &[Array::new("x", &[4, 2], &[1.0, 2.0, 3.0, f64::NAN, 5.0, 6.0, 7.0, 8.0])])
            .unwrap();
        let message = table(&path, &Selection::default()).unwrap_err().to_string();
        assert!(message.contains("a.parquet: row 2, column") && message.contains("NaN"), "{message}");
        let labelled = Selection { label: Some("c1".to_owned()), ..Selection::default() };
        let message = table(&path, &labelled).unwrap_err().to_string();
        assert!(message.contains("a.parquet: row 2, column 'c1': NaN"), "{message}");
        let bytes = std::fs::read(&path).unwrap();
        for end in 0..bytes.len() {
            std::fs::write(&path, &bytes[..end]).unwrap();
            assert!(table(&path, &Selection::default()).unwrap_err().to_string().contains("a.parquet"));
        }
        for (at, mask) in (0..bytes.len()).flat_map(|at| [0x01, 0x55, 0x80, 0xff].map(|mask| (at, mask))) {
            let mut bad = bytes.clone();
            bad[at] ^= mask;
            let _ =
                read(bad, "a.parquet", &Selection { columns: Some("0".to_owned()), ..Selection::default() });
        }
    }
}
