//! Batch norm with PyTorch's defaults (momentum 0.1, ε = 1e-5), per channel and so per replica.

use tch::Tensor;

use super::{Layer, Operation};
use crate::error::Result;
use crate::model::Weights;
use crate::model::architecture::Builder;
use crate::model::layout::{Init, NormInfo};
use crate::model::shape::{Activation, Size};

pub(crate) struct Norm {
    /// The tensor of its scales.
    pub(crate) weight: usize,
    /// The tensor of its shifts.
    pub(crate) bias: usize,
    /// Its running statistics, among those of all norms.
    pub(crate) statistics: usize,
    pub(crate) channels: usize,
    size: Size,
}

impl Builder {
    /// Adds a batch norm.
    ///
    /// # Errors
    ///
    /// The layer before makes no images.
    pub(crate) fn norm(&mut self, name: &str) -> Result<()> {
        let Activation::Image { channels, size } = self.output() else {
            return Err(self.mismatch(name, "images"));
        };
        let layout = &mut self.layout;
        let shape = [channels as i64];
        let weight = layout.add(format!("{name}.weight"), &shape, Init::Constant(1.0), false);
        let bias = layout.add(format!("{name}.bias"), &shape, Init::Constant(0.0), false);
        layout.norms.push(NormInfo { name: name.to_owned(), channels: channels as i64 });
        let statistics = layout.norms.len() - 1;
        self.push(Layer::Norm(Norm { weight, bias, statistics, channels, size }));
        Ok(())
    }
}

impl Operation for Norm {
    fn output(&self) -> Activation {
        Activation::Image { channels: self.channels, size: self.size }
    }

    fn forward(&self, weights: &Weights, x: Tensor, training: bool) -> Tensor {
        let (mean, variance) = weights.running(self.statistics);
        x.batch_norm(
            Some(weights.tensor(self.weight)),
            Some(weights.tensor(self.bias)),
            Some(mean),
            Some(variance),
            training,
            0.1,
            1e-5,
            true,
        )
    }

    /// Its input.
    fn activations(&self) -> usize {
        self.output().numbers()
    }

    /// A channel's variance wants two values.
    fn smallest_batch(&self) -> usize {
        if self.size == Size::PIXEL { 2 } else { 1 }
    }
}
