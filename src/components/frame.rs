//! A local frame, and how it is continued from one point to the next.

use super::assignment::assignment;
use eigenflow_linalg::svd::svd;
use eigenflow_linalg::{Error, Matrix};

/// The local axes of a point with their standard deviations.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Axes in data space, one a column, orthonormal.
    pub axes: Matrix<f64>,
    /// Local standard deviations along them.
    pub scales: Vec<f64>,
}

/// A frame in the order and the signs of another one.
#[derive(Clone, Debug)]
pub struct Continued {
    /// The frame.
    pub frame: Frame,
    /// The least cosine between an axis and the one it continues (of a cluster, the least singular value): 1 where nothing
    /// turned.
    pub overlap: f64,
}

/// An overlap above this singles out its axis: two orthogonal axes cannot both have it with a third.
const CLEAR: f64 = std::f64::consts::FRAC_1_SQRT_2;

impl Frame {
    /// The axes of `self` in the order and the signs in which they continue those of `before`.
    ///
    /// Axes whose scales differ by less than `gap`, relatively, are a *cluster*: of it only the span is defined, and its basis is
    /// the one nearest to the axes that it continues (orthogonal Procrustes: the polar factor of `V_cᵀ V_before`). Axes and
    /// clusters are matched by the assignment of largest summed squared projections; signs make overlaps positive.
    /// Cost: one `D × D` product, `O(D³)` where axes turned by more than 45°.
    ///
    /// # Errors
    /// If an entry is not finite.
    ///
    /// ```
    /// use eigenflow::components::Frame;
    /// use eigenflow_linalg::Matrix;
    /// let before = Frame { axes: Matrix::identity(2), scales: vec![2.0, 1.9] };
    /// // The scales have crossed, and an axis came out with the other sign.
    /// let after = Frame { axes: Matrix::new(2, 2, vec![0.0, 1.0, -1.0, 0.0]), scales: vec![2.0, 1.9] };
    /// let c = after.continuing(&before, 1e-8).unwrap();
    /// assert_eq!((c.frame.axes, c.frame.scales, c.overlap), (Matrix::identity(2), vec![1.9, 2.0], 1.0));
    /// ```
    pub fn continuing(&self, before: &Self, gap: f64) -> Result<Continued, Error> {
        let d = self.scales.len();
        // [i, k]: own axis i against the k-th before.
        let cosines = self.axes.transpose().mul(&before.axes);
        cosines.check_finite("continuing a frame")?;
        let clusters = self.clusters(gap);
        let own = match matched(&cosines, &clusters) {
            Some(own) => own,
            None => by_assignment(&cosines, &clusters),
        };
        let mut frame = Self { axes: Matrix::zeros(d, d), scales: vec![0.0; d] };
        let mut overlap = 1.0_f64;
        for cluster in &clusters {
            let places: Vec<usize> = (0..d).filter(|&k| cluster.contains(&own[k])).collect();
            if let [k] = places[..] {
                let i = own[k];
                let sign = if cosines[(i, k)] < 0.0 { -1.0 } else { 1.0 };
                (0..d).for_each(|r| frame.axes[(r, k)] = sign * self.axes[(r, i)]);
                frame.scales[k] = self.scales[i];
                overlap = overlap.min(cosines[(i, k)].abs());
                continue;
            }
            let first = cluster.start;
            let block = Matrix::from_fn(places.len(), places.len(), |i, j| cosines[(first + i, places[j])]);
            let f = svd(&block)?;
            let turn = f.u.mul(&f.v.transpose());
            overlap = overlap.min(f.s.last().copied().unwrap_or(1.0));
            for (j, &k) in places.iter().enumerate() {
                for r in 0..d {
                    frame.axes[(r, k)] =
                        (0..places.len()).map(|i| self.axes[(r, first + i)] * turn[(i, j)]).sum();
                }
                frame.scales[k] = self.scales[own[k]];
            }
        }
        Ok(Continued { frame, overlap: overlap.min(1.0) })
    }

