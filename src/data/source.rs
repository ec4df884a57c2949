//! The word `DATA`: a file, or a built-in set.

use super::builtin::{self, Builtin, Parameters};
use super::formats::Location;
use super::{Error, Selection, Table};
use std::fmt;
use std::str::FromStr;

/// Where data come from.
///
/// Parsed from a path (`x.npy`, `x.npz:train`, `x.csv.gz`) or `builtin:NAME?key=value&key=value`.
///
/// ```
/// use eigenflow::data::Source;
/// assert!(matches!("x.csv.gz".parse()?, Source::File(_)));
/// let moons: Source = "builtin:two-moons?n=10".parse()?;
/// assert_eq!(moons.to_string(), "builtin:two-moons?n=10&noise=0.1&seed=0");
/// let error = "builtin:moons".parse::<Source>().unwrap_err().to_string();
/// assert!(error.contains("no such set; there are: s-curve, swiss-roll, two-moons"));
/// # Ok::<(), eigenflow::data::Error>(())
/// ```
#[derive(Debug, Clone)]
pub enum Source {
    /// A file.
    File(Location),
    /// A built-in set with its parameters.
    Builtin(&'static Builtin, Parameters),
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let Some(rest) = text.strip_prefix("builtin:") else {
            return match Location::of(text) {
                Err(Error::UnknownFormat { .. }) if builtin::find(text).is_ok() => {
                    Err(Error::MeantBuiltin { name: text.into() })
                }
                location => location.map(Self::File),
            };
        };
        let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
        let set = builtin::find(name)?;
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let parameters = set.parameters_from(pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))))?;
        Ok(Self::Builtin(set, parameters))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(Location { file, key: None, .. }) => f.write_str(file),
            Self::File(Location { file, key: Some(key), .. }) => write!(f, "{file}:{key}"),
            Self::Builtin(set, parameters) => write!(f, "builtin:{}?{parameters}", set.name),
        }
    }
}

impl Source {
    /// Reads or draws the data, takes the chosen columns, and makes sure that every number in them is
    /// finite.
    ///
    /// # Errors
    /// Whatever is wrong with the file, the choice or the numbers, with its place.
    pub fn load(&self, selection: &Selection) -> Result<Table, Error> {
        let table = match self {
            Self::File(location) => location.table(selection)?,
            Self::Builtin(set, parameters) => {
                let table = set.make(parameters)?;
                selection.apply(Table { source: self.to_string(), ..table })?
            }
        };
        table.check_finite()?;
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        text.parse::<Source>().unwrap_err().to_string()
    }

    #[test]
    fn errors_name_what_there_is() {
        assert!(message("builtin:s-curve?m=3").contains("no parameter 'm'; it takes: n, noise, seed"));
        assert!(message("builtin:s-curve?n=0").contains("n=0 will not do; n is a number of rows"));
        assert!(message("builtin:s-curve?noise=-1").contains("noise=-1 will not do"));
        assert!(message("builtin:s-curve?noise=nan").contains("noise=nan will not do"));
        assert!(message("builtin:s-curve?seed=-1").contains("seed=-1 will not do"));
        assert!(message("builtin:s-curve?n").contains("n= will not do"));
        assert!(message("builtin:s-curve?n=1&n=2").contains("given twice"));
        assert!(message("s-curve").contains("write builtin:s-curve"));
        assert!(message("x.txt").contains("no known format"));
        #[cfg(not(feature = "parquet"))]
        assert!(message("x.parquet").contains("parquet is not built in"));
        let error = "missing.npy".parse::<Source>().unwrap().load(&Selection::default()).unwrap_err();
        assert!(matches!(error, Error::Read { .. }) && error.to_string().starts_with("missing.npy: "));
    }

    #[test]
    fn columns_of_a_built_in_set_can_be_chosen() {
        let source: Source = "builtin:s-curve?n=5".parse().unwrap();
        let selection = Selection { exclude: Some("y".into()), ..Selection::default() };
        let table = source.load(&selection).unwrap();
        assert_eq!(table.names, ["x", "z"]);
        assert_eq!(table.source, "builtin:s-curve?n=5&noise=0.1&seed=0");
    }

    #[test]
    fn built_in_labels_stay_unless_another_column_is_named() {
        let source: Source = "builtin:digits?n=50".parse().unwrap();
        let label = |column: &str| {
            let selection = Selection { label: Some(column.into()), ..Selection::default() };
            let table = source.load(&selection).unwrap();
            (table.cols(), table.label.unwrap().name)
        };
        assert_eq!(label("label"), (64, "label".into()));
        assert_eq!(label("r0c0"), (63, "r0c0".into()));
    }
}
