//! Diagonal tangents: moving between a diagonal and a block, and products with it.
//!
//! A diagonal tangent says that column `j` of a value moves only with seed `s_j`, at a rate
//! `v_j`. Its product with a matrix `W` is `block[t, :] = Σ_{j: s_j = t} v_j W[j, :]`: rows of `W`
//! scaled, with none of the zeros multiplied. The three products below are the partial
//! derivatives of one trilinear form `Σ_j v_j W[j, c] B[s_j, c]`, so they are closed under
//! differentiation.

use super::linear::Linear;
use super::single;
use crate::primitive::{Cotangents, Eval, Primitive, Shapes, Tangents, shape_error};
use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;
use smallvec::smallvec;
use std::ops::Range;
use std::sync::Arc;

/// Which seed moves each column, within a block of tangents.
#[derive(Clone, Debug)]
pub struct Seeds {
    of_column: Arc<[usize]>,
    tangents: usize,
}

impl Seeds {
    /// Seeds relative to a block that covers the range `block`.
    pub fn within(seeds: &[usize], block: Range<usize>) -> Self {
        Self { of_column: seeds.iter().map(|s| s - block.start).collect(), tangents: block.len() }
    }
}

/// The sum of two optional terms, as tangents.
fn sum<'t, T: Real>(
    r: &'t Recorder<T>,
    shape: Shape,
    a: Option<Var<'t, T>>,
    b: Option<Var<'t, T>>,
) -> Tangent<'t, T> {
    let one = |v: Option<Var<'t, T>>| v.map_or_else(|| Tangent::zero(shape.cols()), Tangent::dense);
    one(a).add(one(b), r, shape)
}

/// `out[n, s_j, j] = v[n, j]`, zero elsewhere.
#[derive(Clone, Debug)]
pub struct DiagonalToBlock(pub Seeds);

/// `out[n, j] = B[n, s_j, j]`: the transpose of [`DiagonalToBlock`].
#[derive(Clone, Debug)]
pub struct BlockToDiagonal(pub Seeds);

/// `out[n, t, :] = Σ_{j: s_j = t} v[n, j] W[j, :]`.
#[derive(Clone, Debug)]
pub struct RowScale(pub Seeds);

/// `out[n, j] = Σ_c B[n, s_j, c] W[j, c]`.
#[derive(Clone, Debug)]
pub struct RowDot(pub Seeds);

/// `out[j, c] = Σ_n v[n, j] B[n, s_j, c]`: a sum over rows.
#[derive(Clone, Debug)]
pub struct RowOuter(pub Seeds);

impl Linear for DiagonalToBlock {
    fn name(&self) -> &'static str {
        "diagonal_to_block"
    }

    fn is_on_blocks(&self) -> bool {
        true
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if inputs[0] != Shape::batch(self.0.of_column.len()) {
            return shape_error("diagonal_to_block", inputs, "one seed a column");
        }
        Ok(smallvec![inputs[0].with_tangents(self.0.tangents)])
    }

    fn eval<T: Real>(&self, cx: &mut Eval<'_, '_, T>) {
        let cols = self.0.of_column.len();
        cx.outputs[0].fill(T::ZERO);
        for n in 0..cx.rows {
            let y = &mut cx.outputs[0][n * cols * self.0.tangents..];
            for (j, &t) in self.0.of_column.iter().enumerate() {
                y[t * cols + j] = cx.inputs[0][n * cols + j];
            }
        }
    }

    fn pull<'t, T: Real>(&self, r: &'t Recorder<T>, _from: Shape, dy: Var<'t, T>) -> Var<'t, T> {
        r.apply(BlockToDiagonal(self.0.clone()), &[dy])
    }
}

impl Linear for BlockToDiagonal {
    fn name(&self) -> &'static str {
        "block_to_diagonal"
    }

    fn is_on_blocks(&self) -> bool {
        true
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if inputs[0] != Shape::block(self.0.tangents, self.0.of_column.len()) {
            return shape_error("block_to_diagonal", inputs, "one seed a column");
        }
        Ok(smallvec![inputs[0].with_tangents(1)])
    }

    fn eval<T: Real>(&self, cx: &mut Eval<'_, '_, T>) {
        let cols = self.0.of_column.len();
        for n in 0..cx.rows {
            let block = &cx.inputs[0][n * cols * self.0.tangents..];
            for (j, &t) in self.0.of_column.iter().enumerate() {
                cx.outputs[0][n * cols + j] = block[t * cols + j];
            }
        }
    }

    fn pull<'t, T: Real>(&self, r: &'t Recorder<T>, _from: Shape, dy: Var<'t, T>) -> Var<'t, T> {
        r.apply(DiagonalToBlock(self.0.clone()), &[dy])
    }
}

