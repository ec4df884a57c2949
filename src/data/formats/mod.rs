//! File formats: one file each, and the choice among them by a name's ending.

pub mod csv;
pub mod idx;
mod lines;
pub mod npy;
pub mod npz;
pub mod numbers;
#[cfg(feature = "parquet")]
pub mod parquet;

use super::{Dtype, Error, Selection, Table};
use eigenflow_linalg::Matrix;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};

/// A format that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One array of numpy.
    Npy,
    /// An archive of arrays of numpy.
    Npz,
    /// Text, cells separated by this byte.
    Text(u8),
    /// MNIST's format.
    Idx,
    /// Columns of Apache Parquet.
    #[cfg(feature = "parquet")]
    Parquet,
}

/// A file's name taken apart: where it is, what it holds, and which array of an archive is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub file: String,
    /// Its format.
    pub format: Format,
    /// Whether it is gzipped.
    pub gz: bool,
    /// The array of an archive, from `FILE.npz:KEY`.
    pub key: Option<String>,
}

impl Location {
    /// Takes a path apart by its ending (upper or lower case).
    ///
    /// ```
    /// use eigenflow::data::formats::{Format, Location};
    /// let location = Location::of("runs/a.npz:train")?;
    /// assert_eq!((location.file.as_str(), location.key.as_deref()), ("runs/a.npz", Some("train")));
    /// assert_eq!(Location::of("t10k-images-idx3-ubyte.gz")?.format, Format::Idx);
    /// # Ok::<(), eigenflow::data::Error>(())
    /// ```
    ///
    /// # Errors
    /// An ending that names no format.
    pub fn of(path: &str) -> Result<Self, Error> {
        let lower = path.to_ascii_lowercase();
        let key_at =
            [".npz:", ".npz.gz:"].iter().filter_map(|mark| Some(lower.rfind(mark)? + mark.len())).max();
        let (file, key) = match key_at {
            Some(at) => (&path[..at - 1], Some(path[at..].to_string())),
            None => (path, None),
        };
        let lower = file.to_ascii_lowercase();
        let (stem, gz) = lower.strip_suffix(".gz").map_or((lower.as_str(), false), |stem| (stem, true));
        let ends = |endings: &[&str]| endings.iter().any(|ending| stem.ends_with(ending));
        let format = if ends(&[".npy"]) {
            Format::Npy
        } else if ends(&[".npz"]) {
            Format::Npz
        } else if ends(&[".csv"]) {
            Format::Text(b',')
        } else if ends(&[".tsv"]) {
            Format::Text(b'\t')
        } else if ends(&[".idx", "-ubyte"]) {
            Format::Idx
        } else if ends(&[".parquet"]) {
            #[cfg(feature = "parquet")]
            return Ok(Self { file: file.into(), format: Format::Parquet, gz, key });
            #[cfg(not(feature = "parquet"))]
            return Err(Error::NotBuilt {
                file: file.into(),
                format: "parquet",
                instead: ".npy or .csv, or build with --features parquet",
            });
        } else {
            return Err(Error::UnknownFormat { file: file.into() });
        };
        Ok(Self { file: file.into(), format, gz, key })
    }

    /// Opens the file and reads the chosen columns.
    pub fn table(&self, selection: &Selection) -> Result<Table, Error> {
        self.table_from(self.open()?, selection)
    }

    /// Reads the chosen columns from bytes that stand for the file.
    pub fn table_from(&self, input: impl Read + Seek, selection: &Selection) -> Result<Table, Error> {
        if let Format::Text(delimiter) = self.format {
            return csv::read(&mut *self.unzipped(input), &self.file, delimiter, selection);
        }
        #[cfg(feature = "parquet")]
        if self.format == Format::Parquet {
            return self.parquet(input, selection);
        }
        let array = self.array_from(input)?;
        selection.apply(array.table(&self.file, self.format == Format::Idx)?)
    }

    /// Opens the file and reads an array of any number of axes (text has two).
    pub fn array(&self) -> Result<RawArray, Error> {
        self.array_from(self.open()?)
    }

