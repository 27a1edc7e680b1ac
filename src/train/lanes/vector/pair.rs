//! Two vectors as one, for processors whose registers are half as long.

use super::lane::Vector;

/// Two vectors as one of twice as many lanes.
#[derive(Clone, Copy)]
#[repr(C)]
pub(in super::super) struct Pair<V>(pub(in super::super) V, pub(in super::super) V);

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
