//! The mean of each channel's pixels.

use tch::{Kind, Tensor};

use super::{Layer, Operation};
use crate::error::Result;
use crate::model::Weights;
use crate::model::architecture::Builder;
use crate::model::shape::{Activation, Size};

pub(crate) struct GlobalPool {
    channels: usize,
}

impl Builder {
    /// Adds a global average pool, which leaves images of one pixel.
    ///
    /// # Errors
    ///
    /// The layer before makes no images.
    pub(crate) fn global_pool(&mut self) -> Result<()> {
        let Activation::Image { channels, .. } = self.output() else {
            return Err(self.mismatch("pool", "images"));
        };
        self.push(Layer::GlobalPool(GlobalPool { channels }));
        Ok(())
    }
}

impl Operation for GlobalPool {
    fn output(&self) -> Activation {
        Activation::Image { channels: self.channels, size: Size::PIXEL }
    }

    fn forward(&self, _weights: &Weights, x: Tensor, _training: bool) -> Tensor {
        x.mean_dim(&[2i64, 3][..], true, None::<Kind>)
    }
}
