//! Layers on stacked replicas.

use tch::{Device, Kind, Tensor};

use super::layout::{Init, Layout, NormInfo};
use super::weights::Weights;

/// A convolution without bias; replicas are groups.
pub(super) struct Conv {
    weight: usize,
    stride: i64,
    padding: i64,
}

impl Conv {
    pub(super) fn new(layout: &mut Layout, name: &str, from: i64, to: i64, kernel: i64, stride: i64) -> Self {
        let init = Layout::fan_in(from * kernel * kernel);
        let weight = layout.add(format!("{name}.weight"), &[to, from, kernel, kernel], init, true);
        Self { weight, stride, padding: kernel / 2 }
    }

    pub(super) fn forward(&self, weights: &Weights, x: &Tensor) -> Tensor {
        let weight = weights.tensor(self.weight);
        if x.kind() == Kind::BFloat16 && x.device() == Device::Cpu && !crate::torch::has_bf16() {
            // Products of bfloat16 numbers are exact in float32, which is what they are added up in anyway. Without
            // instructions for them, this is ten times as fast.
            let wide = |tensor: &Tensor| tensor.to_kind(Kind::Float);
            return self.convolve(weights, &wide(x), &wide(weight)).to_kind(Kind::BFloat16);
        }
        self.convolve(weights, x, weight)
    }

    fn convolve(&self, weights: &Weights, x: &Tensor, weight: &Tensor) -> Tensor {
        x.conv2d(
            weight,
            None::<&Tensor>,
            [self.stride, self.stride],
            [self.padding, self.padding],
            [1, 1],
            weights.replicas(),
        )
    }
}

/// Batch norm with PyTorch's defaults (momentum 0.1, ε = 1e-5), per channel and so per replica.
pub(super) struct Norm {
    weight: usize,
    bias: usize,
    norm: usize,
}

impl Norm {
    pub(super) fn new(layout: &mut Layout, name: &str, channels: i64) -> Self {
        let weight = layout.add(format!("{name}.weight"), &[channels], Init::Constant(1.0), false);
        let bias = layout.add(format!("{name}.bias"), &[channels], Init::Constant(0.0), false);
        layout.norms.push(NormInfo { name: name.to_owned(), channels });
        Self { weight, bias, norm: layout.norms.len() - 1 }
    }

    pub(super) fn forward(&self, weights: &Weights, x: &Tensor, training: bool) -> Tensor {
        let (mean, variance) = weights.running(self.norm);
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
}

/// A linear layer with bias; replicas are the batch of a batched product.
pub(super) struct Dense {
    weight: usize,
    bias: usize,
    shape: [i64; 2],
}

impl Dense {
    pub(super) fn new(layout: &mut Layout, name: &str, from: i64, to: i64) -> Self {
        let init = Layout::fan_in(from);
        Self {
            weight: layout.add(format!("{name}.weight"), &[to, from], init, true),
            bias: layout.add(format!("{name}.bias"), &[to], init, true),
            shape: [to, from],
        }
    }

    /// From replicas x batch x inputs to replicas x batch x outputs.
    pub(super) fn forward(&self, weights: &Weights, x: &Tensor) -> Tensor {
        let [to, from] = self.shape;
        let weight = weights.tensor(self.weight).view([weights.replicas(), to, from]);
        let bias = weights.tensor(self.bias).view([weights.replicas(), 1, to]);
        bias.baddbmm(x, &weight.transpose(1, 2), 1.0, 1.0)
    }
}

/// From batch x (replicas · features) x height x width to replicas x batch x (features · height · width).
pub(super) fn by_replica(weights: &Weights, x: &Tensor) -> Tensor {
    let batch = x.size()[0];
    x.reshape([batch, weights.replicas(), -1]).transpose(0, 1)
}
