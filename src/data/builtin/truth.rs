//! True densities of built-in sets.

use super::{
    Builtin, Parameters, Spirals, checkerboard_log_density, circles_log_density, eight_gaussians_log_density,
    pinwheel_log_density, s_curve_log_density, two_moons_log_density,
};
use eigenflow_linalg::Matrix;
use rayon::prelude::*;

/// A log-density of rows.
type Density = Box<dyn Fn(&[f64]) -> f64 + Send + Sync>;

/// In the plane, with noise as the one parameter.
fn planar(noise: f64, density: fn([f64; 2], f64) -> f64) -> Density {
    Box::new(move |x| density([x[0], x[1]], noise))
}

/// Sets whose density is known, and how it is computed.
fn density(name: &str, noise: f64) -> Option<Density> {
    Some(match name {
        "checkerboard" => planar(noise, checkerboard_log_density),
        "circles" => planar(noise, circles_log_density),
        "eight-gaussians" => planar(noise, eight_gaussians_log_density),
        "pinwheel" => planar(noise, pinwheel_log_density),
        "s-curve" => Box::new(move |x| s_curve_log_density([x[0], x[1], x[2]], noise)),
        "spirals" => {
            let spirals = Spirals::new(noise)?;
            Box::new(move |x| spirals.log_density([x[0], x[1]]))
        }
        "two-moons" => planar(noise, two_moons_log_density),
        _ => return None,
    })
}

impl Builtin {
    /// Log-density in nats of the set's own distribution at each row of `points`, in parallel: what no model can beat on
    /// average. `None` where it is not known, there is no noise (and so no density), or the columns are not the set's.
    ///
    /// ```
    /// use eigenflow::data::builtin::find;
    /// use eigenflow_linalg::Matrix;
    /// let board = find("checkerboard")?;
    /// let middle = Matrix::new(1, 2, vec![0.5, 0.5]);
    /// let log_p = board.log_densities(&board.defaults(), &middle).unwrap();
    /// assert!((log_p[0] + 8.0_f64.ln()).abs() < 1e-5);
    /// # Ok::<(), eigenflow::data::Error>(())
    /// ```
    pub fn log_densities(&self, parameters: &Parameters, points: &Matrix<f64>) -> Option<Vec<f64>> {
        let noise = parameters.real("noise");
        if !(noise > 0.0) || points.cols() != self.dimension(parameters) {
            return None;
        }
        let density = density(self.name, noise)?;
        Some(points.data().par_chunks_exact(points.cols()).map(density).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ALL, arc};
    use super::*;

    /// Every set with a known density: it integrates to one (in the plane; the trapezoid rule on a grid of a quarter of the noise),
    /// the mean of `-ln p` over draws is the entropy that the set states, and the density of another noise is refuted.
    #[test]
    fn densities_entropies_and_draws_agree() {
        let mut checked = 0;
        for set in ALL {
            let noise = set.defaults().real("noise");
            let Some(log_density) = density(set.name, noise) else { continue };
            checked += 1;
            let parameters = set.parameters_from([("n", "20000")]).unwrap();
            let draws = set.make(&parameters).unwrap().values;
            if set.dimension(&parameters) == 2 {
                let mass =
                    arc::integral(|x, y| log_density(&[x, y]).exp(), noise, [(-4.0, 4.0), (-4.0, 4.0)], 4.0);
                assert!((mass - 1.0).abs() < 1e-8, "{}: mass {mass}", set.name);
            }
            let mean = |given: &Parameters| {
                let log_p = set.log_densities(given, &draws).unwrap();
                let n = log_p.len() as f64;
                let mean = -log_p.iter().sum::<f64>() / n;
                (mean, (log_p.iter().map(|l| (l + mean).powi(2)).sum::<f64>() / n / n).sqrt())
            };
            let entropy = set.entropy(&parameters).unwrap();
            let (nll, error) = mean(&parameters);
            assert!((nll - entropy).abs() < 4.0 * error, "{}: {nll} ± {error}, entropy {entropy}", set.name);
            let other = (1.5 * noise).to_string();
            let (off, error) = mean(&set.parameters_from([("noise", other.as_str())]).unwrap());
            assert!(off - entropy > 4.0 * error, "{}: {off} ± {error}", set.name);
        }
        assert_eq!(checked, 7);
    }

    /// What has no density, or is asked for other columns, has none.
    #[test]
    fn what_is_not_known_is_none() {
        let points = Matrix::zeros(1, 2);
        let of = |name: &str, noise: &str| {
            let set = super::super::find(name).unwrap();
            set.log_densities(&set.parameters_from([("noise", noise)]).unwrap(), &points)
        };
        assert!(
            of("circles", "0").is_none()
                && of("s-curve", "0.1").is_none()
                && of("swiss-roll", "0.1").is_none()
        );
        assert!(of("circles", "0.1").unwrap()[0].is_finite());
    }
}
