//! The eigenproblem of a diagonal matrix and one of rank one, `D + ρ z zᵀ`, its roots side by side in the lanes of a vector.
//!
//! The eigenvalues are the roots of the secular equation `1/ρ + Σ z_i² / (d_i - λ) = 0`, one between each two poles. A root is
//! kept as the nearer pole and its distance from it, so that every `d_i - λ` is known to a few units in its own last place. Vectors
//! belong to the `z` that has these roots exactly, which differs from the given one by rounding only: they are orthogonal however
//! near roots are (M. Gu and S. C. Eisenstat, A divide-and-conquer algorithm for the symmetric tridiagonal eigenproblem, SIAM J.
//! Matrix Anal. Appl. 16 (1995)). Steps are those of the middle way (R.-C. Li, Solving secular equations stably and efficiently,
//! LAPACK Working Note 89 (1993)) within a bracket.

use crate::Real;
use crate::small::{Lanes, MOST_LANES, Mask, Pack};
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};

/// The middle way takes some five steps; then every other one halves the bracket.
const STEPS: usize = 200;
const SURE_STEPS: usize = 12;

/// `D + ρ z zᵀ` with `ρ > 0`, poles `d` strictly ascending and no `z_i` zero.
#[derive(Debug, Default)]
pub(super) struct Secular<T> {
    pub poles: Vec<T>,
    pub z: Vec<T>,
    pub rho: T,
    /// `z_i²`.
    weights: Vec<T>,
    /// Root `j` is `origin[j] + offset[j]`, for as many `j` as there are poles; then come copies of the last one.
    origin: Vec<T>,
    offset: Vec<T>,
    /// One over the length of each vector.
    scale: Vec<T>,
}

impl<T: Real> Secular<T> {
    /// Finds all roots; whether that came to an end.
    pub(super) fn solve(&mut self) -> bool {
        let room = self.poles.len() + MOST_LANES;
        self.weights.clear();
        self.weights.extend(self.z.iter().map(|&z| z * z));
        for buffer in [&mut self.origin, &mut self.offset, &mut self.scale] {
            buffer.clear();
            buffer.resize(room, T::ZERO);
        }
        Arch::new().dispatch(Roots(self)) && {
            Arch::new().dispatch(Adjust(self));
            true
        }
    }

    /// The roots, ascending.
    pub(super) fn roots(&self) -> impl Iterator<Item = T> {
        self.origin.iter().zip(&self.offset).map(|(&o, &m)| o + m).take(self.poles.len())
    }

    /// Orthonormal vectors, one a column, in lines of `stride` numbers: that of pole `rows[i]` is line `i`.
    /// `stride` is at least the number of poles, rounded up to [`MOST_LANES`].
    pub(super) fn vectors(&mut self, rows: &[usize], to: &mut [T], stride: usize) {
        Arch::new().dispatch(Vectors { of: self, rows, to, stride });
    }
}

struct Roots<'a, T>(&'a mut Secular<T>);

impl<T: Real> WithSimd for Roots<'_, T> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        let c = T::wide(simd);
        let of = self.0;
        let lanes = <T::Wide<S> as Lanes>::COUNT;
        let mut first = 0;
        while first < of.poles.len() {
            let Some((origin, offset)) = of.group(c, first) else { return false };
            for lane in 0..lanes {
                of.origin[first + lane] = origin.get(lane);
                of.offset[first + lane] = offset.get(lane);
            }
            first += lanes;
        }
        for i in first..of.origin.len() {
            (of.origin[i], of.offset[i]) = (of.origin[first - 1], of.offset[first - 1]);
        }
        true
    }
}

/// The sums over the poles left of a root (`psi`) and right of it (`phi`), and their derivatives.
struct Sums<C: Lanes> {
    psi: Pack<C>,
    psi_slope: Pack<C>,
    phi: Pack<C>,
    phi_slope: Pack<C>,
    /// What rounding can do to them, in units of eps.
    rounding: Pack<C>,
}

