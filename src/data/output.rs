//! Results as files (`--out`) or as text.

pub use super::atomic::{WriteSeek, write_whole};
#[cfg(feature = "parquet")]
use super::formats::parquet;
use super::formats::{csv, npy, npz};
use super::table::default_names;
use super::{Error, Table};
use eigenflow_linalg::{Batch, Matrix, Real};
use std::fmt::Write as _;
use std::path::Path;

/// Numbers that are printed at most where no file is named.
pub const PRINTED: usize = 1000;

/// A scalar that arrays can be written in.
pub trait Element: Real {
    /// The numbers as written.
    fn values(data: &[Self]) -> Values<'_>;
}

impl Element for f32 {
    fn values(data: &[Self]) -> Values<'_> {
        Values::F32(data)
    }
}

impl Element for f64 {
    fn values(data: &[Self]) -> Values<'_> {
        Values::F64(data)
    }
}

/// Numbers of either precision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Values<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Double precision.
    F64(&'a [f64]),
}

/// An array to be written: a name, a shape, and numbers in C order.
///
/// ```
/// use eigenflow::data::{Array, output};
/// let scores = Array::new("log_prob", &[2], &[-1.5_f64, -2.0]);
/// assert_eq!(output::to_text(&[scores])?, "-1.5\n-2.0\n");
/// # Ok::<(), eigenflow::data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Array<'a> {
    /// Name: the key in an `.npz` file, the heading of a single column in a `.csv` file.
    pub name: String,
    /// Shape, last axis fastest.
    pub shape: Vec<usize>,
    /// The numbers.
    pub values: Values<'a>,
    /// Names of the columns of a matrix; `c0, c1, ...` where empty.
    pub columns: Vec<String>,
}

impl<'a> Array<'a> {
    /// An array of any shape.
    ///
    /// # Panics
    /// If the shape does not fit the number of entries.
    pub fn new<T: Element>(name: &str, shape: &[usize], data: &'a [T]) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "array '{name}' of shape {shape:?}");
        Self { name: name.into(), shape: shape.to_vec(), values: T::values(data), columns: Vec::new() }
    }

    /// A matrix, `[rows, columns]`.
    pub fn matrix<T: Element>(name: &str, matrix: &'a Matrix<T>) -> Self {
        Self::new(name, &[matrix.rows(), matrix.cols()], matrix.data())
    }

    /// A batch of matrices, `[count, rows, columns]`.
    pub fn batch<T: Element>(name: &str, batch: &'a Batch<T>) -> Self {
        Self::new(name, &[batch.count(), batch.rows(), batch.cols()], batch.data())
    }

    /// A table's numbers, with the names of its columns.
    pub fn table(name: &str, table: &'a Table) -> Self {
        Self::matrix(name, &table.values).with_columns(&table.names)
    }

    /// The same array with names for the columns of a `.csv` file.
    ///
    /// # Panics
    /// If there is not one name a column.
    pub fn with_columns(self, names: &[String]) -> Self {
        assert_eq!(self.shape.get(1), Some(&names.len()), "names for the columns of '{}'", self.name);
        Self { columns: names.to_vec(), ..self }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        match self.values {
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
        }
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Headings of a `.csv` file.
    pub(crate) fn column_names(&self) -> Vec<String> {
        match *self.shape.as_slice() {
            [_, columns] if self.columns.is_empty() => default_names(columns),
            [_, _] => self.columns.clone(),
            _ => vec![self.name.clone()],
        }
    }
}

/// A format that results are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// One array of numpy.
    Npy,
    /// Several arrays of numpy.
    Npz,
    /// One matrix as text, with a header.
    Csv,
    /// One matrix as columns of Apache Parquet.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl OutputFormat {
    /// The format that a file's ending picks for arrays with these numbers of axes. Commands ask this
    /// before they compute.
    ///
    /// ```
    /// use eigenflow::data::output::OutputFormat;
    /// assert_eq!(OutputFormat::of("z.csv".as_ref(), &[2])?, OutputFormat::Csv);
    /// assert!(OutputFormat::of("J.csv".as_ref(), &[3]).is_err());
    /// # Ok::<(), eigenflow::data::Error>(())
    /// ```
    ///
    /// # Errors
    /// An ending that is unknown or not built in, or a format that cannot hold such arrays.
    pub fn of(path: &Path, axes: &[usize]) -> Result<Self, Error> {
        let refuse = |problem: String| Error::OutputFormat { file: path.display().to_string(), problem };
        let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let format = match ending.as_str() {
            "npy" => Self::Npy,
            "npz" => Self::Npz,
            "csv" => Self::Csv,
            #[cfg(feature = "parquet")]
            "parquet" => Self::Parquet,
            #[cfg(not(feature = "parquet"))]
            "parquet" => {
                return Err(refuse(
                    "parquet is not built in; use .npy, .npz or .csv, or build with --features parquet"
                        .into(),
                ));
            }
            _ => return Err(refuse("the ending picks the format; use .npy, .npz or .csv".into())),
        };
        match (format, axes) {
            (Self::Npz, _) | (Self::Npy, [_]) | (Self::Csv, [1 | 2]) => Ok(format),
            #[cfg(feature = "parquet")]
            (Self::Parquet, [1 | 2]) => Ok(format),
            #[cfg(feature = "parquet")]
            (Self::Parquet, [axes]) => {
                Err(refuse(format!("a result with {axes} axes is no table; use .npy or .npz")))
            }
            (Self::Csv, [axes]) => {
                Err(refuse(format!("a result with {axes} axes is no table; use .npy or .npz")))
            }
            _ => Err(refuse(format!("a result of {} arrays needs .npz", axes.len()))),
        }
    }
}