impl<T: Real> Primitive<T> for RowScale {
    fn name(&self) -> &'static str {
        "row_scale"
    }

    fn is_on_blocks(&self) -> bool {
        true
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        let k = self.0.of_column.len();
        match (inputs[0], inputs[1]) {
            (v, Shape::Shared { rows, cols }) if v == Shape::batch(k) && rows == k => {
                Ok(smallvec![Shape::block(self.0.tangents, cols)])
            }
            _ => shape_error("row_scale", inputs, "one row of the matrix a column of the diagonal"),
        }
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let (k, cols) = (self.0.of_column.len(), cx.input_shapes[1].cols());
        cx.outputs[0].fill(T::ZERO);
        for n in 0..cx.rows {
            let y = &mut cx.outputs[0][n * self.0.tangents * cols..];
            for (j, &t) in self.0.of_column.iter().enumerate() {
                let v = cx.inputs[0][n * k + j];
                let w = &cx.inputs[1][j * cols..(j + 1) * cols];
                y[t * cols..(t + 1) * cols].iter_mut().zip(w).for_each(|(y, &w)| *y += v * w);
            }
        }
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let a = single(r, x[0], &dx[0]).map(|dv| r.apply(self.clone(), &[dv, x[1]]));
        let b = single(r, x[1], &dx[1]).map(|dw| r.apply(self.clone(), &[x[0], dw]));
        Ok(smallvec![sum(r, y[0].shape(), a, b)])
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let Some(dy) = dy[0] else { return Ok(smallvec![None, None]) };
        Ok(smallvec![
            need[0].then(|| r.apply(RowDot(self.0.clone()), &[dy, x[1]])),
            need[1].then(|| r.apply(RowOuter(self.0.clone()), &[x[0], dy]))
        ])
    }
}

impl<T: Real> Primitive<T> for RowDot {
    fn name(&self) -> &'static str {
        "row_dot"
    }

    fn is_on_blocks(&self) -> bool {
        true
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        let k = self.0.of_column.len();
        let cols = inputs[0].cols();
        if inputs[0] != Shape::block(self.0.tangents, cols) || inputs[1] != Shape::shared(k, cols) {
            return shape_error("row_dot", inputs, "one row of the matrix a column of the diagonal");
        }
        Ok(smallvec![Shape::batch(k)])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let (k, cols) = (self.0.of_column.len(), cx.input_shapes[1].cols());
        for n in 0..cx.rows {
            let block = &cx.inputs[0][n * self.0.tangents * cols..];
            for (j, &t) in self.0.of_column.iter().enumerate() {
                let w = &cx.inputs[1][j * cols..(j + 1) * cols];
                let b = &block[t * cols..(t + 1) * cols];
                cx.outputs[0][n * k + j] = b.iter().zip(w).map(|(&b, &w)| b * w).sum();
            }
        }
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let a = single(r, x[0], &dx[0]).map(|db| r.apply(self.clone(), &[db, x[1]]));
        let b = single(r, x[1], &dx[1]).map(|dw| r.apply(self.clone(), &[x[0], dw]));
        Ok(smallvec![sum(r, y[0].shape(), a, b)])
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let Some(dy) = dy[0] else { return Ok(smallvec![None, None]) };
        Ok(smallvec![
            need[0].then(|| r.apply(RowScale(self.0.clone()), &[dy, x[1]])),
            need[1].then(|| r.apply(RowOuter(self.0.clone()), &[dy, x[0]]))
        ])
    }
}

impl<T: Real> Primitive<T> for RowOuter {
    fn name(&self) -> &'static str {
        "row_outer"
    }

    fn is_on_blocks(&self) -> bool {
        true
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        let k = self.0.of_column.len();
        let cols = inputs[1].cols();
        if inputs[0] != Shape::batch(k) || inputs[1] != Shape::block(self.0.tangents, cols) {
            return shape_error("row_outer", inputs, "one seed a column of the diagonal");
        }
        Ok(smallvec![Shape::shared(k, cols)])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let (k, cols) = (self.0.of_column.len(), cx.input_shapes[1].cols());
        for n in 0..cx.rows {
            let block = &cx.inputs[1][n * self.0.tangents * cols..];
            for (j, &t) in self.0.of_column.iter().enumerate() {
                let v = cx.inputs[0][n * k + j];
                let b = &block[t * cols..(t + 1) * cols];
                let y = &mut cx.outputs[0][j * cols..(j + 1) * cols];
                y.iter_mut().zip(b).for_each(|(y, &b)| *y += v * b);
            }
        }
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let a = single(r, x[0], &dx[0]).map(|dv| r.apply(self.clone(), &[dv, x[1]]));
        let b = single(r, x[1], &dx[1]).map(|db| r.apply(self.clone(), &[x[0], db]));
        Ok(smallvec![sum(r, y[0].shape(), a, b)])
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let Some(dy) = dy[0] else { return Ok(smallvec![None, None]) };
        Ok(smallvec![
            need[0].then(|| r.apply(RowDot(self.0.clone()), &[x[1], dy])),
            need[1].then(|| r.apply(RowScale(self.0.clone()), &[x[0], dy]))
        ])
    }
}
