//! A batch, cut into slabs.
//!
//! What a vector holds of its images is a *pack*; a *slab* is a few packs that are computed together. Numbers of a batch lie as
//! pack, channel, pixel, so every layer may cut as suits it.

use std::ops::Range;

/// Packs that are computed together at most. Measured: with six the inputs of a pixel outgrow the first-level cache, with
/// two or three weights of convolutions tap by tap are loaded too often.
pub(super) const SLAB: usize = 4;

/// A batch of images.
#[derive(Clone, Copy)]
pub(super) struct Batch {
    pub(super) images: usize,
    pub(super) packs: usize,
    /// Images that its last pack lacks.
    missing: usize,
    threads: usize,
}

/// Packs that are computed together.
#[derive(Clone, Copy)]
pub(super) struct Slab {
    pub(super) start: usize,
    pub(super) packs: usize,
    /// Images that its last pack lacks.
    pub(super) missing: usize,
}

impl Batch {
    /// Of this many images, `pack` of which a vector holds, for so many threads.
    pub(super) fn new(images: usize, pack: usize, threads: usize) -> Self {
        let packs = images.div_ceil(pack);
        Self { images, packs, missing: packs * pack - images, threads }
    }

    /// Cuts it evenly into slabs of `most` packs at most.
    pub(super) fn slabs(self, most: usize) -> Vec<Slab> {
        let slabs = self.packs.div_ceil(most).max(self.threads.min(self.packs));
        let start = |slab: usize| self.packs * slab / slabs;
        let slab = |slab| Slab {
            start: start(slab),
            packs: start(slab + 1) - start(slab),
            missing: if slab + 1 == slabs { self.missing } else { 0 },
        };
        (0..slabs).map(slab).collect()
    }
}

impl Slab {
    /// Its part of a buffer with this many numbers per pack.
    pub(super) fn of(self, numbers: usize) -> Range<usize> {
        self.start * numbers..(self.start + self.packs) * numbers
    }
}
