//! Rows to train on, to validate on, to test on.

use super::context;
use super::failure::Failure;
use super::session::{Session, by_name};
use super::settings::{Settings, Valid};
use crate::data::{Table, columns_of};
use crate::flow::presets::Preset;
use crate::flow::{Dequantize, Variable, dequantizing_noise};
use crate::train;
use eigenflow_linalg::Matrix;

/// The parts of the data. A row that occurs twice lies in one of them.
pub(crate) struct Parts {
    pub training: Table,
    pub valid: Option<Table>,
    pub test: Option<Table>,
    /// Variables of the context, whose columns stand last in all of them.
    pub context: Vec<Variable>,
}

impl Parts {
    /// The rows of `table` as the settings divide them: the test rows first, then the validation rows, both as fractions of
    /// all rows. Rows that come from files of their own have to pass `fits`, which names them as the file has them.
    pub(crate) fn of(
        s: &Session,
        table: Table,
        context: &[Variable],
        settings: &Settings,
        valid: f64,
        fits: &dyn Fn(&Table) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let (rest, test, left) = match &settings.test {
            None | Some(Valid::Fraction(0.0)) => (table, None, 1.0),
            Some(Valid::Data(data)) => {
                let test = other(s, "--test", data, &table, context)?;
                fits(&test)?;
                (table, Some(test), 1.0)
            }
            Some(Valid::Fraction(f)) => {
                if !(*f > 0.0 && f + valid < 1.0) {
                    return Err(Failure::Input(format!(
                        "--test {f}: it must be a fraction in (0, 1) that leaves rows to train on beside --valid {valid}"
                    )));
                }
                // Another hash than that of the validation rows.
                let (rest, test) = table.split(*f, crate::random::hash_words(s.seed(), [1]))?;
                (rest, Some(test), 1.0 - f)
            }
        };
        let (training, valid) = match &settings.valid {
            Some(Valid::Data(data)) => {
                let valid = other(s, "--valid", data, &rest, context)?;
                fits(&valid)?;
                (rest, Some(valid))
            }
            _ if valid > 0.0 => {
                let (training, valid) = rest.split((valid / left).min(1.0), s.seed())?;
                (training, Some(valid))
            }
            _ => (rest, None),
        };
        let mut parts = Self { training, valid, test, context: context.to_vec() };
        parts.spread(s, settings)?;
        Ok(parts)
    }

    /// Spreads the values of the columns that are to be, after rows that occur twice have found their part.
    fn spread(&mut self, s: &Session, settings: &Settings) -> Result<(), Failure> {
        let Some(columns) = &settings.jitter_columns else { return Ok(()) };
        let names = &self.training.names[..self.own_columns()];
        let chosen = columns_of("--jitter-columns", columns, &self.training.source, names)?;
        let quanta: Vec<(usize, f64)> = chosen.into_iter().map(|j| (j, self.training.quantum(j))).collect();
        for (table, part) in self.each() {
            table.jitter(&quanta, s.seed(), &format!("jitter-{part}"));
        }
        Ok(())
    }

    /// The tables there are, with the names of their parts.
    pub(crate) fn each(&mut self) -> impl Iterator<Item = (&mut Table, &'static str)> {
        let others = [(self.valid.as_mut(), "validation"), (self.test.as_mut(), "test")];
        let others = others.into_iter().filter_map(|(table, part)| Some((table?, part)));
        std::iter::once((&mut self.training, "training")).chain(others)
    }

    /// Columns of the data, without those of the context.
    pub(crate) fn own_columns(&self) -> usize {
        self.training.cols() - self.context.iter().map(Variable::width).sum::<usize>()
    }

    /// What to say of columns with few distinct values.
    pub(crate) fn discrete(&self) -> Option<String> {
        let mut found = self.training.discrete_columns();
        found.retain(|d| d.column < self.own_columns());
        if found.is_empty() {
            return None;
        }
        let each: Vec<String> = found
            .iter()
            .take(MOST_NAMED)
            .map(|d| format!("{} ({} values)", self.training.names[d.column], d.values))
            .collect();
        let more = if found.len() > each.len() {
            format!(" and {} more", found.len() - each.len())
        } else {
            String::new()
        };
        let numbers: Vec<usize> = found.iter().map(|d| d.column).collect();
        Some(format!(
            "{}: columns with fewer than 1 % distinct values, which no density fits: {}{more}; spread each value over its quantum \
             with --jitter-columns {}, leave them out with --exclude, or train with --noise",
            self.training.source,
            each.join(", "),
            ranges(&numbers)
        ))
    }
}

