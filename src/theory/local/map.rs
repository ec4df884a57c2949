//! Generative maps, as the local claims see them.

use crate::flow::{Error, Flow};
use eigenflow_autodiff::{Program, Recorder, Var};
use eigenflow_linalg::Matrix;

/// A smooth map of rows, recorded on a tape: the generative direction of a flow, or a closed form.
pub trait Map: Sync {
    /// Number of latent columns.
    fn inputs(&self) -> usize;

    /// Records the map.
    fn record<'t>(&self, r: &'t Recorder<f64>, z: Var<'t, f64>) -> Var<'t, f64>;

    /// Values of the shared inputs that [`Map::record`] declares.
    fn shared(&self) -> Vec<&[f64]> {
        Vec::new()
    }
}

impl Map for Flow<f64> {
    fn inputs(&self) -> usize {
        self.dim()
    }

    fn record<'t>(&self, r: &'t Recorder<f64>, z: Var<'t, f64>) -> Var<'t, f64> {
        let params = self.declare(r);
        self.record_generate(&params, z, 0..self.layers().len()).out
    }

    fn shared(&self) -> Vec<&[f64]> {
        self.slices()
    }
}

/// A map that is recorded once and evaluated often.
pub struct Evaluator<'a> {
    program: Program<f64>,
    shared: Vec<&'a [f64]>,
}

impl<'a> Evaluator<'a> {
    /// Records `map`.
    pub fn new(map: &'a dyn Map) -> Self {
        let program = Program::record(|r| vec![map.record(r, r.batch(map.inputs()))]);
        Self { program, shared: map.shared() }
    }

    /// The map of every row, `None` if a result is not finite.
    ///
    /// # Errors
    /// Those of the tape.
    pub fn rows(&self, z: &Matrix<f64>) -> Result<Option<Matrix<f64>>, Error> {
        let out = self.program.run(z.rows(), &[z.data()], &self.shared)?.pop().unwrap_or_default();
        let cols = self.program.output_shapes()[0].cols();
        Ok(out.iter().all(|x| x.is_finite()).then(|| Matrix::new(z.rows(), cols, out)))
    }
}
