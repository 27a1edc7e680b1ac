//! Vectors whose lanes are replicas.
//!
//! A kernel is written once, for any [`Vector`], and compiled for each: it is `#[inline(always)]`, and
//! [`Vector::run`] is where the processor's features begin. Lanes never mix, and every kernel does the same
//! operations in the same order whatever the vector's length, so a replica's bits depend neither on its
//! neighbours nor on the vector.

/// A number of a lane.
pub(super) trait Scalar: Copy + Default + PartialOrd + Send + Sync + 'static {
    /// The nearest number.
    fn of(value: f64) -> Self;
    /// The same number.
    fn wide(self) -> f64;
}

impl Scalar for f32 {
    fn of(value: f64) -> Self {
        value as Self
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }
}

impl Scalar for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn wide(self) -> f64 {
        self
    }
}

/// One number of each of several replicas.
///
/// # Safety
///
/// A value consists of `LANES` scalars and nothing else.
pub(super) unsafe trait Vector: Copy + Send + Sync + 'static {
    type Scalar: Scalar;
    const LANES: usize;
    /// Output channels that a kernel computes together: as many as the registers hold.
    const TILE: usize;

    fn splat(value: Self::Scalar) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    fn sqrt(self) -> Self;
    /// self · factor + term, rounded once.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// max(self, 0); a NaN stays.
    fn relu(self) -> Self;
    /// `other` where self > 0, else 0.
    fn where_positive(self, other: Self) -> Self;
    /// Runs a kernel with the processor's features that the vector needs.
    fn run<R>(kernel: impl FnOnce() -> R) -> R;

    fn zero() -> Self {
        Self::splat(Self::Scalar::default())
    }

    /// The same number in every lane.
    fn of(value: f64) -> Self {
        Self::splat(Self::Scalar::of(value))
    }
}

/// The lanes of vectors, one vector after another.
pub(super) fn lanes<V: Vector>(vectors: &[V]) -> &[V::Scalar] {
    // SAFETY: a vector is `LANES` scalars and nothing else.
    unsafe { std::slice::from_raw_parts(vectors.as_ptr().cast(), vectors.len() * V::LANES) }
}

/// The lanes of vectors, one vector after another.
pub(super) fn lanes_mut<V: Vector>(vectors: &mut [V]) -> &mut [V::Scalar] {
    // SAFETY: a vector is `LANES` scalars and nothing else, and any scalars make a vector.
    unsafe { std::slice::from_raw_parts_mut(vectors.as_mut_ptr().cast(), vectors.len() * V::LANES) }
}

/// What any processor can do.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Plain<T, const N: usize>([T; N]);

macro_rules! plain {
    ($scalar:ty, $lanes:literal) => {
        // SAFETY: an array of `LANES` scalars, whose size is a multiple of the alignment.
        unsafe impl Vector for Plain<$scalar, $lanes> {
            type Scalar = $scalar;
            const LANES: usize = $lanes;
            const TILE: usize = 2;

            #[inline(always)]
            fn splat(value: $scalar) -> Self {
                Self([value; $lanes])
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                Self(std::array::from_fn(|lane| self.0[lane] + other.0[lane]))
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                Self(std::array::from_fn(|lane| self.0[lane] - other.0[lane]))
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                Self(std::array::from_fn(|lane| self.0[lane] * other.0[lane]))
            }
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                Self(std::array::from_fn(|lane| self.0[lane] / other.0[lane]))
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                Self(self.0.map(<$scalar>::sqrt))
            }
            #[inline(always)]
            fn mul_add(self, factor: Self, term: Self) -> Self {
                Self(std::array::from_fn(|lane| self.0[lane].mul_add(factor.0[lane], term.0[lane])))
            }
            #[inline(always)]
            fn relu(self) -> Self {
                Self(self.0.map(|value| if value < 0.0 { 0.0 } else { value }))
            }
            #[inline(always)]
            fn where_positive(self, other: Self) -> Self {
                Self(std::array::from_fn(|lane| if self.0[lane] > 0.0 { other.0[lane] } else { 0.0 }))
            }
            #[inline(always)]
            fn run<R>(kernel: impl FnOnce() -> R) -> R {
                kernel()
            }
        }
    };
}