impl<C: Lanes> Sums<C> {
    /// `w = 1/ρ + ψ + φ`, its slope, and what rounding can do to it.
    #[inline(always)]
    fn total(&self, inverse_rho: Pack<C>, offset: Pack<C>, c: C) -> (Pack<C>, Pack<C>, Pack<C>) {
        let slope = self.psi_slope + self.phi_slope;
        let size = (self.phi - self.psi).mul_add(Pack::of(c, 8.0), inverse_rho + inverse_rho);
        let rounding = offset.abs().mul_add(slope, size + self.rounding);
        (inverse_rho + self.psi + self.phi, slope, rounding)
    }
}

impl<T: Real> Secular<T> {
    /// The roots from number `first` on, one a lane; lanes without one get the last.
    #[inline(always)]
    fn group<C: Lanes<T = T>>(&self, c: C, first: usize) -> Option<(Pack<C>, Pack<C>)> {
        let last = self.poles.len() - 1;
        let zero = Pack::zero(c);
        let (mut index, mut left, mut right, mut gap) = (zero, zero, zero, zero);
        let (mut left_weight, mut right_weight) = (zero, zero);
        // The last root has no pole to its right, but lies within `ρ ‖z‖²`.
        let beyond = self.rho * self.weights.iter().copied().sum::<T>();
        for lane in 0..C::COUNT {
            let j = (first + lane).min(last);
            index.set(lane, T::of(j as f64));
            left.set(lane, self.poles[j]);
            left_weight.set(lane, self.weights[j]);
            // Of its own: the sum may have lost the digits of `beyond`.
            gap.set(lane, if j < last { self.poles[j + 1] - self.poles[j] } else { beyond });
            right.set(lane, if j < last { self.poles[j + 1] } else { self.poles[j] + beyond });
            right_weight.set(lane, if j < last { self.weights[j + 1] } else { T::ZERO });
        }
        let (two, half) = (Pack::of(c, 2.0), Pack::of(c, 0.5));
        let inverse_rho = Pack::splat(c, T::ONE / self.rho);
        let middle = gap * half;

        // Which half it is in, from the value in the middle; then the root of the two nearest poles, all others held.
        let (w, ..) = self.sums(c, first, index, left, middle).total(inverse_rho, middle, c);
        let from_right = w.lt(zero) & index.lt(Pack::of(c, last as f64));
        let origin = from_right.select(right, left);
        let mut low = from_right.select(-middle, w.lt(zero).select(middle, zero));
        let mut high = from_right.select(zero, w.lt(zero).select(gap, middle));
        let sign = from_right.select(-Pack::one(c), Pack::one(c));
        let others = sign * (w + (left_weight - right_weight) / middle);
        let a = others.mul_add(gap, left_weight + right_weight);
        let b = from_right.select(right_weight, left_weight) * gap;
        let mut offset = within(sign * small_root(others, a, b, [zero, two]), low, high, half);

        let mut done = Mask::all_false(c);
        for step in 0..STEPS {
            let sums = self.sums(c, first, index, origin, offset);
            let (w, slope, rounding) = sums.total(inverse_rho, offset, c);
            done = done | w.abs().le(rounding * Pack::splat(c, T::EPS));
            let below = w.lt(zero);
            low = below.select(offset, low);
            high = below.select(high, offset);
            let (to_left, to_right) = ((left - origin) - offset, (right - origin) - offset);
            let both = to_left * to_right;
            let others = w.sub_mul(to_left, sums.psi_slope).sub_mul(to_right, sums.phi_slope);
            let a = ((to_left + to_right) * w).sub_mul(both, slope);
            let step_to = small_root(others, a, both * w, [zero, two]);
            // The wrong way: Newton's step then.
            let step_to = (step_to * w).lt(zero).select(step_to, -(w / slope));
            let halve = step >= SURE_STEPS && step % 2 == 0;
            let next = if halve { (low + high) * half } else { within(offset + step_to, low, high, half) };
            // No number is left between.
            done = done | (next.le(offset) & offset.le(next));
            if !(!done).any() {
                return Some((origin, offset));
            }
            offset = done.select(offset, next);
        }
        None
    }

