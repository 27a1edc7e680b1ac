//! Vectors whose lanes are replicas, of one image or of several.
//!
//! Lane i + R·p is replica i, of R, at the p-th of the images that a vector holds. A kernel is written once, for any
//! [`Vector`], and compiled for each: it is `#[inline(always)]`, and [`Vector::run`] is where the processor's features
//! begin. Replicas never mix, and every kernel does the same operations in the same order whatever R and the
//! processor, so a replica's bits depend on how many images a vector holds and on nothing else.

use std::ops::AddAssign;

use crate::error::{Error, Result};

/// Runs the expression with the constant `$count` as that many replicas, a power of two that vectors have lanes for.
macro_rules! with_replicas {
    ($replicas:expr, $count:ident => $value:expr) => {{
        macro_rules! with {
            ($number:literal) => {{
                const $count: usize = $number;
                $value
            }};
        }
        match $replicas {
            1 => with!(1),
            2 => with!(2),
            4 => with!(4),
            8 => with!(8),
            _ => with!(16),
        }
    }};
}
pub(super) use with_replicas;

/// A number of a lane.
pub(super) trait Scalar: Copy + Default + PartialOrd + AddAssign + Send + Sync + 'static {
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

/// The largest [`Vector::DEPTH`].
pub(super) const DEEPEST: usize = 2;

/// A number in each lane.
///
/// # Safety
///
/// A value consists of `LANES` scalars and nothing else.
pub(super) unsafe trait Vector: Copy + Send + Sync + 'static {
    type Scalar: Scalar;
    /// A power of two.
    const LANES: usize;
    /// Output channels that a kernel computes together for [`Vector::PACKS`]: as many as the registers hold.
    const TILE: usize;
    /// Packs that a kernel computes together.
    const PACKS: usize = 4;
    /// A register's share of it, for kernels that need many: a vector is one of them, or some one after the other.
    type Part: Vector<Scalar = Self::Scalar>;
    /// What the inputs of batch norms and the gradients of a whole batch are kept as.
    type Kept: Kept<Self>;
    /// Numbers that each lane of a factor of [`Vector::dot`] holds, at most [`DEEPEST`].
    const DEPTH: usize = 1;

    fn splat(value: Self::Scalar) -> Self;
    /// The `R` numbers at `from`, over and over.
    ///
    /// # Safety
    ///
    /// They can be read. `R` is a power of two, at most `LANES`.
    unsafe fn repeat<const R: usize>(from: *const Self::Scalar) -> Self;
    /// Adds to each lane the one whose number differs from its own by this power of two.
    fn add_across(self, distance: usize) -> Self;
    /// The sum of the first vector's halves, and that of the second one's.
    fn halves(first: Self, second: Self) -> Self;
    /// The sum of the first two quarters of the first vector, that of the other two, and the same of the second one.
    fn quarters(first: Self, second: Self) -> Self;
    /// Lane 4·i + j is the sum of the j-th four lanes of the i-th vector, (first + third) + (second + fourth). For vectors of
    /// sixteen.
    #[inline(always)]
    fn fours(vectors: [Self; 4]) -> Self {
        assert!(Self::LANES == 16);
        let mut sums = [Self::zero()];
        for (vector, sums) in vectors.into_iter().zip(lanes_mut(&mut sums).chunks_exact_mut(4)) {
            let vector = [vector.add_across(2).add_across(1)];
            for (sum, own) in sums.iter_mut().zip(lanes(&vector).iter().step_by(4)) {
                *sum = *own;
            }
        }
        sums[0]
    }
    /// Lane 4·i + j is the sum over the lanes of the j-th of the i-th four vectors. For vectors of sixteen.
    #[inline(always)]
    fn sums([a, b, c, d]: [[Self; 4]; 4]) -> Self {
        #[inline(always)]
        fn quartered<V: Vector>([a, b, c, d]: [V; 4]) -> V {
            V::quarters(V::halves(a, b), V::halves(c, d))
        }
        Self::fours([quartered(a), quartered(b), quartered(c), quartered(d)])
    }
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    fn sqrt(self) -> Self;
    /// self · factor + term, rounded once.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// A factor of [`Vector::dot`], of the first `DEPTH` of these.
    #[inline(always)]
    fn join([first, _]: [Self; DEEPEST]) -> Self {
        first
    }
    /// term + the products of what two factors hold.
    #[inline(always)]
    fn dot(self, factor: Self, term: Self) -> Self {
        self.mul_add(factor, term)
    }
    /// max(self, 0); a NaN stays.
    fn relu(self) -> Self;
    /// `other` where self > 0, else 0.
    fn where_positive(self, other: Self) -> Self;
    /// Output channels that a kernel computes together, with `TILE · PACKS` sums in all. A weight takes a load of its own in
    /// each part of a vector where every lane is a replica, and one for all parts otherwise: then more weights
    /// and fewer inputs are loaded, which may come from further away.
    #[inline(always)]
    fn channels(replicas: usize) -> usize {
        if replicas == Self::LANES { Self::TILE } else { Self::TILE.max(4) }
    }
    /// Runs a kernel with the processor's features that the vector needs.
    fn run<R>(kernel: impl FnOnce() -> R) -> R;

    fn zero() -> Self {
        Self::splat(Self::Scalar::default())
    }

    /// The same number in every lane.
    fn of(value: f64) -> Self {
        Self::splat(Self::Scalar::of(value))
    }

    /// The sum over the images of a vector, in all lanes of each of `replicas` replicas.
    #[inline(always)]
    fn fold(self, replicas: usize) -> Self {
        let (mut sum, mut distance) = (self, Self::LANES / 2);
        while distance >= replicas {
            sum = sum.add_across(distance);
            distance /= 2;
        }
        sum
    }

    /// The numbers at the beginning of a slice, one for each of `replicas` replicas, over and over.
    #[inline(always)]
    fn repeated(from: &[Self::Scalar], replicas: usize) -> Self {
        assert!(from.len() >= replicas && replicas <= Self::LANES);
        // SAFETY: so many can be read.
        unsafe { with_replicas!(replicas, R => Self::repeat::<R>(from.as_ptr())) }
    }
}