/// Writes arrays into a file, whole or not at all; its ending picks the format.
///
/// # Errors
/// As [`OutputFormat::of`], and [`Error::Output`] where the file cannot be written.
pub fn write(path: &Path, arrays: &[Array<'_>]) -> Result<(), Error> {
    let axes: Vec<usize> = arrays.iter().map(|array| array.shape.len()).collect();
    let format = OutputFormat::of(path, &axes)?;
    write_whole(path, |out| match (format, arrays) {
        (OutputFormat::Npy, [array]) => npy::write(out, array),
        (OutputFormat::Csv, [array]) => csv::write(out, array),
        #[cfg(feature = "parquet")]
        (OutputFormat::Parquet, [array]) => parquet::write(out, array),
        _ => npz::write(out, arrays),
    })
}

/// Arrays as text for a terminal: a row a line, entries separated by blanks, a blank line between
/// matrices, a line `# name (shape)` above each array where there are several.
///
/// # Errors
/// [`Error::TooLongToPrint`] beyond [`PRINTED`] numbers.
pub fn to_text(arrays: &[Array<'_>]) -> Result<String, Error> {
    let numbers = arrays.iter().map(Array::len).sum();
    if numbers > PRINTED {
        return Err(Error::TooLongToPrint { numbers, limit: PRINTED });
    }
    let mut text = String::new();
    for array in arrays {
        if arrays.len() > 1 {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "# {} {:?}", array.name, array.shape);
        }
        let (rows, columns) = match *array.shape.as_slice() {
            [.., rows, columns] => (rows, columns),
            _ => (array.len(), 1),
        };
        for k in 0..array.len() {
            if k > 0 && k % (rows * columns) == 0 {
                text.push('\n');
            }
            let _ = match array.values {
                Values::F32(values) => write!(text, "{:?}", values[k]),
                Values::F64(values) => write!(text, "{:?}", values[k]),
            };
            text.push(if (k + 1) % columns == 0 { '\n' } else { ' ' });
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_pick_formats_that_hold_the_result() {
        let of = |path: &str, axes: &[usize]| OutputFormat::of(Path::new(path), axes);
        assert_eq!(of("a.NPY", &[3]).unwrap(), OutputFormat::Npy);
        assert_eq!(of("a.npz", &[2, 3, 1]).unwrap(), OutputFormat::Npz);
        assert_eq!(of("a.b/c.csv", &[1]).unwrap(), OutputFormat::Csv);
        for (path, axes, part) in [
            ("a.csv", &[3][..], "no table; use .npy or .npz"),
            ("a.npy", &[2, 2], "2 arrays needs .npz"),
            ("a.csv", &[2, 2], "needs .npz"),
            #[cfg(not(feature = "parquet"))]
            ("a.parquet", &[2], "not built in"),
            ("a.txt", &[2], "use .npy, .npz or .csv"),
            ("a.npy.gz", &[2], "use .npy, .npz or .csv"),
            ("a", &[2], "use .npy, .npz or .csv"),
        ] {
            let error = of(path, axes).unwrap_err();
            assert!(error.to_string().contains(part) && !error.is_output(), "{error}");
        }
    }

    #[test]
    fn text_is_short_and_regular() {
        let data: Vec<f64> = (0..12).map(f64::from).collect();
        let cube = Array::new("J", &[2, 2, 3], &data);
        assert_eq!(
            to_text(std::slice::from_ref(&cube)).unwrap(),
            "0.0 1.0 2.0\n3.0 4.0 5.0\n\n6.0 7.0 8.0\n9.0 10.0 11.0\n"
        );
        let two = to_text(&[Array::new("s", &[1], &[0.5_f32]), cube]).unwrap();
        assert!(two.starts_with("# s [1]\n0.5\n# J [2, 2, 3]\n0.0 "));
        let long = vec![0.0_f32; 1001];
        assert!(matches!(to_text(&[Array::new("x", &[1001], &long)]), Err(Error::TooLongToPrint { .. })));
        assert!(to_text(&[Array::new("x", &[1000], &long[1..])]).is_ok());
    }
}
