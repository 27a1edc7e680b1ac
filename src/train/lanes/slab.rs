//! A batch, cut into slabs.
//!
//! What a vector holds of its images is a *pack*; a *slab* is a few packs that are computed
//! together. Numbers of a batch are ordered by pack, channel, pixel, so every layer may cut as
//! suits it.

use std::ops::Range;

/// Packs that are computed together at most. Measured: with six, the inputs of a pixel outgrow the
/// first-level cache; with two or three, convolutions tap by tap load their weights too often.
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

    /// The scratch memory of the threads that have a part of it.
    pub(super) fn working<S>(self, scratch: &mut [S]) -> &mut [S] {
        let threads = scratch.len().min(self.packs);
        &mut scratch[..threads]
    }

    /// Cuts it evenly into slabs of `most` packs at most, as many for each thread.
    pub(super) fn slabs(self, most: usize) -> Vec<Slab> {
        let threads = self.threads.clamp(1, self.packs.max(1));
        let slabs = self.packs.div_ceil(most).next_multiple_of(threads).min(self.packs);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_are_a_batch_and_threads_have_equal_parts() {
        for (images, threads, most) in
            [(128, 2, 3), (96, 2, 2), (5, 4, 4), (16, 1, 1), (17, 3, 2), (1, 2, 4), (120, 8, 3)]
        {
            let batch = Batch::new(images, 16, threads);
            let slabs = batch.slabs(most);
            let mut next = 0;
            for slab in &slabs {
                assert!(slab.start == next && (1..=most).contains(&slab.packs));
                next += slab.packs;
            }
            let missing: Vec<usize> = slabs.iter().map(|slab| slab.missing).collect();
            assert_eq!(next * 16 - images, missing[slabs.len() - 1]);
            assert!(next == batch.packs && missing[..slabs.len() - 1].iter().all(|missing| *missing == 0));
            let threads = threads.min(batch.packs);
            let of = |thread: usize| slabs.len() * thread / threads;
            let packs =
                |thread| slabs[of(thread)..of(thread + 1)].iter().map(|slab| slab.packs).sum::<usize>();
            let packs: Vec<usize> = (0..threads).map(packs).collect();
            assert!(
                packs.iter().max().unwrap() - packs.iter().min().unwrap() <= most.min(slabs.len()),
                "{packs:?}"
            );
        }
        let packs =
            |images| Batch::new(images, 16, 2).slabs(3).iter().map(|slab| slab.packs).collect::<Vec<_>>();
        assert_eq!(packs(128), [2, 2, 2, 2]);
        assert_eq!(packs(96), [3, 3]);
    }
}
