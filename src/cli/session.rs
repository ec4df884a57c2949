//! What every command shares: the global options, data and models that are read with them.

use super::context;
use super::failure::Failure;
use crate::data::table::{default_names, is_default_name};
use crate::data::{Element, Selection, Source, Table};
use crate::flow::{AnyModel, Error, Model};
use eigenflow_linalg::Matrix;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;

/// Options of every command.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Seed of everything random [default: 0]
    #[arg(long, global = true, value_name = "S", allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Number of threads; never changes a result [default: all cores]
    #[arg(long, global = true, value_name = "T")]
    pub threads: Option<NonZeroUsize>,
    /// Precision of the arithmetic [default: the model's; f64 for a new model]
    #[arg(long, global = true, value_name = "f32|f64")]
    pub dtype: Option<Dtype>,
    /// Print the result as one JSON object
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress and no notes on standard error; warnings and errors stay
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Columns of the data to take: names, numbers from 0, ranges such as 3-7, comma separated [default: all]
    #[arg(long, global = true, value_name = "COLUMNS")]
    pub columns: Option<String>,
    /// Columns of the data to leave out, written like --columns [default: none]
    #[arg(long, global = true, value_name = "COLUMNS")]
    pub exclude: Option<String>,
    /// Column of the data that holds labels, by name or number; it is no column of numbers then
    #[arg(long, global = true, value_name = "COLUMN")]
    pub label: Option<String>,
    /// What a conditional model is given beside each row: columns of the data (a,b or class:one-hot), which then are no data; a file with as many
    /// rows; or values for all rows (a=1.5,class=3) [default: the columns of the model's names]
    #[arg(long, global = true, value_name = "COLUMNS|FILE|NAME=VALUE")]
    pub context: Option<String>,
}

/// Precision.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dtype {
    /// Single.
    F32,
    /// Double.
    F64,
}

/// The table's columns of these names, in this order, where it has one of each; else the table as it is, to be taken by place.
///
/// # Errors
/// Where places contradict names: a column of the names stands at another place, while another one is missing.
pub(crate) fn by_name(table: Table, names: &[String]) -> Result<Table, Failure> {
    // Names that nobody gave say little: the first columns of a wider table are not those of a narrower one.
    let all_of_them = |names: &[String]| names == default_names(names.len());
    if all_of_them(names) && all_of_them(&table.names) {
        return Ok(table);
    }
    let table = table.in_order_of(names)?;
    let nobody_gave = |name: &String| is_default_name(name);
    if table.names == names || table.cols() != names.len() || table.names.iter().all(nobody_gave) {
        return Ok(table);
    }
    let elsewhere =
        |(j, name): (usize, &String)| table.names.iter().position(|n| n == name).filter(|&i| i != j);
    let Some((name, place)) =
        names.iter().enumerate().find_map(|(j, name)| Some((name, elsewhere((j, name))?)))
    else {
        return Ok(table);
    };
    let missing = names.iter().find(|name| !table.names.contains(name)).unwrap_or(name);
    Err(Failure::Input(format!(
        "{}: the columns wanted are {}; it has '{name}' as its column {}, but not just one column '{missing}'; name its columns as these are, or \
         choose them in this order with --columns",
        table.source,
        names.join(", "),
        place + 1,
    )))
}

/// Bytes of stack of a thread: those of a main thread on most systems.
const STACK: usize = 8 << 20;

/// A running command.
pub(crate) struct Session {
    pub global: Global,
}

