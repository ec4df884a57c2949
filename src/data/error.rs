//! What can go wrong with data: each variant names the file, row, column or option, and the remedy.

use std::io;

/// An error of this room.
///
/// [`Error::is_output`] tells an output that could not be written (exit code 3) from an input or a
/// request at fault (exit code 2).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be opened or read.
    #[error("{file}: cannot be read: {error}")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        error: io::Error,
    },
    /// A file whose ending names no format that is read here.
    #[error(
        "{file}: no known format; name it .npy, .npz, .csv, .tsv, .idx (or *-ubyte), each also with .gz, or .parquet"
    )]
    UnknownFormat {
        /// The file.
        file: String,
    },
    /// The bare name of a built-in set where a file is expected.
    #[error("{name}: no known file format; for the built-in set of this name write builtin:{name}")]
    MeantBuiltin {
        /// The name.
        name: String,
    },
    /// A format that is not part of this build.
    #[error("{file}: {format} is not built in; use {instead}")]
    NotBuilt {
        /// The file.
        file: String,
        /// The format's name.
        format: &'static str,
        /// What to use instead.
        instead: &'static str,
    },
    /// A file that is not what its ending says, or is cut short.
    #[error("{file}: {problem}; expected {expected}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
        /// What a sound file would have there.
        expected: String,
    },
    /// Elements of a type that is not a real number or truth value.
    #[error(
        "{file}: element type '{dtype}' is not read; save real numbers instead, for example array.astype('f8')"
    )]
    Dtype {
        /// The file.
        file: String,
        /// The type, as the file names it.
        dtype: String,
    },
    /// An array with the wrong number of axes.
    #[error("{file}: an array of shape {shape:?}, where rows and columns are needed; {remedy}")]
    Shape {
        /// The file.
        file: String,
        /// Its shape.
        shape: Vec<usize>,
        /// What to do.
        remedy: &'static str,
    },
    /// No rows, no columns or nothing at all.
    #[error("{file}: has no {what}; at least one is needed")]
    Empty {
        /// The file.
        file: String,
        /// `rows`, `columns` or `bytes`.
        what: &'static str,
    },
    /// More numbers than memory can hold.
    #[error("{file}: {entries} numbers do not fit into the memory available; take fewer rows or columns")]
    TooLarge {
        /// The file.
        file: String,
        /// How many numbers.
        entries: u64,
    },
    /// A row with too many or too few cells.
    #[error(
        "{file}: row {row} (line {line}) has {found} cells, the first has {expected}; make the rows of one length"
    )]
    Ragged {
        /// The file.
        file: String,
        /// Data row, from 1.
        row: usize,
        /// Line of the file, from 1.
        line: u64,
        /// Cells of the first row.
        expected: usize,
        /// Cells of this row.
        found: usize,
    },
    /// A cell that is no number.
    #[error(
        "{file}: row {row}{}, column '{column}': '{cell}' is not a number; \
         {}correct it, or leave the column out with --exclude (or take it with --label)", at_line(*line), if_header(*first)
    )]
    Cell {
        /// The file.
        file: String,
        /// Data row, from 1.
        row: usize,
        /// Line of the file, from 1, where it has lines.
        line: Option<u64>,
        /// Name of the column.
        column: String,
        /// What the cell says (its beginning).
        cell: String,
        /// Whether it stands in the first row of a file of text, which was not taken for a header.
        first: bool,
    },
    /// A cell with nothing in it, or a mark for a missing value.
    #[error(
        "{file}: row {row}{}, column '{column}': the value is missing; \
         fill it in, remove the row, or leave the column out with --exclude", at_line(*line)
    )]
    Missing {
        /// The file.
        file: String,
        /// Data row, from 1.
        row: usize,
        /// Line of the file, from 1, where it has lines.
        line: Option<u64>,
        /// Name of the column.
        column: String,
    },
    /// NaN or infinity.
    #[error(
        "{file}: row {row}{}, column '{column}': {value} is not a finite number; \
         remove the row, or leave the column out with --exclude", at_line(*line)
    )]
    NotFinite {
        /// The file.
        file: String,
        /// Data row, from 1.
        row: usize,
        /// Line of the file, from 1, where it has lines.
        line: Option<u64>,
        /// Name of the column.
        column: String,
        /// The value.
        value: f64,
    },
    /// A number too large for the precision asked for.
    #[error(
        "{file}: row {row}, column '{column}': {value:e} is too large for {dtype}; use --dtype f64, or rescale the column"
    )]
    Overflow {
        /// The file.
        file: String,
        /// Data row, from 1.
        row: usize,
        /// Name of the column.
        column: String,
        /// The value.
        value: f64,
        /// The precision.
        dtype: &'static str,
    },
    /// An archive without the array asked for.
    #[error("{file}: has no array '{key}'; it has: {}", list(keys))]
    NoArray {
        /// The archive.
        file: String,
        /// The name asked for.
        key: String,
        /// The names in it.
        keys: Vec<String>,
    },
    /// An archive of several arrays, none of them named.
    #[error("{file}: holds {} arrays; name one as {file}:KEY with KEY one of: {}", keys.len(), list(keys))]
    WhichArray {
        /// The archive.
        file: String,
        /// The names in it.
        keys: Vec<String>,
    },
    /// A column that the data does not have.
    #[error("{option}: {data} has no column '{column}'; its columns are: {} (or numbers 0 to {})", list(names), names.len().saturating_sub(1))]
    NoColumn {
        /// The option: `--columns`, `--exclude` or `--label`.
        option: &'static str,
        /// The data.
        data: String,
        /// The column asked for.
        column: String,
        /// The columns there are.
        names: Vec<String>,
    },
    /// A choice of columns that makes no sense.
    #[error("{option} {text}: {problem}")]
    ColumnChoice {
        /// The option.
        option: &'static str,
        /// Its value.
        text: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A built-in set that does not exist.
    #[error("builtin:{name}: no such set; there are: {}", known.join(", "))]
    NoBuiltin {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<&'static str>,
    },
    /// A parameter that a built-in set does not have.
    #[error("builtin:{name}: no parameter '{key}'; it takes: {}", known.join(", "))]
    NoParameter {
        /// The set.
        name: &'static str,
        /// The parameter asked for.
        key: String,
        /// The parameters there are.
        known: Vec<&'static str>,
    },
    /// A parameter of a built-in set with a value out of its range.
    #[error("builtin:{name}: {key}={value} will not do; {key} is {wanted}")]
    BadParameter {
        /// The set.
        name: &'static str,
        /// The parameter.
        key: String,
        /// The value given.
        value: String,
        /// What the parameter is.
        wanted: String,
    },
    /// A split that leaves one side empty.
    #[error("{data}: cannot be split into training and validation rows: {problem}")]
    Split {
        /// The data.
        data: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A request for output that its format cannot hold.
    #[error("--out {file}: {problem}")]
    OutputFormat {
        /// The file.
        file: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A result too long for a terminal.
    #[error("a result of {numbers} numbers is too long to print (at most {limit}); name a file with --out")]
    TooLongToPrint {
        /// How many numbers.
        numbers: usize,
        /// How many are printed at most.
        limit: usize,
    },
    /// Output that could not be written: a full disk, a missing folder, a lack of permission.
    #[error("{file}: cannot be written: {error}; nothing was changed")]
    Output {
        /// The file.
        file: String,
        /// What the system said.
        error: io::Error,
    },
}

impl Error {
    /// Whether output could not be written (exit code 3), as opposed to an input or a request at
    /// fault (exit code 2).
    ///
    /// ```
    /// use eigenflow::data::Error;
    /// let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    /// assert!(Error::Output { file: "z.npy".into(), error: full }.is_output());
    /// assert!(!Error::UnknownFormat { file: "x.txt".into() }.is_output());
    /// ```
    pub fn is_output(&self) -> bool {
        matches!(self, Self::Output { .. })
    }

    pub(crate) fn damaged(file: &str, problem: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Damaged { file: file.into(), problem: problem.into(), expected: expected.into() }
    }

    /// A failed read: a damaged file where the decoder says so, else the system's own error.
    pub(crate) fn read(file: &str, error: io::Error, expected: &str) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
                Self::damaged(file, format!("damaged or cut short ({error})"), expected)
            }
            _ => Self::Read { file: file.into(), error },
        }
    }
}

fn at_line(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!(" (line {line})"))
}

/// What to do about a row that is a header and does not look like one.
fn if_header(first: bool) -> &'static str {
    if first { "where this row is a header write # before it; else " } else { "" }
}

/// Names, comma separated; a long list is cut.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 24;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}
