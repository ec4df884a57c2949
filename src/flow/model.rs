//! A flow: layers, and the parameters they declare.

use super::bijection::{Bijection, Declaration, Growth, Role, Scope, Smoothness};
use super::{Base, Dequantize, Error, Layer, Variable, context};
use crate::random::generator;
use eigenflow_autodiff::{Recorder, Var};
use eigenflow_linalg::Real;
use std::ops::Range;

/// A named parameter matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter<T> {
    /// `layers.K.NAME`.
    pub name: String,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// What training does with it.
    pub role: Role,
    /// Entries, row by row.
    pub data: Vec<T>,
}

impl<T: Real> Parameter<T> {
    fn declared(prefix: &str, d: Declaration) -> Self {
        let data = d.initial.into_iter().map(T::of).collect();
        Self { name: format!("{prefix}.{}", d.name), rows: d.rows, cols: d.cols, role: d.role, data }
    }
}

/// A normalizing flow: data passes the layers in order, latents pass them backwards.
///
/// The first [`Flow::preprocessing`] layers take the data to training units; densities and
/// Jacobians are always those of the whole map.
///
/// ```
/// use eigenflow::flow::{Flow, bijections::{Affine, Form}};
/// use eigenflow_linalg::Matrix;
/// let mut flow = Flow::<f64>::new(vec![Affine::new(1, Form::Full).into()], 0, 7).unwrap();
/// flow.parameters_mut()[0].data[0] = 2.0;
/// flow.parameters_mut()[1].data[0] = 1.0;
/// let x = Matrix::new(1, 1, vec![3.0]);
/// let (z, log_det) = flow.normalize(&x).unwrap();
/// assert_eq!((z[(0, 0)], log_det[0]), (7.0, 2.0_f64.ln())); // z = 2 x + 1
/// assert_eq!(flow.generate(&z).unwrap(), x);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Flow<T> {
    dim: usize,
    layers: Vec<Layer>,
    preprocessing: usize,
    /// Those of the layers, of the base, of the dequantiser, and the context's.
    parameters: Vec<Parameter<T>>,
    of_layer: Vec<Range<usize>>,
    base: Base,
    dequantize: Dequantize,
    of_dequantizer: usize,
    pub(super) variables: Vec<Variable>,
}

/// A recorded direction of a flow.
pub struct Recorded<'t, T> {
    /// The result: latents or data.
    pub out: Var<'t, T>,
    /// Sum of the layers' log-determinants (of `normalize`; zero for `generate`).
    pub log_det: Var<'t, T>,
    /// Log-determinant of each layer passed, in order.
    pub log_dets: Vec<Var<'t, T>>,
    /// The value after each layer, in the order in which layers were passed.
    pub values: Vec<Var<'t, T>>,
    /// New values of frozen parameters after a training step: index and value.
    pub updates: Vec<(usize, Var<'t, T>)>,
}

impl<T: Real> Flow<T> {
    /// A flow with freshly initialised parameters. The first `preprocessing` layers are set from data.
    ///
    /// # Errors
    /// If layers have different widths or fields that make no sense, or if there are fewer layers than
    /// are to be preprocessing.
    pub fn new(layers: Vec<Layer>, preprocessing: usize, seed: u64) -> Result<Self, Error> {
        let variables = context::unnamed(context::width(&layers)?);
        Self::given(layers, preprocessing, Base::Normal, variables, seed)
    }

    /// The same with this base, and with these variables as context, whether or not a layer sees them.
    fn given(
        layers: Vec<Layer>,
        preprocessing: usize,
        base: Base,
        variables: Vec<Variable>,
        seed: u64,
    ) -> Result<Self, Error> {
        let dim = layers.first().map_or(0, Bijection::dim);
        if dim == 0 {
            return Err(Error::NoColumns);
        }
        if preprocessing > layers.len() {
            return Err(Error::Preprocessing { preprocessing, layers: layers.len() });
        }
        let mut parameters = Vec::new();
        let mut of_layer = Vec::new();
        for (k, layer) in layers.iter().enumerate() {
            if layer.dim() != dim {
                let (kind, given) = (layer.kind(), layer.dim());
                return Err(Error::LayerWidth { layer: k, kind, expected: dim, given });
            }
            layer.check().map_err(|reason| Error::Layer { layer: k, kind: layer.kind(), reason })?;
            let first = parameters.len();
            let core = k.saturating_sub(preprocessing) as u64;
            // Initial weights do not depend on how the data is preprocessed.
            let purpose = if k < preprocessing { "initial-preprocessing" } else { "initial" };
            let index = if k < preprocessing { k as u64 } else { core };
            let declared = layer.declare(&mut generator(seed, purpose, index));
            parameters.extend(declared.into_iter().map(|d| Parameter::declared(&format!("layers.{k}"), d)));
            of_layer.push(first..parameters.len());
        }
        base.check().map_err(|reason| Error::Base { family: base.as_str(), reason })?;
        let declared = base.declare(dim, &mut generator(seed, "initial-base", 0));
        parameters.extend(declared.into_iter().map(|d| Parameter::declared("base", d)));
        parameters.extend(context::parameters(variables.iter().map(Variable::width).sum()));
        Ok(Self {
            dim,
            layers,
            preprocessing,
            parameters,
            of_layer,
            base,
            dequantize: Dequantize::None,
            of_dequantizer: 0,
            variables,
        })
    }

