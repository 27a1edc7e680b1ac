//! The order of numbers at the points of tiles: point, group of columns, channel, column.

use crate::train::lanes::vector::Vector;

/// Points of a tile.
pub(super) const POINTS: usize = 16;

/// Channels are computed so many at a time, or fewer; convolutions by tiles are for multiples of
/// it.
pub(super) const WIDE: usize = 4;

/// Vectors of a channel that are computed together, each of one tile. At each point those of all
/// channels should stay in the first-level cache, and every weight that is loaded should be used
/// often.
pub(super) const COLUMNS: usize = 16;

/// Neighbours among such vectors, which are called columns: so many of a channel, then as many of
/// the next one. What a kernel multiplies channel by channel is then read from end to end, and
/// stays in the first-level cache. A last group may be smaller.
pub(super) const GROUP: usize = 4;

/// Bytes left free between one point and the next, so that points do not all fall on the same lines
/// of a cache.
const GAP: usize = 64;

/// What is at one point: so many channels of so many columns.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    pub(super) channels: usize,
    pub(super) columns: usize,
}

impl Extent {
    /// Vectors at a point.
    #[inline(always)]
    pub(super) fn vectors(self) -> usize {
        self.channels * self.columns
    }

    /// Vectors from one point to the next.
    #[inline(always)]
    pub(super) fn plane<V: Vector>(self) -> usize {
        self.vectors() + gap::<V>()
    }

    /// Where a column of a channel is.
    #[inline(always)]
    pub(super) fn place(self, channel: usize, column: usize) -> usize {
        let start = column - column % GROUP;
        start * self.channels + channel * (self.columns - start).min(GROUP) + (column - start)
    }
}

/// Vectors from one point to the next begin this much later than the last one ends.
pub(super) fn gap<V: Vector>() -> usize {
    GAP.div_ceil(size_of::<V>())
}

/// Scalars from one point of kernels to the next.
pub(super) fn scalar_plane<V: Vector>(kernels: usize) -> usize {
    kernels + gap::<V>() * V::LANES
}

/// The vector at the beginning of a slice.
#[inline(always)]
pub(super) fn load<V: Vector>(from: &[V::Scalar]) -> V {
    assert!(from.len() >= V::LANES);
    // SAFETY: so many scalars are a vector.
    unsafe { from.as_ptr().cast::<V>().read_unaligned() }
}

/// Puts a vector at the beginning of a slice.
#[inline(always)]
pub(super) fn store<V: Vector>(to: &mut [V::Scalar], value: V) {
    assert!(to.len() >= V::LANES);
    // SAFETY: a vector is so many scalars.
    unsafe { to.as_mut_ptr().cast::<V>().write_unaligned(value) };
}
