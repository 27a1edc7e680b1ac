//! Networks of stacked replicas.
//!
//! A model describes its tensors once ([`Layout`]) and its forward pass on [`Weights`] that hold one or
//! more replicas. Replicas lie side by side in the channels, and every layer keeps them apart: grouped
//! convolutions, per-channel batch norm, batched products. One file per model, one entry in [`MODELS`].

mod layers;
mod layout;
mod linear;
mod mlp;
mod network;
mod resnet;
pub(crate) mod stored;
mod weights;

pub use layout::{Init, Layout, TensorInfo};
pub use network::{Network, Scores};
pub(crate) use weights::load_state;
pub use weights::{State, Weights};

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::{Error, Result};

/// A model as plain data: part of a run's identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum ModelSpec {
    /// The pre-activation ResNet18.
    Resnet {
        /// Filters of the first stage.
        width: i64,
    },
    /// A multilayer perceptron with ReLU.
    Mlp {
        /// Units of each hidden layer.
        hidden: Vec<i64>,
    },
    /// Multinomial logistic regression.
    Linear,
}

/// What help, completion and checking know of a model.
pub struct ModelInfo {
    /// The name in scripts.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub doc: &'static str,
    /// Where it comes from.
    pub origin: &'static str,
    /// Its options: name and meaning.
    pub options: &'static [(&'static str, &'static str)],
}

/// Every model.
pub const MODELS: &[ModelInfo] = &[
    ModelInfo {
        name: "resnet",
        doc: "the pre-activation ResNet18 of a given width, without a final norm",
        origin: "He et al. 2016 (Identity Mappings in Deep Residual Networks); Nakkiran et al. 2021",
        options: &[
            ("width", "filters of the first stage; the others have 2, 4 and 8 times as many"),
            ("channels", "channels of the images; default: the data set's, else 3"),
            ("classes", "classes; default: the data set's, else 10"),
        ],
    },
    ModelInfo {
        name: "mlp",
        doc: "a multilayer perceptron with ReLU on flattened images",
        origin: "",
        options: &[("hidden", "units of each hidden layer, for instance [128, 64]")],
    },
    ModelInfo {
        name: "linear",
        doc: "multinomial logistic regression on flattened images",
        origin: "",
        options: &[],
    },
];

/// Larger images, and more classes, are taken for a mistake.
const LARGEST_SIZE: usize = 65_536;

/// More layers are taken for a mistake.
const MOST_LAYERS: usize = 1000;

/// More parameters are refused before any is allocated.
pub(crate) const MOST_PARAMETERS: i64 = 1 << 29;

/// Images as a model wants them, from batch · replicas x channels x height x width: batch x (replicas · channels) x
/// height x width. Where the weights want it, channels are innermost in memory, and everything computed from them follows.
pub(crate) fn arrange(images: &Tensor, batch: i64, weights: &Weights) -> Tensor {
    let [_, channels, height, width] = images.size4().unwrap_or_default().into();
    let images = images.view([batch, weights.replicas() * channels, height, width]);
    match weights.want_channels_last() {
        true => images.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]),
        false => images,
    }
}

/// The forward pass of a model on stacked replicas.
pub(crate) trait Forward: Send + Sync {
    /// Logits, replicas x batch x classes, of images, batch x (replicas · channels) x height x width.
    fn forward(&self, weights: &Weights, images: &Tensor, training: bool) -> Tensor;
}

/// A model for images of one shape.
#[derive(Clone)]
pub struct Model {
    /// What was built.
    pub spec: ModelSpec,
    /// Channels, height, width of the images.
    pub shape: [usize; 3],
    /// How many classes.
    pub classes: usize,
    /// Its tensors.
    pub layout: Arc<Layout>,
    pub(crate) net: Arc<dyn Forward>,
}

