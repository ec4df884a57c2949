//! Columns whose values lie in an interval, taken to the whole line.

use crate::flow::bijection::{Bijection, Declaration, Growth, Scope};
use crate::flow::number::{Bounded, Number};
use crate::flow::rounding::{Rounding, RoundingAt, count};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where the values of a column lie: between two ends, either of which may be infinite. Ends do not belong to it.
///
/// Written as `real`, `positive`, or both ends: `0,1`, `-inf,3`.
///
/// ```
/// use eigenflow::flow::bijections::Interval;
/// let interval: Interval = "positive".parse().unwrap();
/// assert_eq!(interval, "0,inf".parse().unwrap());
/// assert!(interval.contains(1e-300) && !interval.contains(0.0));
/// assert!("1,0".parse::<Interval>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Interval {
    low: f64,
    high: f64,
}

impl Interval {
    /// The whole line.
    pub const REAL: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };
    /// Above 0.
    pub const POSITIVE: Self = Self { low: 0.0, high: f64::INFINITY };

    /// The interval between two ends, if they are in order and not too far apart for the difference to be a number.
    pub fn new(low: f64, high: f64) -> Option<Self> {
        let infinite = low == f64::NEG_INFINITY || high == f64::INFINITY;
        (low < high && (infinite || (high - low).is_finite())).then_some(Self { low, high })
    }

    /// Whether a value lies inside.
    pub fn contains(self, x: f64) -> bool {
        self.low < x && x < self.high
    }

    fn kind(self) -> Kind {
        match (self.low.is_finite(), self.high.is_finite()) {
            (false, false) => Kind::Line,
            (true, false) => Kind::Above,
            (false, true) => Kind::Below,
            (true, true) => Kind::Within,
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::REAL => f.write_str("real"),
            Self::POSITIVE => f.write_str("positive"),
            Self { low, high } => write!(f, "{low},{high}"),
        }
    }
}

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ends = || {
            let (low, high) = text.split_once(',')?;
            Self::new(low.trim().parse().ok()?, high.trim().parse().ok()?)
        };
        match text.trim() {
            "real" => Ok(Self::REAL),
            "positive" => Ok(Self::POSITIVE),
            _ => ends().ok_or_else(|| {
                format!("'{text}' is not an interval: real, positive, or two ends in order, as 0,1 or -inf,3")
            }),
        }
    }
}

impl TryFrom<String> for Interval {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Interval> for String {
    fn from(interval: Interval) -> Self {
        interval.to_string()
    }
}

/// How an interval is taken to the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Line,
    Above,
    Below,
    Within,
}

const KINDS: [Kind; 4] = [Kind::Line, Kind::Above, Kind::Below, Kind::Within];

impl Kind {
    /// `(z, ln dz/dx)` in an interval with the ends `[low, high]`.
    fn normalize<N: Number>(self, x: N, [low, high]: [N; 2]) -> (N, N) {
        match self {
            Self::Line => (x, x.constant(0.0)),
            Self::Above => {
                let z = (x - low).ln();
                (z, -z)
            }
            Self::Below => {
                let z = -(high - x).ln();
                (z, z)
            }
            Self::Within => {
                let (below, above) = ((x - low).ln(), (high - x).ln());
                (below - above, (high - low).ln() - below - above)
            }
        }
    }

    /// The way back, which rounding does not take beyond an end.
    fn generate<N: Number>(self, z: N, [low, high]: [N; 2]) -> N {
        match self {
            Self::Line => z,
            Self::Above => low + z.exp(),
            Self::Below => high - (-z).exp(),
            Self::Within => {
                let width = high - low;
                z.choose(high - width * (-z).sigmoid(), low + width * z.sigmoid())
            }
        }
    }
}

/// Each column's interval taken to the whole line, so that a flow behind it has no mass outside.
///
/// `z = ln(x - low)` above an end, `-ln(high - x)` below one, `ln(x - low) - ln(high - x)` between two; columns on the whole line pass.
/// `log|det|` is the sum of `-ln(x - low)`, `-ln(high - x)` and, between two ends, `ln(high - low)`. A row on an end or beyond is out of support
/// and gives NaN or infinity, which everything that takes data refuses with row and column.
///
/// ```
/// use eigenflow::flow::{Flow, bijections::Support};
/// use eigenflow_linalg::Matrix;
/// let columns = ["positive", "0,4"].map(|c| c.parse().unwrap()).to_vec();
/// let flow = Flow::<f64>::new(vec![Support { columns }.into()], 0, 0).unwrap();
/// let (z, log_det) = flow.normalize(&Matrix::new(1, 2, vec![1.0, 2.0])).unwrap();
/// assert!(z.data() == [0.0, 0.0] && log_det[0].abs() < 1e-15); // ln 1; ln 2 - ln 2; ln 4 - 2 ln 2
/// assert!(flow.normalize(&Matrix::new(1, 2, vec![0.0, 2.0])).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Support {
    /// The interval of each column.
    pub columns: Vec<Interval>,
}

