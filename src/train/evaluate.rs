//! Loss, accuracy and the loss's spread over examples, for all replicas of a stack at once.

use tch::{Device, Reduction, Tensor};

use super::batches::{ABSENT, EpochBatches, EvaluationSet, Examples};
use super::tally::{PerExample, scores_of_tensors};
use crate::cuda;
use crate::data::{Augmentation, Dataset, ImageStore};
use crate::error::{Error, Result};
use crate::model::{Model, Network, Scores, Weights, arrange};
use crate::rng::{Rng, Stream};
use crate::torch::Precision;

/// Examples per forward pass on a GPU, at most.
pub(super) const CHUNK: usize = 1000;

/// Examples per forward pass. On a CPU few enough to keep activations in the cache, and the same
/// for every stack, so that a replica's numbers do not depend on its neighbours. On a GPU many.
fn chunk(model: &Model, device: Device) -> usize {
    if device != Device::Cpu {
        return CHUNK;
    }
    let [_, height, width] = model.shape;
    let activations = model.spec.width().max(1) as usize * height * width;
    (65_536 / activations.max(1)).clamp(32, 512)
}

/// The logits of images that [`arrange`] gave: replica · image by class.
pub(super) fn logits(
    model: &Model,
    weights: &Weights,
    images: &Tensor,
    precision: Precision,
    train: bool,
) -> Tensor {
    let images = images.to_kind(precision.compute());
    model.net.forward(weights, &images, train).to_kind(precision.master()).flatten(0, 1)
}

/// Cross-entropy; images without a label add nothing.
pub(super) fn cross_entropy(logits: &Tensor, labels: &Tensor, reduction: Reduction) -> Tensor {
    logits.cross_entropy_loss(labels, None::<&Tensor>, reduction, ABSENT, 0.0)
}

/// Scores of every replica on its own examples, in evaluation mode. All sets have the same length.
/// `poll` is called once per chunk.
pub(super) fn evaluate(
    model: &Model,
    weights: &Weights,
    store: &ImageStore,
    precision: Precision,
    mut sets: Vec<EvaluationSet>,
    poll: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<Scores>> {
    let replicas = sets.len() as i64;
    let length = sets.first().map_or(0, |set| set.examples.rows.len());
    if length == 0 {
        return Err(Error::invalid("an empty data set has no loss; expected at least one example"));
    }
    let device = weights.flat().device();
    let mut parts = Vec::new();
    let size = chunk(model, device);
    for start in (0..length).step_by(size) {
        poll()?;
        let count = size.min(length - start);
        let batches = EpochBatches::of_sets(store, count, &mut sets, start..start + count);
        let launch = || {
            let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(device);
            let images = store.gather(&tensor(&batches.starts), &tensor(&batches.flips));
            let logits = logits(model, weights, &arrange(&images, count as i64, weights), precision, false);
            // The loss reads replica first.
            let labels = tensor(&batches.labels).view([-1, replicas]).transpose(0, 1).reshape([-1]);
            let losses = cross_entropy(&logits, &labels, Reduction::None);
            parts.push(PerExample::new(&losses, &logits, &labels, replicas));
        };
        cuda::rounding(device, precision, || tch::no_grad(launch));
    }
    Ok(scores_of_tensors(&parts))
}

/// Scores of a network on a data set, without augmentation.
pub fn scores(network: &Network, data: &Dataset) -> Result<Scores> {
    let model = network.model();
    if data.shape() != model.shape || data.classes() > model.classes {
        return Err(Error::invalid(format!(
            "the network is for {:?} images (channels, height, width) of {} classes, the data set has {:?} of {}",
            model.shape,
            model.classes,
            data.shape(),
            data.classes()
        )));
    }
    let precision = network.precision();
    let device = network.weights().flat().device();
    let store = ImageStore::new(data.images(), Augmentation::None, device, precision.master());
    let examples = Examples::of(data);
    let rng = Rng::new(0, Stream::EvaluationAugment, 0);
    let sets = vec![EvaluationSet { examples: &examples, rng }];
    let scores = evaluate(model, network.weights(), &store, precision, sets, &mut crate::interrupt::check)?;
    Ok(scores[0])
}