/// How numbers are kept: as they are, or rounded.
pub(super) trait Kept<V>: Copy + Send + Sync + 'static {
    fn keep(value: V) -> Self;
    fn value(self) -> V;
    /// These as vectors, where they are vectors.
    fn vectors(kept: &[Self]) -> Option<&[V]>;
}

impl<V: Vector> Kept<V> for V {
    #[inline(always)]
    fn keep(value: V) -> Self {
        value
    }
    #[inline(always)]
    fn value(self) -> V {
        self
    }
    fn vectors(kept: &[Self]) -> Option<&[V]> {
        Some(kept)
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

/// Has two values that lie there, if any do, brought to the second-level cache before they are asked for; of short ones that lie in
/// two lines of it the first.
#[inline(always)]
pub(super) fn fetch_two<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..2 * size_of::<T>()).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: any address is allowed, and nothing is read.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast::<i8>().wrapping_add(line)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// The parts of vectors, one vector after another.
pub(super) fn parts<V: Vector>(vectors: &[V]) -> &[V::Part] {
    let length = size_of_val(vectors) / size_of::<V::Part>();
    // SAFETY: a vector is its parts and nothing else.
    unsafe { std::slice::from_raw_parts(vectors.as_ptr().cast(), length) }
}

/// The parts of vectors, one vector after another.
pub(super) fn parts_mut<V: Vector>(vectors: &mut [V]) -> &mut [V::Part] {
    let length = size_of_val(vectors) / size_of::<V::Part>();
    // SAFETY: a vector is its parts and nothing else.
    unsafe { std::slice::from_raw_parts_mut(vectors.as_mut_ptr().cast(), length) }
}

/// As a slice of numbers that begins where a vector may.
pub(super) struct Numbers<V: Vector> {
    vectors: Vec<V>,
    length: usize,
}

impl<V: Vector> Numbers<V> {
    /// So many zeros.
    pub(super) fn zeros(length: usize) -> Result<Self> {
        Ok(Self { vectors: zeros(length.div_ceil(V::LANES))?, length })
    }
}

/// So many zeros; an error where there is no memory for them, which would end the process otherwise.
pub(super) fn zeros<V: Vector, T: Kept<V>>(length: usize) -> Result<Vec<T>> {
    let mut vectors = Vec::new();
    vectors.try_reserve_exact(length).map_err(|_| {
        let megabytes = (length * size_of::<T>()) as f64 / 1e6;
        Error::invalid(format!(
            "the system has no memory for {megabytes:.0} MB more; make batch or width smaller, or run fewer at once (jobs)"
        ))
    })?;
    vectors.resize(length, T::keep(V::zero()));
    Ok(vectors)
}

impl<V: Vector> std::ops::Deref for Numbers<V> {
    type Target = [V::Scalar];

