//! A flow: layers, and the parameters they declare.

use super::bijection::{Bijection, Growth, Role, Scope, Smoothness};
use super::{Error, Layer, base};
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
    parameters: Vec<Parameter<T>>,
    of_layer: Vec<Range<usize>>,
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
            parameters.extend(declared.into_iter().map(|d| Parameter {
                name: format!("layers.{k}.{}", d.name),
                rows: d.rows,
                cols: d.cols,
                role: d.role,
                data: d.initial.into_iter().map(T::of).collect(),
            }));
            of_layer.push(first..parameters.len());
        }
        Ok(Self { dim, layers, preprocessing, parameters, of_layer })
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
        Ok(())
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
        let mut part = Self::new(self.layers[range.clone()].to_vec(), preprocessing, 0)?;
        let from = range.flat_map(|k| self.parameters_of(k));
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
        let mut longer = Self::new(layers, self.preprocessing, 0)?;
        longer.replace(0, self);
        Ok(longer)
    }

    /// Takes over the parameters of `part`, which was cut out at layer `at`.
    ///
    /// # Panics
    /// If the layers differ.
    pub fn replace(&mut self, at: usize, part: &Self) {
        assert_eq!(self.layers[at..at + part.layers.len()], part.layers[..], "a part of this flow");
        let first = self.of_layer[at].start;
        for (k, p) in part.parameters.iter().enumerate() {
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

    /// Declares all parameters as shared inputs of a tape, in order.
    pub fn declare<'t>(&self, r: &'t Recorder<T>) -> Vec<Var<'t, T>> {
        self.parameters.iter().map(|p| r.shared(p.rows, p.cols)).collect()
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
        for k in range {
            let own = self.of_layer[k].clone();
            let mut scope =
                Scope { recorder: r, params: &params[own.clone()], training, updates: Vec::new() };
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
        for k in range.rev() {
            let params = &params[self.of_layer[k].clone()];
            let mut scope = Scope { recorder: r, params, training: false, updates: Vec::new() };
            out = self.layers[k].generate(&mut scope, out);
            values.push(out);
        }
        let log_det = r.full(z.shape().with_cols(1), T::ZERO);
        Recorded { out, log_det, log_dets: Vec::new(), values, updates: Vec::new() }
    }

    /// Records `log p(x)` through the layers `range`: one column.
    pub fn record_log_density<'t>(
        &self,
        params: &[Var<'t, T>],
        x: Var<'t, T>,
        range: Range<usize>,
    ) -> Var<'t, T> {
        let recorded = self.record_normalize(params, x, range, false);
        base::log_density(recorded.out) + recorded.log_det
    }
}