    /// Whether the parameters are such as the layers need beyond their shapes: what comes from a file may not be.
    ///
    /// # Errors
    /// Names the first layer at fault.
    pub fn check_parameters(&self) -> Result<(), Error> {
        for (layer, kind) in self.layers.iter().enumerate() {
            let own: Vec<Vec<f64>> = self.parameters[self.parameters_of(layer)]
                .iter()
                .map(|p| p.data.iter().map(|x| x.f64()).collect())
                .collect();
            let own: Vec<&[f64]> = own.iter().map(Vec::as_slice).collect();
            kind.check_parameters(&own).map_err(|reason| Error::Layer {
                layer,
                kind: kind.kind(),
                reason,
            })?;
        }
        self.check_context_scale()
    }

    /// Number of columns `D`.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The layers, data side first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// How many of the first layers take the data to training units.
    pub fn preprocessing(&self) -> usize {
        self.preprocessing
    }

    /// The layers after preprocessing.
    pub fn core(&self) -> Range<usize> {
        self.preprocessing..self.layers.len()
    }

    /// All parameters.
    pub fn parameters(&self) -> &[Parameter<T>] {
        &self.parameters
    }

    /// All parameters.
    pub fn parameters_mut(&mut self) -> &mut [Parameter<T>] {
        &mut self.parameters
    }

    /// Indices of the parameters of layer `k`.
    pub fn parameters_of(&self, k: usize) -> Range<usize> {
        self.of_layer[k].clone()
    }

    /// The base density.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// The same flow with another base, its parameters freshly initialised.
    ///
    /// ```
    /// use eigenflow::flow::{Base, Flow, bijections::{Affine, Form}};
    /// use eigenflow_linalg::Matrix;
    /// let flow = Flow::<f64>::new(vec![Affine::new(1, Form::Full).into()], 0, 0).unwrap();
    /// let mut flow = flow.with_base(Base::Student { learned: true }, 0).unwrap();
    /// let freedom = flow.base_parameters().start;
    /// flow.parameters_mut()[0].data[0] = 1.0;
    /// flow.parameters_mut()[freedom].data[0] = 0.0; // one degree of freedom: Cauchy, 1 / π at its mode
    /// let log_p = flow.log_density(&Matrix::new(1, 1, vec![0.0])).unwrap()[0];
    /// assert!((log_p + std::f64::consts::PI.ln()).abs() < 1e-15);
    /// ```
    ///
    /// # Errors
    /// If its fields make no sense.
    pub fn with_base(&self, base: Base, seed: u64) -> Result<Self, Error> {
        let (layers, variables) = (self.layers.clone(), self.variables.clone());
        let mut flow = Self::given(layers, self.preprocessing, base, variables, seed)?;
        flow.replace(0, self);
        flow.take_behind(self);
        Ok(flow)
    }

    /// How whole numbers become the continuous rows that the flow is of.
    pub fn dequantize(&self) -> &Dequantize {
        &self.dequantize
    }

    /// The same flow as one of whole numbers, with a dequantiser that is freshly initialised.
    ///
    /// # Errors
    /// If its layers do not fit.
    pub fn with_dequantizer(&self, dequantize: Dequantize, seed: u64) -> Result<Self, Error> {
        let mut flow = self.clone();
        let fresh = dequantize.flow::<T>(self.dim, seed)?;
        let own = fresh.map_or_else(Vec::new, |q| q.parameters);
        let renamed = own.into_iter().map(|p| Parameter { name: format!("dequantizer.{}", p.name), ..p });
        let old = flow.dequantizer_parameters();
        flow.of_dequantizer = renamed.len();
        flow.parameters.splice(old, renamed);
        flow.dequantize = dequantize;
        Ok(flow)
    }

