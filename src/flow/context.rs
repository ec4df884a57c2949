//! Conditional flows: a context beside each sample.
//!
//! A flow with `C` columns of context takes rows of `D + C` columns, the sample first and its context behind it, and
//! gives `D` columns: `z = f(x; c)`. Densities are those of `x` given `c`, Jacobians are in `x` alone (`D x D`, at the row's
//! context). Latents come with their context in the same way: `x = g(z; c)`. The context enters conditioners standardised, by
//! frozen parameters `context.mean` and `context.scale`.

use super::{Error, Flow, Layer, Parameter, Role};
use eigenflow_linalg::{Matrix, Real};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A variable of a context: one column of numbers, or a class as one column for each level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Name of the data's column.
    pub name: String,
    /// The classes of a one-hot variable, in the order of their columns; empty for a number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<String>,
}

impl Variable {
    /// A number.
    pub fn number(name: &str) -> Self {
        Self { name: name.to_owned(), levels: Vec::new() }
    }

    /// A class, one-hot.
    pub fn one_hot(name: &str, levels: &[String]) -> Self {
        Self { name: name.to_owned(), levels: levels.to_vec() }
    }

    /// Columns that it takes.
    pub fn width(&self) -> usize {
        self.levels.len().max(1)
    }
}

/// Names of the context's parameters.
const MEAN: &str = "context.mean";
const SCALE: &str = "context.scale";

/// Columns of context that layers see, if they agree.
pub(super) fn width(layers: &[Layer]) -> Result<usize, Error> {
    let seen = |l: &Layer| Some(l.context()).filter(|&c| c > 0);
    let width = layers.iter().find_map(seen).unwrap_or(0);
    match layers.iter().enumerate().find(|(_, l)| seen(l).is_some_and(|c| c != width)) {
        None => Ok(width),
        Some((layer, l)) => {
            let reason = "sees another number of context columns than the layers before it";
            Err(Error::Layer { layer, kind: l.kind(), reason })
        }
    }
}

/// Variables without names of their own.
pub(super) fn unnamed(width: usize) -> Vec<Variable> {
    (0..width).map(|k| Variable::number(&format!("context{k}"))).collect()
}

/// Mean and scale of a context of `width` columns.
pub(super) fn parameters<T: Real>(width: usize) -> Vec<Parameter<T>> {
    if width == 0 {
        return Vec::new();
    }
    [(MEAN, T::ZERO), (SCALE, T::ONE)]
        .into_iter()
        .map(|(name, value)| Parameter {
            name: name.to_owned(),
            rows: 1,
            cols: width,
            role: Role::Frozen,
            data: vec![value; width],
        })
        .collect()
}

impl<T: Real> Flow<T> {
    /// Variables of the context; none for a flow that takes none.
    pub fn context(&self) -> &[Variable] {
        &self.variables
    }

    /// Columns `C` of the context.
    pub fn context_columns(&self) -> usize {
        self.variables.iter().map(Variable::width).sum()
    }

    /// The same flow with these variables for its context.
    ///
    /// # Errors
    /// If they do not have as many columns as the layers see.
    pub fn with_context(mut self, variables: Vec<Variable>) -> Result<Self, Error> {
        let (expected, given) = (self.context_columns(), variables.iter().map(Variable::width).sum());
        if expected != given {
            return Err(Error::ContextColumns { expected, given });
        }
        self.variables = variables;
        Ok(self)
    }

    /// Sets the context's standardisation from rows of context; a constant column keeps scale 1.
    pub(crate) fn standardise_context(&mut self, mean: &[f64], scale: &[f64]) {
        for (name, values) in [(MEAN, mean), (SCALE, scale)] {
            if let Some(p) = self.parameters_mut().iter_mut().find(|p| p.name == name) {
                p.data = values.iter().map(|&v| T::of(v)).collect();
            }
        }
    }

    /// That the context's scales are such as one divides by.
    pub(super) fn check_context_scale(&self) -> Result<(), Error> {
        match self.parameters().iter().find(|p| p.name == SCALE) {
            Some(p) if !p.data.iter().all(|&s| s > T::ZERO) => {
                Err(Error::Parameter { name: SCALE, reason: "must be positive" })
            }
            _ => Ok(()),
        }
    }

    /// Rows with their contexts beside them, as a conditional flow takes them.
    ///
    /// ```
    /// use eigenflow::flow::{Flow, presets::{Name, Preset}};
    /// use eigenflow_linalg::Matrix;
    /// let layers = Preset::named(Name::Realnvp).layers(2, 0).unwrap();
    /// let flow = Flow::<f64>::new(layers.into_iter().map(|l| l.given(1)).collect(), 0, 0).unwrap();
    /// let (x, context) = (Matrix::new(1, 2, vec![0.5, -1.0]), Matrix::new(1, 1, vec![3.0]));
    /// let rows = flow.beside(&x, &context).unwrap();
    /// assert_eq!(rows.data(), [0.5, -1.0, 3.0]);
    /// // The flow at one context is a flow without any.
    /// let fixed = flow.at(&[3.0]).unwrap();
    /// assert!((flow.log_density(&rows).unwrap()[0] - fixed.log_density(&x).unwrap()[0]).abs() < 1e-12);
    /// ```
    ///
    /// # Errors
    /// If numbers of rows differ, or columns are not the flow's.
    pub fn beside(&self, x: &Matrix<T>, context: &Matrix<T>) -> Result<Matrix<T>, Error> {
        if x.cols() != self.dim() {
            return Err(Error::Columns { expected: self.dim(), given: x.cols() });
        }
        if context.cols() != self.context_columns() {
            return Err(Error::ContextColumns { expected: self.context_columns(), given: context.cols() });
        }
        if context.rows() != x.rows() {
            return Err(Error::ContextRows { expected: x.rows(), given: context.rows() });
        }
        let width = x.cols() + context.cols();
        let data = (0..x.rows()).flat_map(|i| x.row(i).iter().chain(context.row(i)).copied()).collect();
        Ok(Matrix::new(x.rows(), width, data))
    }

