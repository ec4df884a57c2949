//! Lists of numbers that begin at a cache line, so that no vector of them lies on two.

use crate::Real;
use std::ops::{Deref, DerefMut};

/// A cache line, and the widest vector.
const LINE: usize = 64;

/// A list of numbers that begins at a multiple of 64 bytes; otherwise as a slice.
///
/// A vector of 512 bits that lies on two cache lines is read and written by halves: products of 64 by 64 numbers take 7 to 15 % longer from lists that
/// begin elsewhere, as those of the system's allocator do (measured in turn, `docs/PERFORMANCE.md`).
///
/// ```
/// use eigenflow_linalg::Aligned;
/// let mut list = Aligned::<f32>::zeros(3);
/// list[2] = 1.0;
/// assert_eq!(list[..], [0.0, 0.0, 1.0]);
/// assert_eq!(list.as_ptr().align_offset(64), 0);
/// ```
#[derive(Debug, Default)]
pub struct Aligned<T> {
    memory: Vec<T>,
    first: usize,
    len: usize,
}

impl<T: Real> Aligned<T> {
    /// `len` zeros; none take no memory.
    pub fn zeros(len: usize) -> Self {
        if len == 0 {
            return Self { memory: Vec::new(), first: 0, len };
        }
        let spare = LINE / size_of::<T>() - 1;
        let memory = vec![T::ZERO; len + spare];
        let first = memory.as_ptr().align_offset(LINE).min(spare);
        Self { memory, first, len }
    }

    /// Makes it `len` numbers long, of any content; in the same memory if that is large enough.
    pub fn resize(&mut self, len: usize) {
        if self.first + len <= self.memory.len() {
            self.len = len;
        } else {
            *self = Self::zeros(len);
        }
    }
}

impl<T: Real> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        let mut list = Self::zeros(self.len);
        list.copy_from_slice(self);
        list
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.memory[self.first..][..self.len]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.memory[self.first..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Real>() {
        // Several at a time: they do not all begin where the allocator is aligned by chance.
        let lists: Vec<Aligned<T>> = (0..70).map(Aligned::zeros).collect();
        for (len, list) in lists.iter().enumerate() {
            assert_eq!(list.len(), len);
            assert!(list.iter().all(|&x| x == T::ZERO));
            assert!(len == 0 || list.as_ptr().align_offset(LINE) == 0, "{len}");
            let mut copy = list.clone();
            copy.iter_mut().for_each(|x| *x = T::ONE);
            assert!(len == 0 || copy.as_ptr().align_offset(LINE) == 0, "{len}");
            assert!(list.iter().all(|&x| x == T::ZERO) && copy.iter().all(|&x| x == T::ONE));
        }
        let mut list = Aligned::<T>::default();
        assert!(list.is_empty());
        list.resize(100);
        let memory = list.as_ptr();
        for len in [3, 0, 100] {
            list.resize(len);
            assert_eq!((list.len(), list.as_ptr()), (len, memory), "what fits stays where it is");
        }
        list.resize(1000);
        assert_eq!((list.len(), list.as_ptr().align_offset(LINE)), (1000, 0));
    }

    #[test]
    fn lists_begin_at_a_cache_line() {
        check::<f32>();
        check::<f64>();
    }
}
