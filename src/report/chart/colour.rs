//! Colours that stand for values: cividis, which looks the same to people with and without colour-blindness.

use super::text::{escape, number};
use super::{Chart, short};
use std::fmt::Write;

/// Cividis at even steps (J. R. Nuñez, C. R. Anderton and R. S. Renslow, PLoS ONE 13 (2018)).
const COLOURS: [[f64; 3]; 9] = [
    [0.0, 32.0, 77.0],
    [18.0, 52.0, 109.0],
    [65.0, 77.0, 107.0],
    [96.0, 101.0, 111.0],
    [124.0, 123.0, 120.0],
    [154.0, 147.0, 119.0],
    [188.0, 174.0, 107.0],
    [222.0, 203.0, 84.0],
    [255.0, 234.0, 70.0],
];

/// Steps of the scale: values within one are drawn alike, in one path.
pub(super) const STEPS: usize = 24;

/// The colour of a step.
pub(super) fn of_step(step: usize) -> String {
    let at = (step as f64 + 0.5) / STEPS as f64 * (COLOURS.len() - 1) as f64;
    let low = (at as usize).min(COLOURS.len() - 2);
    let part = at - low as f64;
    let channel = |c: usize| (COLOURS[low][c] * (1.0 - part) + COLOURS[low + 1][c] * part).round() as u8;
    format!("#{:02x}{:02x}{:02x}", channel(0), channel(1), channel(2))
}

/// The range of the values that are coloured: from the 2nd to the 98th percentile, so that a few outliers do not make all others alike.
/// `None` where there is none.
pub(super) fn range(chart: &Chart) -> Option<(f64, f64)> {
    let mut all: Vec<f64> =
        chart.marks.iter().flat_map(|m| m.colour.iter().copied()).filter(|v| v.is_finite()).collect();
    all.sort_by(f64::total_cmp);
    let at = |q: f64| all.get(((all.len().max(1) - 1) as f64 * q).round() as usize).copied();
    at(0.02).zip(at(0.98))
}

/// The step of a value; `None` where it is not finite.
pub(super) fn step(value: f64, (low, high): (f64, f64)) -> Option<usize> {
    let part = if high > low { (value - low) / (high - low) } else { 0.5 };
    value.is_finite().then(|| ((part.clamp(0.0, 1.0) * STEPS as f64) as usize).min(STEPS - 1))
}

/// The scale below `y`: a bar with its ends and its label. Gives the text and where it ends.
pub(super) fn bar(chart: &Chart, left: f64, right: f64, y: f64) -> Option<(String, f64)> {
    const HEIGHT: f64 = 9.0;
    let (low, high) = range(chart)?;
    let width = (right - left) / STEPS as f64;
    let mut out = String::new();
    for k in 0..STEPS {
        let (x, top) = (short(left + k as f64 * width), short(y));
        // Wider than its step by a hair, so that no line shows between two.
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{top}\" width=\"{}\" height=\"{HEIGHT}\" fill=\"{}\"/>",
            short(if k + 1 < STEPS { width + 0.3 } else { width }),
            of_step(k)
        );
    }
    let below = short(y + HEIGHT + 14.0);
    for (x, anchor, text) in [
        (left, "start", format!("≤ {}", number(low, 3))),
        (0.5 * (left + right), "middle", chart.colour.clone()),
        (right, "end", format!("≥ {}", number(high, 3))),
    ] {
        let (x, text) = (short(x), escape(&text));
        let _ = writeln!(
            out,
            "<text class=\"text\" x=\"{x}\" y=\"{below}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    }
    Some((out, y + HEIGHT + 32.0))
}