impl ModelSpec {
    /// The entry of this model in [`MODELS`].
    pub fn info(&self) -> &'static ModelInfo {
        let index = match self {
            Self::Resnet { .. } => 0,
            Self::Mlp { .. } => 1,
            Self::Linear => 2,
        };
        &MODELS[index]
    }

    /// The width in tables: filters of the first stage, units of the widest hidden layer, 0.
    pub fn width(&self) -> i64 {
        match self {
            Self::Resnet { width } => *width,
            Self::Mlp { hidden } => hidden.iter().copied().max().unwrap_or(0),
            Self::Linear => 0,
        }
    }

    /// Checks the sizes.
    pub fn check(&self) -> Result<()> {
        let sizes = match self {
            Self::Resnet { width } => vec![*width],
            Self::Mlp { hidden } => hidden.clone(),
            Self::Linear => Vec::new(),
        };
        if sizes.len() > MOST_LAYERS {
            return Err(Error::invalid(format!(
                "{}: {} hidden layers; expected at most {MOST_LAYERS}",
                self.info().name,
                sizes.len()
            )));
        }
        match sizes.iter().find(|size| !(1..=4096).contains(*size)) {
            Some(size) => Err(Error::invalid(format!(
                "{}: a layer of {size} units; expected 1 to 4096",
                self.info().name
            ))),
            None => Ok(()),
        }
    }

    /// Builds the model for images of this shape (channels, height, width).
    pub fn build(&self, shape: [usize; 3], classes: usize) -> Result<Model> {
        self.check()?;
        let sizes = [shape[0], shape[1], shape[2], classes];
        if !sizes.iter().all(|size| (1..=LARGEST_SIZE).contains(size)) {
            return Err(Error::invalid(format!(
                "{}: images of {shape:?} (channels, height, width) and {classes} classes; expected each from 1 to {LARGEST_SIZE}",
                self.info().name
            )));
        }
        let mut layout = Layout::default();
        let net: Arc<dyn Forward> = match self {
            Self::Resnet { width } => {
                Arc::new(resnet::Resnet::new(&mut layout, *width, shape[0] as i64, classes as i64))
            }
            Self::Mlp { hidden } => Arc::new(mlp::Mlp::new(
                &mut layout,
                shape.iter().product::<usize>() as i64,
                hidden,
                classes as i64,
            )),
            Self::Linear => Arc::new(linear::Linear::new(
                &mut layout,
                shape.iter().product::<usize>() as i64,
                classes as i64,
            )),
        };
        if layout.parameters() > MOST_PARAMETERS {
            return Err(Error::invalid(format!(
                "{}: {} parameters; expected at most {MOST_PARAMETERS}, make it narrower",
                self.info().name,
                layout.parameters()
            )));
        }
        Ok(Model { spec: self.clone(), shape, classes, layout: Arc::new(layout), net })
    }

    /// Numbers per image that the backward pass wants kept, for images of this shape.
    pub fn activations(&self, shape: [usize; 3]) -> u64 {
        let [channels, height, width] = shape.map(|size| size as u64);
        let image = channels * height * width;
        match self {
            Self::Resnet { width: filters } => resnet::activations(*filters as u64, height, width) + image,
            // Each layer's sums and what ReLU makes of them.
            Self::Mlp { hidden } => image + 2 * hidden.iter().map(|&units| units as u64).sum::<u64>(),
            Self::Linear => image,
        }
    }

    /// The fewest examples of a batch: batch norm needs two values per channel in every layer.
    pub fn smallest_batch(&self, shape: [usize; 3]) -> usize {
        match self {
            Self::Resnet { .. } if shape[1].div_ceil(8) * shape[2].div_ceil(8) == 1 => 2,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list's names are those that plans store.
    #[test]
    fn every_model_finds_its_entry() {
        let models = [ModelSpec::Resnet { width: 1 }, ModelSpec::Mlp { hidden: vec![2] }, ModelSpec::Linear];
        assert_eq!(models.len(), MODELS.len());
        for model in models {
            assert_eq!(serde_json::to_value(&model).unwrap()["name"], model.info().name);
        }
    }

    #[test]
    fn sizes_beyond_reason_are_refused_before_anything_is_allocated() {
        let resnet = |width| ModelSpec::Resnet { width };
        assert!(resnet(2048).build([3, 32, 32], 10).is_err());
        assert!(resnet(8).build([1 << 40, 32, 32], 10).is_err());
        assert!(resnet(8).build([3, 32, 32], 0).is_err());
        let deep = ModelSpec::Mlp { hidden: vec![1; 1001] }.check().unwrap_err().to_string();
        assert!(deep.contains("1001 hidden layers; expected at most 1000"), "{deep}");
    }
}
