//! From images to features, by channel, row and column.

use tch::Tensor;

use super::{Layer, Operation};
use crate::model::Weights;
use crate::model::architecture::Builder;
use crate::model::shape::Activation;

pub(crate) struct Flatten {
    features: usize,
}

impl Builder {
    /// Makes features of images.
    pub(crate) fn flatten(&mut self) {
        self.push(Layer::Flatten(Flatten { features: self.output().numbers() }));
    }
}

impl Operation for Flatten {
    fn output(&self) -> Activation {
        Activation::Features(self.features)
    }

    /// From batch x (replicas · channels) x height x width to replicas x batch x features.
    fn forward(&self, weights: &Weights, x: Tensor, _training: bool) -> Tensor {
        let batch = x.size()[0];
        x.reshape([batch, weights.replicas(), -1]).transpose(0, 1)
    }
}
