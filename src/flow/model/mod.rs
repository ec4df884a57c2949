//! A flow: layers, and the parameters they declare.

mod parts;
mod record;

pub use self::record::Recorded;

use super::bijection::{Bijection, Declaration, Growth, Role, Smoothness};
use super::{Base, Dequantize, Error, Layer, Variable, context};
use crate::random::generator;
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

    /// Whether the parameters are such as the layers, and those of a dequantiser, need beyond their shapes: what comes from a file may not be.
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
        self.check_context_scale()?;
        self.dequantizer()?.map_or(Ok(()), |q| q.check_parameters())
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

    /// How whole numbers become the continuous rows that the flow is of.
    pub fn dequantize(&self) -> &Dequantize {
        &self.dequantize
    }

    /// Indices of the parameters of the dequantiser.
    pub fn dequantizer_parameters(&self) -> Range<usize> {
        let of_context = if self.variables.is_empty() { 0 } else { 2 };
        let end = self.parameters.len() - of_context;
        end - self.of_dequantizer..end
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
        self.parameters.iter().filter(|p| p.role.is_trained()).map(|p| p.data.len()).sum()
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
}
