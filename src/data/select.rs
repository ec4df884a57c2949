//! Which columns: `--columns a,b,3-7`, `--exclude` and `--label`.

use super::table::Labels;
use super::{Error, Table};

/// A choice of columns, as the options give it.
///
/// Each is a comma-separated list of column names, numbers from 0, and ranges of numbers, both ends
/// included (`3-7` is five columns). A name that looks like a number or a range is taken as the name.
/// A name with a comma in it can be given by its number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Columns to take, in this order; all where `None`.
    pub columns: Option<String>,
    /// Columns to leave out.
    pub exclude: Option<String>,
    /// Column that holds labels; it is no column of numbers then.
    pub label: Option<String>,
}

/// A choice resolved against the columns that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Columns of numbers, in order.
    pub columns: Vec<usize>,
    /// Column of labels.
    pub label: Option<usize>,
}

impl Selection {
    /// The columns meant, among `names`, of the data called `data`.
    pub(crate) fn resolve(&self, data: &str, names: &[String]) -> Result<Chosen, Error> {
        let listed = |option, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => list(option, text, data, names).map(Some),
        };
        let label = match &self.label {
            None => None,
            Some(text) => Some(one(LABEL, text.trim(), data, names)?),
        };
        let mut columns = listed(COLUMNS, &self.columns)?.unwrap_or_else(|| (0..names.len()).collect());
        let exclude = listed(EXCLUDE, &self.exclude)?.unwrap_or_default();
        columns.retain(|j| !exclude.contains(j) && Some(*j) != label);
        if columns.is_empty() {
            return Err(Error::ColumnChoice {
                option: if self.exclude.is_some() { EXCLUDE } else { COLUMNS },
                text: self.exclude.as_ref().or(self.columns.as_ref()).cloned().unwrap_or_default(),
                problem: format!("leaves no column of {data}; keep at least one beside the label"),
            });
        }
        Ok(Chosen { columns, label })
    }

    /// The chosen columns of a table that was read whole.
    pub(crate) fn apply(&self, table: Table) -> Result<Table, Error> {
        if *self == Self::default() {
            return Ok(table);
        }
        // A set that brings labels keeps them under their own name.
        let kept = table.label.as_ref().is_some_and(|own| Some(&own.name) == self.label.as_ref());
        let choice = if kept { &Self { label: None, ..self.clone() } } else { self };
        let chosen = choice.resolve(&table.source, &table.names)?;
        let selected = table.select_columns(&chosen.columns)?;
        match chosen.label {
            None => Ok(selected),
            Some(j) => {
                // A class of what is missing is nobody's class.
                let own = table.values.col(j);
                if let Some(i) = own.iter().position(|x| !x.is_finite()) {
                    let (file, column) = (table.source, table.names[j].clone());
                    return Err(Error::NotFinite { file, row: i + 1, line: None, column, value: own[i] });
                }
                let texts: Vec<String> = own.iter().map(ToString::to_string).collect();
                selected.with_label(Labels::new(&table.names[j], &texts))
            }
        }
    }
}

/// Columns by names, numbers from 0 and ranges, comma separated, as an option gives them; `data` is the table's name in
/// messages.
///
/// # Errors
/// A column that there is not, one named twice, or an empty part.
pub fn columns_of(
    option: &'static str,
    text: &str,
    data: &str,
    names: &[String],
) -> Result<Vec<usize>, Error> {
    list(option, text, data, names)
}

const COLUMNS: &str = "--columns";
const EXCLUDE: &str = "--exclude";
const LABEL: &str = "--label";