    /// The sums at `origin + offset`; lane by lane, poles up to number `index` are left of it.
    #[inline(always)]
    fn sums<C: Lanes<T = T>>(
        &self,
        c: C,
        first: usize,
        index: Pack<C>,
        origin: Pack<C>,
        offset: Pack<C>,
    ) -> Sums<C> {
        let zero = Pack::zero(c);
        let (poles, weights) = (&self.poles[..], &self.weights[..self.poles.len()]);
        let near = first..(first + C::COUNT).min(poles.len());
        let (mut psi, mut psi_slope, mut phi, mut phi_slope) = (zero, zero, zero, zero);
        let (mut psi_partial, mut phi_partial) = (zero, zero);
        for (&pole, &weight) in poles[..near.start].iter().zip(&weights[..near.start]) {
            let (term, slope) = term(c, pole, weight, origin, offset);
            psi = psi + term;
            psi_slope = psi_slope + slope;
            psi_partial = psi_partial + psi;
        }
        for (&pole, &weight) in poles[near.end..].iter().zip(&weights[near.end..]).rev() {
            let (term, slope) = term(c, pole, weight, origin, offset);
            phi = phi + term;
            phi_slope = phi_slope + slope;
            phi_partial = phi_partial + phi;
        }
        // Left ones ascending, right ones descending, so that sums do not depend on the number of lanes.
        let mut terms = [(zero, zero, index.lt(zero)); MOST_LANES];
        for (i, at) in near.clone().zip(&mut terms) {
            let (term, slope) = term(c, poles[i], weights[i], origin, offset);
            let is_left = Pack::of(c, i as f64).le(index);
            psi = psi + is_left.select(term, zero);
            psi_slope = psi_slope + is_left.select(slope, zero);
            psi_partial = psi_partial + is_left.select(psi, zero);
            *at = (term, slope, is_left);
        }
        for (term, slope, is_left) in terms[..near.len()].iter().rev() {
            phi = phi + is_left.select(zero, *term);
            phi_slope = phi_slope + is_left.select(zero, *slope);
            phi_partial = phi_partial + is_left.select(zero, phi);
        }
        Sums { psi, psi_slope, phi, phi_slope, rounding: phi_partial - psi_partial }
    }
}

/// `z² / δ` and `z² / δ²` of one pole.
#[inline(always)]
fn term<C: Lanes>(c: C, pole: C::T, weight: C::T, origin: Pack<C>, offset: Pack<C>) -> (Pack<C>, Pack<C>) {
    let inverse = Pack::one(c) / ((Pack::splat(c, pole) - origin) - offset);
    let term = Pack::splat(c, weight) * inverse;
    (term, term * inverse)
}

/// The root of `c x² - a x + b` that is next to zero on the side of the interval between the two poles.
#[inline(always)]
fn small_root<C: Lanes>(c: Pack<C>, a: Pack<C>, b: Pack<C>, [zero, two]: [Pack<C>; 2]) -> Pack<C> {
    let root = (a * a).sub_mul(two * two * b, c).abs().sqrt();
    a.le(zero).select((a - root) / (two * c), two * b / (a + root))
}

/// A number strictly within bounds, or the middle between them.
#[inline(always)]
fn within<C: Lanes>(x: Pack<C>, low: Pack<C>, high: Pack<C>, half: Pack<C>) -> Pack<C> {
    (low.lt(x) & x.lt(high)).select(x, (low + high) * half)
}

/// The `z` that has the roots exactly, by Löwner's formula: `ẑ_i² = (λ_i - d_i) Π_{j≠i} (d_i - λ_j) / (d_i - d_j)`, up to a factor
/// that all have.
struct Adjust<'a, T>(&'a mut Secular<T>);

