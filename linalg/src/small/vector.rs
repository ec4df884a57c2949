//! Numbers and truth values of several matrices, with operators.

use super::lanes::Lanes;
use crate::Real;
use pulp::bytemuck::{bytes_of, cast_slice, cast_slice_mut};
use std::ops::{Add, BitAnd, BitOr, Div, Mul, Neg, Not, Sub};

/// One number of each matrix.
#[derive(Clone, Copy)]
pub(crate) struct Pack<C: Lanes> {
    v: C::V,
    c: C,
}

/// One truth value of each matrix.
#[derive(Clone, Copy)]
pub(crate) struct Mask<C: Lanes> {
    m: C::M,
    c: C,
}

impl<C: Lanes> Pack<C> {
    /// The same number in every lane.
    #[inline(always)]
    pub(crate) fn splat(c: C, x: C::T) -> Self {
        Self { v: c.splat(x), c }
    }
    /// The same number, of whatever type, in every lane.
    #[inline(always)]
    pub(crate) fn of(c: C, x: f64) -> Self {
        Self::splat(c, C::T::of(x))
    }
    #[inline(always)]
    pub(crate) fn zero(c: C) -> Self {
        Self::splat(c, C::T::ZERO)
    }
    #[inline(always)]
    pub(crate) fn one(c: C) -> Self {
        Self::splat(c, C::T::ONE)
    }
    /// `self · a + b`.
    #[inline(always)]
    pub(crate) fn mul_add(self, a: Self, b: Self) -> Self {
        Self { v: self.c.mul_add(self.v, a.v, b.v), c: self.c }
    }
    /// `self − a · b`.
    #[inline(always)]
    pub(crate) fn sub_mul(self, a: Self, b: Self) -> Self {
        Self { v: self.c.sub_mul(a.v, b.v, self.v), c: self.c }
    }
    #[inline(always)]
    pub(crate) fn sqrt(self) -> Self {
        Self { v: self.c.sqrt(self.v), c: self.c }
    }
    #[inline(always)]
    pub(crate) fn max(self, other: Self) -> Self {
        Self { v: self.c.max(self.v, other.v), c: self.c }
    }
    #[inline(always)]
    pub(crate) fn abs(self) -> Self {
        self.max(-self)
    }
    #[inline(always)]
    pub(crate) fn lt(self, other: Self) -> Mask<C> {
        Mask { m: self.c.lt(self.v, other.v), c: self.c }
    }
    #[inline(always)]
    pub(crate) fn le(self, other: Self) -> Mask<C> {
        Mask { m: self.c.le(self.v, other.v), c: self.c }
    }
    /// The number of one matrix.
    #[inline(always)]
    pub(crate) fn get(&self, lane: usize) -> C::T {
        cast_slice::<C::V, C::T>(std::slice::from_ref(&self.v))[lane]
    }
    #[inline(always)]
    pub(crate) fn set(&mut self, lane: usize, x: C::T) {
        cast_slice_mut::<C::V, C::T>(std::slice::from_mut(&mut self.v))[lane] = x;
    }
}

impl<C: Lanes> Mask<C> {
    #[inline(always)]
    pub(crate) fn all_false(c: C) -> Self {
        let zero = Pack::zero(c);
        zero.lt(zero)
    }
    #[inline(always)]
    pub(crate) fn select(self, yes: Pack<C>, no: Pack<C>) -> Pack<C> {
        Pack { v: self.c.select(self.m, yes.v, no.v), c: self.c }
    }
    /// Whether it is true of some matrix.
    #[inline(always)]
    pub(crate) fn any(self) -> bool {
        bytes_of(&self.m).iter().fold(0, |any, byte| any | byte) != 0
    }
    /// Whether it is true of one matrix.
    #[inline(always)]
    pub(crate) fn get(self, lane: usize) -> bool {
        self.select(Pack::one(self.c), Pack::zero(self.c)).get(lane) != C::T::ZERO
    }
}

macro_rules! operator {
    ($of:ident, $trait:ident, $method:ident, $by:ident, $field:ident) => {
        impl<C: Lanes> $trait for $of<C> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, rhs: Self) -> Self {
                Self { $field: self.c.$by(self.$field, rhs.$field), c: self.c }
            }
        }
    };
}

operator!(Pack, Add, add, add, v);
operator!(Pack, Sub, sub, sub, v);
operator!(Pack, Mul, mul, mul, v);
operator!(Pack, Div, div, div, v);
operator!(Mask, BitAnd, bitand, and, m);
operator!(Mask, BitOr, bitor, or, m);

/// Zero has no sign here: `−0` is `+0`.
impl<C: Lanes> Neg for Pack<C> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Pack::zero(self.c) - self
    }
}

impl<C: Lanes> Not for Mask<C> {
    type Output = Self;
    #[inline(always)]
    fn not(self) -> Self {
        Self { m: self.c.not(self.m), c: self.c }
    }
}
