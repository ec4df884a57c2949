//! Where a run stands between two epochs.

use super::TrainingRecord;
use crate::flow::Flow;
use eigenflow_linalg::Real;
use serde::{Deserialize, Serialize};

/// All that it takes to go on with a run to the same bits as if it had never stopped, on a machine with the same vector instructions.
///
/// Vectors of weights are in the order of the flow's parameters, moments in that of those that are trained. As tensors of a
/// file ([`State::tensors`]) they stand beside the flow with the best weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State<T> {
    /// The epochs behind it.
    pub record: TrainingRecord,
    /// Loss and patience.
    pub progress: Progress,
    /// Steps of the optimiser.
    pub steps: usize,
    /// The weights of the last step.
    pub last: Vec<Vec<T>>,
    /// The weights that are best so far: those of the flow in a checkpoint.
    pub best: Vec<Vec<T>>,
    /// First and second moments.
    pub moments: [Vec<Vec<T>>; 2],
    /// The moving average, if one is kept.
    pub average: Vec<Vec<T>>,
}

/// What decides on stopping and on the rate of the plateau schedule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// Loss of the best weights.
    #[serde(with = "super::options::unbounded")]
    pub best: f64,
    /// Epochs since.
    pub idle: usize,
    /// Factor of the learning rate (plateau schedule).
    pub factor: f64,
}

impl Default for Progress {
    fn default() -> Self {
        Self { best: f64::INFINITY, idle: 0, factor: 1.0 }
    }
}

/// The part of a state that is no tensor, as it stands in a file's header.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Header {
    progress: Progress,
    steps: usize,
}

impl<T: Real> State<T> {
    /// The best weights into the flow.
    pub(super) fn restore_best(&self, flow: &mut Flow<T>) {
        put(flow, &self.best);
    }

    /// The weights of the last step into the flow.
    pub(super) fn restore_last(&self, flow: &mut Flow<T>) {
        put(flow, &self.last);
    }

    /// Its vectors, named: `last.K`, `first-moment.K`, `second-moment.K`, `average.K`. The best weights are not among them:
    /// they are the flow's.
    pub fn tensors(&self) -> Vec<(String, &[T])> {
        let [first, second] = &self.moments;
        let groups = [
            ("last", &self.last),
            ("first-moment", first),
            ("second-moment", second),
            ("average", &self.average),
        ];
        let named = |(name, group): (&str, &'_ Vec<Vec<T>>)| -> Vec<String> {
            (0..group.len()).map(|k| format!("{name}.{k}")).collect()
        };
        let names = groups.iter().flat_map(|&(name, group)| named((name, group)));
        let data = groups.iter().flat_map(|(_, group)| group.iter().map(Vec::as_slice));
        names.zip(data).collect()
    }

    /// The rest of it, for a file's header.
    pub fn header(&self) -> serde_json::Value {
        serde_json::to_value(Header { progress: self.progress, steps: self.steps }).unwrap_or_default()
    }

    /// The state from a file: its header, its tensors, the record, and the flow, which holds the best weights. `None` where
    /// something is missing or is of another size.
    pub fn from_parts(
        header: serde_json::Value,
        mut tensor: impl FnMut(&str) -> Option<Vec<T>>,
        record: TrainingRecord,
        flow: &Flow<T>,
    ) -> Option<Self> {
        let Header { progress, steps } = serde_json::from_value(header).ok()?;
        let mut group =
            |name: &str| -> Vec<Vec<T>> { (0..).map_while(|k| tensor(&format!("{name}.{k}"))).collect() };
        let (last, first, second, average) =
            (group("last"), group("first-moment"), group("second-moment"), group("average"));
        let best: Vec<Vec<T>> = flow.parameters().iter().map(|p| p.data.clone()).collect();
        let same = last.iter().map(Vec::len).eq(best.iter().map(Vec::len));
        same.then_some(Self { record, progress, steps, last, best, moments: [first, second], average })
    }
}

fn put<T: Real>(flow: &mut Flow<T>, weights: &[Vec<T>]) {
    for (to, from) in flow.parameters_mut().iter_mut().zip(weights) {
        to.data.copy_from_slice(from);
    }
}
