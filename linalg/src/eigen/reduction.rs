//! `A = Q T Qᵀ` with a tridiagonal `T`, by reflections, and `Q U`.

use crate::Real;
use dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::evd::tridiag::{TridiagParams, tridiag_in_place, tridiag_in_place_scratch};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch as back_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj as back,
};
use faer::linalg::qr::no_pivoting::factor::recommended_block_size;
use faer::{Auto, Conj, MatMut, MatRef, Par};

/// Buffers for symmetric matrices of one size.
pub(super) struct Reduction<T> {
    n: usize,
    /// Reflections in one block.
    block: usize,
    /// Column-major; the reflections are left in it.
    a: Vec<T>,
    factors: Vec<T>,
    scratch: MemBuffer,
}

impl<T: Real> Reduction<T> {
    pub(super) fn new(n: usize) -> Self {
        let block = recommended_block_size::<T>(n, n);
        let scratch = MemBuffer::new(StackReq::any_of(&[
            tridiag_in_place_scratch::<T>(n, Par::Seq, params::<T>().into()),
            back_scratch::<T>(n - 1, block, n),
        ]));
        Self { n, block, a: vec![T::ZERO; n * n], factors: vec![T::ZERO; block * (n - 1)], scratch }
    }

    /// The diagonal and the subdiagonal of `T`, from a symmetric matrix of at least two rows.
    pub(super) fn run(&mut self, a: &[T], d: &mut [T], e: &mut [T]) {
        let n = self.n;
        self.a.copy_from_slice(a);
        tridiag_in_place(
            MatMut::from_column_major_slice_mut(&mut self.a, n, n),
            MatMut::from_column_major_slice_mut(&mut self.factors, self.block, n - 1),
            Par::Seq,
            MemStack::new(&mut self.scratch),
            params::<T>().into(),
        );
        for i in 0..n {
            d[i] = self.a[i * n + i];
            if i + 1 < n {
                e[i] = self.a[i * n + i + 1];
            }
        }
    }

    /// Room for `n²` numbers, at the cost of the reflections.
    pub(super) fn spare(&mut self) -> &mut [T] {
        &mut self.a
    }

    /// `U := Q U`, column-major, of the last matrix that was reduced.
    pub(super) fn back(&mut self, u: &mut [T]) {
        let n = self.n;
        back(
            MatRef::from_column_major_slice(&self.a, n, n).submatrix(1, 0, n - 1, n - 1),
            MatRef::from_column_major_slice(&self.factors, self.block, n - 1),
            Conj::No,
            MatMut::from_column_major_slice_mut(u, n, n).subrows_mut(1, n - 1),
            Par::Seq,
            MemStack::new(&mut self.scratch),
        );
    }
}

fn params<T: Real>() -> TridiagParams {
    <TridiagParams as Auto<T>>::auto()
}
