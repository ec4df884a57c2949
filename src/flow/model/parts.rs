//! Other flows of a flow's layers: with another base, precision or end, and parts of it.

use super::{Flow, Parameter};
use crate::flow::{Base, Dequantize, Error, Layer};
use eigenflow_linalg::Real;
use std::ops::Range;

impl<T: Real> Flow<T> {
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
        let flow = Self::given(layers, self.preprocessing, base, variables, seed)?;
        let mut flow = flow.with_dequantizer(self.dequantize.clone(), seed)?;
        flow.replace(0, self);
        flow.take_behind(self);
        Ok(flow)
    }

    /// The same flow as one of whole numbers, with a dequantiser that is freshly initialised.
    ///
    /// # Errors
    /// If its layers do not fit, or the flow's log-determinant is an estimate: the mean of its exponentials has another limit.
    pub fn with_dequantizer(&self, dequantize: Dequantize, seed: u64) -> Result<Self, Error> {
        if self.is_estimated() && !dequantize.is_none() {
            let reason = "takes an exact log-determinant: a residual layer has one of up to 64 columns";
            return Err(Error::Option { flow: "residual", option: "--dequantize", reason });
        }
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

    /// Takes over the parameters behind the base, by name.
    fn take_behind(&mut self, from: &Self) {
        for p in &mut self.parameters {
            let own = from.parameters[from.behind()].iter().find(|q| q.name == p.name && q.cols == p.cols);
            if let Some(q) = own.filter(|q| !q.name.starts_with("base.")) {
                p.data.clone_from(&q.data);
            }
        }
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
        let layers = self.layers[range.clone()].to_vec();
        if layers.is_empty() {
            return Err(Error::NoColumns);
        }
        let mut parameters: Vec<Parameter<T>> = Vec::new();
        let mut of_layer = Vec::new();
        for (to, from) in range.clone().enumerate() {
            let own = &self.parameters[self.parameters_of(from)];
            let (old, new) = (format!("layers.{from}."), format!("layers.{to}."));
            let first = parameters.len();
            parameters
                .extend(own.iter().map(|p| Parameter { name: p.name.replacen(&old, &new, 1), ..p.clone() }));
            of_layer.push(first..parameters.len());
        }
        // What ends before the latents has no base but the one that is nobody's.
        let whole = range.end == self.layers.len();
        let base = if whole { self.base.clone() } else { Base::Normal };
        let of_base = self.base_parameters().filter(|_| whole);
        let of_context = self.dequantizer_parameters().end..self.parameters.len();
        parameters.extend(of_base.chain(of_context).map(|k| self.parameters[k].clone()));
        Ok(Self {
            dim: self.dim,
            layers,
            preprocessing: self.preprocessing.min(range.end).saturating_sub(range.start),
            parameters,
            of_layer,
            base,
            dequantize: Dequantize::None,
            of_dequantizer: 0,
            variables: self.variables.clone(),
        })
    }

    /// The same flow with one more layer, freshly initialised, at the latent end.
    ///
    /// # Errors
    /// As [`Flow::new`], and as [`Flow::with_dequantizer`] for one of whole numbers.
    pub fn followed_by(&self, layer: Layer) -> Result<Self, Error> {
        let mut layers = self.layers.clone();
        layers.push(layer);
        let base = self.base.clone();
        let longer = Self::given(layers, self.preprocessing, base, self.variables.clone(), 0)?;
        let mut longer = longer.with_dequantizer(self.dequantize.clone(), 0)?;
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::bijections::{Affine, Coupling, Form};
    use crate::flow::conditioner::Activation;
    use crate::flow::presets::{Name, Preset};

    /// What stands behind the base stays where the base, the layers or the context change.
    #[test]
    fn a_dequantiser_is_kept() {
        let layers = Preset::named(Name::Nice).layers(2, 0).unwrap();
        let flow = Flow::<f64>::new(layers.into_iter().map(|l| l.given(1)).collect(), 0, 3).unwrap();
        let mut flow = flow.with_dequantizer(Dequantize::variational(2), 3).unwrap();
        for k in flow.dequantizer_parameters() {
            flow.parameters[k].data.iter_mut().for_each(|w| *w += k as f64);
        }
        let behind = |flow: &Flow<f64>| flow.parameters[flow.dequantizer_parameters()].to_vec();
        let others = [
            flow.with_base(Base::Student { learned: true }, 5).unwrap(),
            flow.followed_by(Affine::new(2, Form::Full).into()).unwrap(),
            flow.at(&[0.3]).unwrap(),
        ];
        for other in others {
            assert!(other.dequantize == flow.dequantize && behind(&other) == behind(&flow));
        }
    }

    /// A part has the names, shapes and roles of a flow that is built of its layers, and the numbers of the whole.
    #[test]
    fn a_part_is_a_flow_of_its_layers() {
        let affine = || Layer::from(Affine { dim: 2, form: Form::Full, frozen: false });
        let coupling = |moved: usize| {
            let (hidden, activation) = (vec![4], Activation::Tanh);
            Layer::from(Coupling { dim: 2, moved: vec![moved], hidden, activation, bound: 2.0 }).given(1)
        };
        let layers = vec![affine(), coupling(0), affine(), coupling(1)];
        let flow = Flow::<f64>::new(layers, 1, 3).unwrap();
        let flow = flow.with_base(Base::Student { learned: true }, 3).unwrap();
        let flow = flow.with_dequantizer(Dequantize::variational(2), 3).unwrap();
        for range in [0..4, 1..4, 0..1, 1..3, 3..4] {
            let part = flow.part(range.clone()).unwrap();
            let layers = flow.layers[range.clone()].to_vec();
            let base = if range.end == 4 { flow.base.clone() } else { Base::Normal };
            let built =
                Flow::<f64>::given(layers, part.preprocessing, base, flow.variables.clone(), 9).unwrap();
            let about = |flow: &Flow<f64>| {
                let of = |p: &Parameter<f64>| (p.name.clone(), p.rows, p.cols, format!("{:?}", p.role));
                (
                    flow.parameters.iter().map(of).collect::<Vec<_>>(),
                    flow.of_layer.clone(),
                    flow.preprocessing,
                )
            };
            assert_eq!(about(&part), about(&built), "{range:?}");
            assert_eq!(part.preprocessing, usize::from(range.start == 0));
            let mut of_whole: Vec<&Parameter<f64>> =
                range.clone().flat_map(|k| &flow.parameters[flow.parameters_of(k)]).collect();
            let of_base = flow.base_parameters().filter(|_| range.end == 4);
            let of_context = flow.dequantizer_parameters().end..flow.parameters.len();
            of_whole.extend(of_base.chain(of_context).map(|k| &flow.parameters[k]));
            let data = |p: &Parameter<f64>| p.data.clone();
            assert_eq!(
                part.parameters.iter().map(data).collect::<Vec<_>>(),
                of_whole.into_iter().map(data).collect::<Vec<_>>(),
                "{range:?}"
            );
        }
        assert!(matches!(flow.part(2..2), Err(Error::NoColumns)));
    }
}
