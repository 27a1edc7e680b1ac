//! Batches of examples as both backends read them: where each image's view begins, and its label.

use std::ops::Range;

use super::spec::RunSpec;
use crate::data::{Augmentation, Dataset, ImageStore};
use crate::rng::Rng;

/// Rows of the image store with their labels.
pub(super) struct Examples {
    pub(super) rows: Vec<u32>,
    pub(super) labels: Vec<u16>,
}

impl Examples {
    pub(super) fn of(data: &Dataset) -> Self {
        Self { rows: data.rows().to_vec(), labels: data.labels().to_vec() }
    }
}

/// The label of an image that is none: no loss, never correct.
pub(super) const ABSENT: i64 = -100;

/// Views and labels of all replicas, ordered by step, image of the batch, replica.
#[derive(Default)]
pub(super) struct EpochBatches {
    /// The first byte of each view in the image store.
    pub(super) starts: Vec<i64>,
    /// 1 where a view is flipped; empty where none ever is.
    pub(super) flips: Vec<i64>,
    /// The classes.
    pub(super) labels: Vec<i64>,
    /// The schedule's factor of the learning rate for each of its updates; empty where nothing is
    /// updated.
    pub(super) factors: Vec<f64>,
}

/// The images of one replica.
pub(super) struct Draw<'a, P> {
    pub(super) examples: &'a Examples,
    /// Which of the examples, in order.
    pub(super) positions: P,
    /// Draws their views.
    pub(super) rng: &'a mut Rng,
}

impl EpochBatches {
    /// `images` images of each replica. Where its positions do not suffice, the rest is
    /// [`ABSENT`]. There are no factors.
    pub(super) fn assemble<P: IntoIterator<Item = usize>>(
        store: &ImageStore,
        images: usize,
        draws: Vec<Draw<'_, P>>,
    ) -> Self {
        let replicas = draws.len();
        let size = images * replicas;
        let (mut starts, mut flips, mut labels) = (vec![0; size], Vec::new(), vec![ABSENT; size]);
        flips.resize(if store.augments() { size } else { 0 }, 0);
        for (replica, Draw { examples, positions, rng }) in draws.into_iter().enumerate() {
            for (index, position) in positions.into_iter().take(images).enumerate() {
                let view = store.draw(rng);
                let (start, flip) = store.start(examples.rows[position], view);
                let image = index * replicas + replica;
                starts[image] = start;
                labels[image] = i64::from(examples.labels[position]);
                if let Some(own) = flips.get_mut(image) {
                    *own = flip;
                }
            }
        }
        Self { starts, flips, labels, factors: Vec::new() }
    }

    /// The same for a range of each set's examples, in order.
    pub(super) fn of_sets(
        store: &ImageStore,
        images: usize,
        sets: &mut [EvaluationSet],
        range: Range<usize>,
    ) -> Self {
        let mut draws = Vec::with_capacity(sets.len());
        for EvaluationSet { examples, rng } in sets {
            draws.push(Draw { examples, positions: range.clone(), rng });
        }
        Self::assemble(store, images, draws)
    }
}

/// The examples that a replica is scored on.
pub(super) struct EvaluationSet<'a> {
    pub(super) examples: &'a Examples,
    /// Draws the views.
    pub(super) rng: Rng,
}

/// The images of a run's data set on a device, augmented if the run wants it.
pub(super) fn image_store(spec: &RunSpec, data: &Dataset, device: tch::Device) -> ImageStore {
    let augmentation = if spec.augment { data.augmentation() } else { Augmentation::None };
    ImageStore::new(data.images(), augmentation, device, spec.precision.master())
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::data::Source;
    use crate::rng::Stream;

    /// By step, image, replica; each replica's views are those of its own generator, and what is
    /// missing is absent.
    #[test]
    fn images_of_replicas_alternate_and_missing_ones_are_absent() {
        let data = Dataset::load(Source::digits()).unwrap();
        for augmentation in [Augmentation::None, Augmentation::CropFlip] {
            let store = ImageStore::new(data.images(), augmentation, Device::Cpu, Kind::Float);
            let all = [vec![3usize, 1, 4, 1, 5], vec![9, 2]];
            let examples = Examples::of(&data);
            let rng = |replica| Rng::new(replica, Stream::Augment, 1);
            let mut rngs = [rng(0), rng(1)];
            let draws = all
                .iter()
                .zip(&mut rngs)
                .map(|(positions, rng)| Draw {
                    examples: &examples,
                    positions: positions.iter().copied(),
                    rng,
                })
                .collect();
            let found = EpochBatches::assemble(&store, 4, draws);
            assert_eq!(found.starts.len(), 8);
            assert_eq!(found.flips.is_empty(), augmentation == Augmentation::None);
            assert!(found.factors.is_empty());
            for (replica, positions) in all.iter().enumerate() {
                let mut rng = rng(replica as i64);
                for index in 0..4 {
                    let image = index * 2 + replica;
                    let Some(&position) = positions.get(index) else {
                        assert_eq!((found.starts[image], found.labels[image]), (0, ABSENT));
                        continue;
                    };
                    let (start, flip) = store.start(examples.rows[position], store.draw(&mut rng));
                    assert_eq!(found.starts[image], start);
                    assert_eq!(found.labels[image], i64::from(examples.labels[position]));
                    assert_eq!(found.flips.get(image).copied().unwrap_or(0), flip);
                }
            }
        }
    }
}
