//! Components of neighbouring rows made to agree: signs alone, or signs, order and bases of clusters.

use super::frame::Frame;
use super::{Components, Synchronised, agreement, mrf_signs, nearest_neighbours, synchronise};
use crate::flow::Error;
use eigenflow_linalg::{Matrix, Real};
use rayon::prelude::*;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// How signs are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combing {
    /// By [`synchronise`].
    Synchronised,
    /// By [`mrf_signs`] from this seed.
    Mrf(u64),
}

/// What [`Components::transport`] came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Transported {
    /// Share of pairs of neighbours of which an axis turns by more than 37° against that of the same number, before and after.
    pub disagreeing: [f64; 2],
    /// Rows whose components are no longer in the order of their scales.
    pub reordered: usize,
    /// Connected components of the graph of neighbours.
    pub pieces: usize,
}

/// Cosine of the largest turn between neighbours that counts as agreement.
const AGREES: f64 = 0.8;

impl<T: Real> Components<T> {
    /// `A_ij = <v_i, v_j>` of the axes of component `k` at the given pairs of rows.
    pub fn agreements(&self, k: usize, pairs: &[(usize, usize)]) -> Vec<(usize, usize, f64)> {
        pairs.iter().map(|&(i, j)| (i, j, self.cosine(k, i, j))).collect()
    }

    /// The cosine between the axes of component `k` at two rows.
    fn cosine(&self, k: usize, i: usize, j: usize) -> f64 {
        let (d, top) = (self.axes.rows(), self.axes.cols());
        let (a, b) = (self.axes.get(i), self.axes.get(j));
        (0..d).map(|r| a[r * top + k].f64() * b[r * top + k].f64()).sum()
    }

    /// Gives the axes, and with them the values, the signs in which neighbouring rows agree best: those of [`synchronise`] on the graph
    /// of the `neighbours` nearest rows of `x`, the rows that these components are of. What it reached for each component is returned.
    ///
    /// Unlike everything else, an aligned sign depends on the other rows: that is what it is for.
    ///
    /// # Errors
    /// If an entry of `x` or of an axis is not finite.
    pub fn align(&mut self, x: &Matrix<T>, neighbours: usize) -> Result<Vec<Synchronised>, Error> {
        self.comb(x, neighbours, Combing::Synchronised)
    }

    /// [`Components::align`] by the method asked for. The result's bound is that of [`synchronise`] either way.
    ///
    /// # Errors
    /// As [`Components::align`].
    pub fn comb(
        &mut self,
        x: &Matrix<T>,
        neighbours: usize,
        method: Combing,
    ) -> Result<Vec<Synchronised>, Error> {
        let (d, top) = (self.axes.rows(), self.axes.cols());
        let pairs = nearest_neighbours(&x.cast(), neighbours)?;
        let mut all = Vec::new();
        for k in 0..top {
            let edges = self.agreements(k, &pairs);
            let mut found = synchronise(x.rows(), &edges)?;
            if let Combing::Mrf(seed) = method {
                found.signs = mrf_signs(x.rows(), &edges, seed);
                (found.objective, found.frustrated) = agreement(&found.signs, &edges);
            }
            for (row, sign) in found.signs.iter().enumerate().filter(|(_, s)| **s < 0.0) {
                let sign = T::of(*sign);
                self.values[(row, k)] *= sign;
                for i in 0..d {
                    self.axes.data_mut()[(row * d + i) * top + k] *= sign;
                }
            }
            all.push(found);
        }
        Ok(all)
    }

