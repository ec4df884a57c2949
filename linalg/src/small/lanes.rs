//! Vectors whose lanes belong to different matrices, and their arithmetic.
//!
//! A kernel is written once over [`Lanes`]. On [`Wide`] it works on as many matrices at a time as a vector
//! register has lanes, on [`Single`] on one. No operation mixes lanes and each rounds the same on both, so
//! the bits of a result depend on its matrix alone, not on the width or on the company in the register.

use crate::Real;
use crate::elementary::has_fma;
use crate::scalar::sealed::Sealed;
use pulp::Simd;
use pulp::bytemuck::{NoUninit, Pod};
use std::marker::PhantomData;

/// The instructions for one kind of vector; a value of it is the proof that the machine has them.
pub trait Lanes: Copy {
    /// Scalar of a lane.
    type T: Real;
    /// The vector.
    type V: Pod;
    /// A truth value a lane.
    type M: Copy + NoUninit;
    /// Number of lanes.
    const COUNT: usize;
    /// Whether [`Lanes::mul_add`] rounds once.
    const FUSED: bool;

    fn splat(self, x: Self::T) -> Self::V;
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a b + c`, rounded once where the machine can.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c − a b`, rounded once where the machine can.
    fn sub_mul(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    fn sqrt(self, a: Self::V) -> Self::V;
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    fn lt(self, a: Self::V, b: Self::V) -> Self::M;
    fn le(self, a: Self::V, b: Self::V) -> Self::M;
    fn and(self, a: Self::M, b: Self::M) -> Self::M;
    fn or(self, a: Self::M, b: Self::M) -> Self::M;
    fn not(self, a: Self::M) -> Self::M;
    fn select(self, m: Self::M, yes: Self::V, no: Self::V) -> Self::V;
    /// The sum of all lanes: of both halves, lane by lane, until one is left.
    fn sum(self, a: Self::V) -> Self::T;
}

/// The vectors of an instruction set.
#[derive(Clone, Copy)]
pub struct Wide<S, T>(S, PhantomData<T>);

impl<S: Simd, T: Sealed> Wide<S, T> {
    #[inline(always)]
    pub(crate) fn new(simd: S) -> Self {
        Self(simd, PhantomData)
    }
}

macro_rules! wide {
    ($t:ident, $v:ident, $m:ident, $count:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident, $div:ident,
     $mul_add:ident, $sub_mul:ident, $sqrt:ident, $max:ident, $lt:ident, $le:ident,
     $and:ident, $or:ident, $not:ident, $select:ident, $sum:ident) => {
        impl<S: Simd> Lanes for Wide<S, $t> {
            type T = $t;
            type V = S::$v;
            type M = S::$m;
            const COUNT: usize = S::$count;
            const FUSED: bool = has_fma::<S>();

            #[inline(always)]
            fn splat(self, x: $t) -> S::$v {
                self.0.$splat(x)
            }
            #[inline(always)]
            fn add(self, a: S::$v, b: S::$v) -> S::$v {
                self.0.$add(a, b)
            }
            #[inline(always)]
            fn sub(self, a: S::$v, b: S::$v) -> S::$v {
                self.0.$sub(a, b)
            }
            #[inline(always)]
            fn mul(self, a: S::$v, b: S::$v) -> S::$v {
                self.0.$mul(a, b)
            }
            #[inline(always)]
            fn div(self, a: S::$v, b: S::$v) -> S::$v {
                self.0.$div(a, b)
            }
            #[inline(always)]
            fn mul_add(self, a: S::$v, b: S::$v, c: S::$v) -> S::$v {
                self.0.$mul_add(a, b, c)
            }
            #[inline(always)]
            fn sub_mul(self, a: S::$v, b: S::$v, c: S::$v) -> S::$v {
                self.0.$sub_mul(a, b, c)
            }
            #[inline(always)]
            fn sqrt(self, a: S::$v) -> S::$v {
                self.0.$sqrt(a)
            }
            #[inline(always)]
            fn max(self, a: S::$v, b: S::$v) -> S::$v {
                self.select(self.lt(a, b), b, a)
            }
            #[inline(always)]
            fn lt(self, a: S::$v, b: S::$v) -> S::$m {
                self.0.$lt(a, b)
            }
            #[inline(always)]
            fn le(self, a: S::$v, b: S::$v) -> S::$m {
                self.0.$le(a, b)
            }
            #[inline(always)]
            fn and(self, a: S::$m, b: S::$m) -> S::$m {
                self.0.$and(a, b)
            }
            #[inline(always)]
            fn or(self, a: S::$m, b: S::$m) -> S::$m {
                self.0.$or(a, b)
            }
            #[inline(always)]
            fn not(self, a: S::$m) -> S::$m {
                self.0.$not(a)
            }
            #[inline(always)]
            fn select(self, m: S::$m, yes: S::$v, no: S::$v) -> S::$v {
                self.0.$select(m, yes, no)
            }
            #[inline(always)]
            fn sum(self, a: S::$v) -> $t {
                self.0.$sum(a)
            }
        }
    };
}

wide!(
    f64,
    f64s,
    m64s,
    F64_LANES,
    splat_f64s,
    add_f64s,
    sub_f64s,
    mul_f64s,
    div_f64s,
    mul_add_e_f64s,
    negate_mul_add_e_f64s,
    sqrt_f64s,
    max_f64s,
    less_than_f64s,
    less_than_or_equal_f64s,
    and_m64s,
    or_m64s,
    not_m64s,
    select_f64s,
    reduce_sum_f64s
);
wide!(
    f32,
    f32s,
    m32s,
    F32_LANES,
    splat_f32s,
    add_f32s,
    sub_f32s,
    mul_f32s,
    div_f32s,
    mul_add_e_f32s,
    negate_mul_add_e_f32s,
    sqrt_f32s,
    max_f32s,
    less_than_f32s,
    less_than_or_equal_f32s,
    and_m32s,
    or_m32s,
    not_m32s,
    select_f32s,
    reduce_sum_f32s
);

/// One matrix, by the scalar instructions that round as the vectors do.
#[derive(Clone, Copy)]
pub struct Single<T, const FMA: bool>(PhantomData<T>);

impl<T: Real, const FMA: bool> Single<T, FMA> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Real, const FMA: bool> Lanes for Single<T, FMA> {
    type T = T;
    type V = T;
    type M = bool;
    const COUNT: usize = 1;
    const FUSED: bool = FMA;

