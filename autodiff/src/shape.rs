//! Shapes of values on a tape.

/// Shape of a value: a *batch* value has rows that are symbolic until a run, a *shared* value is
/// one matrix for all rows.
///
/// A batch value has three extents, `[rows, tangents, cols]` in memory, the last one contiguous.
/// `tangents` is 1 for ordinary values; a block of tangents (one per seed of a Jacobian push) has
/// more. A shared value is a row-major `rows x cols` matrix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Shape {
    /// One `tangents x cols` block for every row of the batch.
    Batch {
        /// Number of tangents; 1 for a primal value.
        tangents: usize,
        /// Number of columns.
        cols: usize,
    },
    /// One matrix shared by all rows.
    Shared {
        /// Number of rows.
        rows: usize,
        /// Number of columns.
        cols: usize,
    },
}

impl Shape {
    /// A batch value with one tangent.
    pub const fn batch(cols: usize) -> Self {
        Self::Batch { tangents: 1, cols }
    }

    /// A batch block of tangents.
    pub const fn block(tangents: usize, cols: usize) -> Self {
        Self::Batch { tangents, cols }
    }

    /// A shared matrix.
    pub const fn shared(rows: usize, cols: usize) -> Self {
        Self::Shared { rows, cols }
    }

    /// Number of columns.
    pub const fn cols(self) -> usize {
        match self {
            Self::Batch { cols, .. } | Self::Shared { cols, .. } => cols,
        }
    }

    /// Number of tangents; 1 for shared values.
    pub const fn tangents(self) -> usize {
        match self {
            Self::Batch { tangents, .. } => tangents,
            Self::Shared { .. } => 1,
        }
    }

    /// Whether rows are symbolic.
    pub const fn is_batch(self) -> bool {
        matches!(self, Self::Batch { .. })
    }

    /// The same shape with other columns.
    #[must_use]
    pub const fn with_cols(self, cols: usize) -> Self {
        match self {
            Self::Batch { tangents, .. } => Self::Batch { tangents, cols },
            Self::Shared { rows, .. } => Self::Shared { rows, cols },
        }
    }

    /// The same batch shape with other tangents; a shared shape is unchanged.
    #[must_use]
    pub const fn with_tangents(self, tangents: usize) -> Self {
        match self {
            Self::Batch { cols, .. } => Self::Batch { tangents, cols },
            shared @ Self::Shared { .. } => shared,
        }
    }

    /// Numbers per batch row, or in the whole shared matrix.
    pub const fn unit(self) -> usize {
        match self {
            Self::Batch { tangents, cols } => tangents * cols,
            Self::Shared { rows, cols } => rows * cols,
        }
    }

    /// Numbers in a value when the batch has `batch_rows` rows.
    pub const fn len(self, batch_rows: usize) -> usize {
        match self {
            Self::Batch { .. } => batch_rows * self.unit(),
            Self::Shared { .. } => self.unit(),
        }
    }

    /// Number of contiguous lines of `cols` numbers when the batch has `batch_rows` rows.
    pub const fn lines(self, batch_rows: usize) -> usize {
        match self {
            Self::Batch { tangents, .. } => batch_rows * tangents,
            Self::Shared { rows, .. } => rows,
        }
    }

    /// The shape that two operands of an elementwise operation broadcast to, if they do.
    ///
    /// Columns and tangents must agree or be 1; a shared operand of a batch one must have one row.
    ///
    /// ```
    /// use eigenflow_autodiff::Shape;
    /// let x = Shape::batch(3);
    /// assert_eq!(x.broadcast(Shape::shared(1, 3)), Some(x));
    /// assert_eq!(x.broadcast(Shape::shared(2, 3)), None);
    /// assert_eq!(x.broadcast(Shape::block(5, 1)), Some(Shape::block(5, 3)));
    /// ```
    pub fn broadcast(self, other: Self) -> Option<Self> {
        let merge = |a: usize, b: usize| match (a, b) {
            _ if a == b => Some(a),
            (1, n) | (n, 1) => Some(n),
            _ => None,
        };
        let cols = merge(self.cols(), other.cols())?;
        match (self, other) {
            (Self::Shared { rows: a, .. }, Self::Shared { rows: b, .. }) => {
                Some(Self::Shared { rows: merge(a, b)?, cols })
            }
            (Self::Batch { .. }, Self::Batch { .. }) => {
                Some(Self::Batch { tangents: merge(self.tangents(), other.tangents())?, cols })
            }
            (Self::Batch { tangents, .. }, Self::Shared { rows: 1, .. })
            | (Self::Shared { rows: 1, .. }, Self::Batch { tangents, .. }) => {
                Some(Self::Batch { tangents, cols })
            }
            _ => None,
        }
    }
}