    /// Gives every row the order, the signs and, where scales nearly coincide, the basis in which its axes continue those of a
    /// neighbour: where scales cross from row to row, axes keep their identity instead of their rank.
    ///
    /// Frames are carried from row to row ([`Frame::continuing`]) along the tree of neighbours that turns axes least (Prim's), from the
    /// row of the smallest displacement in each connected piece of the graph of the `neighbours` nearest rows. Axes whose
    /// scales differ by less than `gap`, relatively, are a cluster, aligned by orthogonal Procrustes; values turn with them, so their
    /// squared sum in the cluster stays. What cannot be reconciled around a loop of neighbours is left on its last edge.
    /// Needs all `D` components.
    ///
    /// # Errors
    /// If an entry of `x` or of an axis is not finite.
    ///
    /// # Panics
    /// If these are fewer than `D` components.
    pub fn transport(&mut self, x: &Matrix<T>, neighbours: usize, gap: f64) -> Result<Transported, Error> {
        let (n, d) = (x.rows(), self.axes.rows());
        assert_eq!(self.axes.cols(), d, "transport needs all components");
        let pairs = nearest_neighbours(&x.cast(), neighbours)?;
        let before = self.disagreeing(&pairs);
        let frames: Vec<Frame> = (0..n)
            .map(|row| Frame {
                axes: self.axes.matrix(row).cast(),
                scales: self.scales.row(row).iter().map(|s| s.f64()).collect(),
            })
            .collect();
        let turns = pairs
            .par_iter()
            .map(|&(i, j)| Ok(frames[j].continuing(&frames[i], gap)?.overlap))
            .collect::<Result<Vec<f64>, eigenflow_linalg::Error>>()?;
        let mut near: Vec<Vec<(usize, f64)>> = vec![Vec::new(); n];
        for (&(i, j), &turn) in pairs.iter().zip(&turns) {
            near[i].push((j, turn));
            near[j].push((i, turn));
        }
        let mut carried: Vec<Option<Frame>> = vec![None; n];
        let mut order: Vec<usize> = (0..n).collect();
        let size = |row: usize| self.values.row(row).iter().map(|v| v.f64().powi(2)).sum::<f64>();
        order.sort_by(|&a, &b| size(a).total_cmp(&size(b)).then(a.cmp(&b)));
        let mut pieces = 0;
        for root in order {
            if carried[root].is_some() {
                continue;
            }
            pieces += 1;
            carried[root] = Some(frames[root].clone());
            let mut waiting: BinaryHeap<Edge> = near[root].iter().map(|&(j, a)| Edge(a, root, j)).collect();
            while let Some(Edge(_, from, to)) = waiting.pop() {
                let (None, Some(parent)) = (&carried[to], &carried[from]) else { continue };
                carried[to] = Some(frames[to].continuing(parent, gap)?.frame);
                waiting.extend(near[to].iter().map(|&(j, a)| Edge(a, to, j)));
            }
        }
        let mut reordered = 0;
        for (row, frame) in carried.into_iter().enumerate() {
            let Some(frame) = frame else { continue };
            let own = &frames[row];
            let turn = frame.axes.transpose().mul(&own.axes);
            let values: Vec<T> = (0..d)
                .map(|k| T::of((0..d).map(|c| turn[(k, c)] * self.values[(row, c)].f64()).sum()))
                .collect();
            self.values.row_mut(row).copy_from_slice(&values);
            reordered += usize::from(frame.scales.windows(2).any(|s| s[0] < s[1]));
            for k in 0..d {
                self.scales[(row, k)] = T::of(frame.scales[k]);
                for i in 0..d {
                    self.axes.data_mut()[(row * d + i) * d + k] = T::of(frame.axes[(i, k)]);
                }
            }
        }
        Ok(Transported { disagreeing: [before, self.disagreeing(&pairs)], reordered, pieces })
    }

    /// Share of pairs of which an axis turns by more than 37°.
    fn disagreeing(&self, pairs: &[(usize, usize)]) -> f64 {
        let top = self.axes.cols();
        let apart = |&&(i, j): &&(usize, usize)| (0..top).any(|k| !(self.cosine(k, i, j).abs() >= AGREES));
        pairs.iter().filter(apart).count() as f64 / pairs.len().max(1) as f64
    }
}

/// An edge from a row that is reached to one that may not be, by how little axes turn; ties by rows, so that any order of
/// insertion gives the same tree.
#[derive(PartialEq)]
struct Edge(f64, usize, usize);

impl Eq for Edge {}

impl PartialOrd for Edge {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Edge {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0).then((other.1, other.2).cmp(&(self.1, self.2)))
    }
}