    #[inline(always)]
    fn splat(self, x: T) -> T {
        x
    }
    #[inline(always)]
    fn add(self, a: T, b: T) -> T {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: T, b: T) -> T {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: T, b: T) -> T {
        a * b
    }
    #[inline(always)]
    fn div(self, a: T, b: T) -> T {
        a / b
    }
    #[inline(always)]
    fn mul_add(self, a: T, b: T, c: T) -> T {
        if FMA { Real::mul_add(a, b, c) } else { a * b + c }
    }
    #[inline(always)]
    fn sub_mul(self, a: T, b: T, c: T) -> T {
        if FMA { Real::mul_add(-a, b, c) } else { c - a * b }
    }
    #[inline(always)]
    fn sqrt(self, a: T) -> T {
        Real::sqrt(a)
    }
    #[inline(always)]
    fn max(self, a: T, b: T) -> T {
        if a < b { b } else { a }
    }
    #[inline(always)]
    fn lt(self, a: T, b: T) -> bool {
        a < b
    }
    #[inline(always)]
    fn le(self, a: T, b: T) -> bool {
        a <= b
    }
    #[inline(always)]
    fn and(self, a: bool, b: bool) -> bool {
        a & b
    }
    #[inline(always)]
    fn or(self, a: bool, b: bool) -> bool {
        a | b
    }
    #[inline(always)]
    fn not(self, a: bool) -> bool {
        !a
    }
    #[inline(always)]
    fn select(self, m: bool, yes: T, no: T) -> T {
        if m { yes } else { no }
    }
    #[inline(always)]
    fn sum(self, a: T) -> T {
        a
    }
}