plain!(f32, 8);
plain!(f64, 4);

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2F32, Avx2F64, Avx512F32, Avx512F64};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Vector;

    macro_rules! vector {
        (
            $name:ident($raw:ty): [$scalar:ty; $lanes:literal], tile $tile:literal, features $features:literal,
            $splat:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $sqrt:ident, $fma:ident, $max:ident,
            |$value:ident, $other:ident, $zero:ident| $mask:expr
        ) => {
            #[derive(Clone, Copy)]
            #[repr(transparent)]
            pub(in super::super) struct $name($raw);

            // SAFETY: the register type is `LANES` scalars. Its instructions are there: these types are used only
            // after `lanes::build` has asked the processor.
            unsafe impl Vector for $name {
                type Scalar = $scalar;
                const LANES: usize = $lanes;
                const TILE: usize = $tile;

                #[inline(always)]
                fn splat(value: $scalar) -> Self {
                    // SAFETY: see above; the same holds for all that follow.
                    Self(unsafe { $splat(value) })
                }
                #[inline(always)]
                fn add(self, other: Self) -> Self {
                    // SAFETY: see above.
                    Self(unsafe { $add(self.0, other.0) })
                }
                #[inline(always)]
                fn sub(self, other: Self) -> Self {
                    // SAFETY: see above.
                    Self(unsafe { $sub(self.0, other.0) })
                }
                #[inline(always)]
                fn mul(self, other: Self) -> Self {
                    // SAFETY: see above.
                    Self(unsafe { $mul(self.0, other.0) })
                }
                #[inline(always)]
                fn div(self, other: Self) -> Self {
                    // SAFETY: see above.
                    Self(unsafe { $div(self.0, other.0) })
                }
                #[inline(always)]
                fn sqrt(self) -> Self {
                    // SAFETY: see above.
                    Self(unsafe { $sqrt(self.0) })
                }
                #[inline(always)]
                fn mul_add(self, factor: Self, term: Self) -> Self {
                    // SAFETY: see above.
                    Self(unsafe { $fma(self.0, factor.0, term.0) })
                }
                #[inline(always)]
                fn relu(self) -> Self {
                    // Where an operand is NaN the instruction gives its second one.
                    // SAFETY: see above.
                    Self(unsafe { $max($splat(0.0), self.0) })
                }
                #[inline(always)]
                fn where_positive(self, other: Self) -> Self {
                    let ($value, $other) = (self.0, other.0);
                    // SAFETY: see above.
                    Self(unsafe {
                        let $zero = $splat(0.0);
                        $mask
                    })
                }
                #[inline(always)]
                fn run<R>(kernel: impl FnOnce() -> R) -> R {
                    #[target_feature(enable = $features)]
                    fn with_features<R>(kernel: impl FnOnce() -> R) -> R {
                        kernel()
                    }
                    // SAFETY: see above.
                    unsafe { with_features(kernel) }
                }
            }
        };
    }

    vector!(
        Avx512F32(__m512): [f32; 16], tile 4, features "avx512f,avx2,fma",
        _mm512_set1_ps, _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_div_ps, _mm512_sqrt_ps,
        _mm512_fmadd_ps, _mm512_max_ps,
        |value, other, zero| _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(value, zero), other)
    );
    vector!(
        Avx512F64(__m512d): [f64; 8], tile 4, features "avx512f,avx2,fma",
        _mm512_set1_pd, _mm512_add_pd, _mm512_sub_pd, _mm512_mul_pd, _mm512_div_pd, _mm512_sqrt_pd,
        _mm512_fmadd_pd, _mm512_max_pd,
        |value, other, zero| _mm512_maskz_mov_pd(_mm512_cmp_pd_mask::<_CMP_GT_OQ>(value, zero), other)
    );
    vector!(
        Avx2F32(__m256): [f32; 8], tile 2, features "avx2,fma",
        _mm256_set1_ps, _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps, _mm256_div_ps, _mm256_sqrt_ps,
        _mm256_fmadd_ps, _mm256_max_ps,
        |value, other, zero| _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(value, zero), other)
    );
    vector!(
        Avx2F64(__m256d): [f64; 4], tile 2, features "avx2,fma",
        _mm256_set1_pd, _mm256_add_pd, _mm256_sub_pd, _mm256_mul_pd, _mm256_div_pd, _mm256_sqrt_pd,
        _mm256_fmadd_pd, _mm256_max_pd,
        |value, other, zero| _mm256_and_pd(_mm256_cmp_pd::<_CMP_GT_OQ>(value, zero), other)
    );
}
