//! From values to places on the canvas, and where the ticks stand.

use crate::report::text::{superscript, trimmed};

/// Values beyond are not drawn, and smaller ones count as zero: differences and ratios stay finite.
const LARGEST: f64 = 1e300;
const SMALLEST: f64 = 1e-300;
/// A range narrower than this share of its values is rounding, and is widened.
const NARROW: f64 = 1e-12;
/// Free room at both ends, as a share of the range.
const PADDING: f64 = 0.04;
/// Decades on a log axis from which ticks stand at powers of ten alone.
const DECADES: f64 = 1.6;

/// One axis: a range of (logarithms of) values, laid between two places.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    log: bool,
    /// All values are whole numbers: so are the ticks.
    whole: bool,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

/// A tick: its place and its label.
pub(super) type Tick = (f64, String);

impl Scale {
    /// A scale that holds the drawable ones among `values`; `None` if there is none.
    pub(super) fn over(values: impl Iterator<Item = f64>, log: bool) -> Option<Self> {
        let inner: Vec<f64> = values.filter_map(|v| coordinate(v, log)).collect();
        let least = inner.iter().copied().fold(f64::INFINITY, f64::min);
        let (low, high) = (least, inner.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        let whole = !log && inner.iter().all(|v| v.fract() == 0.0);
        if low > high {
            return None;
        }
        let (middle, mut half) = (0.5 * (low + high), 0.5 * (high - low));
        let size = low.abs().max(high.abs());
        if half <= NARROW * size || half == 0.0 {
            half = if log { 0.5 } else { 0.1 * size.max(10.0 * SMALLEST) };
            half = if size == 0.0 && !log { 1.0 } else { half };
        }
        half *= 1.0 + 2.0 * PADDING;
        Some(Self { log, whole, low: middle - half, high: middle + half, from: 0.0, to: 1.0 })
    }

    /// Lays the scale between two places of the canvas.
    pub(super) fn between(mut self, from: f64, to: f64) -> Self {
        (self.from, self.to) = (from, to);
        self
    }

    /// Length of the range, in values.
    pub(super) fn range(&self) -> f64 {
        self.high - self.low
    }

    /// Widens the range to a given length about its middle.
    pub(super) fn widen(&mut self, range: f64) {
        let middle = 0.5 * (self.low + self.high);
        (self.low, self.high) = (middle - 0.5 * range, middle + 0.5 * range);
    }

    /// The place of a value; `None` where it cannot be drawn.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        coordinate(value, self.log).map(|v| self.at(v))
    }

    /// The place of a value, held within the axis: ends of bars and of error bars.
    pub(super) fn clamped(&self, value: f64) -> f64 {
        let (low, high) = (self.from.min(self.to), self.from.max(self.to));
        match coordinate(value, self.log) {
            Some(v) => self.at(v).clamp(low, high),
            None if value > 0.0 => self.to,
            None => self.from,
        }
    }

