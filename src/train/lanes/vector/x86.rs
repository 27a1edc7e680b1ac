//! The vectors of x86 processors: AVX2 and AVX-512.

use std::arch::x86_64::*;

use super::lane::Vector;

macro_rules! vector {
    (
        $name:ident($raw:ty): [$scalar:ty; $lanes:literal], tile $tile:literal, features $features:literal,
        $splat:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $sqrt:ident, $fma:ident, $max:ident,
        |$value:ident, $other:ident, $zero:ident| $mask:expr,
        repeat |$from:ident| { $($replicas:literal => $load:expr),+ },
        across |$own:ident| { $($distance:literal => $across:expr),+ },
        runs |$first:ident, $second:ident| { halves $halves:expr, quarters $quarters:expr }
        $(, fours |$vectors:ident| $fours:expr)?
    ) => {
        #[derive(Clone, Copy)]
        #[repr(transparent)]
        pub(in super::super) struct $name(pub(in super::super) $raw);

        // SAFETY: the register type is `LANES` scalars. Its instructions are there: these types are
        // used only after `lanes::build` has asked the processor.
        unsafe impl Vector for $name {
            type Scalar = $scalar;
            const LANES: usize = $lanes;
            const TILE: usize = $tile;
            type Part = Self;
            type Kept = Self;

            #[inline(always)]
            fn splat(value: $scalar) -> Self {
                // SAFETY: see above; the same holds for all that follow.
                Self(unsafe { $splat(value) })
            }
            #[inline(always)]
            unsafe fn repeat<const R: usize>($from: *const $scalar) -> Self {
                // SAFETY: the caller's `R` numbers.
                Self(unsafe {
                    match R {
                        $($replicas => $load,)+
                        _ => $splat(*$from),
                    }
                })
            }
            #[inline(always)]
            fn add_across(self, distance: usize) -> Self {
                let $own = self.0;
                // SAFETY: see above.
                let across = unsafe {
                    match distance {
                        $($distance => $across,)+
                        _ => $own,
                    }
                };
                self.add(Self(across))
            }
            #[inline(always)]
            fn halves(first: Self, second: Self) -> Self {
                let ($first, $second) = (first.0, second.0);
                // SAFETY: see above.
                Self(unsafe { $halves })
            }
            #[inline(always)]
            fn quarters(first: Self, second: Self) -> Self {
                let ($first, $second) = (first.0, second.0);
                // SAFETY: see above.
                Self(unsafe { $quarters })
            }
            $(
                #[inline(always)]
                fn fours([a, b, c, d]: [Self; 4]) -> Self {
                    let $vectors = [a.0, b.0, c.0, d.0];
                    // SAFETY: see above.
                    Self(unsafe { $fours })
                }
            )?
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
    |value, other, zero| _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(value, zero), other),
    repeat |from| {
        16 => _mm512_loadu_ps(from),
        8 => _mm512_castpd_ps(_mm512_broadcast_f64x4(_mm256_loadu_pd(from.cast()))),
        4 => _mm512_broadcast_f32x4(_mm_loadu_ps(from)),
        2 => _mm512_castpd_ps(_mm512_set1_pd(from.cast::<f64>().read_unaligned()))
    },
    across |own| {
        8 => _mm512_shuffle_f32x4::<0b01_00_11_10>(own, own),
        4 => _mm512_shuffle_f32x4::<0b10_11_00_01>(own, own),
        2 => _mm512_permute_ps::<0b01_00_11_10>(own),
        1 => _mm512_permute_ps::<0b10_11_00_01>(own)
    },
    runs |a, b| {
        halves _mm512_add_ps(
            _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b),
            _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b)
        ),
        quarters _mm512_add_ps(
            _mm512_shuffle_f32x4::<0b10_00_10_00>(a, b),
            _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b)
        )
    },
    fours |all| {
        // Closures would be compiled without the processor's features.
        let [a, b] = [_mm512_castps_pd(all[0]), _mm512_castps_pd(all[1])];
        let [c, d] = [_mm512_castps_pd(all[2]), _mm512_castps_pd(all[3])];
        let [low, high] = [_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b)];
        let ab = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
        let [low, high] = [_mm512_unpacklo_pd(c, d), _mm512_unpackhi_pd(c, d)];
        let cd = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
        let sums = _mm512_add_ps(
            _mm512_shuffle_ps::<0b10_00_10_00>(ab, cd),
            _mm512_shuffle_ps::<0b11_01_11_01>(ab, cd),
        );
        let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        _mm512_permutexvar_ps(order, sums)
    }
);
vector!(
    Avx512F64(__m512d): [f64; 8], tile 4, features "avx512f,avx2,fma",
    _mm512_set1_pd, _mm512_add_pd, _mm512_sub_pd, _mm512_mul_pd, _mm512_div_pd, _mm512_sqrt_pd,
    _mm512_fmadd_pd, _mm512_max_pd,
    |value, other, zero| _mm512_maskz_mov_pd(_mm512_cmp_pd_mask::<_CMP_GT_OQ>(value, zero), other),
    repeat |from| {
        8 => _mm512_loadu_pd(from),
        4 => _mm512_broadcast_f64x4(_mm256_loadu_pd(from)),
        2 => _mm512_castps_pd(_mm512_broadcast_f32x4(_mm_loadu_ps(from.cast())))
    },
    across |own| {
        4 => _mm512_shuffle_f64x2::<0b01_00_11_10>(own, own),
        2 => _mm512_shuffle_f64x2::<0b10_11_00_01>(own, own),
        1 => _mm512_permute_pd::<0b0101_0101>(own)
    },
    runs |a, b| {
        halves _mm512_add_pd(
            _mm512_shuffle_f64x2::<0b01_00_01_00>(a, b),
            _mm512_shuffle_f64x2::<0b11_10_11_10>(a, b)
        ),
        quarters _mm512_add_pd(
            _mm512_shuffle_f64x2::<0b10_00_10_00>(a, b),
            _mm512_shuffle_f64x2::<0b11_01_11_01>(a, b)
        )
    }
);
vector!(
    Avx2F32(__m256): [f32; 8], tile 2, features "avx2,fma",
    _mm256_set1_ps, _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps, _mm256_div_ps, _mm256_sqrt_ps,
    _mm256_fmadd_ps, _mm256_max_ps,
    |value, other, zero| _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(value, zero), other),
    repeat |from| {
        8 => _mm256_loadu_ps(from),
        4 => _mm256_broadcast_ps(&_mm_loadu_ps(from)),
        2 => _mm256_castpd_ps(_mm256_set1_pd(from.cast::<f64>().read_unaligned()))
    },
    across |own| {
        4 => _mm256_permute2f128_ps::<1>(own, own),
        2 => _mm256_permute_ps::<0b01_00_11_10>(own),
        1 => _mm256_permute_ps::<0b10_11_00_01>(own)
    },
    runs |a, b| {
        halves _mm256_add_ps(
            _mm256_permute2f128_ps::<0b0010_0000>(a, b),
            _mm256_permute2f128_ps::<0b0011_0001>(a, b)
        ),
        quarters {
            let (a, b) = (_mm256_castps_pd(a), _mm256_castps_pd(b));
            let [low, high] = [_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b)].map(|v| _mm256_castpd_ps(v));
            _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(_mm256_add_ps(low, high))))
        }
    }
);
vector!(
    Avx2F64(__m256d): [f64; 4], tile 2, features "avx2,fma",
    _mm256_set1_pd, _mm256_add_pd, _mm256_sub_pd, _mm256_mul_pd, _mm256_div_pd, _mm256_sqrt_pd,
    _mm256_fmadd_pd, _mm256_max_pd,
    |value, other, zero| _mm256_and_pd(_mm256_cmp_pd::<_CMP_GT_OQ>(value, zero), other),
    repeat |from| {
        4 => _mm256_loadu_pd(from),
        2 => _mm256_broadcast_pd(&_mm_loadu_pd(from))
    },
    across |own| {
        2 => _mm256_permute2f128_pd::<1>(own, own),
        1 => _mm256_permute_pd::<0b0101>(own)
    },
    runs |a, b| {
        halves _mm256_add_pd(
            _mm256_permute2f128_pd::<0b0010_0000>(a, b),
            _mm256_permute2f128_pd::<0b0011_0001>(a, b)
        ),
        quarters _mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_hadd_pd(a, b))
    }
);
