//! A table of numbers: rows are samples, columns have names.

use super::Error;
use eigenflow_linalg::{Matrix, Real};
use rand::RngExt;

/// Element types that files store and tables come from. Values are held as `f64` whatever they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// Truth values, read as 0 and 1.
    Bool,
    /// Signed integers of this many bytes. Beyond 2^53 in magnitude they are rounded to `f64`.
    Int(u8),
    /// Unsigned integers of this many bytes. Beyond 2^53 they are rounded to `f64`.
    Uint(u8),
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// Decimal text.
    Text,
}

impl Dtype {
    /// Bytes of one element; 0 for text, which has no fixed size.
    pub fn size(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Int(bytes) | Self::Uint(bytes) => bytes.into(),
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Text => 0,
        }
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int(bytes) => write!(f, "i{}", 8 * bytes),
            Self::Uint(bytes) => write!(f, "u{}", 8 * bytes),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Text => f.write_str("text"),
        }
    }
}

/// A label for each row: a class out of a few.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Name of the column.
    pub name: String,
    /// The distinct labels: numbers in numerical order, else text in alphabetical order.
    pub classes: Vec<String>,
    /// For each row, the place of its label in `classes`.
    pub codes: Vec<usize>,
}

impl Labels {
    /// Labels from one text a row.
    ///
    /// ```
    /// use eigenflow::data::Labels;
    /// let labels = Labels::new("digit", &["10", "9", "10"]);
    /// assert_eq!(labels.classes, ["9", "10"]);
    /// assert_eq!(labels.codes, [1, 0, 1]);
    /// ```
    pub fn new<S: AsRef<str>>(name: &str, rows: &[S]) -> Self {
        let mut classes: Vec<&str> = rows.iter().map(AsRef::as_ref).collect();
        classes.sort_unstable();
        classes.dedup();
        let codes = rows.iter().map(|row| classes.binary_search(&row.as_ref()).unwrap_or_default());
        let codes: Vec<usize> = codes.collect();
        // Numbers sort as numbers: 9 before 10.
        let numbers: Option<Vec<f64>> = classes.iter().map(|class| class.parse().ok()).collect();
        let Some(numbers) = numbers else {
            return Self { name: name.into(), classes: owned(&classes), codes };
        };
        let mut order: Vec<usize> = (0..classes.len()).collect();
        order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(new, &old)| place[old] = new);
        let classes: Vec<&str> = order.iter().map(|&old| classes[old]).collect();
        Self {
            name: name.into(),
            classes: owned(&classes),
            codes: codes.into_iter().map(|old| place[old]).collect(),
        }
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

/// Samples in rows, variables in named columns; at least one of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The numbers, `[rows, columns]`.
    pub values: Matrix<f64>,
    /// Names of the columns; `c0, c1, ...` where the data has none.
    pub names: Vec<String>,
    /// The number that each column has in its source, from 0.
    pub places: Vec<usize>,
    /// Labels of the rows, where asked for or built in.
    pub label: Option<Labels>,
    /// Where the table comes from, for messages.
    pub source: String,
    /// For each column, whether it holds integers only.
    pub integer: Vec<bool>,
    /// Element type of the source.
    pub dtype: Dtype,
}

impl Table {
    /// A table from its numbers. Empty `names` means `c0, c1, ...`.
    ///
    /// # Errors
    /// No rows or no columns; a number of names other than that of columns.
    pub fn new(values: Matrix<f64>, names: Vec<String>, source: &str, dtype: Dtype) -> Result<Self, Error> {
        for (count, what) in [(values.rows(), "rows"), (values.cols(), "columns")] {
            if count == 0 {
                return Err(Error::Empty { file: source.into(), what });
            }
        }
        let names = if names.is_empty() { default_names(values.cols()) } else { names };
        if names.len() != values.cols() {
            let problem = format!("{} names for {} columns", names.len(), values.cols());
            return Err(Error::damaged(source, problem, "one name a column"));
        }
        let mut integer = vec![true; values.cols()];
        for row in values.data().chunks(values.cols()) {
            row.iter().zip(&mut integer).for_each(|(x, whole)| *whole &= x.fract() == 0.0);
        }
        let places = (0..names.len()).collect();
        Ok(Self { values, names, places, label: None, source: source.into(), integer, dtype })
    }

