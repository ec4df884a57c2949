//! Two moons: interleaved half circles in the plane.

use super::arc;
use super::draw::{names, normal, rows};
use super::{Builtin, Parameter, Parameters};
use crate::data::{Error, Table};
use rand::RngExt;
use std::f64::consts::PI;

pub(super) static SET: Builtin = Builtin {
    name: "two-moons",
    summary: "two half circles: (cos t, sin t) or (1 - cos t, 1/2 - sin t), t ~ U(0, pi), each for half the rows, + noise",
    licence: None,
    parameters: &[Parameter::rows(20_000, u32::MAX as u64), Parameter::noise(0.1), Parameter::seed()],
    dimension: |_| 2,
    intrinsic: |_| Some(1),
    entropy: |p| two_moons_entropy(p.real("noise")),
    make,
};

fn make(parameters: &Parameters) -> Result<Table, Error> {
    let noise = parameters.real("noise");
    rows("two-moons", parameters.count("n"), parameters.seed(), &names(&["x", "y"]), |generator, row| {
        let (upper, t) = (generator.random::<bool>(), PI * generator.random::<f64>());
        let (x, y) = if upper { (t.cos(), t.sin()) } else { (1.0 - t.cos(), 0.5 - t.sin()) };
        row[0] = x + noise * normal(generator);
        row[1] = y + noise * normal(generator);
    })
}

/// Log-density in nats of the two moons with isotropic noise, by quadrature over each half circle.
/// Returns NaN unless `noise` is positive and all numbers are finite.
pub fn two_moons_log_density([x, y]: [f64; 2], noise: f64) -> f64 {
    if !(noise > 0.0 && [x, y, noise].iter().all(|v| v.is_finite())) {
        return f64::NAN;
    }
    // The lower moon is the upper one turned by half a turn about (1/2, 1/4).
    let upper = |x, y| arc::log_density((x, y), noise, (0.0, PI), |_| 0.5 / PI);
    arc::log_add(upper(x, y), upper(1.0 - x, 0.5 - y))
}

/// Entropy in nats of the two moons with isotropic noise, by quadrature on a grid. `None` for noise
/// below 0.01, where the grid would be large.
pub fn two_moons_entropy(noise: f64) -> Option<f64> {
    let density = |x, y| two_moons_log_density([x, y], noise);
    arc::entropy_is_cheap(noise).then(|| arc::entropy(density, noise, [(-1.0, 2.0), (-0.5, 1.0)], 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean of `-ln p` over draws is the entropy: density, entropy and draws agree.
    #[test]
    fn draws_follow_the_density() {
        let n = 20_000;
        let parameters = SET.parameters_from([("n", "20000"), ("noise", "0.2")]).unwrap();
        let table = SET.make(&parameters).unwrap();
        let mean_of = |noise: f64| {
            let nll = |i| -two_moons_log_density([table.values[(i, 0)], table.values[(i, 1)]], noise);
            let nll: Vec<f64> = (0..n).map(nll).collect();
            let mean = nll.iter().sum::<f64>() / n as f64;
            (mean, (nll.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64 / n as f64).sqrt())
        };
        let ((mean, error), entropy) = (mean_of(0.2), two_moons_entropy(0.2).unwrap());
        assert!((mean - entropy).abs() < 4.0 * error, "{mean} ± {error}, entropy {entropy}");
        // Another noise is refuted: the check can fail.
        let (off, error) = mean_of(0.26);
        assert!(off - entropy > 4.0 * error, "{off} ± {error}");
    }
}
