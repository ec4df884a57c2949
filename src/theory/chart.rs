//! What a claim shows: a chart as plain data. How it is drawn is the report's affair.

use serde::{Deserialize, Deserializer, Serialize};

/// A chart: marks over two axes, with the text that stands for it where it cannot be seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chart {
    /// Title in a few words.
    pub title: String,
    /// What the chart shows, in a sentence or two with its main numbers: the text alternative.
    pub description: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// One unit has the same length on both axes: for points and ellipses in data space.
    #[serde(default)]
    pub equal: bool,
    /// What colours stand for, quantity and unit, where marks have values to colour; one scale for all of them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub colour: String,
    /// The marks, drawn in this order. Marks of the same name share a colour and one line of the legend.
    pub marks: Vec<Mark>,
}

/// One axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// Quantity and unit.
    pub label: String,
    /// Logarithmic; values that are not positive are left out.
    #[serde(default)]
    pub log: bool,
}

/// A series of points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Name in the legend.
    pub name: String,
    /// How the points are drawn.
    pub shape: Shape,
    /// Horizontal positions.
    #[serde(deserialize_with = "numbers")]
    pub x: Vec<f64>,
    /// Vertical positions.
    #[serde(deserialize_with = "numbers")]
    pub y: Vec<f64>,
    /// Half lengths of the error bars, one a point, or empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "numbers")]
    pub error: Vec<f64>,
    /// A value at each point that is shown by its colour, or empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "numbers")]
    pub colour: Vec<f64>,
}

/// JSON has neither NaN nor infinities: they are written as null, and null reads as NaN. None of them is drawn.
fn numbers<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<f64>, D::Error> {
    let values = Vec::<Option<f64>>::deserialize(d)?;
    Ok(values.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect())
}

/// How the points of a mark are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// A dot at every point: measurements.
    Points,
    /// A line through the points in their order.
    Line,
    /// A dashed line: predictions and bounds.
    Dashed,
    /// A closed outline: ellipses.
    Outline,
    /// A bar from zero to every point.
    Bars,
}

impl Axis {
    /// A linear axis.
    pub fn linear(label: &str) -> Self {
        Self { label: label.to_owned(), log: false }
    }

    /// A logarithmic axis.
    pub fn log(label: &str) -> Self {
        Self { label: label.to_owned(), log: true }
    }
}

impl Chart {
    /// A chart without marks.
    pub fn new(title: &str, x: Axis, y: Axis) -> Self {
        let (title, description) = (title.to_owned(), String::new());
        Self { title, description, x, y, equal: false, colour: String::new(), marks: Vec::new() }
    }

    /// The same with its text alternative.
    #[must_use]
    pub fn described(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// The same with equal units on both axes.
    #[must_use]
    pub fn equal(mut self) -> Self {
        self.equal = true;
        self
    }

    /// The same with one more mark.
    #[must_use]
    pub fn mark(mut self, name: &str, shape: Shape, x: Vec<f64>, y: Vec<f64>) -> Self {
        self.marks.push(Mark { name: name.to_owned(), shape, x, y, error: Vec::new(), colour: Vec::new() });
        self
    }

    /// The same with the points of the last mark coloured by values; `label` says what they are.
    #[must_use]
    pub fn coloured(mut self, label: &str, values: Vec<f64>) -> Self {
        label.clone_into(&mut self.colour);
        if let Some(mark) = self.marks.last_mut() {
            mark.colour = values;
        }
        self
    }

    /// The same with error bars on the last mark.
    #[must_use]
    pub fn error_bars(mut self, error: Vec<f64>) -> Self {
        if let Some(mark) = self.marks.last_mut() {
            mark.error = error;
        }
        self
    }
}
