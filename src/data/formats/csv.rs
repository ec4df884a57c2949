//! `.csv` and `.tsv`: rows of numbers as text.

use super::lines::{Extent, Lines};
use super::numbers::grow;
use crate::data::output::{Array, Values};
use crate::data::select::Chosen;
use crate::data::table::default_names;
use crate::data::{Dtype, Error, Labels, Selection, Table};
use csv::{ByteRecord, ReaderBuilder};
use eigenflow_linalg::Matrix;
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::rc::Rc;

/// Reads the chosen columns.
///
/// The first row is a header if it begins with `#`, which is dropped, or if it holds text, and either no number at all or a
/// text above a number of the second row. Cells are trimmed; empty lines are skipped.
/// Columns that are not chosen may hold anything.
///
/// # Errors
/// Rows of several lengths, and text, missing values or numbers that are not finite in a chosen
/// column: file, row (of data, from 1), line (of the file, from 1) and column are named.
pub fn read(input: &mut dyn Read, file: &str, delimiter: u8, selection: &Selection) -> Result<Table, Error> {
    let mut rows = Rows::new(input, file, delimiter);
    let Some(first) = rows.next()? else { return Err(Error::Empty { file: file.into(), what: "rows" }) };
    let second = rows.next()?;
    let header = is_header(&first.cells, second.as_ref().map(|row| &row.cells));
    let names = if header { header_names(&first.cells) } else { default_names(first.cells.len()) };
    if names.len() == 1 && first.cells[0].contains(&b';') {
        return Err(Error::damaged(file, "cells are separated by ';'", "commas (.csv) or tabs (.tsv)"));
    }
    let mut reading = Reading {
        file,
        chosen: selection.resolve(file, &names)?,
        names,
        header,
        rows: 0,
        data: vec![],
        labels: vec![],
    };
    let held = if header { None } else { Some(first) };
    for row in held.into_iter().chain(second) {
        reading.push(&row)?;
    }
    while let Some(row) = rows.next()? {
        reading.push(&row)?;
    }
    reading.finish()
}

/// Writes one matrix with a header, or one column. Names that would be read as numbers have a `#` before the first of them.
pub fn write(out: &mut dyn Write, array: &Array<'_>) -> io::Result<()> {
    let columns = array.shape.get(1).copied().unwrap_or(1);
    let mut writer = csv::Writer::from_writer(out);
    let mut names = array.column_names();
    if !names.iter().any(|name| is_text(name.trim().as_bytes()))
        && let Some(first) = names.first_mut()
    {
        first.insert(0, '#');
    }
    writer.write_record(names)?;
    let mut row = ByteRecord::new();
    for i in 0..array.len() / columns.max(1) {
        row.clear();
        for k in i * columns..(i + 1) * columns {
            // The shortest text that reads back to the same bits.
            let text = match array.values {
                Values::F32(values) => format!("{:?}", values[k]),
                Values::F64(values) => format!("{:?}", values[k]),
            };
            row.push_field(text.as_bytes());
        }
        writer.write_byte_record(&row)?;
    }
    writer.flush()
}

/// A row: the line of the file it begins on, from 1, and its trimmed cells.
struct Row {
    line: u64,
    cells: ByteRecord,
}

/// Rows one by one, each within the bound of [`Lines`].
struct Rows<'a> {
    reader: csv::Reader<Lines<'a>>,
    since_row: Rc<Cell<Extent>>,
    file: &'a str,
}

impl<'a> Rows<'a> {
    fn new(input: &'a mut dyn Read, file: &'a str, delimiter: u8) -> Self {
        let since_row = Rc::<Cell<Extent>>::default();
        let lines = Lines::new(input, delimiter, Rc::clone(&since_row));
        let mut builder = ReaderBuilder::new();
        let builder = builder.has_headers(false).flexible(true).delimiter(delimiter);
        Self { reader: builder.from_reader(lines), since_row, file }
    }

    fn next(&mut self) -> Result<Option<Row>, Error> {
        let mut cells = ByteRecord::new();
        self.since_row.set(Extent::default());
        match self.reader.read_byte_record(&mut cells) {
            Ok(true) => {
                // The reader's own place is before any empty lines that it skipped: count back from
                // the end of the row.
                let within = cells.as_slice().split(|&b| b == b'\n').count() as u64 - 1;
                let start = cells.position().map_or(1, csv::Position::line);
                let line = self.reader.position().line().saturating_sub(1 + within).max(start);
                cells.trim();
                Ok(Some(Row { line, cells }))
            }
            Ok(false) => Ok(None),
            Err(error) => match error.into_kind() {
                csv::ErrorKind::Io(error) => Err(Error::read(self.file, error, "rows of numbers as text")),
                other => Err(Error::damaged(self.file, format!("{other:?}"), "rows of numbers as text")),
            },
        }
    }
}

