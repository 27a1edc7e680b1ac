//! Multinomial logistic regression on flattened images: convex, so its stationary distribution under SGD
//! has one mode.

use tch::Tensor;

use super::Forward;
use super::layers::{Dense, by_replica};
use super::layout::Layout;
use super::weights::Weights;

pub(super) struct Linear {
    linear: Dense,
}

impl Linear {
    pub(super) fn new(layout: &mut Layout, inputs: i64, classes: i64) -> Self {
        Self { linear: Dense::new(layout, "linear", inputs, classes) }
    }
}

impl Forward for Linear {
    fn forward(&self, weights: &Weights, images: &Tensor, _training: bool) -> Tensor {
        self.linear.forward(weights, &by_replica(weights, images))
    }
}
