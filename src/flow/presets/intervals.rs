//! Where columns lie, as options say it.

use crate::flow::bijections::Interval;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// One interval for all columns, or one for each; written with `;` between them, or in a file as a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "OneOrMany", into = "OneOrMany")]
pub struct Intervals(pub Vec<Interval>);

/// How intervals stand in a file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Interval),
    Many(Vec<Interval>),
}

impl From<OneOrMany> for Intervals {
    fn from(given: OneOrMany) -> Self {
        match given {
            OneOrMany::One(interval) => Self(vec![interval]),
            OneOrMany::Many(intervals) => Self(intervals),
        }
    }
}

impl From<Intervals> for OneOrMany {
    fn from(intervals: Intervals) -> Self {
        match intervals.0[..] {
            [interval] => Self::One(interval),
            _ => Self::Many(intervals.0),
        }
    }
}

impl FromStr for Intervals {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(';').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}