    /// Runs of axes, in the order of their scales, whose neighbours differ by less than `gap`, relatively.
    fn clusters(&self, gap: f64) -> Vec<std::ops::Range<usize>> {
        let mut out: Vec<std::ops::Range<usize>> = Vec::new();
        for i in 0..self.scales.len() {
            match out.last_mut() {
                Some(last) if (self.scales[i - 1] - self.scales[i]).abs() <= gap * self.scales[i - 1] => {
                    last.end = i + 1;
                }
                _ => out.push(i..i + 1),
            }
        }
        out
    }
}

/// For each axis before its own axis, where each has one beyond doubt and no two share a cluster of one.
fn matched(cosines: &Matrix<f64>, clusters: &[std::ops::Range<usize>]) -> Option<Vec<usize>> {
    let d = cosines.rows();
    if clusters.len() < d {
        return None;
    }
    let clear = |k: usize| (0..d).find(|&i| cosines[(i, k)].abs() > CLEAR);
    (0..d).map(clear).collect()
}

/// The same by the best assignment: an axis before weighs with each own axis of a cluster its squared projection on the
/// whole cluster, which does not depend on the cluster's basis.
fn by_assignment(cosines: &Matrix<f64>, clusters: &[std::ops::Range<usize>]) -> Vec<usize> {
    let d = cosines.rows();
    let mut weights = Matrix::zeros(d, d);
    for cluster in clusters {
        for k in 0..d {
            let on: f64 = cluster.clone().map(|i| cosines[(i, k)].powi(2)).sum();
            cluster.clone().for_each(|i| weights[(k, i)] = on);
        }
    }
    assignment(&weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::generator;
    use eigenflow_linalg::qr::qr;
    use rand::RngExt;

    fn rotation(d: usize, seed: u64) -> Matrix<f64> {
        let mut random = generator(seed, "rotation", 0);
        qr(&Matrix::from_fn(d, d, |_, _| random.random_range(-1.0..1.0))).unwrap().q
    }

    /// Whatever order, signs and basis of clusters a decomposition gives, the frame before comes back.
    #[test]
    fn frames_come_back() {
        for seed in 0..30 {
            let d = 5;
            let before = Frame { axes: rotation(d, seed), scales: vec![3.0, 2.0, 2.0, 2.0, 1.0] };
            // The cluster in another basis, the two others with their signs turned and swapped in place of order.
            let turn = rotation(3, seed + 100);
            let mut after = before.clone();
            for r in 0..d {
                after.axes[(r, 0)] = -before.axes[(r, 4)];
                after.axes[(r, 4)] = before.axes[(r, 0)];
                for j in 0..3 {
                    after.axes[(r, 1 + j)] = (0..3).map(|i| before.axes[(r, 1 + i)] * turn[(i, j)]).sum();
                }
            }
            let c = after.continuing(&before, 1e-8).unwrap();
            let off = c.frame.axes.data().iter().zip(before.axes.data()).map(|(a, b)| (a - b).abs());
            assert!(off.fold(0.0, f64::max) < 1e-13 && c.overlap > 1.0 - 1e-13, "{c:?}");
            assert_eq!(c.frame.scales, [1.0, 2.0, 2.0, 2.0, 3.0]);
        }
    }

    /// Small turns are followed, and how far they go is said.
    #[test]
    fn turns_are_measured() {
        let (sin, cos) = 0.5_f64.sin_cos();
        let before = Frame { axes: Matrix::identity(2), scales: vec![2.0, 1.0] };
        let after = Frame { axes: Matrix::new(2, 2, vec![-cos, -sin, -sin, cos]), scales: vec![2.0, 1.0] };
        let c = after.continuing(&before, 1e-8).unwrap();
        assert!((c.overlap - cos).abs() < 1e-15);
        assert_eq!(c.frame.axes.data(), [cos, -sin, sin, cos]);
        let broken = Frame { axes: Matrix::new(1, 1, vec![f64::NAN]), scales: vec![1.0] };
        assert!(broken.continuing(&broken, 0.1).is_err());
    }
}