fn list(option: &'static str, text: &str, data: &str, names: &[String]) -> Result<Vec<usize>, Error> {
    let refuse = |problem: String| Error::ColumnChoice { option, text: text.into(), problem };
    let mut chosen = Vec::new();
    for part in text.split(',').map(str::trim) {
        if part.is_empty() {
            return Err(refuse("has an empty part; give names or numbers, comma separated".into()));
        }
        let columns = match range(part) {
            Some((first, last)) if !names.iter().any(|name| name == part) => {
                if first > last {
                    return Err(refuse(format!("{part} runs backwards; give the smaller number first")));
                }
                // The ends are checked before the range is walked: it may be astronomically long.
                let (first, last) = (at(option, first, data, names)?, at(option, last, data, names)?);
                (first..=last).collect()
            }
            _ => vec![one(option, part, data, names)?],
        };
        for column in columns {
            if chosen.contains(&column) {
                return Err(refuse(format!("takes column '{}' twice; name it once", names[column])));
            }
            chosen.push(column);
        }
    }
    Ok(chosen)
}

/// `3-7`.
fn range(part: &str) -> Option<(usize, usize)> {
    let (first, last) = part.split_once('-')?;
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

/// One column by its name, else by its number.
fn one(option: &'static str, part: &str, data: &str, names: &[String]) -> Result<usize, Error> {
    let mut places = (0..names.len()).filter(|&j| names[j] == part);
    match (places.next(), places.next()) {
        (Some(_), Some(_)) => Err(Error::ColumnChoice {
            option,
            text: part.into(),
            problem: format!("several columns of {data} have this name; give the column's number (from 0)"),
        }),
        (Some(place), None) => Ok(place),
        (None, _) => match part.parse::<usize>() {
            Ok(number) => at(option, number, data, names),
            Err(_) => Err(no_column(option, part, data, names)),
        },
    }
}

fn at(option: &'static str, number: usize, data: &str, names: &[String]) -> Result<usize, Error> {
    if number < names.len() { Ok(number) } else { Err(no_column(option, &number.to_string(), data, names)) }
}

fn no_column(option: &'static str, column: &str, data: &str, names: &[String]) -> Error {
    Error::NoColumn { option, data: data.into(), column: column.into(), names: names.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(columns: &str, exclude: &str, label: &str) -> Result<Chosen, Error> {
        let names: Vec<String> = ["a", "b", "1-2", "0", "e", "e"].map(String::from).to_vec();
        let some = |text: &str| (!text.is_empty()).then(|| text.to_string());
        Selection { columns: some(columns), exclude: some(exclude), label: some(label) }.resolve("t", &names)
    }

    #[test]
    fn names_numbers_and_ranges() {
        let columns = |text| resolve(text, "", "").unwrap().columns;
        assert_eq!(columns("b, a"), [1, 0]);
        assert_eq!(columns("2-4,1"), [2, 3, 4, 1]);
        assert_eq!(columns("1-2"), [2], "a name before a range");
        assert_eq!(columns("0"), [3], "a name before a number");
        assert_eq!(columns("5"), [5]);
        assert_eq!(columns(""), [0, 1, 2, 3, 4, 5]);
        assert_eq!(resolve("", "4-5,a", "b").unwrap(), Chosen { columns: vec![2, 3], label: Some(1) });
        assert_eq!(resolve("a,b", "", "b").unwrap(), Chosen { columns: vec![0], label: Some(1) });
    }

    #[test]
    fn errors_list_what_there_is() {
        let message = |columns, exclude, label| resolve(columns, exclude, label).unwrap_err().to_string();
        assert_eq!(
            message("z", "", ""),
            "--columns: t has no column 'z'; its columns are: a, b, 1-2, 0, e, e (or numbers 0 to 5)"
        );
        assert!(message("", "", "6").starts_with("--label: t has no column '6'"));
        assert!(message("2-18446744073709551615", "", "").contains("no column '18446744073709551615'"));
        assert!(message("4-3", "", "").contains("runs backwards"));
        assert!(message("a,,b", "", "").contains("empty part"));
        assert!(message("a,a", "", "").contains("'a' twice"));
        assert!(message("e", "", "").contains("several columns"));
        assert!(message("a", "a", "").contains("leaves no column"));
        assert!(message("a", "", "a").contains("leaves no column"));
    }
}
