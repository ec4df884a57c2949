//! Power: the smallest relative error of a Jacobian that a claim would notice.

use super::{Claim, Context, Verdict};
use crate::random::generator;
use eigenflow_linalg::{Batch, Matrix, Real};
use rand::RngExt;
use rand_distr::StandardNormal;

/// An error put on purpose into every Jacobian that a claim checks: `J + δ (‖J‖_F / ‖E‖_F) E` with a random `E`, the same for
/// all rows. `δ = 0` leaves every bit as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JacobianError {
    /// Relative size `δ`.
    pub size: f64,
    /// Seed of `E`.
    pub seed: u64,
}

impl JacobianError {
    /// No error.
    pub const NONE: Self = Self { size: 0.0, seed: 0 };

    /// The Jacobians with the error.
    ///
    /// ```
    /// use eigenflow::theory::power::JacobianError;
    /// use eigenflow_linalg::{Batch, Matrix, Real};
    /// let j = Batch::new(1, 2, 2, vec![3.0, 0.0, 0.0, 4.0]);
    /// let bad = JacobianError { size: 1e-3, seed: 1 }.apply(j.clone()).matrix(0);
    /// let off = Matrix::from_fn(2, 2, |i, k| bad[(i, k)] - j.get(0)[2 * i + k]);
    /// assert!((off.norm() - 5e-3).abs() < 1e-14);
    /// ```
    pub fn apply<T: Real>(&self, mut j: Batch<T>) -> Batch<T> {
        if self.size != 0.0 {
            let size = j.rows() * j.cols();
            let mut random = generator(self.seed, "jacobian-error", size as u64);
            let e: Vec<f64> = (0..size).map(|_| random.sample(StandardNormal)).collect();
            let own = e.iter().map(|e| e * e).sum::<f64>().sqrt();
            for m in j.data_mut().chunks_exact_mut(size.max(1)) {
                let norm = m.iter().map(|v| v.f64() * v.f64()).sum::<f64>().sqrt();
                let factor = self.size * norm / own;
                m.iter_mut().zip(&e).for_each(|(m, e)| *m += T::of(factor * e));
            }
        }
        j
    }

    /// One Jacobian with the error.
    pub fn apply_one(&self, j: Matrix<f64>) -> Matrix<f64> {
        let (rows, cols) = j.shape();
        if self.size == 0.0 {
            return j;
        }
        self.apply(Batch::new(1, rows, cols, j.into_data())).matrix(0)
    }
}

/// Relative errors that are tried: decades from `10⁰` down to this.
const DECADES: i32 = 14;

/// Errors of these decades are tried first: one of the size of `J` itself may leave nothing to decide (a singular Jacobian).
const FIRST: i32 = 3;

/// The smallest decade `10^-k` such that `claim` fails with a Jacobian error of that size; infinite if it notices none of 1 to 1e-3.
/// `None` if the claim does not check Jacobians, or does not hold here.
///
/// By bisection over decades, which takes what is noticed to be a half line: about six checks.
pub fn power(claim: &dyn Claim, cx: &Context<'_>) -> Option<f64> {
    let fails = |k: i32| {
        let error = JacobianError { size: 10_f64.powi(-k), seed: cx.seed };
        claim.check_broken(cx, &error).map(|o| o.verdict == Verdict::Fails)
    };
    if claim.check_broken(cx, &JacobianError::NONE)?.verdict != Verdict::Holds {
        return None;
    }
    let mut noticed = 0;
    while !fails(noticed)? {
        noticed += 1;
        if noticed > FIRST {
            return Some(f64::INFINITY);
        }
    }
    let mut unseen = DECADES + 1;
    while unseen - noticed > 1 {
        let middle = noticed.midpoint(unseen);
        if fails(middle)? { noticed = middle } else { unseen = middle }
    }
    Some(10_f64.powi(-noticed))
}
