//! Vectors of arrays.

use super::lane::Vector;

/// What any processor can do.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(in super::super) struct Plain<T, const N: usize>(pub(in super::super) [T; N]);

/// Sums of neighbouring runs of `run` numbers, of the first array, then of the second.
fn runs<T: Copy + std::ops::Add<Output = T>, const N: usize>(
    first: [T; N],
    second: [T; N],
    run: usize,
) -> [T; N] {
    std::array::from_fn(|lane| {
        let place = lane / run * 2 * run + lane % run;
        let own = if place < N { &first } else { &second };
        own[place % N] + own[place % N + run]
    })
}

macro_rules! plain {
    ($scalar:ty, $lanes:literal) => {
        // SAFETY: an array of `LANES` scalars, whose size is a multiple of the alignment.
        unsafe impl Vector for Plain<$scalar, $lanes> {
            type Scalar = $scalar;
            const LANES: usize = $lanes;
            const TILE: usize = 2;
            type Part = Self;
            type Kept = Self;

            #[inline(always)]
            fn splat(value: $scalar) -> Self {
                Self([value; $lanes])
            }
            #[inline(always)]
            unsafe fn repeat<const R: usize>(from: *const $scalar) -> Self {
                // SAFETY: the caller's `R` numbers.
                Self(std::array::from_fn(|lane| unsafe { *from.add(lane % R) }))
            }
            #[inline(always)]
            fn add_across(self, distance: usize) -> Self {
                Self(std::array::from_fn(|lane| self.0[lane] + self.0[lane ^ distance]))
            }
            #[inline(always)]
            fn halves(first: Self, second: Self) -> Self {
                Self(runs(first.0, second.0, $lanes / 2))
            }
            #[inline(always)]
            fn quarters(first: Self, second: Self) -> Self {
                Self(runs(first.0, second.0, $lanes / 4))
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