impl Support {
    /// The kinds of interval that occur, each with its columns.
    fn groups(&self) -> Vec<(Kind, Vec<usize>)> {
        let of = |kind: Kind| {
            let own: Vec<usize> =
                (0..self.columns.len()).filter(|&j| self.columns[j].kind() == kind).collect();
            (!own.is_empty()).then_some((kind, own))
        };
        KINDS.into_iter().filter_map(of).collect()
    }

    /// Records something for each group of columns, and puts the results back in their places.
    fn by_group<'t, T: Real>(
        &self,
        v: Var<'t, T>,
        mut one: impl FnMut(Kind, Var<'t, T>, [Var<'t, T>; 2]) -> Var<'t, T>,
    ) -> Var<'t, T> {
        let r = v.recorder();
        let groups = self.groups();
        let end = |own: &[usize], pick: fn(&Interval) -> f64| {
            // An infinite end is not used.
            let finite = |j: &usize| Some(pick(&self.columns[*j])).filter(|e| e.is_finite()).unwrap_or(0.0);
            r.row(&own.iter().map(|j| T::of(finite(j))).collect::<Vec<T>>())
        };
        let parts: Vec<Var<'t, T>> = groups
            .iter()
            .map(|(kind, own)| one(*kind, v.gather(own), [end(own, |i| i.low), end(own, |i| i.high)]))
            .collect();
        let mut places = vec![0; self.columns.len()];
        groups.iter().flat_map(|(_, own)| own).enumerate().for_each(|(k, &j)| places[j] = k);
        Var::concat(&parts).gather(&places)
    }

    /// Ends with their rounding; infinite ones as 0.
    fn ends(&self, j: usize) -> [Bounded; 2] {
        let Interval { low, high } = self.columns[j];
        [low, high].map(|end| {
            if end.is_finite() { Bounded { value: end, error: end.abs() } } else { Bounded::exact(0.0) }
        })
    }
}

impl Bijection for Support {
    fn dim(&self) -> usize {
        self.columns.len()
    }

    fn declare(&self, _random: &mut Pcg64) -> Vec<Declaration> {
        Vec::new()
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let mut log_det = scope.recorder.full(x.shape().with_cols(1), T::ZERO);
        let z = self.by_group(x, |kind, x, ends| {
            let (z, log) = kind.normalize(x, ends);
            if kind != Kind::Line {
                log_det = log_det + log.sum_cols();
            }
            z
        });
        (z, log_det)
    }

    fn generate<'t, T: Real>(&self, _scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        self.by_group(z, Kind::generate)
    }

    fn growth(&self) -> Growth {
        let half = |i: &Interval| matches!(i.kind(), Kind::Above | Kind::Below);
        if self.columns.iter().any(half) { Growth::Exponential } else { Growth::Linear }
    }

    /// By running error. Ends are rounded to the precision once, in both directions alike.
    fn rounding<'a>(&'a self, _parameters: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(|x, z| {
            Rounding::columns(x.len(), |j| {
                let (kind, ends) = (self.columns[j].kind(), self.ends(j));
                let (there, log) = kind.normalize(Bounded::exact(x[j]), ends);
                let back = kind.generate(Bounded::exact(z[j]), ends);
                (there.error, back.error, log.error + count(x.len()) * log.value.abs())
            })
        })
    }

    fn examples(dim: usize) -> Vec<Self> {
        let kinds = [
            (-50.0, 50.0),
            (-50.0, f64::INFINITY),
            (f64::NEG_INFINITY, 60.0),
            (f64::NEG_INFINITY, f64::INFINITY),
        ];
        let columns = (0..dim).map(|j| kinds[j % kinds.len()]).map(|(low, high)| Interval { low, high });
        vec![Self { columns: columns.collect() }]
    }
}