/// Columns that a warning names.
const MOST_NAMED: usize = 10;

/// Ascending numbers as --columns takes them: `0-3,7`.
fn ranges(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b);
    let written = runs.map(|run| match run {
        [one] => one.to_string(),
        _ => format!("{}-{}", run[0], run[run.len() - 1]),
    });
    written.collect::<Vec<_>>().join(",")
}

/// Data of its own, as wide as the table, its columns in the table's order where they have its names.
fn other(
    s: &Session,
    option: &str,
    data: &str,
    table: &Table,
    variables: &[Variable],
) -> Result<Table, Failure> {
    if !variables.is_empty() && context::has_its_own_rows(s)? {
        return Err(Failure::Input(format!(
            "{option} {data}: its rows need contexts of their own, and --context names those of the data's rows; give {option} as a \
             fraction, or --context as columns that both have"
        )));
    }
    let rows = match context::joint(s, data, Some(variables)) {
        Ok((rows, _)) => by_name(rows, &table.names)?,
        Err(Failure::Input(why)) => {
            let hint = "give a fraction such as 0.1, or data of its own";
            return Err(Failure::Input(format!("{option} {data}: {why} ({hint})")));
        }
        Err(other) => return Err(other),
    };
    if rows.cols() == table.cols() {
        return Ok(rows);
    }
    let (given, needed) = (rows.cols(), table.cols());
    Err(Failure::Input(format!(
        "{option} {data}: {given} columns where the data has {needed}; name its columns as those are, or choose them with --columns"
    )))
}

/// That the first `own` columns of the whole file lie where the preset says.
pub(crate) fn check_support(table: &Table, own: usize, preset: &Preset) -> Result<(), Failure> {
    let x = Matrix::from_fn(table.rows(), own, |i, j| table.values[(i, j)]);
    train::check_support(preset, &x).map_err(|e| match e {
        train::Error::OutsideSupport { row, column, value, support } => Failure::Input(format!(
            "{}: row {}, column '{}' is {value}, outside the support {support} (ends do not belong to it); mend or remove \
             the row, or widen --support",
            table.source,
            row + 1,
            table.names[column]
        )),
        other => other.into(),
    })
}

/// That the first `own` columns of the whole file are whole numbers.
pub(crate) fn check_whole(table: &Table, own: usize) -> Result<(), Failure> {
    let Some(j) = (0..own).find(|&j| !table.integer[j]) else { return Ok(()) };
    let row = (0..table.rows()).find(|&i| table.values[(i, j)].fract() != 0.0).unwrap_or(0);
    let (source, name, value) = (&table.source, &table.names[j], table.values[(row, j)]);
    Err(Failure::Input(format!(
        "{source}: row {}, column '{name}' is {value}, no whole number, which --dequantize and models trained with it ask for; leave the \
         column out, or train a new model without --dequantize",
        row + 1
    )))
}

/// The rows from which preprocessing is set: whole numbers with a uniform rest, others as they are.
pub(crate) fn whole_numbers(table: &Table, own: usize, dequantize: &Dequantize, seed: u64) -> Matrix<f64> {
    if dequantize.is_none() {
        return table.values.clone();
    }
    let u = dequantizing_noise::<f64>(table.rows(), own, false, seed);
    Matrix::from_fn(table.rows(), table.cols(), |i, j| {
        table.values[(i, j)] + if j < own { u[(i, j)] } else { 0.0 }
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn ranges_are_written_as_they_are_read() {
        assert_eq!(super::ranges(&[0, 1, 2, 3, 7, 9, 10]), "0-3,7,9-10");
        assert_eq!(super::ranges(&[5]), "5");
    }
}