    fn deref(&self) -> &[V::Scalar] {
        &lanes(&self.vectors)[..self.length]
    }
}

impl<V: Vector> std::ops::DerefMut for Numbers<V> {
    fn deref_mut(&mut self) -> &mut [V::Scalar] {
        &mut lanes_mut(&mut self.vectors)[..self.length]
    }
}

/// Two vectors as one of twice as many lanes.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Pair<V>(pub(super) V, pub(super) V);

// SAFETY: twice `LANES` scalars; the size of a vector is a multiple of its alignment.
unsafe impl<V: Vector> Vector for Pair<V> {
    type Scalar = V::Scalar;
    const LANES: usize = 2 * V::LANES;
    const TILE: usize = V::TILE;
    const PACKS: usize = V::PACKS / 2;
    type Part = V;
    type Kept = Self;

    #[inline(always)]
    fn splat(value: V::Scalar) -> Self {
        Self(V::splat(value), V::splat(value))
    }
    #[inline(always)]
    unsafe fn repeat<const R: usize>(from: *const V::Scalar) -> Self {
        // SAFETY: the caller's `R` numbers; where they are `LANES`, each half has its own.
        unsafe {
            if R < Self::LANES {
                let half = V::repeat::<R>(from);
                return Self(half, half);
            }
            let half = |at: usize| from.add(at).cast::<V>().read_unaligned();
            Self(half(0), half(V::LANES))
        }
    }
    #[inline(always)]
    fn add_across(self, distance: usize) -> Self {
        if distance == V::LANES {
            let sum = self.0.add(self.1);
            return Self(sum, sum);
        }
        Self(self.0.add_across(distance), self.1.add_across(distance))
    }
    #[inline(always)]
    fn halves(first: Self, second: Self) -> Self {
        Self(first.0.add(first.1), second.0.add(second.1))
    }
    #[inline(always)]
    fn quarters(first: Self, second: Self) -> Self {
        Self(V::halves(first.0, first.1), V::halves(second.0, second.1))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0.add(other.0), self.1.add(other.1))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(self.0.sub(other.0), self.1.sub(other.1))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(self.0.mul(other.0), self.1.mul(other.1))
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(self.0.div(other.0), self.1.div(other.1))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.sqrt(), self.1.sqrt())
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        Self(self.0.mul_add(factor.0, term.0), self.1.mul_add(factor.1, term.1))
    }
    #[inline(always)]
    fn relu(self) -> Self {
        Self(self.0.relu(), self.1.relu())
    }
    #[inline(always)]
    fn where_positive(self, other: Self) -> Self {
        Self(self.0.where_positive(other.0), self.1.where_positive(other.1))
    }
    #[inline(always)]
    fn run<R>(kernel: impl FnOnce() -> R) -> R {
        V::run(kernel)
    }
}

/// What any processor can do.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Plain<T, const N: usize>(pub(super) [T; N]);

/// Sums of each run of so many numbers and the next run, in two arrays one after the other.
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
            |$value:ident, $other:ident, $zero:ident| $mask:expr,
            repeat |$from:ident| { $($replicas:literal => $load:expr),+ },
            across |$own:ident| { $($distance:literal => $across:expr),+ },
            runs |$first:ident, $second:ident| { halves $halves:expr, quarters $quarters:expr }
            $(, fours |$vectors:ident| $fours:expr)?
        ) => {
            #[derive(Clone, Copy)]
            #[repr(transparent)]
            pub(in super::super) struct $name(pub(in super::super) $raw);

            // SAFETY: the register type is `LANES` scalars. Its instructions are there: these types are used only
            // after `lanes::build` has asked the processor.
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
}
