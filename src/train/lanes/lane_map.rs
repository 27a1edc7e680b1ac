//! Which replica each place of a vector holds, and numbers of one replica among those of all.

use super::vector::Scalar;

/// A vector has places for a power of two of replicas. Those beyond the replicas do what the first
/// one does.
#[derive(Clone, Copy)]
pub(super) struct LaneMap {
    pub(super) replicas: usize,
    pub(super) places: usize,
}

impl LaneMap {
    /// The replica at a place.
    pub(super) fn replica_at(self, place: usize) -> usize {
        if place < self.replicas { place } else { 0 }
    }

    /// The places of a replica.
    pub(super) fn places_of(self, replica: usize) -> Vec<usize> {
        (0..self.places).filter(|&place| self.replica_at(place) == replica).collect()
    }
}

/// What is at one place of every `places` numbers.
pub(super) fn every<S: Scalar>(numbers: &[S], place: usize, places: usize) -> Vec<f64> {
    numbers.iter().skip(place).step_by(places).map(|value| value.wide()).collect()
}

/// Sets some places of every `places` numbers, all to the same.
pub(super) fn set_every<S: Scalar>(numbers: &mut [S], to: &[usize], places: usize, values: &[f64]) {
    for (numbers, &value) in numbers.chunks_exact_mut(places).zip(values) {
        to.iter().for_each(|&place| numbers[place] = S::of(value));
    }
}
