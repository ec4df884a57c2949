//! What can go wrong with a flow.

/// An error of the flow room. Each variant says what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Layers of different widths.
    #[error("layer {layer} ({kind}) has {given} columns where the flow has {expected}")]
    LayerWidth {
        /// Position of the layer.
        layer: usize,
        /// Its kind.
        kind: &'static str,
        /// Columns of the flow.
        expected: usize,
        /// Columns of the layer.
        given: usize,
    },
    /// A layer whose fields make no sense.
    #[error("layer {layer} ({kind}): {reason}")]
    Layer {
        /// Position of the layer.
        layer: usize,
        /// Its kind.
        kind: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// More preprocessing layers than layers.
    #[error("{preprocessing} layers of preprocessing where the flow has {layers} in all")]
    Preprocessing {
        /// Layers said to be preprocessing.
        preprocessing: usize,
        /// All layers.
        layers: usize,
    },
    /// A number that is not whole, for a model of whole numbers.
    #[error("row {row}, column {column} is no whole number: the model is one of dequantised whole numbers")]
    NotWhole {
        /// First such row, counted from 0.
        row: usize,
        /// Its column, counted from 0.
        column: usize,
    },
    /// A parameter of the flow out of its range.
    #[error("{name} {reason}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// A base whose fields make no sense, or that cannot do what is asked.
    #[error("the {family} base: {reason}")]
    Base {
        /// The family.
        family: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// A flow needs at least one column.
    #[error("a flow needs at least one column")]
    NoColumns,
    /// An option of a preset out of its range.
    #[error("{flow}: {option} {reason}")]
    Option {
        /// The preset.
        flow: &'static str,
        /// The option.
        option: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// Data of the wrong width.
    #[error(
        "the model has {expected} columns, the data has {given}; choose columns with --columns or --exclude"
    )]
    Columns {
        /// Columns of the model.
        expected: usize,
        /// Columns of the data.
        given: usize,
    },
    /// Rows of a conditional flow without their context.
    #[error(
        "the model is conditional: each row needs its {columns} columns and behind them {context} columns of context, {given} are \
         given; give the context with --context"
    )]
    Context {
        /// Columns of a sample.
        columns: usize,
        /// Columns of its context.
        context: usize,
        /// Columns given.
        given: usize,
    },
    /// A conditional flow where only one without a context will do.
    #[error("the model is conditional; take it at one context (Flow::at), or a model without a context")]
    Conditional,
    /// A context of the wrong width.
    #[error(
        "the model takes {expected} columns of context, {given} are given; see --context, and `inspect` for what they are"
    )]
    ContextColumns {
        /// Columns of the model's context.
        expected: usize,
        /// Columns given.
        given: usize,
    },
    /// A context of other rows.
    #[error(
        "the context has {given} rows where there are {expected}; give one row of context for each (--context)"
    )]
    ContextRows {
        /// Rows of the data.
        expected: usize,
        /// Rows of the context.
        given: usize,
    },
    /// NaN or infinity in the data.
    #[error("row {row}, column {column} of the {what} is not a finite number; remove or mend the row")]
    NotFinite {
        /// What was given.
        what: &'static str,
        /// First such row, counted from 0.
        row: usize,
        /// Its column, counted from 0.
        column: usize,
    },
    /// A row that the map cannot take: outside its support, or so far out that numbers overflow.
    #[error(
        "{direction} of row {row} is not finite at layer {layer} ({kind}), column {column}: the row is outside \
         the model's support or too far out for {precision}"
    )]
    OutOfRange {
        /// `normalize` or `generate`.
        direction: &'static str,
        /// First such row, counted from 0.
        row: usize,
        /// Layer at which it happened.
        layer: usize,
        /// Kind of that layer.
        kind: &'static str,
        /// Column at which it happened.
        column: usize,
        /// `f32` or `f64`.
        precision: &'static str,
    },
    /// An error of the tape.
    #[error(transparent)]
    Tape(#[from] eigenflow_autodiff::Error),
    /// An error of the linear algebra.
    #[error(transparent)]
    Linalg(#[from] eigenflow_linalg::Error),
}

impl Error {
    /// The same error of a run of rows that starts at row `first`.
    pub(crate) fn after_rows(mut self, first: usize) -> Self {
        if let Self::OutOfRange { row, .. } | Self::NotFinite { row, .. } | Self::NotWhole { row, .. } =
            &mut self
        {
            *row += first;
        }
        self
    }
}
