//! A linear layer with bias; replicas are the batch of a batched product.

use tch::Tensor;

use super::{Layer, Operation};
use crate::error::Result;
use crate::model::architecture::Builder;
use crate::model::shape::{Activation, Channels};
use crate::model::{Layout, Weights};

pub(crate) struct Dense {
    /// Its tensor: output, input.
    pub(crate) weight: usize,
    pub(crate) bias: usize,
    pub(crate) channels: Channels,
}

impl Builder {
    /// Adds a linear layer with so many outputs.
    ///
    /// # Errors
    ///
    /// The layer before makes images, which are to be flattened first.
    pub(crate) fn dense(&mut self, name: &str, output: usize) -> Result<()> {
        let Activation::Features(input) = self.output() else {
            return Err(self.mismatch(name, "features"));
        };
        let init = Layout::fan_in(input as i64);
        let weight = self.layout.add(format!("{name}.weight"), &[output as i64, input as i64], init, true);
        let bias = self.layout.add(format!("{name}.bias"), &[output as i64], init, true);
        self.push(Layer::Dense(Dense { weight, bias, channels: Channels { input, output } }));
        Ok(())
    }
}

impl Operation for Dense {
    fn output(&self) -> Activation {
        Activation::Features(self.channels.output)
    }

    /// From replicas x batch x inputs to replicas x batch x outputs.
    fn forward(&self, weights: &Weights, x: Tensor, _training: bool) -> Tensor {
        let [input, output] = [self.channels.input, self.channels.output].map(|count| count as i64);
        let weight = weights.tensor(self.weight).view([weights.replicas(), output, input]);
        let bias = weights.tensor(self.bias).view([weights.replicas(), 1, output]);
        bias.baddbmm(&x, &weight.transpose(1, 2), 1.0, 1.0)
    }

    /// Its output.
    fn activations(&self) -> usize {
        self.channels.output
    }
}
