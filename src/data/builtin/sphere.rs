//! Spheres: uniform on the unit sphere of any dimension.

use super::draw::{normal, rows};
use super::frame::{frame, place};
use super::parameters::{Kind, Value};
use super::{Builtin, Parameter, Parameters};
use crate::data::table::default_names;
use crate::data::{Error, Table};
use eigenflow_linalg::Matrix;
use std::f64::consts::{E, PI};

pub(super) static SET: Builtin = Builtin {
    name: "sphere",
    summary: "uniform on the unit sphere of `dim` dimensions in dim + 1 columns, or in fixed random directions of more, + noise",
    licence: None,
    parameters: &[
        Parameter::rows(20_000, u32::MAX as u64),
        Parameter {
            name: "dim",
            kind: Kind::Count(1, 512),
            default: Value::Count(2),
            meaning: "dimension of the sphere: 2 is the surface of a ball in space",
        },
        Parameter {
            name: "columns",
            kind: Kind::Count(0, 1024),
            default: Value::Count(0),
            meaning: "number of columns; 0 is dim + 1",
        },
        Parameter::noise(0.01),
        Parameter::seed(),
    ],
    dimension: columns,
    intrinsic: |p| Some(p.count("dim")),
    entropy,
    make,
};

fn columns(p: &Parameters) -> usize {
    if p.count("columns") == 0 { p.count("dim") + 1 } else { p.count("columns") }
}

fn make(p: &Parameters) -> Result<Table, Error> {
    let (m, columns, noise) = (p.count("dim") + 1, columns(p), p.real("noise"));
    let frame = if columns == m { Matrix::identity(m) } else { frame(&SET, p, columns, m)? };
    rows("sphere", p.count("n"), p.seed(), &default_names(columns), |random, row| {
        let mut point: Vec<f64> = (0..m).map(|_| normal(random)).collect();
        // Zero only where every draw is.
        let norm = point.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        point.iter_mut().for_each(|v| *v /= norm);
        place(&frame, &point, noise, random, row);
    })
}

/// Entropy of the 2-sphere with noise, by quadrature over the radius; of other spheres it is not known here.
///
/// The density at radius `r` is `(2πσ²)^{-3/2} e^{-(r²+1)/2σ²} sinh(r/σ²)/(r/σ²)`.
fn entropy(p: &Parameters) -> Option<f64> {
    const PANELS: u32 = 4000;
    let variance = p.real("noise").powi(2);
    if p.count("dim") != 2 || variance < 1e-12 {
        return None;
    }
    let null = columns(p).checked_sub(3)? as f64;
    // sinh(t)/t = e^t (1 - e^{-2t}) / 2t
    let log_p = |r: f64| {
        let t = r / variance;
        let shell = -(r - 1.0).powi(2) / (2.0 * variance);
        let rest = if t > 1e-8 { (-(-2.0 * t).exp_m1() / (2.0 * t)).ln() } else { -t };
        shell + rest - 1.5 * (2.0 * PI * variance).ln()
    };
    let deviation = variance.sqrt();
    let (low, high) = ((1.0 - 12.0 * deviation).max(0.0), 1.0 + 12.0 * deviation);
    let h = (high - low) / f64::from(PANELS);
    // Simpson's rule.
    let term = |k: u32| {
        let r = low + h * f64::from(k);
        let weight = if k == 0 || k == PANELS { 1.0 } else { 2.0 + 2.0 * f64::from(k % 2) };
        weight * 4.0 * PI * r * r * log_p(r).exp() * -log_p(r)
    };
    let shell = (0..=PANELS).map(term).sum::<f64>() * h / 3.0;
    Some(shell + 0.5 * null * (2.0 * PI * E * variance).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(given: &[(&'static str, &'static str)]) -> Matrix<f64> {
        SET.make(&SET.parameters_from(given.iter().copied()).unwrap()).unwrap().values
    }

    /// On the sphere exactly, and uniform: means 0 and second moments `I/m` (variance of an entry's square
    /// `2(m-1)/(m²(m+2))`), within five standard errors.
    #[test]
    fn rows_lie_on_the_sphere_and_fill_it() {
        for (dim, m) in [("1", 2_usize), ("2", 3), ("5", 6)] {
            let x = made(&[("n", "5000"), ("dim", dim), ("noise", "0")]);
            assert_eq!(x.cols(), m);
            assert!((0..5000).all(|i| (x.row(i).iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-14));
            let (n, d) = (5000.0_f64, m as f64);
            for j in 0..m {
                let column = x.col(j);
                let mean = column.iter().sum::<f64>() / n;
                let square = column.iter().map(|v| v * v).sum::<f64>() / n;
                let error = (2.0 * (d - 1.0) / (d * d * (d + 2.0)) / n).sqrt();
                assert!(mean.abs() < 5.0 * (1.0 / d / n).sqrt(), "{mean}");
                assert!((square - 1.0 / d).abs() < 5.0 * error, "{square}");
            }
        }
    }

    /// Among more columns the sphere is turned, not stretched.
    #[test]
    fn more_columns_keep_distances() {
        let x = made(&[("n", "300"), ("dim", "5"), ("columns", "10"), ("noise", "0")]);
        assert_eq!(x.cols(), 10);
        assert!((0..300).all(|i| (x.row(i).iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-13));
        assert!((0..10).all(|j| x.col(j).iter().any(|v| v.abs() > 0.05)), "every column takes part");
        let p = SET.parameters_from([("dim", "5"), ("columns", "4")]).unwrap();
        assert!(SET.make(&p).unwrap_err().to_string().contains("at least 6"));
    }

    /// For little noise the shell is flat: `ln 4π + ½ ln 2πeσ²`, up to `O(σ²)`; and Monte Carlo of the density.
    #[test]
    fn entropy_agrees_with_its_limit_and_with_draws() {
        let of = |noise| SET.entropy(&SET.parameters_from([("noise", noise)]).unwrap());
        let (h, flat) = (of("0.01").unwrap(), (4.0 * PI).ln() + 0.5 * (2.0 * PI * E * 1e-4).ln());
        assert!((h - flat).abs() < 2e-4, "{h} {flat}");
        assert_eq!(of("0"), None);
        // Much noise: a normal distribution of variance σ² + 1/3 in each column, up to the fourth order of 1/σ.
        let (h, wide) = (of("20").unwrap(), 1.5 * (2.0 * PI * E * (400.0 + 1.0 / 3.0)).ln());
        assert!((h - wide).abs() < 1e-5, "{h} {wide}");
        let x = made(&[("n", "40000"), ("noise", "0.3")]);
        let nll = |i: usize| {
            let (v, r) = (0.09, x.row(i).iter().map(|v| v * v).sum::<f64>().sqrt());
            let t: f64 = r / v;
            1.5 * (2.0 * PI * v).ln() + (r * r + 1.0) / (2.0 * v) - (t.sinh() / t).ln()
        };
        let all: Vec<f64> = (0..40_000).map(nll).collect();
        let mean = all.iter().sum::<f64>() / 4e4;
        let error = (all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4e4 / 4e4).sqrt();
        let h = of("0.3").unwrap();
        assert!((h - mean).abs() < 4.0 * error, "{h}, {mean} ± {error}");
    }
}
