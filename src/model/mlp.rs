//! A multilayer perceptron with ReLU on flattened images.

use tch::Tensor;

use super::Forward;
use super::layers::{Dense, by_replica};
use super::layout::Layout;
use super::weights::Weights;

pub(super) struct Mlp {
    layers: Vec<Dense>,
}

impl Mlp {
    pub(super) fn new(layout: &mut Layout, inputs: i64, hidden: &[i64], classes: i64) -> Self {
        let mut layers = Vec::new();
        let mut from = inputs;
        for (index, &to) in hidden.iter().chain(&[classes]).enumerate() {
            layers.push(Dense::new(layout, &format!("layers.{index}"), from, to));
            from = to;
        }
        Self { layers }
    }
}

impl Forward for Mlp {
    fn forward(&self, weights: &Weights, images: &Tensor, _training: bool) -> Tensor {
        let mut x = by_replica(weights, images);
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(weights, &x);
            if index + 1 < self.layers.len() {
                x = x.relu_();
            }
        }
        x
    }
}