impl<T: Real> WithSimd for Adjust<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let c = T::wide(simd);
        let lanes = <T::Wide<S> as Lanes>::COUNT;
        let of = self.0;
        let count = of.poles.len();
        let (zero, minus) = (Pack::zero(c), -Pack::one(c));
        for first in (0..count).step_by(lanes) {
            let mut own = zero;
            for lane in 0..lanes {
                own.set(lane, of.poles[(first + lane).min(count - 1)]);
            }
            let mut square = Pack::one(c);
            for ((&pole, &origin), &offset) in of.poles.iter().zip(&of.origin).zip(&of.offset) {
                let over = (own - Pack::splat(c, origin)) - Pack::splat(c, offset);
                let under = own - Pack::splat(c, pole);
                let same = under.le(zero) & zero.le(under);
                square = square * (over / same.select(minus, under));
            }
            let size = square.abs().sqrt();
            for (lane, z) in of.z[first..].iter_mut().take(lanes).enumerate() {
                *z = if *z < T::ZERO { -size.get(lane) } else { size.get(lane) };
            }
        }
    }
}

struct Vectors<'a, T> {
    of: &'a mut Secular<T>,
    rows: &'a [usize],
    to: &'a mut [T],
    stride: usize,
}

impl<T: Real> WithSimd for Vectors<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, rows, to, stride } = self;
        scaled_lines(T::wide(simd), of, rows, to, stride);
    }
}