    /// The same table with labels.
    ///
    /// # Errors
    /// A number of labels other than that of rows.
    pub fn with_label(self, label: Labels) -> Result<Self, Error> {
        if label.codes.len() != self.rows() {
            let problem = format!("{} labels for {} rows", label.codes.len(), self.rows());
            return Err(Error::damaged(&self.source, problem, "one label a row"));
        }
        Ok(Self { label: Some(label), ..self })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.rows()
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.values.cols()
    }

    /// The rows with these numbers (from 0), in this order.
    ///
    /// # Errors
    /// No rows.
    ///
    /// # Panics
    /// If a row does not exist.
    pub fn select_rows(&self, rows: &[usize]) -> Result<Self, Error> {
        let data = rows.iter().flat_map(|&i| self.values.row(i)).copied().collect();
        let values = Matrix::new(rows.len(), self.cols(), data);
        let table = Self::new(values, self.names.clone(), &self.source, self.dtype)?;
        let label = self
            .label
            .as_ref()
            .map(|label| Labels { codes: rows.iter().map(|&i| label.codes[i]).collect(), ..label.clone() });
        Ok(Self { label, places: self.places.clone(), ..table })
    }

    /// The columns with these numbers (from 0), in this order.
    ///
    /// # Errors
    /// No columns.
    ///
    /// # Panics
    /// If a column does not exist.
    pub fn select_columns(&self, columns: &[usize]) -> Result<Self, Error> {
        let values = Matrix::from_fn(self.rows(), columns.len(), |i, j| self.values[(i, columns[j])]);
        let names = columns.iter().map(|&j| self.names[j].clone()).collect();
        let places = columns.iter().map(|&j| self.places[j]).collect();
        let table = Self::new(values, names, &self.source, self.dtype)?;
        Ok(Self { label: self.label.clone(), places, ..table })
    }

    /// The columns of these names, in this order, where there is just one of each; else the table as it is.
    ///
    /// ```
    /// use eigenflow::data::{Dtype, Table};
    /// use eigenflow_linalg::Matrix;
    /// let names = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    /// let table = Table::new(Matrix::new(1, 3, vec![1.0, 2.0, 3.0]), names("c,a,b"), "t", Dtype::F64)?;
    /// assert_eq!(table.clone().in_order_of(&names("a,c"))?.values.data(), [2.0, 1.0]);
    /// assert_eq!(table.clone().in_order_of(&names("a,z"))?, table);
    /// # Ok::<(), eigenflow::data::Error>(())
    /// ```
    ///
    /// # Errors
    /// No columns.
    pub fn in_order_of(self, names: &[String]) -> Result<Self, Error> {
        let place = |name: &String| {
            let mut found = (0..self.cols()).filter(|&j| &self.names[j] == name);
            found.next().filter(|_| found.next().is_none())
        };
        match names.iter().map(place).collect::<Option<Vec<usize>>>() {
            Some(places) if self.names != names => self.select_columns(&places),
            _ => Ok(self),
        }
    }

    /// The first entry, row by row, that is NaN or infinite, as an error that names its place.
    ///
    /// ```
    /// use eigenflow::data::{Dtype, Table};
    /// use eigenflow_linalg::Matrix;
    /// let values = Matrix::new(2, 2, vec![1.0, 2.0, f64::NAN, 4.0]);
    /// let table = Table::new(values, vec![], "a.npy", Dtype::F64)?;
    /// let message = table.check_finite().unwrap_err().to_string();
    /// assert!(message.starts_with("a.npy: row 2, column 'c0': NaN"));
    /// # Ok::<(), eigenflow::data::Error>(())
    /// ```
    pub fn check_finite(&self) -> Result<(), Error> {
        match self.values.data().iter().position(|x| !x.is_finite()) {
            None => Ok(()),
            Some(k) => Err(Error::NotFinite {
                file: self.source.clone(),
                row: k / self.cols() + 1,
                line: None,
                column: self.names[k % self.cols()].clone(),
                value: self.values.data()[k],
            }),
        }
    }

