//! Products of bfloat16 numbers, added up in float32, and numbers that are kept as such.
//!
//! A factor holds two numbers in each lane, rounded to bfloat16: one in the lower half of its bits,
//! one in the upper. Two of them give both products, which are exact in float32; the upper ones are
//! added first and the sum is rounded, then the lower ones. That is what the instruction of
//! AVX512-BF16 does, so other processors give the same bits, with one exception: its instructions
//! take numbers, products and sums below 1.2e-38 for zero, the others keep them.

use super::vector::{Kept, Pair, Plain, Vector};

/// A vector of float32 numbers whose factors are bfloat16 numbers.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Bf16<V>(V);

/// Its numbers, rounded to bfloat16.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Short<V: Halves>(V::Short);

impl<V: Halves> Kept<Bf16<V>> for Short<V> {
    #[inline(always)]
    fn keep(value: Bf16<V>) -> Self {
        Self(value.0.shorten())
    }
    #[inline(always)]
    fn value(self) -> Bf16<V> {
        Bf16(V::lengthen(self.0))
    }
    fn vectors(_: &[Self]) -> Option<&[Bf16<V>]> {
        None
    }
}

/// What [`Bf16`] takes.
pub(super) trait Halves: Vector<Scalar = f32> {
    /// As [`Vector::Part`].
    type Register: Halves;
    /// Its numbers, rounded to bfloat16 (to nearest, ties to even).
    type Short: Copy + Send + Sync + 'static;
    fn shorten(self) -> Self::Short;
    fn lengthen(short: Self::Short) -> Self;
    /// Both rounded alike, the first one's bits in the lower half of each lane.
    fn round(lower: Self, upper: Self) -> Self;
    /// term + the product of the upper halves + that of the lower ones.
    fn products(self, factor: Self, term: Self) -> Self;
    /// As [`Vector::run`], with the features that these need.
    fn enable<R>(kernel: impl FnOnce() -> R) -> R;
}

/// Methods that are those of the vector within.
macro_rules! within {
    ($($name:ident($own:ident $(, $other:ident)*);)+) => {
        $(
            #[inline(always)]
            fn $name($own $(, $other: Self)*) -> Self {
                Self($own.0.$name($($other.0),*))
            }
        )+
    };
}

// SAFETY: as the vector within.
unsafe impl<V: Halves> Vector for Bf16<V> {
    type Scalar = f32;
    const LANES: usize = V::LANES;
    const TILE: usize = V::TILE;
    const PACKS: usize = V::PACKS;
    type Part = Bf16<V::Register>;
    type Kept = Short<V>;
    const DEPTH: usize = 2;

    #[inline(always)]
    fn join([lower, upper]: [Self; 2]) -> Self {
        Self(V::round(lower.0, upper.0))
    }
    #[inline(always)]
    fn dot(self, factor: Self, term: Self) -> Self {
        Self(self.0.products(factor.0, term.0))
    }
    #[inline(always)]
    fn run<R>(kernel: impl FnOnce() -> R) -> R {
        V::enable(kernel)
    }
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(V::splat(value))
    }
    #[inline(always)]
    unsafe fn repeat<const R: usize>(from: *const f32) -> Self {
        // SAFETY: the caller's `R` numbers.
        Self(unsafe { V::repeat::<R>(from) })
    }
    #[inline(always)]
    fn add_across(self, distance: usize) -> Self {
        Self(self.0.add_across(distance))
    }
    #[inline(always)]
    fn halves(first: Self, second: Self) -> Self {
        Self(V::halves(first.0, second.0))
    }
    #[inline(always)]
    fn quarters(first: Self, second: Self) -> Self {
        Self(V::quarters(first.0, second.0))
    }
    #[inline(always)]
    fn fours([a, b, c, d]: [Self; 4]) -> Self {
        Self(V::fours([a.0, b.0, c.0, d.0]))
    }
    within! {
        add(self, other);
        sub(self, other);
        mul(self, other);
        div(self, other);
        sqrt(self);
        mul_add(self, factor, term);
        relu(self);
        where_positive(self, other);
    }
}

impl<V: Halves> Halves for Pair<V> {
    type Register = V;
    type Short = [V::Short; 2];

    #[inline(always)]
    fn shorten(self) -> [V::Short; 2] {
        [self.0.shorten(), self.1.shorten()]
    }
    #[inline(always)]
    fn lengthen([first, second]: [V::Short; 2]) -> Self {
        Self(V::lengthen(first), V::lengthen(second))
    }
    #[inline(always)]
    fn round(lower: Self, upper: Self) -> Self {
        Self(V::round(lower.0, upper.0), V::round(lower.1, upper.1))
    }
    #[inline(always)]
    fn products(self, factor: Self, term: Self) -> Self {
        Self(self.0.products(factor.0, term.0), self.1.products(factor.1, term.1))
    }
    #[inline(always)]
    fn enable<R>(kernel: impl FnOnce() -> R) -> R {
        V::enable(kernel)
    }
}

