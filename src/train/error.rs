//! What can go wrong in training.

/// An error of training. The flow keeps its last good weights.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Too few rows.
    #[error("{given} rows to train on, at least {needed} are needed")]
    TooFewRows {
        /// Rows given.
        given: usize,
        /// Rows needed.
        needed: usize,
    },
    /// An option out of its range.
    #[error("{option} is {value}: it must be {range}")]
    Option {
        /// Name of the option as on the command line.
        option: &'static str,
        /// Its value.
        value: String,
        /// The range.
        range: &'static str,
    },
    /// A row outside the support that was asked for.
    #[error(
        "row {row}, column {column} of the data is {value}, outside the support {support} (ends do not belong to it); mend or \
         remove the row, or widen --support"
    )]
    OutsideSupport {
        /// First such row, counted from 0.
        row: usize,
        /// Its column, counted from 0.
        column: usize,
        /// The value.
        value: f64,
        /// The column's support.
        support: String,
    },
    /// A number that is not finite in a training step.
    #[error(
        "training met a number that is not finite at step {step} (epoch {epoch}): {place}; the last good \
         weights are kept. Lower --lr, add --noise or --alpha, or look at that row"
    )]
    NotFinite {
        /// Step, counted from 1.
        step: usize,
        /// Epoch, counted from 1.
        epoch: usize,
        /// Layer and row, or the parameter whose gradient it was.
        place: String,
    },
    /// A single step met a number that is not finite.
    #[error(
        "the objective or a gradient of this step is not finite{}; the flow is unchanged. Lower the rate, or look at the rows of the batch",
        parameter.map_or_else(String::new, |k| format!(" (parameter {k})"))
    )]
    StepNotFinite {
        /// The first parameter whose gradient is not finite, if one is.
        parameter: Option<usize>,
    },
    /// The guard's limit was passed.
    #[error(
        "the condition number of the Jacobian reached {condition:.3e} (99th percentile, epoch {epoch}), above \
         --max-condition {limit:.3e}: the likelihood is running along a null direction of the data. The last \
         good weights are kept; train with --alpha or --noise"
    )]
    Condition {
        /// 99th percentile of `κ(J)`, training units.
        condition: f64,
        /// The limit.
        limit: f64,
        /// Epoch, counted from 1.
        epoch: usize,
    },
    /// The exact penalty would need too much memory.
    #[error(
        "the exact penalty keeps a block of {dim} tangents for the reverse pass: {bytes} bytes a shard; use the \
         stochastic estimate (--stochastic-penalty)"
    )]
    PenaltyMemory {
        /// Columns.
        dim: usize,
        /// Bytes of workspace.
        bytes: usize,
    },
    /// The run would need more memory than there is.
    #[error(
        "training {parameters} parameters keeps {:.1} GiB of weights, gradients and moments, and there are {:.1} GiB of memory; take \
         fewer of them (--hidden, --layers)",
        gib(*bytes), gib(*available)
    )]
    Memory {
        /// Numbers of the flow.
        parameters: usize,
        /// Bytes that a run keeps of them.
        bytes: u64,
        /// Bytes that can be had.
        available: u64,
    },
    /// A state of another run.
    #[error("the state to go on from is one of another flow, or of another optimiser; start anew")]
    State,
    /// An error of the flow.
    #[error(transparent)]
    Flow(#[from] crate::flow::Error),
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

impl From<eigenflow_autodiff::Error> for Error {
    fn from(error: eigenflow_autodiff::Error) -> Self {
        Self::Flow(error.into())
    }
}

impl From<eigenflow_linalg::Error> for Error {
    fn from(error: eigenflow_linalg::Error) -> Self {
        Self::Flow(error.into())
    }
}

impl Error {
    /// Whether training ran and its answer is no (a guard or a not-a-number stopped it), rather than
    /// the input being at fault.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::NotFinite { .. } | Self::Condition { .. })
    }
}