    /// The numbers in the precision `T`.
    ///
    /// # Errors
    /// A finite number that becomes infinite in `T`.
    pub fn cast<T: Real>(&self) -> Result<Matrix<T>, Error> {
        let cast: Matrix<T> = self.values.cast();
        let overflow = |(x, t): (&f64, &T)| x.is_finite() && !t.is_finite();
        match self.values.data().iter().zip(cast.data()).position(overflow) {
            None => Ok(cast),
            Some(k) => Err(Error::Overflow {
                file: self.source.clone(),
                row: k / self.cols() + 1,
                column: self.names[k % self.cols()].clone(),
                value: self.values.data()[k],
                dtype: T::NAME,
            }),
        }
    }

    /// The rows in a random order that the seed decides.
    pub fn shuffle(&self, seed: u64) -> Result<Self, Error> {
        self.select_rows(&permutation(self.rows(), seed, "shuffle of rows"))
    }
}

/// `c0, c1, ...`.
pub(crate) fn default_names(columns: usize) -> Vec<String> {
    (0..columns).map(|j| format!("c{j}")).collect()
}

/// Whether a name is one that columns have where the data has none.
pub(crate) fn is_default_name(name: &str) -> bool {
    let number = name.strip_prefix('c').unwrap_or_default();
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

/// A uniformly random order of `0..n` (Fisher and Yates), from the generator of `(seed, purpose, 0)`.
pub fn permutation(n: usize, seed: u64, purpose: &str) -> Vec<usize> {
    let mut generator = crate::random::generator(seed, purpose, 0);
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        // Drawn as u64, so the same on 32-bit machines.
        order.swap(i, generator.random_range(0..=i as u64) as usize);
    }
    order
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact results are asserted")]
mod tests {
    use super::*;

    fn table() -> Table {
        let values = Matrix::new(3, 2, vec![1.0, 0.5, 2.0, 3.0, 4.0, 5.0]);
        let table = Table::new(values, vec!["a".into(), "b".into()], "t", Dtype::F64).unwrap();
        table.with_label(Labels::new("kind", &["x", "y", "x"])).unwrap()
    }

    #[test]
    fn selection_carries_names_labels_and_integers() {
        let t = table();
        assert_eq!(t.integer, [true, false]);
        let rows = t.select_rows(&[2, 1]).unwrap();
        assert_eq!(rows.values.data(), [4.0, 5.0, 2.0, 3.0]);
        assert_eq!(rows.integer, [true, true]);
        assert_eq!(rows.label.unwrap().codes, [0, 1]);
        let columns = t.select_columns(&[1]).unwrap();
        assert_eq!((columns.names, columns.values.data()), (vec!["b".to_string()], &[0.5, 3.0, 5.0][..]));
        assert_eq!((columns.places, t.select_rows(&[0]).unwrap().places), (vec![1], vec![0, 1]));
    }

    #[test]
    fn empty_tables_are_refused() {
        assert!(matches!(table().select_rows(&[]), Err(Error::Empty { what: "rows", .. })));
        assert!(matches!(table().select_columns(&[]), Err(Error::Empty { what: "columns", .. })));
    }

    #[test]
    fn casts_name_what_overflows() {
        assert_eq!(table().cast::<f32>().unwrap()[(0, 1)], 0.5_f32);
        let large = Table::new(Matrix::new(1, 2, vec![0.0, 1e39]), vec![], "t", Dtype::F64).unwrap();
        assert!(matches!(large.cast::<f32>(), Err(Error::Overflow { row: 1, column, .. }) if column == "c1"));
        assert_eq!(large.cast::<f64>().unwrap()[(0, 1)], 1e39);
    }

    #[test]
    fn shuffles_are_permutations_decided_by_the_seed() {
        let mut order = permutation(1000, 3, "p");
        assert_eq!(order, permutation(1000, 3, "p"));
        assert_ne!(order, permutation(1000, 4, "p"));
        order.sort_unstable();
        assert!(order.into_iter().eq(0..1000));
    }
}