/// `ẑ_i / (d_i - λ_j)`, each column at length one.
#[inline(always)]
fn scaled_lines<C: Lanes>(c: C, of: &mut Secular<C::T>, rows: &[usize], to: &mut [C::T], stride: usize) {
    let width = of.poles.len().next_multiple_of(C::COUNT);
    let origin: &[C::V] = cast_slice(&of.origin[..width]);
    let offset: &[C::V] = cast_slice(&of.offset[..width]);
    let scale: &mut [C::V] = cast_slice_mut(&mut of.scale[..width]);
    for (&row, line) in rows.iter().zip(to.chunks_exact_mut(stride)) {
        let (pole, z) = (c.splat(of.poles[row]), c.splat(of.z[row]));
        let line: &mut [C::V] = cast_slice_mut(&mut line[..width]);
        for (((x, square), origin), offset) in line.iter_mut().zip(&mut *scale).zip(origin).zip(offset) {
            *x = c.div(z, c.sub(c.sub(pole, *origin), *offset));
            *square = c.mul_add(*x, *x, *square);
        }
    }
    for scale in &mut *scale {
        *scale = c.div(c.splat(C::T::ONE), c.sqrt(*scale));
    }
    for line in to.chunks_exact_mut(stride).take(rows.len()) {
        let line: &mut [C::V] = cast_slice_mut(&mut line[..width]);
        for (x, scale) in line.iter_mut().zip(&*scale) {
            *x = c.mul(*x, *scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementary::levels::Level;

    fn problem<T: Real>(count: usize) -> Secular<T> {
        let number = |i: usize| ((i * 7919 + 13) % 2003) as f64 / 2003.0;
        let poles = (0..count).map(|i| T::of(i as f64 + 0.9 * number(i))).collect();
        let z = (0..count)
            .map(|i| T::of(if i % 3 == 0 { -number(i) - 1e-3 } else { 1e-3 + number(i).powi(4) }))
            .collect();
        Secular { poles, z, rho: T::of(0.7), ..Secular::default() }
    }

    /// Roots and `z` by vectors of any width are the same to the last bit.
    fn levels_agree_on_roots<T: Real>(count: usize) {
        let by = |level: Option<Level>| {
            let mut of = problem::<T>(count);
            assert!(of.solve());
            if let Some(level) = level {
                let fresh = problem::<T>(count);
                of.z = fresh.z;
                assert!(level.run(Roots(&mut of)));
                level.run(Adjust(&mut of));
            }
            of.roots().chain(of.z.iter().copied()).map(T::f64).collect::<Vec<f64>>()
        };
        let best = by(None);
        for level in Level::vectors() {
            assert_eq!(by(Some(level)), best, "{count}: {level:?}");
        }
    }

    #[test]
    fn levels_agree() {
        for count in [1, 2, 5, 16, 17, 40] {
            levels_agree_on_roots::<f64>(count);
            levels_agree_on_roots::<f32>(count);
        }
    }

    /// By one instruction set: each root is between its poles, the vectors are orthonormal, and `(D + ρ z zᵀ) X = X diag(λ)`, up to
    /// `4 n eps`. That is a backward error `E`, which moves the trace by `√n ‖E‖_F` at most.
    fn decomposes<T: Real>(level: Level, count: usize) {
        let given = problem::<T>(count);
        let mut of = problem::<T>(count);
        assert!(of.solve());
        of.z.clone_from(&given.z);
        of.scale.fill(T::ZERO);
        assert!(level.run(Roots(&mut of)));
        level.run(Adjust(&mut of));
        let (rows, stride) = ((0..count).collect::<Vec<_>>(), count.next_multiple_of(MOST_LANES));
        let mut lines = vec![T::ZERO; count * stride];
        level.run(Vectors { of: &mut of, rows: &rows, to: &mut lines, stride });
        let numbers = |list: &[T]| list.iter().map(|x| x.f64()).collect::<Vec<f64>>();
        let (d, z, rho) = (numbers(&given.poles), numbers(&given.z), given.rho.f64());
        let roots: Vec<f64> = of.roots().map(T::f64).collect();
        let x = |i: usize, j: usize| lines[i * stride + j].f64();
        let trace = d.iter().sum::<f64>() + rho * z.iter().map(|z| z * z).sum::<f64>();
        let (mut residual, mut loss) = (0.0, 0.0);
        for j in 0..count {
            assert!(
                d[j] <= roots[j] && (j + 1 == count || roots[j] <= d[j + 1]),
                "{level:?}: root {j} of {count}"
            );
            let along: f64 = (0..count).map(|i| z[i] * x(i, j)).sum();
            for i in 0..count {
                residual += (d[i] * x(i, j) + rho * z[i] * along - roots[j] * x(i, j)).powi(2);
                let dot: f64 = (0..count).map(|k| x(k, i) * x(k, j)).sum();
                loss += (dot - f64::from(u8::from(i == j))).powi(2);
            }
        }
        let unit = 4.0 * count as f64 * T::EPS.f64();
        // All eigenvalues are positive, so the trace is no less than the norm.
        assert!(
            residual.sqrt() <= unit * trace,
            "{level:?}: {count}: residual {:e}",
            residual.sqrt() / trace
        );
        assert!(loss.sqrt() <= unit, "{level:?}: {count}: orthonormality {:e}", loss.sqrt());
        let sum: f64 = roots.iter().sum();
        assert!((sum - trace).abs() <= (count as f64).sqrt() * unit * trace, "{level:?}: {sum} for {trace}");
    }

    #[test]
    fn every_instruction_set_decomposes() {
        for level in Level::vectors().into_iter().chain([Level::Portable]) {
            for count in [1, 2, 3, 8, 9, 17, 70] {
                decomposes::<f64>(level, count);
                decomposes::<f32>(level, count);
            }
        }
    }

    /// `[[1, 1], [1, 3]] = diag(0, 2) + (1, 1)(1, 1)ᵀ` has the eigenvalues `2 ± √2`.
    #[test]
    fn two_poles_by_hand() {
        let mut of = Secular { poles: vec![0.0, 2.0], z: vec![1.0, 1.0], rho: 1.0, ..Secular::default() };
        assert!(of.solve());
        let roots: Vec<f64> = of.roots().collect();
        assert!(
            (roots[0] - (2.0 - 2_f64.sqrt())).abs() < 1e-15
                && (roots[1] - (2.0 + 2_f64.sqrt())).abs() < 1e-15
        );
        let mut lines = vec![0.0; 2 * MOST_LANES];
        of.vectors(&[1, 0], &mut lines, MOST_LANES);
        // Line of the second pole, then of the first: (1, 1 ± √2) without its length.
        assert!((lines[0] / lines[MOST_LANES] - (1.0 - 2_f64.sqrt())).abs() < 1e-14);
        assert!((lines[1] / lines[MOST_LANES + 1] - (1.0 + 2_f64.sqrt())).abs() < 1e-14);
    }
}
