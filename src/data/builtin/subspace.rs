//! A linear subspace: a standard normal distribution on a plane through the origin, among more columns.

use super::draw::{normal, rows};
use super::frame::{frame, place};
use super::parameters::{Kind, Value};
use super::{Builtin, Parameter, Parameters};
use crate::data::table::default_names;
use crate::data::{Error, Table};
use std::f64::consts::{E, PI};

pub(super) static SET: Builtin = Builtin {
    name: "subspace",
    summary: "a standard normal distribution on a linear subspace of `dim` dimensions in fixed random directions of `columns` columns, + noise",
    licence: None,
    parameters: &[
        Parameter::rows(20_000, u32::MAX as u64),
        Parameter {
            name: "dim",
            kind: Kind::Count(1, 1024),
            default: Value::Count(3),
            meaning: "dimension of the subspace",
        },
        Parameter {
            name: "columns",
            kind: Kind::Count(1, 1024),
            default: Value::Count(20),
            meaning: "number of columns, at least dim",
        },
        Parameter::noise(0.01),
        Parameter::seed(),
    ],
    dimension: |p| p.count("columns"),
    intrinsic: |p| Some(p.count("dim").min(p.count("columns"))),
    entropy,
    make,
};

/// `½ [d ln 2πe(1 + σ²) + (D - d) ln 2πeσ²]`; none where there is no density.
fn entropy(p: &Parameters) -> Option<f64> {
    let (d, columns, variance) = (p.count("dim"), p.count("columns"), p.real("noise").powi(2));
    let null = columns.checked_sub(d)? as f64;
    let noise = if null > 0.0 { null * (2.0 * PI * E * variance).ln() } else { 0.0 };
    Some(0.5 * (d as f64 * (2.0 * PI * E * (1.0 + variance)).ln() + noise)).filter(|h| h.is_finite())
}

fn make(p: &Parameters) -> Result<Table, Error> {
    let (d, columns, noise) = (p.count("dim"), p.count("columns"), p.real("noise"));
    let frame = frame(&SET, p, columns, d)?;
    rows("subspace", p.count("n"), p.seed(), &default_names(columns), |random, row| {
        let scores: Vec<f64> = (0..d).map(|_| normal(random)).collect();
        place(&frame, &scores, noise, random, row);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use eigenflow_linalg::Matrix;
    use eigenflow_linalg::eigen::eigvalsh;

    /// The second moments have `d` eigenvalues `1 + σ²` and the rest `σ²`, each sample eigenvalue within its extreme
    /// `(1 ± √(D/n))²` and five of its standard errors.
    #[test]
    fn rows_have_the_stated_spectrum() {
        for (d, columns, noise) in [(1, 20, 0.1), (3, 20, 0.0), (10, 100, 0.01), (4, 4, 0.5)] {
            let text = [d.to_string(), columns.to_string(), noise.to_string()];
            let given = [("n", "5000"), ("dim", &text[0]), ("columns", &text[1]), ("noise", &text[2])];
            let x = SET.make(&SET.parameters_from(given).unwrap()).unwrap().values;
            let values = eigvalsh(&x.transpose().mul(&x).map(|v| v / 5000.0)).unwrap();
            let spread = (columns as f64 / 5000.0).sqrt() + 5.0 / 5000.0_f64.sqrt();
            for (k, v) in values.iter().rev().enumerate() {
                let exact = if k < d { 1.0 + noise * noise } else { noise * noise };
                let within = exact * ((1.0 + spread).powi(2) - 1.0) + 1e-13;
                assert!((v - exact).abs() <= within, "{d} in {columns}: eigenvalue {k} is {v}, {exact}");
            }
        }
    }

    /// Seeds share one subspace.
    #[test]
    fn every_seed_draws_from_the_same_subspace() {
        let of = |seed| SET.parameters_from([("n", "50"), ("noise", "0"), ("seed", seed)]).unwrap();
        let both = [SET.make(&of("0")).unwrap().values, SET.make(&of("1")).unwrap().values];
        let all = Matrix::from_fn(100, 20, |i, j| both[i / 50][(i % 50, j)]);
        let values = eigvalsh(&all.transpose().mul(&all)).unwrap();
        assert!(values[16] < 1e-12 * values[19] && values[17] > 1.0, "{values:?}");
    }

    #[test]
    fn entropy_is_that_of_the_normal_distribution() {
        let of = |given: &[(&'static str, &'static str)]| {
            SET.entropy(&SET.parameters_from(given.iter().copied()).unwrap())
        };
        // D = 1 of variance 1 + σ² = 2
        let one = of(&[("dim", "1"), ("columns", "1"), ("noise", "1")]).unwrap();
        assert!((one - (1.418_938_533_204_672_7 + 0.5 * 2.0_f64.ln())).abs() < 1e-14);
        assert_eq!(of(&[("noise", "0")]), None);
        assert!(of(&[("dim", "20"), ("noise", "0")]).is_some());
    }

    #[test]
    fn more_dimensions_than_columns_are_refused() {
        let p = SET.parameters_from([("dim", "30"), ("columns", "20")]).unwrap();
        let message = SET.make(&p).unwrap_err().to_string();
        assert!(message.contains("at least 30"), "{message}");
    }
}
