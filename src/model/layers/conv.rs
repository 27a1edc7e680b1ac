//! A convolution without bias; replicas are groups.

use tch::{Device, Kind, Tensor};

use super::{Layer, Operation};
use crate::error::{Error, Result};
use crate::model::architecture::Builder;
use crate::model::shape::{Activation, Channels, Size};
use crate::model::{Layout, Weights};

/// The filters of a convolution.
#[derive(Clone, Copy)]
pub(crate) struct Filters {
    /// How many: channels of the output.
    pub(crate) count: usize,
    /// Pixels along each side; odd. Images are padded by half of it.
    pub(crate) kernel: usize,
    /// Pixels from one place where they are applied to the next.
    pub(crate) stride: usize,
}

pub(crate) struct Conv {
    /// Its tensor: output channel, input channel, row, column.
    pub(crate) weight: usize,
    pub(crate) channels: Channels,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// Of the images that it is given.
    pub(crate) size: Size,
}

impl Builder {
    /// Adds a convolution.
    ///
    /// # Errors
    ///
    /// The layer before makes no images, or the kernel has no middle.
    pub(crate) fn conv(&mut self, name: &str, filters: Filters) -> Result<()> {
        let Activation::Image { channels, size } = self.output() else {
            return Err(self.mismatch(name, "images"));
        };
        let Filters { count, kernel, stride } = filters;
        if kernel % 2 == 0 || stride == 0 {
            return Err(Error::invalid(format!(
                "{name}: expected an odd kernel and a stride ≥ 1, found {kernel} and {stride}"
            )));
        }
        let shape = [count, channels, kernel, kernel].map(|size| size as i64);
        let init = Layout::fan_in((channels * kernel * kernel) as i64);
        let weight = self.layout.add(format!("{name}.weight"), &shape, init, true);
        let channels = Channels { input: channels, output: count };
        self.push(Layer::Conv(Conv { weight, channels, kernel, stride, size }));
        Ok(())
    }
}

impl Conv {
    fn convolve(&self, weights: &Weights, x: &Tensor, weight: &Tensor) -> Tensor {
        let [stride, padding] = [self.stride, self.kernel / 2].map(|pixels| [pixels as i64; 2]);
        x.conv2d(weight, None::<&Tensor>, stride, padding, [1, 1], weights.replicas())
    }
}

impl Operation for Conv {
    fn output(&self) -> Activation {
        Activation::Image { channels: self.channels.output, size: self.size.strided(self.stride) }
    }

    fn forward(&self, weights: &Weights, x: Tensor, _training: bool) -> Tensor {
        let weight = weights.tensor(self.weight);
        if x.kind() == Kind::BFloat16 && x.device() == Device::Cpu && !crate::torch::has_bf16() {
            // Products of bfloat16 numbers are exact in float32, in which they are added up anyway.
            // Without instructions for them, this is ten times as fast.
            let wide = |tensor: &Tensor| tensor.to_kind(Kind::Float);
            return self.convolve(weights, &wide(&x), &wide(weight)).to_kind(Kind::BFloat16);
        }
        self.convolve(weights, &x, weight)
    }
}
