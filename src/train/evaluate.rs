//! Loss, accuracy and the loss's spread over examples, for all replicas of a stack at once.

use tch::{Device, Kind, Reduction, Tensor};

use crate::cuda;
use crate::data::{Augmentation, Dataset, ImageStore};
use crate::error::{Error, Result};
use crate::model::{Model, Network, Scores, Weights, arrange};
use crate::rng::{Rng, Stream};
use crate::torch::Precision;

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

/// Examples per forward pass on a GPU, at most.
pub(super) const CHUNK: usize = 1000;

/// Examples per forward pass: as many as keep the activations near the cores, and the same whatever the
/// stack, so that a replica's numbers do not depend on its neighbours. A GPU wants many at once.
fn chunk(model: &Model, device: Device) -> usize {
    if device != Device::Cpu {
        return CHUNK;
    }
    let [_, height, width] = model.shape;
    let activations = model.spec.width().max(1) as usize * height * width;
    (65_536 / activations.max(1)).clamp(32, 512)
}

/// Scores of every replica on its own examples, in evaluation mode. All sets have the same length;
/// `rng` draws each set's views. `poll` is called once per chunk.
pub(super) fn evaluate(
    model: &Model,
    weights: &Weights,
    store: &ImageStore,
    precision: Precision,
    mut sets: Vec<(&Examples, Rng)>,
    poll: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<Scores>> {
    let replicas = sets.len();
    let length = sets.first().map_or(0, |(examples, _)| examples.rows.len());
    let device = weights.flat().device();
    let mut losses: Vec<Tensor> = Vec::new();
    let mut correct: Vec<Tensor> = Vec::new();
    let size = chunk(model, device);
    for start in (0..length).step_by(size) {
        poll()?;
        let count = size.min(length - start);
        let mut starts = vec![0i64; count * replicas];
        let mut flips = vec![0i64; count * replicas];
        let mut labels = vec![0i64; count * replicas];
        for (r, (examples, rng)) in sets.iter_mut().enumerate() {
            for b in 0..count {
                let view = store.draw(rng);
                (starts[b * replicas + r], flips[b * replicas + r]) =
                    store.start(examples.rows[start + b], view);
                labels[r * count + b] = i64::from(examples.labels[start + b]);
            }
        }
        let launch = || {
            let tensor = |values: &[i64]| Tensor::from_slice(values).to_device(device);
            let images = store.gather(&tensor(&starts), &tensor(&flips));
            let images = arrange(&images, count as i64, weights).to_kind(precision.compute());
            let logits = model.net.forward(weights, &images, false).to_kind(precision.master()).flatten(0, 1);
            let labels = tensor(&labels);
            let each = logits.cross_entropy_loss(&labels, None::<&Tensor>, Reduction::None, -100, 0.0);
            losses.push(each.to_kind(Kind::Double).view([replicas as i64, -1]));
            correct.push(
                logits.argmax(-1, false).eq_tensor(&labels).to_kind(Kind::Double).view([replicas as i64, -1]),
            );
        };
        cuda::rounding(device, precision, || tch::no_grad(launch));
    }
    if losses.is_empty() {
        return Err(Error::invalid("an empty data set has no loss; expected at least one example"));
    }
    let (losses, correct) = (Tensor::cat(&losses, 1), Tensor::cat(&correct, 1));
    let loss = losses.mean_dim(&[1i64][..], false, Kind::Double);
    let std = losses.std_dim(&[1i64][..], false, false);
    let accuracy = correct.mean_dim(&[1i64][..], false, Kind::Double);
    Ok((0..replicas as i64)
        .map(|replica| Scores {
            loss: loss.double_value(&[replica]),
            accuracy: accuracy.double_value(&[replica]),
            loss_std: std.double_value(&[replica]),
        })
        .collect())
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
    let sets = vec![(&examples, Rng::new(0, Stream::EvaluationAugment, 0))];
    let scores = evaluate(model, network.weights(), &store, precision, sets, &mut crate::interrupt::check)?;
    Ok(scores[0])
}
