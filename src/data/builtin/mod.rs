//! Built-in data sets: drawn from known distributions, or embedded samples of real ones.
//!
//! To add one: a file with a [`Builtin`] named `SET`, and its line in [`ALL`].

mod arc;
mod checkerboard;
mod circles;
mod draw;
mod eight_gaussians;
mod embedded;
mod frame;
mod gaussian;
mod interval;
mod mobius_band;
mod parameters;
mod pinwheel;
mod s_curve;
mod sphere;
mod spirals;
mod subspace;
mod swiss_roll;
mod truth;
mod two_moons;

pub use checkerboard::{checkerboard_entropy, checkerboard_log_density};
pub use circles::{circles_entropy, circles_log_density};
pub use eight_gaussians::{eight_gaussians_entropy, eight_gaussians_log_density};
pub use gaussian::{gaussian_covariance, gaussian_entropy};
pub use parameters::{Kind, Parameter, Parameters, Value};
pub use pinwheel::{pinwheel_entropy, pinwheel_log_density};
pub use s_curve::{s_curve_entropy, s_curve_log_densities, s_curve_log_density};
pub use spirals::{Spirals, spirals_entropy, spirals_log_density};
pub use two_moons::{two_moons_entropy, two_moons_log_density};

use super::{Error, Table};

/// A built-in data set.
#[derive(Debug)]
pub struct Builtin {
    /// Its name, after `builtin:`.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub summary: &'static str,
    /// Where it comes from and under which licence, for embedded real data.
    pub licence: Option<&'static str>,
    /// The parameters it takes.
    pub parameters: &'static [Parameter],
    dimension: fn(&Parameters) -> usize,
    intrinsic: fn(&Parameters) -> Option<usize>,
    entropy: fn(&Parameters) -> Option<f64>,
    make: fn(&Parameters) -> Result<Table, Error>,
}

/// Every built-in set.
pub static ALL: &[&Builtin] = &[
    &s_curve::SET,
    &swiss_roll::SET,
    &two_moons::SET,
    &circles::SET,
    &pinwheel::SET,
    &spirals::SET,
    &checkerboard::SET,
    &eight_gaussians::SET,
    &gaussian::SET,
    &sphere::SET,
    &mobius_band::SET,
    &subspace::SET,
    &embedded::MAGIC,
    &embedded::DIGITS,
];

/// The set of this name.
///
/// # Errors
/// A name that is not in [`ALL`]; the error lists those that are.
pub fn find(name: &str) -> Result<&'static Builtin, Error> {
    ALL.iter().copied().find(|set| set.name == name).ok_or_else(|| Error::NoBuiltin {
        name: name.into(),
        known: ALL.iter().map(|set| set.name).collect(),
    })
}

impl Builtin {
    /// Number of columns.
    pub fn dimension(&self, parameters: &Parameters) -> usize {
        (self.dimension)(parameters)
    }

    /// Dimension of what the noise is added to, where known.
    pub fn intrinsic_dimension(&self, parameters: &Parameters) -> Option<usize> {
        (self.intrinsic)(parameters)
    }

    /// Differential entropy of a row in nats, where known: the least cross-entropy that any model can
    /// have.
    pub fn entropy(&self, parameters: &Parameters) -> Option<f64> {
        (self.entropy)(parameters)
    }

    /// The data. Row `k` of a drawn set depends on the seed and on `k`, not on the number of rows.
    ///
    /// # Errors
    /// More rows than memory holds.
    pub fn make(&self, parameters: &Parameters) -> Result<Table, Error> {
        (self.make)(parameters)
    }
}

/// One set as a list of them shows it, parameters at their defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub summary: &'static str,
    /// Parameters as `name=default`, with their meaning.
    pub parameters: Vec<(String, &'static str)>,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub dimension: usize,
    /// Intrinsic dimension, where known.
    pub intrinsic_dimension: Option<usize>,
    /// Entropy in nats, where known.
    pub entropy: Option<f64>,
    /// Origin and licence of embedded data.
    pub licence: Option<&'static str>,
}

/// What there is: the content of `eigenflow data --list`. Costs some tenths of a second, for
/// entropies by quadrature.
pub fn list() -> Vec<Listing> {
    let listing = |set: &&'static Builtin| {
        let defaults = set.defaults();
        Listing {
            name: set.name,
            summary: set.summary,
            parameters: set
                .parameters
                .iter()
                .map(|p| (format!("{}={}", p.name, p.default), p.meaning))
                .collect(),
            rows: defaults.count("n"),
            dimension: set.dimension(&defaults),
            intrinsic_dimension: set.intrinsic_dimension(&defaults),
            entropy: set.entropy(&defaults),
            licence: set.licence,
        }
    };
    ALL.iter().map(listing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The laws of every set: shape as declared, finite, the same for the same seed, another for
    /// another, and rows that do not depend on how many are drawn.
    #[test]
    fn every_set_keeps_the_laws() {
        for set in ALL {
            let make = |n: &str, seed: &str| {
                let parameters = set.parameters_from([("n", n), ("seed", seed)]).unwrap();
                (set.make(&parameters).unwrap(), parameters)
            };
            let (table, parameters) = make("1500", "1");
            assert_eq!(table.values.shape(), (1500, set.dimension(&parameters)), "{}", set.name);
            table.check_finite().unwrap();
            assert_eq!(table, make("1500", "1").0, "{}", set.name);
            assert_ne!(table.values, make("1500", "2").0.values, "{}", set.name);
            let few = make("100", "1").0;
            if set.licence.is_none() {
                assert_eq!(
                    few.values.data(),
                    &table.values.data()[..few.values.data().len()],
                    "{}",
                    set.name
                );
            } else {
                let all: Vec<&[f64]> = (0..1500).map(|i| table.values.row(i)).collect();
                assert!((0..100).all(|i| all.contains(&few.values.row(i))), "{}", set.name);
            }
        }
    }

    #[test]
    fn the_list_tells_what_is_known() {
        let list = list();
        assert_eq!(list.len(), ALL.len());
        let of = |name| list.iter().find(|listing| listing.name == name).unwrap();
        assert_eq!((of("s-curve").dimension, of("s-curve").intrinsic_dimension), (3, Some(2)));
        assert!((of("s-curve").entropy.unwrap() - 1.6644).abs() < 1e-4);
        assert_eq!(of("s-curve").parameters[0].0, "n=20000");
        let known = |name| (of(name).dimension, of(name).intrinsic_dimension, of(name).entropy.is_some());
        assert_eq!(known("sphere"), (3, Some(2), true));
        assert_eq!(known("mobius-band"), (3, Some(2), false));
        assert_eq!(known("subspace"), (20, Some(3), true));
        assert_eq!((of("magic").rows, of("magic").dimension, of("magic").entropy), (5000, 10, None));
        assert_eq!((of("digits").rows, of("digits").dimension), (1797, 64));
        assert!(of("digits").licence.unwrap().contains("CC BY 4.0"));
    }
}