    /// Indices of the parameters of the dequantiser.
    pub fn dequantizer_parameters(&self) -> Range<usize> {
        let of_context = if self.variables.is_empty() { 0 } else { 2 };
        let end = self.parameters.len() - of_context;
        end - self.of_dequantizer..end
    }

    /// Takes over the parameters behind the base, by name.
    fn take_behind(&mut self, from: &Self) {
        for p in &mut self.parameters {
            let own = from.parameters[from.behind()].iter().find(|q| q.name == p.name && q.cols == p.cols);
            if let Some(q) = own.filter(|q| !q.name.starts_with("base.")) {
                p.data.clone_from(&q.data);
            }
        }
    }

    /// Indices of the parameters of the base.
    pub fn base_parameters(&self) -> Range<usize> {
        self.behind().start..self.dequantizer_parameters().start
    }

    /// Indices of the parameters that belong to no layer.
    fn behind(&self) -> Range<usize> {
        self.of_layer.last().map_or(0, |own| own.end)..self.parameters.len()
    }

    /// Parameter data, as a run takes it.
    pub fn slices(&self) -> Vec<&[T]> {
        self.parameters.iter().map(|p| p.data.as_slice()).collect()
    }

    /// Number of trained numbers.
    pub fn trained(&self) -> usize {
        self.parameters.iter().filter(|p| p.role != Role::Frozen).map(|p| p.data.len()).sum()
    }

    /// The same flow with other scalars.
    pub fn cast<U: Real>(&self) -> Flow<U> {
        Flow {
            dim: self.dim,
            layers: self.layers.clone(),
            preprocessing: self.preprocessing,
            of_layer: self.of_layer.clone(),
            base: self.base.clone(),
            dequantize: self.dequantize.clone(),
            of_dequantizer: self.of_dequantizer,
            variables: self.variables.clone(),
            parameters: self
                .parameters
                .iter()
                .map(|p| Parameter {
                    name: p.name.clone(),
                    rows: p.rows,
                    cols: p.cols,
                    role: p.role,
                    data: p.data.iter().map(|x| U::of(x.f64())).collect(),
                })
                .collect(),
        }
    }

    /// A flow of the layers `range` alone, with their parameters: the core, or the preprocessing.
    ///
    /// # Errors
    /// If the range is empty.
    ///
    /// # Panics
    /// If it reaches beyond the layers, as slicing does.
    pub fn part(&self, range: Range<usize>) -> Result<Self, Error> {
        let preprocessing = self.preprocessing.min(range.end).saturating_sub(range.start);
        let layers = self.layers[range.clone()].to_vec();
        // What ends before the latents has no base but the one that is nobody's.
        let whole = range.end == self.layers.len();
        let base = if whole { self.base.clone() } else { Base::Normal };
        let mut part = Self::given(layers, preprocessing, base, self.variables.clone(), 0)?;
        let of_base = self.base_parameters().filter(|_| whole);
        let of_context = self.dequantizer_parameters().end..self.parameters.len();
        let from = range.flat_map(|k| self.parameters_of(k)).chain(of_base).chain(of_context);
        for (to, from) in part.parameters.iter_mut().zip(from) {
            to.data.clone_from(&self.parameters[from].data);
        }
        Ok(part)
    }

    /// The same flow with one more layer, freshly initialised, at the latent end.
    ///
    /// # Errors
    /// As [`Flow::new`].
    pub fn followed_by(&self, layer: Layer) -> Result<Self, Error> {
        let mut layers = self.layers.clone();
        layers.push(layer);
        let base = self.base.clone();
        let mut longer = Self::given(layers, self.preprocessing, base, self.variables.clone(), 0)?;
        longer.replace(0, self);
        longer.take_behind(self);
        for (to, from) in longer.base_parameters().zip(self.base_parameters()) {
            longer.parameters[to].data.clone_from(&self.parameters[from].data);
        }
        Ok(longer)
    }

    /// Takes over the parameters of `part`, which was cut out at layer `at`.
    ///
    /// # Panics
    /// If the layers differ.
    pub fn replace(&mut self, at: usize, part: &Self) {
        assert_eq!(self.layers[at..at + part.layers.len()], part.layers[..], "a part of this flow");
        let first = self.of_layer[at].start;
        for (k, p) in part.parameters[..part.behind().start].iter().enumerate() {
            self.parameters[first + k].data.clone_from(&p.data);
        }
    }

