//! A Möbius band: a sheet with one side.

use super::draw::{names, normal, rows};
use super::parameters::{Kind, Value};
use super::{Builtin, Parameter, Parameters};
use crate::data::{Error, Table};
use rand::RngExt;
use std::f64::consts::PI;

pub(super) static SET: Builtin = Builtin {
    name: "mobius-band",
    summary: "a band with half a twist: t ~ U(0, 2 pi), s ~ U(-width/2, width/2), ((1 + s cos t/2) cos t, (1 + s cos t/2) sin t, s sin t/2) + noise",
    licence: None,
    parameters: &[
        Parameter::rows(20_000, u32::MAX as u64),
        Parameter {
            name: "width",
            kind: Kind::Real(0.01, 1.5),
            default: Value::Real(1.0),
            meaning: "width of the band, whose middle is the unit circle",
        },
        Parameter::noise(0.01),
        Parameter::seed(),
    ],
    dimension: |_| 3,
    intrinsic: |_| Some(2),
    entropy: |_| None,
    make,
};

fn make(p: &Parameters) -> Result<Table, Error> {
    let (width, noise) = (p.real("width"), p.real("noise"));
    rows("mobius-band", p.count("n"), p.seed(), &names(&["x", "y", "z"]), |random, row| {
        let t = 2.0 * PI * random.random::<f64>();
        let s = width * (random.random::<f64>() - 0.5);
        let radius = 1.0 + s * (0.5 * t).cos();
        let point = [radius * t.cos(), radius * t.sin(), s * (0.5 * t).sin()];
        row.iter_mut().zip(point).for_each(|(x, p)| *x = p + noise * normal(random));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without noise every row is `s` away from the unit circle along the axis that turns by half the angle, with both signs of
    /// `s` at every angle, and `s` fills the width: its variance is `width²/12` within five standard errors.
    #[test]
    fn rows_lie_on_the_band() {
        let x = SET.make(&SET.parameters_from([("n", "4000"), ("noise", "0")]).unwrap()).unwrap().values;
        let (mut squares, mut signs) = (Vec::new(), [[0; 2]; 4]);
        for i in 0..4000 {
            let row = x.row(i);
            let t = row[1].atan2(row[0]).rem_euclid(2.0 * PI);
            let out = row[0].hypot(row[1]) - 1.0;
            let s = out * (0.5 * t).cos() + row[2] * (0.5 * t).sin();
            assert!((out - s * (0.5 * t).cos()).abs() < 1e-14 && s.abs() <= 0.5 + 1e-14);
            assert!((row[2] - s * (0.5 * t).sin()).abs() < 1e-14);
            squares.push(s * s);
            signs[(2.0 * t / PI) as usize % 4][usize::from(s > 0.0)] += 1;
        }
        let mean = squares.iter().sum::<f64>() / 4000.0;
        let error = (squares.iter().map(|v| (v - mean).powi(2)).sum::<f64>()).sqrt() / 4000.0;
        assert!((mean - 1.0 / 12.0).abs() < 5.0 * error, "{mean} ± {error}");
        // 500 of each expected, with a standard deviation below 22.
        assert!(signs.iter().flatten().all(|&n| (390..610).contains(&n)), "{signs:?}");
    }
}