/// The table as it grows.
struct Reading<'a> {
    file: &'a str,
    names: Vec<String>,
    /// Whether they are those of a header.
    header: bool,
    chosen: Chosen,
    rows: usize,
    data: Vec<f64>,
    labels: Vec<String>,
}

impl Reading<'_> {
    fn push(&mut self, Row { line, cells: record }: &Row) -> Result<(), Error> {
        self.rows += 1;
        let (file, row, line) = (self.file, self.rows, *line);
        if record.len() != self.names.len() {
            let (expected, found) = (self.names.len(), record.len());
            return Err(Error::Ragged { file: file.into(), row, line, expected, found });
        }
        grow(&mut self.data, self.chosen.columns.len(), usize::MAX, file)?;
        for &j in &self.chosen.columns {
            let (file, column) = (file.to_string(), || self.names[j].clone());
            match number(&record[j]) {
                Some(x) if x.is_finite() => self.data.push(x),
                Some(value) => {
                    return Err(Error::NotFinite { file, row, line: Some(line), column: column(), value });
                }
                None if is_missing(&record[j]) => {
                    return Err(Error::Missing { file, row, line: Some(line), column: column() });
                }
                None => {
                    let cell = String::from_utf8_lossy(&record[j]).chars().take(40).collect();
                    let first = row == 1 && !self.header;
                    return Err(Error::Cell { file, row, line: Some(line), column: column(), cell, first });
                }
            }
        }
        if let Some(j) = self.chosen.label {
            let place = || (file.to_owned(), self.names[j].clone());
            if is_missing(&record[j]) {
                let (file, column) = place();
                return Err(Error::Missing { file, row, line: Some(line), column });
            }
            if let Some(value) = number(&record[j]).filter(|x| !x.is_finite()) {
                let (file, column) = place();
                return Err(Error::NotFinite { file, row, line: Some(line), column, value });
            }
            grow(&mut self.labels, 1, usize::MAX, file)?;
            self.labels.push(String::from_utf8_lossy(&record[j]).into_owned());
        }
        Ok(())
    }

    fn finish(self) -> Result<Table, Error> {
        let names = self.chosen.columns.iter().map(|&j| self.names[j].clone()).collect();
        let values = Matrix::new(self.rows, self.chosen.columns.len(), self.data);
        let table = Table::new(values, names, self.file, Dtype::Text)?;
        let table = Table { places: self.chosen.columns, ..table };
        match self.chosen.label {
            None => Ok(table),
            Some(j) => table.with_label(Labels::new(&self.names[j], &self.labels)),
        }
    }
}

fn number(cell: &[u8]) -> Option<f64> {
    std::str::from_utf8(cell).ok()?.parse().ok()
}

/// Nothing, or one of the usual marks for nothing.
fn is_missing(cell: &[u8]) -> bool {
    [&b""[..], b"NA", b"N/A", b"null", b"None", b"?", b"-"].iter().any(|mark| cell.eq_ignore_ascii_case(mark))
}

/// Neither a number nor nothing.
fn is_text(cell: &[u8]) -> bool {
    number(cell).is_none() && !is_missing(cell)
}

fn is_header(first: &ByteRecord, second: Option<&ByteRecord>) -> bool {
    let marked = first.get(0).is_some_and(|cell| cell.starts_with(b"#"));
    let no_number = first.iter().all(|cell| number(cell).is_none());
    let above_number = || {
        let pairs = second.into_iter().flat_map(|second| first.iter().zip(second.iter()));
        pairs.into_iter().any(|(above, below)| is_text(above) && number(below).is_some())
    };
    marked || first.iter().any(is_text) && (no_number || above_number())
}

fn header_names(first: &ByteRecord) -> Vec<String> {
    let name = |(j, cell): (usize, &[u8])| {
        let text = String::from_utf8_lossy(cell);
        let text = if j == 0 { text.trim_start_matches('#').trim() } else { &text };
        if text.is_empty() { format!("c{j}") } else { text.to_string() }
    };
    first.iter().enumerate().map(name).collect()
}
