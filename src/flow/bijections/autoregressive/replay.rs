//! Values of the sequential direction, place by place.

use super::Autoregressive;
use crate::flow::bijections::transformed::apply;
use eigenflow_autodiff::{Error, Program, Recorder, Runner, Var};
use eigenflow_linalg::{Matrix, Real};

impl Autoregressive {
    /// The columns of each place, in order.
    fn places(&self) -> Vec<Vec<usize>> {
        let mut places = vec![Vec::new(); self.order.iter().max().map_or(0, |last| last + 1)];
        self.order.iter().enumerate().for_each(|(j, &place)| places[place].push(j));
        places.retain(|here| !here.is_empty());
        places
    }

    /// Those rows of the last layer that give the parameters of the columns `here`.
    fn rows_of(&self, here: &[usize]) -> Vec<usize> {
        let d = self.order.len();
        (0..self.transformer.parameters()).flat_map(|k| here.iter().map(move |&j| k * d + j)).collect()
    }

    /// `(τ⁻¹(v), ln τ')` of the columns of one place: `own` are the network's parameters with those rows of the last layer alone, `first` is
    /// what the columns before make of the first layer.
    fn place<'t, T: Real>(
        &self,
        r: &'t Recorder<T>,
        own: &[Var<'t, T>],
        first: Var<'t, T>,
        v: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let raw = self.network().record_after(r, own, first);
        apply(&self.transformer, raw, v, true)
    }

    /// The values of the sequential direction alone: one place is recorded, and replayed with the weights of each. Memory is that of one
    /// network and of its first layer's values; with one hidden layer all places together cost as much as one pass.
    pub(super) fn replay<T: Real>(&self, parameters: &[&[T]], v: &Matrix<T>) -> Result<Matrix<T>, Error> {
        let (n, d, widths) = (v.rows(), self.order.len(), self.network().widths());
        let (network, masks) = parameters.split_at(self.network().parameters());
        let masked =
            |k: usize| -> Vec<T> { network[2 * k].iter().zip(masks[k]).map(|(&w, &m)| w * m).collect() };
        let (last, wide) = (widths.len() - 2, widths[1]);
        let middle: Vec<Vec<T>> = (1..last).map(masked).collect();
        let (into, out_of) = (masked(0), masked(last));
        let mut first: Vec<T> = network[1].iter().copied().cycle().take(n * wide).collect();
        let (mut next, mut x) = (first.clone(), Matrix::new(n, d, vec![T::ZERO; n * d]));
        let mut recorded: Option<(usize, Runner<T>)> = None;
        for here in self.places() {
            let m = here.len();
            let (_, runner) = match recorded.take() {
                Some(r) if r.0 == m => recorded.insert(r),
                _ => recorded.insert((m, self.record_place(&widths, m).runner())),
            };
            let rows = self.rows_of(&here);
            let columns: Vec<T> =
                (0..wide).flat_map(|i| here.iter().map(move |&j| i * d + j)).map(|k| into[k]).collect();
            let hidden = widths[last];
            let weight: Vec<T> =
                rows.iter().flat_map(|&i| &out_of[i * hidden..(i + 1) * hidden]).copied().collect();
            let bias: Vec<T> = rows.iter().map(|&i| network[2 * last + 1][i]).collect();
            let mut shared: Vec<&[T]> = vec![&columns, network[1]];
            shared.extend(middle.iter().enumerate().flat_map(|(k, w)| [w.as_slice(), network[2 * k + 3]]));
            shared.extend([weight.as_slice(), &bias]);
            let given: Vec<T> = (0..n).flat_map(|i| here.iter().map(move |&j| v[(i, j)])).collect();
            let mut found = vec![T::ZERO; n * m];
            runner.run(n, &[&first, &given], &shared, &mut [&mut found, &mut next])?;
            std::mem::swap(&mut first, &mut next);
            for (k, &value) in found.iter().enumerate() {
                x[(k / m, here[k % m])] = value;
            }
        }
        Ok(x)
    }

    /// A place of `m` columns. Inputs: what the first layer has so far, the columns' images; the network's parameters, of the first layer's
    /// and the last one's weights the columns' share. Outputs: the columns, and what the first layer has then.
    fn record_place<T: Real>(&self, widths: &[usize], m: usize) -> Program<T> {
        let last = widths.len() - 2;
        Program::record(|r| {
            let (first, v) = (r.batch(widths[1]), r.batch(m));
            let mut own = vec![r.shared(widths[1], m), r.shared(1, widths[1])];
            for k in 1..=last {
                let outputs = if k == last { self.transformer.parameters() * m } else { widths[k + 1] };
                own.extend([r.shared(outputs, widths[k]), r.shared(1, outputs)]);
            }
            let (out, _) = self.place(r, &own, first, v);
            vec![out, first + out.matmul_t(own[0])]
        })
    }
}