impl Session {
    /// Sets the number of threads.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        let mut pool = rayon::ThreadPoolBuilder::new().stack_size(STACK);
        if let Some(threads) = global.threads {
            // Beyond this a system refuses threads one by one, and late.
            const MOST: usize = 1024;
            if threads.get() > MOST {
                return Err(Failure::Input(format!("--threads {threads}: give at most {MOST}")));
            }
            pool = pool.num_threads(threads.get());
        }
        pool.build_global().map_err(|e| match global.threads {
            Some(threads) => Failure::Input(format!("--threads {threads}: {e}; give fewer")),
            None => Failure::Input(format!("a thread for each processor: {e}; ask for fewer with --threads")),
        })?;
        Ok(Self { global: global.clone() })
    }

    /// The seed.
    pub(crate) fn seed(&self) -> u64 {
        self.global.seed.unwrap_or(0)
    }

    /// The choice of columns.
    pub(crate) fn selection(&self) -> Selection {
        let Global { columns, exclude, label, .. } = self.global.clone();
        Selection { columns, exclude, label }
    }

    /// Reads DATA.
    pub(crate) fn data(&self, data: &str) -> Result<Table, Failure> {
        Ok(data.parse::<Source>()?.load(&self.selection())?)
    }

    /// Reads DATA for a model: where it has columns of all the model's names, those are taken, in the
    /// model's order.
    pub(crate) fn data_for<T: Element>(&self, data: &str, model: &Model<T>) -> Result<Rows<T>, Failure> {
        let known = model.flow.context();
        let (table, context) = if known.is_empty() {
            if self.global.context.is_some() {
                return Err(context::superfluous());
            }
            (self.data(data)?, None)
        } else {
            let (table, context) = context::read(self, data, known)?;
            let encoded = context::encode(&context, known, Some(table.rows()))?;
            (table, Some(encoded))
        };
        let table = by_name(table, &model.columns)?;
        let mut rows = Rows { x: table.cast()?, table };
        if rows.table.cols() != model.flow.dim() {
            let error = Error::Columns { expected: model.flow.dim(), given: rows.table.cols() };
            return Err(rows.at(error));
        }
        if let Some(context) = context {
            rows.x = model.flow.beside(&rows.x, &context.cast()).map_err(|e| rows.at(e))?;
        }
        Ok(rows)
    }

    /// Reads LATENTS for a model, with their contexts if it takes any.
    pub(crate) fn latents_for<T: Element>(
        &self,
        latents: &str,
        model: &Model<T>,
    ) -> Result<Rows<T>, Failure> {
        let known = model.flow.context();
        if known.is_empty() && self.global.context.is_some() {
            return Err(context::superfluous());
        }
        let table = self.data(latents)?;
        let mut rows = Rows { x: table.cast()?, table };
        if !known.is_empty() {
            let context = context::encode(&context::alone(self, known)?, known, Some(rows.x.rows()))?;
            rows.x = model.flow.beside(&rows.x, &context.cast()).map_err(|e| rows.at(e))?;
        }
        Ok(rows)
    }

    /// Reads MODEL, in the precision asked for.
    pub(crate) fn model(&self, path: &Path) -> Result<AnyModel, Failure> {
        let model = AnyModel::load(path)?;
        Ok(match self.global.dtype {
            None => model,
            Some(dtype) => in_precision(&model, dtype, path)?,
        })
    }

    /// A remark on standard error, unless `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        if !self.global.quiet {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
}

/// A model in a precision; `path` is where it comes from.
pub(crate) fn in_precision(model: &AnyModel, dtype: Dtype, path: &Path) -> Result<AnyModel, Failure> {
    if dtype == Dtype::F64 {
        return Ok(AnyModel::F64(model.cast()));
    }
    let single: Model<f32> = model.cast();
    let overflows = |p: &&crate::flow::Parameter<f32>| p.data.iter().any(|x| !x.is_finite());
    match single.flow.parameters().iter().find(overflows) {
        None => Ok(AnyModel::F32(single)),
        Some(p) => {
            let file = path.display();
            Err(Failure::Input(format!("{file}: tensor '{}' overflows in f32; use --dtype f64", p.name)))
        }
    }
}

/// A warning on standard error.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "warning: {text}");
}

/// A table, and its numbers in the precision of the arithmetic.
pub(crate) struct Rows<T> {
    pub table: Table,
    pub x: Matrix<T>,
}

impl<T> Rows<T> {
    /// An error of the flow on these rows, with file, row (from 1) and column by name.
    pub(crate) fn at(&self, error: Error) -> Failure {
        let source = &self.table.source;
        let column = |k: usize| self.table.names.get(k).map_or("?", String::as_str);
        Failure::Input(match error {
            Error::OutOfRange { direction, row, layer, kind, column: c, precision } => format!(
                "{source}: row {}, column '{}': {direction} is not finite at layer {layer} ({kind}): the row is \
                 outside the model's support or too far out for {precision}; leave the row out",
                row + 1,
                column(c)
            ),
            Error::NotFinite { row, column: c, .. } => format!(
                "{source}: row {}, column '{}' is not a finite number; leave the row out",
                row + 1,
                column(c)
            ),
            Error::NotWhole { row, column: c } => format!(
                "{source}: row {}, column '{}' is no whole number: the model is one of dequantised whole numbers",
                row + 1,
                column(c)
            ),
            other => format!("{source}: {other}"),
        })
    }
}