/// Of the bits of a float32 number, those that bfloat16 keeps.
const UPPER: u32 = 0xffff_0000;
/// Just less than half of the last one of these, which rounds everything up but a tie.
const ROUND: u32 = 0x7fff;
/// A NaN stays one, a quiet one.
const QUIET: u32 = 0x0040_0000;

/// The nearest number of 16 bits, in the upper half, with something else below.
fn rounded(value: f32) -> u32 {
    let bits = value.to_bits();
    if value.is_nan() { bits | QUIET } else { bits + ROUND + (bits >> 16 & 1) }
}

impl Halves for Plain<f32, 8> {
    type Register = Self;
    type Short = [u16; 8];

    #[inline(always)]
    fn shorten(self) -> [u16; 8] {
        self.0.map(|value| (rounded(value) >> 16) as u16)
    }
    #[inline(always)]
    fn lengthen(short: [u16; 8]) -> Self {
        Self(short.map(|bits| f32::from_bits(u32::from(bits) << 16)))
    }
    #[inline(always)]
    fn round(lower: Self, upper: Self) -> Self {
        Self(std::array::from_fn(|lane| {
            f32::from_bits(rounded(lower.0[lane]) >> 16 | rounded(upper.0[lane]) & UPPER)
        }))
    }
    #[inline(always)]
    fn products(self, factor: Self, term: Self) -> Self {
        let lower = |value: f32| f32::from_bits(value.to_bits() << 16);
        let upper = |value: f32| f32::from_bits(value.to_bits() & UPPER);
        Self(std::array::from_fn(|lane| {
            let (own, factor) = (self.0[lane], factor.0[lane]);
            let sum = upper(own).mul_add(upper(factor), term.0[lane]);
            lower(own).mul_add(lower(factor), sum)
        }))
    }
    #[inline(always)]
    fn enable<R>(kernel: impl FnOnce() -> R) -> R {
        kernel()
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::super::vector::{Avx2F32, Avx512F32, Vector};
    use super::{Halves, QUIET, ROUND, UPPER};

    /// The nearest number of 16 bits, in the upper half, with something else below. No closures
    /// around it, which would be compiled without the processor's features.
    ///
    /// # Safety
    ///
    /// The processor has AVX2.
    #[inline(always)]
    unsafe fn rounded(value: __m256) -> __m256i {
        // SAFETY: the caller's processor.
        unsafe {
            let bits = _mm256_castps_si256(value);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let up = _mm256_add_epi32(_mm256_set1_epi32(ROUND as i32), odd);
            let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(QUIET as i32));
            let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(value, value));
            _mm256_blendv_epi8(_mm256_add_epi32(bits, up), quiet, nan)
        }
    }

    /// The lower halves' numbers, and the upper ones'.
    ///
    /// # Safety
    ///
    /// The processor has AVX2.
    #[inline(always)]
    unsafe fn split(value: __m256) -> [__m256; 2] {
        // SAFETY: the caller's processor.
        unsafe {
            let bits = _mm256_castps_si256(value);
            let upper = _mm256_and_si256(bits, _mm256_set1_epi32(UPPER as i32));
            [_mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits)), _mm256_castsi256_ps(upper)]
        }
    }

    impl Halves for Avx2F32 {
        type Register = Self;
        type Short = __m128i;

        #[inline(always)]
        fn shorten(self) -> __m128i {
            // SAFETY: vectors of this type are used only where the processor has the instructions;
            // the same holds below.
            unsafe {
                let upper = _mm256_srli_epi32::<16>(rounded(self.0));
                let halves = _mm256_packus_epi32(upper, upper);
                _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b11_01_10_00>(halves))
            }
        }
        #[inline(always)]
        fn lengthen(short: __m128i) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(short))) })
        }
        #[inline(always)]
        fn round(lower: Self, upper: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe {
                let upper = _mm256_and_si256(rounded(upper.0), _mm256_set1_epi32(UPPER as i32));
                let lower = _mm256_srli_epi32::<16>(rounded(lower.0));
                _mm256_castsi256_ps(_mm256_or_si256(lower, upper))
            })
        }
        #[inline(always)]
        fn products(self, factor: Self, term: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe {
                let ([lower, upper], [lower_factor, upper_factor]) = (split(self.0), split(factor.0));
                _mm256_fmadd_ps(lower, lower_factor, _mm256_fmadd_ps(upper, upper_factor, term.0))
            })
        }
        #[inline(always)]
        fn enable<R>(kernel: impl FnOnce() -> R) -> R {
            Self::run(kernel)
        }
    }

    /// Which of the lower numbers, and of the upper ones, which come after them, goes to each half
    /// of a lane.
    static ORDER: [u16; 32] = {
        let mut order = [0; 32];
        let mut lane = 0;
        while lane < 16 {
            order[2 * lane as usize] = lane;
            order[2 * lane as usize + 1] = 16 + lane;
            lane += 1;
        }
        order
    };

    impl Halves for Avx512F32 {
        type Register = Self;
        type Short = __m256i;

        #[inline(always)]
        fn shorten(self) -> __m256i {
            // SAFETY: see above; both types are 32 bytes, and any bits are values of theirs.
            unsafe { std::mem::transmute(_mm512_cvtneps_pbh(self.0)) }
        }
        #[inline(always)]
        fn lengthen(short: __m256i) -> Self {
            // SAFETY: see above.
            Self(unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(short))) })
        }
        #[inline(always)]
        fn round(lower: Self, upper: Self) -> Self {
            // SAFETY: see above; all of these types are 64 bytes, and any bits are values of
            // theirs.
            Self(unsafe {
                let both: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(upper.0, lower.0));
                let order = _mm512_loadu_si512(ORDER.as_ptr().cast());
                _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, both))
            })
        }
        #[inline(always)]
        fn products(self, factor: Self, term: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe {
                let own = std::mem::transmute::<__m512, __m512bh>(self.0);
                let factor = std::mem::transmute::<__m512, __m512bh>(factor.0);
                _mm512_dpbf16_ps(term.0, own, factor)
            })
        }
        #[inline(always)]
        fn enable<R>(kernel: impl FnOnce() -> R) -> R {
            #[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma")]
            fn with_features<R>(kernel: impl FnOnce() -> R) -> R {
                kernel()
            }
            // SAFETY: see above.
            unsafe { with_features(kernel) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::vector::{lanes, lanes_mut};
    use super::*;

    /// Numbers are rounded as libtorch rounds them, and a product is the sum of both, rounded once
    /// for each.
    #[test]
    fn factors_are_libtorchs_bfloat16() {
        every::<Pair<Plain<f32, 8>>>();
        #[cfg(target_arch = "x86_64")]
        {
            use super::super::vector::{Avx2F32, Avx512F32};
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                every::<Pair<Avx2F32>>();
            }
            if is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bw") {
                every::<Avx512F32>();
            }
        }
    }

    fn every<V: Halves>() {
        let mut rng = crate::rng::Rng::new(1, crate::rng::Stream::Init, 0);
        let ties = [0x3f80_8000, 0x3f81_8000, 0x3f80_8001, 0xbf80_7fff, 0x7f7f_ffff, 0xff80_0000];
        for round in 0..200 {
            let mut vectors = [[V::zero(); 2]; 3];
            for (index, number) in lanes_mut(vectors.as_flattened_mut()).iter_mut().enumerate() {
                *number = ((rng.uniform() - 0.5) * (8.0 * rng.uniform()).exp2()) as f32;
                if round == 0 && index < ties.len() {
                    *number = f32::from_bits(ties[index]);
                }
            }
            let kept: Vec<f32> = lanes(vectors.as_flattened()).to_vec();
            let rounded =
                tch::Tensor::from_slice(&kept).to_kind(tch::Kind::BFloat16).to_kind(tch::Kind::Float);
            let rounded: Vec<f32> = rounded.try_into().unwrap();
            let [own, factor, [term, _]] = vectors;
            let (mut all, mut kept_own) = ([V::zero(); 3], V::zero());
            V::enable(
                #[inline(always)]
                || {
                    kept_own = V::lengthen(own[0].shorten());
                    all = [V::round(own[0], own[1]), V::round(factor[0], factor[1]), V::zero()];
                    all[2] = all[0].products(all[1], term);
                },
            );
            for lane in 0..V::LANES {
                let at = |vector: usize| rounded[vector * V::LANES + lane];
                let joined = lanes(&all)[lane].to_bits();
                assert_eq!([joined << 16, joined & UPPER], [at(0), at(1)].map(f32::to_bits));
                assert_eq!(lanes(&[kept_own])[lane].to_bits(), at(0).to_bits());
                let sum = at(0).mul_add(at(2), at(1).mul_add(at(3), kept[4 * V::LANES + lane]));
                if sum.is_finite() {
                    assert_eq!(lanes(&all)[2 * V::LANES + lane], sum);
                }
            }
        }
        // A NaN stays one, also where rounding up would carry into the sign.
        let [nan, full] = [f32::NAN, f32::from_bits(0x7fff_ffff)].map(V::splat);
        let mut all = [V::zero(); 3];
        V::enable(
            #[inline(always)]
            || all = [V::round(nan, full), V::lengthen(nan.shorten()), V::lengthen(full.shorten())],
        );
        let both = lanes(&all)[0].to_bits();
        assert!(f32::from_bits(both << 16).is_nan() && f32::from_bits(both & UPPER).is_nan());
        assert!(lanes(&all[1..]).iter().all(|number| number.is_nan()));
    }
}