    fn at(&self, v: f64) -> f64 {
        self.from + (v - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// About `count` ticks with their labels, within the axis.
    pub(super) fn ticks(&self, count: usize) -> Vec<Tick> {
        if self.log && self.range() >= DECADES {
            return self.decades(count);
        }
        if !self.log {
            return self.linear(count);
        }
        let few = self.multiples(count);
        if few.len() > 2 { few } else { self.within_a_decade(count) }
    }

    /// Powers of ten, every so many.
    fn decades(&self, count: usize) -> Vec<Tick> {
        let (first, last) = (self.low.ceil() as i32, self.high.floor() as i32);
        let every = (last - first + 1).div_ceil_by(count.max(1) as i32);
        let all: Vec<i32> = (first..=last).filter(|k| k.rem_euclid(every) == 0).collect();
        let plain = all.iter().all(|k| (-2..=3).contains(k));
        let label = |k: i32| if plain { plain_power(k) } else { format!("10{}", superscript(k)) };
        all.iter().map(|&k| (self.at(f64::from(k)), label(k))).collect()
    }

    /// 1, 2 and 5 times powers of ten.
    fn multiples(&self, count: usize) -> Vec<Tick> {
        let (first, last) = (self.low.floor() as i32, self.high.ceil() as i32);
        let mut out = Vec::new();
        for k in first..=last {
            for m in [1.0, 2.0, 5.0] {
                let v = f64::from(k) + f64::log10(m);
                if (self.low..=self.high).contains(&v) {
                    let label = if (-3..=3).contains(&k) {
                        trimmed(&format!("{:.3}", m * 10_f64.powi(k))).to_owned()
                    } else {
                        format!("{m}·10{}", superscript(k))
                    };
                    out.push((self.at(v), label));
                }
            }
        }
        if out.len() > count + 2 { out.into_iter().step_by(2).collect() } else { out }
    }

    /// Round numbers on a log axis that is narrower than a decade.
    fn within_a_decade(&self, count: usize) -> Vec<Tick> {
        let (low, high) = (10_f64.powf(self.low), 10_f64.powf(self.high));
        let values = Self { log: false, whole: false, low, high, from: 0.0, to: high - low };
        let back = |(at, label): Tick| (self.at((low + at).log10()), label);
        values.linear(count).into_iter().map(back).collect()
    }

    fn linear(&self, count: usize) -> Vec<Tick> {
        let step = nice(self.range() / count.max(1) as f64);
        let step = if self.whole { step.max(1.0) } else { step };
        let size = self.low.abs().max(self.high.abs());
        let places = (-step.log10().floor()).max(0.0) as usize;
        // A step of 2.5 needs one more.
        let places = places + usize::from((step / 10_f64.powf(step.log10().floor()) - 2.5).abs() < 0.1);
        let label = |v: f64| {
            let v = if v.abs() < 0.5 * step { 0.0 } else { v };
            let sign = if v < 0.0 { "−" } else { "" };
            if (1e-3..1e5).contains(&size) && places <= 6 {
                return format!("{sign}{:.*}", places, v.abs());
            }
            if v == 0.0 {
                return "0".to_owned();
            }
            let power = size.log10().floor() as i32;
            let digits = (f64::from(power) - step.log10().floor()).clamp(0.0, 8.0) as usize;
            let mantissa = format!("{:.digits$}", v.abs() / 10_f64.powi(power));
            format!("{sign}{}·10{}", trimmed(&mantissa), superscript(power))
        };
        steps(self.low, self.high, step).map(|v| (self.at(v), label(v))).collect()
    }
}

/// Rounding division for positive numbers, at least 1.
trait DivCeilBy {
    fn div_ceil_by(self, by: i32) -> i32;
}

impl DivCeilBy for i32 {
    fn div_ceil_by(self, by: i32) -> i32 {
        ((self + by - 1) / by).max(1)
    }
}

/// A value, or its decimal logarithm; `None` where it cannot be drawn.
fn coordinate(v: f64, log: bool) -> Option<f64> {
    if !v.is_finite() || v.abs() > LARGEST {
        return None;
    }
    match (log, v.abs() < SMALLEST) {
        (false, small) => Some(if small { 0.0 } else { v }),
        (true, small) => (v > 0.0 && !small).then(|| v.log10()),
    }
}

/// The least of 1, 2, 2.5 and 5 times a power of ten that is at least `step`.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let found = [1.0, 2.0, 2.5, 5.0].into_iter().map(|m| m * power).find(|s| *s >= step * 0.999);
    found.unwrap_or(10.0 * power)
}

/// Multiples of `step` from `low` to `high`; none beyond 50.
fn steps(low: f64, high: f64, step: f64) -> impl Iterator<Item = f64> {
    let first = (low / step).ceil();
    (0..50).map(move |k| (first + f64::from(k)) * step).take_while(move |v| *v <= high)
}

/// A power of ten, written out.
fn plain_power(k: i32) -> String {
    trimmed(&format!("{:.2}", 10_f64.powi(k))).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, log: bool) -> Vec<String> {
        let scale = Scale::over([low, high].into_iter(), log).unwrap().between(0.0, 100.0);
        scale.ticks(5).into_iter().map(|t| t.1).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(labels(0.0, 9.9, false), ["0.0", "2.5", "5.0", "7.5", "10.0"]);
        assert_eq!(labels(1.0, 3.0, false), ["1", "2", "3"]);
        assert_eq!(labels(23.0, 46.0, true), ["25", "30", "35", "40", "45"]);
        assert_eq!(labels(-1.1, 1.1, false), ["−1.0", "−0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(labels(0.0, 3e6, false), ["0", "1·10⁶", "2·10⁶", "3·10⁶"]);
        assert_eq!(labels(1e-8, 1.0, true), ["10⁻⁸", "10⁻⁶", "10⁻⁴", "10⁻²", "10⁰"]);
        assert_eq!(labels(0.01, 100.0, true), ["0.01", "0.1", "1", "10", "100"]);
        assert_eq!(labels(1.0, 10.0, true), ["1", "2", "5", "10"]);
    }

    #[test]
    fn a_single_value_has_room_around_it() {
        let scale = Scale::over([3.0].into_iter(), false).unwrap().between(0.0, 100.0);
        assert!((scale.place(3.0).unwrap() - 50.0).abs() < 1e-9);
        assert!(Scale::over([f64::NAN, -1.0].into_iter(), true).is_none());
        assert_eq!(scale.place(f64::INFINITY), None);
    }
}