    /// The samples of rows that have a context beside them, `[N, D]`.
    pub(crate) fn samples(&self, rows: &Matrix<T>) -> Matrix<T> {
        Matrix::new(rows.rows(), self.dim(), self.split(rows.data()).0.into_owned())
    }

    /// The contexts of rows that have them, `[N, C]`.
    pub(crate) fn contexts(&self, rows: &Matrix<T>) -> Matrix<T> {
        let (n, d) = (rows.rows(), self.dim());
        let data = (0..n).flat_map(|i| rows.row(i)[d..].iter().copied()).collect();
        Matrix::new(n, rows.cols() - d, data)
    }

    /// Samples and contexts of rows, as a run takes them: nothing is copied where there is no context.
    pub(crate) fn split<'a>(&self, rows: &'a [T]) -> (Cow<'a, [T]>, Vec<T>) {
        let (d, c) = (self.dim(), self.context_columns());
        if c == 0 {
            return (Cow::Borrowed(rows), Vec::new());
        }
        let of = |range: std::ops::Range<usize>| {
            rows.chunks_exact(d + c).flat_map(|row| row[range.clone()].iter().copied()).collect::<Vec<T>>()
        };
        (Cow::Owned(of(0..d)), of(d..d + c))
    }

    /// The values of one layer or part with the contexts of the rows they came from.
    pub(crate) fn with_contexts_of(&self, values: Matrix<T>, rows: &Matrix<T>) -> Result<Matrix<T>, Error> {
        if self.context_columns() == 0 {
            return Ok(values);
        }
        self.beside(&values, &self.contexts(rows))
    }

    /// The flow at one context (in the context's own units): a flow of `x` alone, equal to this one there up to rounding.
    ///
    /// What a conditioner makes of the context becomes part of its first bias, so that everything that is known of flows
    /// without a context (every claim, sampling, components) applies to it.
    ///
    /// # Errors
    /// If the context does not have the flow's columns or a number is not finite.
    pub fn at(&self, context: &[T]) -> Result<Self, Error> {
        let (expected, given) = (self.context_columns(), context.len());
        if expected != given {
            return Err(Error::ContextColumns { expected, given });
        }
        if let Some(column) = context.iter().position(|c| !c.is_finite()) {
            return Err(Error::NotFinite { what: "context", row: 0, column });
        }
        let number = |name: &str, k: usize| {
            let found = self.parameters().iter().find(|p| p.name == name);
            found.map_or(0.0, |p| p.data[k].f64())
        };
        let c: Vec<f64> =
            context.iter().enumerate().map(|(k, c)| (c.f64() - number(MEAN, k)) / number(SCALE, k)).collect();
        let mut layers = Vec::new();
        let mut parameters = Vec::new();
        for (k, layer) in self.layers().iter().enumerate() {
            let own = &self.parameters()[self.parameters_of(k)];
            let numbers: Vec<Vec<f64>> =
                own.iter().map(|p| p.data.iter().map(|x| x.f64()).collect()).collect();
            let slices: Vec<&[f64]> = numbers.iter().map(Vec::as_slice).collect();
            match layer.at(&slices, &c) {
                None => {
                    layers.push(layer.clone());
                    parameters.extend(own.iter().map(|p| p.data.clone()));
                }
                Some((layer, fixed)) => {
                    layers.push(layer);
                    parameters.extend(fixed.into_iter().map(|p| p.into_iter().map(T::of).collect()));
                }
            }
        }
        let behind = self.base_parameters().start..self.dequantizer_parameters().end;
        parameters.extend(self.parameters()[behind].iter().map(|p| p.data.clone()));
        let fixed = Self::new(layers, self.preprocessing(), 0)?.with_base(self.base().clone(), 0)?;
        let mut fixed = fixed.with_dequantizer(self.dequantize().clone(), 0)?;
        for (p, data) in fixed.parameters_mut().iter_mut().zip(parameters) {
            p.data = data;
        }
        Ok(fixed)
    }

    /// `n` draws for each context, context by context, with latents at temperature `T`; a draw does not depend on the
    /// contexts of others.
    ///
    /// # Errors
    /// As [`Flow::generate`].
    pub fn sample_given(
        &self,
        context: &Matrix<T>,
        n: usize,
        temperature: f64,
        seed: u64,
    ) -> Result<Matrix<T>, Error> {
        self.check_temperature(temperature)?;
        let z = self.draw_latents(n * context.rows(), temperature, seed);
        let repeated = (0..context.rows()).flat_map(|i| std::iter::repeat_n(context.row(i), n).flatten());
        let context = Matrix::new(z.rows(), context.cols(), repeated.copied().collect());
        self.generate(&self.beside(&z, &context)?)
    }
}
