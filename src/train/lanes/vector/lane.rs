//! What a vector of lanes can do.

use std::ops::AddAssign;

/// Runs the expression with the constant `$count` as that many replicas, a power of two that
/// vectors have lanes for.
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
pub(in super::super) use with_replicas;

/// A number of a lane.
pub(in super::super) trait Scalar:
    Copy + Default + PartialOrd + AddAssign + Send + Sync + 'static
{
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
pub(in super::super) const DEEPEST: usize = 2;

/// A number in each lane.
///
/// # Safety
///
/// A value consists of `LANES` scalars and nothing else.
pub(in super::super) unsafe trait Vector: Copy + Send + Sync + 'static {
    type Scalar: Scalar;
    /// A power of two.
    const LANES: usize;
    /// Output channels that a kernel computes together for [`Vector::PACKS`]: as many as the
    /// registers hold.
    const TILE: usize;
    /// Packs that a kernel computes together.
    const PACKS: usize = 4;
    /// One register's worth, for kernels that need many registers. A vector consists of one part or
    /// of several.
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
    /// The sum of the first two quarters of the first vector, that of the other two, and the same
    /// of the second one.
    fn quarters(first: Self, second: Self) -> Self;
    /// Lane 4·i + j is the sum of the j-th four lanes of the i-th vector, (first + third) + (second
    /// + fourth). For vectors of sixteen.
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
    /// Lane 4·i + j is the sum over the lanes of the j-th of the i-th four vectors. For vectors of
    /// sixteen.
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
    /// Output channels that a kernel computes together, with `TILE · PACKS` sums in all. A weight
    /// takes a load of its own in each part of a vector where every lane is a replica, and one for
    /// all parts otherwise: then more weights and fewer inputs are loaded, which may come from
    /// further away.
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
        // SAFETY: this many can be read.
        unsafe { with_replicas!(replicas, R => Self::repeat::<R>(from.as_ptr())) }
    }
}

/// How numbers are kept: as they are, or rounded.
pub(in super::super) trait Kept<V>: Copy + Send + Sync + 'static {
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
pub(in super::super) fn lanes<V: Vector>(vectors: &[V]) -> &[V::Scalar] {
    // SAFETY: a vector is `LANES` scalars and nothing else.
    unsafe { std::slice::from_raw_parts(vectors.as_ptr().cast(), vectors.len() * V::LANES) }
}

/// The lanes of vectors, one vector after another.
pub(in super::super) fn lanes_mut<V: Vector>(vectors: &mut [V]) -> &mut [V::Scalar] {
    // SAFETY: a vector is `LANES` scalars and nothing else, and any scalars make a vector.
    unsafe { std::slice::from_raw_parts_mut(vectors.as_mut_ptr().cast(), vectors.len() * V::LANES) }
}

/// Prefetches two values into the second-level cache. Of short values only the first cache line.
/// The address need not be valid.
#[inline(always)]
pub(in super::super) fn fetch_two<T>(at: *const T) {
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
pub(in super::super) fn parts<V: Vector>(vectors: &[V]) -> &[V::Part] {
    let length = size_of_val(vectors) / size_of::<V::Part>();
    // SAFETY: a vector is its parts and nothing else.
    unsafe { std::slice::from_raw_parts(vectors.as_ptr().cast(), length) }
}

/// The parts of vectors, one vector after another.
pub(in super::super) fn parts_mut<V: Vector>(vectors: &mut [V]) -> &mut [V::Part] {
    let length = size_of_val(vectors) / size_of::<V::Part>();
    // SAFETY: a vector is its parts and nothing else.
    unsafe { std::slice::from_raw_parts_mut(vectors.as_mut_ptr().cast(), length) }
}
