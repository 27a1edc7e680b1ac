//! max(x, 0).

use tch::Tensor;

use super::{Layer, Operation};
use crate::model::Weights;
use crate::model::architecture::Builder;
use crate::model::shape::Activation;

pub(crate) struct Relu {
    output: Activation,
    /// Whether it may write over its input, which neither the layer before nor any other one reads
    /// again.
    in_place: bool,
}

impl Builder {
    /// Adds a ReLU.
    pub(crate) fn relu(&mut self) {
        let in_place = matches!(self.last(), Some(Layer::Conv(_) | Layer::Dense(_) | Layer::Norm(_)));
        self.push(Layer::Relu(Relu { output: self.output(), in_place }));
    }
}

impl Operation for Relu {
    fn output(&self) -> Activation {
        self.output
    }

    fn forward(&self, _weights: &Weights, mut x: Tensor, _training: bool) -> Tensor {
        if self.in_place { x.relu_() } else { x.relu() }
    }

    /// Its output.
    fn activations(&self) -> usize {
        self.output.numbers()
    }
}