    /// The smoothness of the least smooth layer.
    pub fn smoothness(&self) -> Smoothness {
        self.layers.iter().map(Bijection::smoothness).min().unwrap_or(Smoothness::Smooth)
    }

    /// How fast `generate` grows: two exponential layers count as such twice.
    pub fn growth(&self) -> Growth {
        self.layers.iter().map(Bijection::growth).max().unwrap_or(Growth::Linear)
    }

    /// Whether all moments of samples are known to be finite.
    ///
    /// One exponential layer keeps them finite (log-normal tails) as long as nothing that grows
    /// faster than linearly stands on its latent side; two stacked ones do not.
    pub fn has_finite_moments(&self) -> bool {
        let grows = |k: &Layer| k.growth() != Growth::Linear;
        let exponential = self.layers.iter().filter(|l| l.growth() == Growth::Exponential).count();
        match exponential {
            0 => true,
            1 => {
                let at = self.layers.iter().position(|l| l.growth() == Growth::Exponential);
                !self.layers[at.unwrap_or(0) + 1..].iter().any(grows)
            }
            _ => false,
        }
    }

    /// Declares all parameters as shared inputs of a tape, in order; a conditional flow's contexts follow as a batch input, so that
    /// recording finds them.
    pub fn declare<'t>(&self, r: &'t Recorder<T>) -> Vec<Var<'t, T>> {
        let mut declared: Vec<_> = self.parameters.iter().map(|p| r.shared(p.rows, p.cols)).collect();
        if !self.variables.is_empty() {
            declared.push(r.batch(self.context_columns()));
        }
        declared
    }

    /// The standardised context, of what [`Flow::declare`] gave.
    fn standardised<'t>(&self, params: &[Var<'t, T>]) -> Option<Var<'t, T>> {
        match params {
            [.., mean, scale, context] if !self.variables.is_empty() => Some((*context - *mean) / *scale),
            _ => None,
        }
    }

    /// Records `normalize` through the layers `range`.
    pub fn record_normalize<'t>(
        &self,
        params: &[Var<'t, T>],
        x: Var<'t, T>,
        range: Range<usize>,
        training: bool,
    ) -> Recorded<'t, T> {
        let r = x.recorder();
        let mut recorded = Recorded {
            out: x,
            log_det: r.scalar(T::ZERO),
            log_dets: Vec::new(),
            values: Vec::new(),
            updates: Vec::new(),
        };
        let context = self.standardised(params);
        for k in range {
            let own = self.of_layer[k].clone();
            let params = &params[own.clone()];
            let mut scope = Scope { recorder: r, params, context, training, updates: Vec::new() };
            let (out, log_det) = self.layers[k].normalize(&mut scope, recorded.out);
            recorded.updates.extend(scope.updates.into_iter().map(|(i, v)| (own.start + i, v)));
            recorded.out = out;
            recorded.values.push(out);
            recorded.log_dets.push(log_det);
        }
        if let Some(total) = recorded.log_dets.iter().copied().reduce(|a, b| a + b) {
            recorded.log_det = total;
        }
        // One number a row, also where it is the same for all rows.
        recorded.log_det = recorded.log_det.broadcast_to(x.shape().with_cols(1));
        recorded
    }

    /// Records `generate` through the layers `range`, latent side first.
    pub fn record_generate<'t>(
        &self,
        params: &[Var<'t, T>],
        z: Var<'t, T>,
        range: Range<usize>,
    ) -> Recorded<'t, T> {
        let r = z.recorder();
        let mut out = z;
        let mut values = Vec::new();
        let context = self.standardised(params);
        for k in range.rev() {
            let params = &params[self.of_layer[k].clone()];
            let mut scope = Scope { recorder: r, params, context, training: false, updates: Vec::new() };
            out = self.layers[k].generate(&mut scope, out);
            values.push(out);
        }
        let log_det = r.full(z.shape().with_cols(1), T::ZERO);
        Recorded { out, log_det, log_dets: Vec::new(), values, updates: Vec::new() }
    }

    /// Records the base's log-density of latents: one column.
    pub fn record_base<'t>(&self, params: &[Var<'t, T>], z: Var<'t, T>) -> Var<'t, T> {
        self.base.record(&params[self.base_parameters()], z)
    }

    /// Records `log p(x)` through the layers `range`: one column.
    pub fn record_log_density<'t>(
        &self,
        params: &[Var<'t, T>],
        x: Var<'t, T>,
        range: Range<usize>,
    ) -> Var<'t, T> {
        let recorded = self.record_normalize(params, x, range, false);
        self.record_base(params, recorded.out) + recorded.log_det
    }
}