    /// Reads an array from bytes that stand for the file.
    pub fn array_from(&self, mut input: impl Read + Seek) -> Result<RawArray, Error> {
        let (file, key) = (self.file.as_str(), self.key.as_deref());
        match self.format {
            Format::Npy => npy::read(&mut *self.unzipped(input), file),
            Format::Idx => idx::read(&mut *self.unzipped(input), file),
            Format::Npz if self.gz => {
                let mut bytes = Vec::new();
                numbers::read_all(&mut *self.unzipped(input), file, &mut bytes)?;
                npz::read(Cursor::new(bytes), file, key)
            }
            Format::Npz => npz::read(&mut input, file, key),
            Format::Text(delimiter) => {
                csv::read(&mut *self.unzipped(input), file, delimiter, &Selection::default())
                    .map(RawArray::of)
            }
            #[cfg(feature = "parquet")]
            Format::Parquet => self.parquet(input, &Selection::default()).map(RawArray::of),
        }
    }

    #[cfg(feature = "parquet")]
    fn parquet(&self, input: impl Read + Seek, selection: &Selection) -> Result<Table, Error> {
        let mut bytes = Vec::new();
        numbers::read_all(&mut *self.unzipped(input), &self.file, &mut bytes)?;
        parquet::read(bytes, &self.file, selection)
    }

    fn open(&self) -> Result<BufReader<File>, Error> {
        let read_error = |error| Error::Read { file: self.file.clone(), error };
        let file = File::open(&self.file).map_err(read_error)?;
        if file.metadata().map_err(read_error)?.is_dir() {
            return Err(read_error(std::io::ErrorKind::IsADirectory.into()));
        }
        Ok(BufReader::new(file))
    }

    fn unzipped<'a>(&self, input: impl Read + 'a) -> Box<dyn Read + 'a> {
        if self.gz { Box::new(BufReader::new(MultiGzDecoder::new(input))) } else { Box::new(input) }
    }
}

/// An array of any number of axes as it comes from a file, in C order.
#[derive(Debug, Clone, PartialEq)]
pub struct RawArray {
    /// Its shape; empty for a single number.
    pub shape: Vec<usize>,
    /// Its numbers, last axis fastest.
    pub data: Vec<f64>,
    /// Element type in the file.
    pub dtype: Dtype,
}

impl RawArray {
    /// A table's numbers.
    fn of(table: Table) -> Self {
        let (rows, cols) = table.values.shape();
        Self { shape: vec![rows, cols], data: table.values.into_data(), dtype: table.dtype }
    }

    /// As a table: two axes, or, where `flatten`, two and more, all but the first flattened.
    fn table(self, file: &str, flatten: bool) -> Result<Table, Error> {
        let (rows, cols) = match *self.shape.as_slice() {
            [rows, cols] => (rows, cols),
            [rows, ref rest @ ..] if flatten && !rest.is_empty() => (rows, entries(file, rest)?),
            _ => {
                let remedy = match (self.shape.len(), flatten) {
                    (_, true) => "these are labels or single values; give the file of images",
                    (1, _) => {
                        "reshape it: array.reshape(-1, 1) for one column, array.reshape(1, -1) for one row"
                    }
                    (0, _) => "a single number is no data",
                    _ => "flatten all axes but the first: array.reshape(len(array), -1)",
                };
                return Err(Error::Shape { file: file.into(), shape: self.shape, remedy });
            }
        };
        Table::new(Matrix::new(rows, cols, self.data), Vec::new(), file, self.dtype)
    }
}

/// The number of entries of a shape, or an error where it overflows.
fn entries(file: &str, shape: &[usize]) -> Result<usize, Error> {
    shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d)).ok_or_else(|| {
        Error::damaged(file, format!("shape {shape:?} is beyond any memory"), "a shape that fits the file")
    })
}

/// What the first bytes of a file look like, for a message.
fn looks_like(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "an empty file",
        [0x1f, 0x8b, ..] => "a gzipped file (add .gz to its name)",
        [b'P', b'K', ..] => "a zip archive (.npz?)",
        [0x93, b'N', b'U', b'M', ..] => "an array of numpy (.npy?)",
        [b'P', b'A', b'R', b'1', ..] => "a parquet file",
        [0x89, b'H', b'D', b'F', ..] => "an HDF5 file",
        _ if bytes.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) => "text (.csv?)",
        _ => "other bytes",
    }
}
