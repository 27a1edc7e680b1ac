//! Images from bytes into vectors.

use super::lane_map::LaneMap;
use super::vector::{Scalar, Vector, lanes_mut};
use crate::data::ImageStore;

/// Images as bytes, and what each byte means.
pub(super) struct ImageLoader<V: Vector> {
    pub(super) store: ImageStore,
    offsets: [Vec<i64>; 2],
    /// The normalised value of each byte, per channel.
    values: Vec<[V::Scalar; 256]>,
}

impl<V: Vector> ImageLoader<V> {
    pub(super) fn new(store: ImageStore) -> Self {
        // As libtorch rounds: the product, then the sum.
        let round = |value: f64| V::Scalar::of(value).wide();
        let meaning = |[scale, shift]: [f64; 2]| {
            std::array::from_fn(|byte| V::Scalar::of(round(byte as f64 * scale) + shift))
        };
        let values = store.scales().into_iter().map(meaning).collect();
        Self { offsets: store.offsets(), values, store }
    }

    /// Numbers of an image.
    pub(super) fn numbers(&self) -> usize {
        self.offsets[0].len()
    }

    /// Fills packs with views, given by image and replica. Images that the last pack lacks are the
    /// first ones again.
    pub(super) fn load(&self, starts: &[i64], flips: &[i64], map: LaneMap, packs: &mut [V]) {
        let LaneMap { replicas, places } = map;
        let bytes = self.store.bytes();
        let pixels = self.numbers() / self.values.len();
        for (pack, numbers) in packs.chunks_exact_mut(self.numbers()).enumerate() {
            let numbers = lanes_mut(numbers);
            for lane in 0..V::LANES {
                let image = (pack * V::LANES + lane) / places;
                let view = (image * replicas + map.replica_at(lane % places)) % starts.len();
                let flip = flips.get(view).is_some_and(|&flip| flip == 1);
                let start = starts[view];
                for (position, &offset) in self.offsets[usize::from(flip)].iter().enumerate() {
                    let byte = usize::from(bytes[(start + offset) as usize]);
                    numbers[position * V::LANES + lane] = self.values[position / pixels][byte];
                }
            }
        }
    }
}
