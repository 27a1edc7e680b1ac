//! The pre-activation ResNet18 (He et al. 2016, "Identity Mappings in Deep Residual Networks") of width k,
//! as in Nakkiran et al. 2021, "Deep Double Descent": a 3x3 stem without bias or norm; four stages of
//! k, 2k, 4k, 8k filters, two blocks each, strides 1, 2, 2, 2; no final norm; global average pool; linear.

use tch::Tensor;

use super::Forward;
use super::layers::{Conv, Dense, Norm, by_replica};
use super::layout::Layout;
use super::weights::Weights;

/// x ↦ conv2(relu(bn2(conv1(a)))) + s, with a = relu(bn1(x)) and s = x, or a projection of a where the
/// shape changes.
struct Block {
    bn1: Norm,
    conv1: Conv,
    bn2: Norm,
    conv2: Conv,
    shortcut: Option<Conv>,
}

impl Block {
    fn new(layout: &mut Layout, name: &str, from: i64, to: i64, stride: i64) -> Self {
        Self {
            bn1: Norm::new(layout, &format!("{name}.bn1"), from),
            conv1: Conv::new(layout, &format!("{name}.conv1"), from, to, 3, stride),
            bn2: Norm::new(layout, &format!("{name}.bn2"), to),
            conv2: Conv::new(layout, &format!("{name}.conv2"), to, to, 3, 1),
            shortcut: (stride != 1 || from != to)
                .then(|| Conv::new(layout, &format!("{name}.shortcut.0"), from, to, 1, stride)),
        }
    }

    fn forward(&self, weights: &Weights, x: Tensor, training: bool) -> Tensor {
        let activated = self.bn1.forward(weights, &x, training).relu_();
        let residual = self.conv1.forward(weights, &activated);
        let residual = self.bn2.forward(weights, &residual, training).relu_();
        let residual = self.conv2.forward(weights, &residual);
        match &self.shortcut {
            Some(shortcut) => residual + shortcut.forward(weights, &activated),
            None => residual + x,
        }
    }
}

/// Numbers per image that the backward pass wants kept: each block's input, first convolution and what batch
/// norm and ReLU make of both.
pub(super) fn activations(width: u64, height: u64, columns: u64) -> u64 {
    let pixels = |stage: u32| height.div_ceil(1 << stage) * columns.div_ceil(1 << stage);
    let size = |stage: u32| (width << stage) * pixels(stage);
    (0..4u32).map(|stage| 2 * size(stage.saturating_sub(1)) + 2 * size(stage) + 4 * size(stage)).sum()
}

pub(super) struct Resnet {
    stem: Conv,
    blocks: Vec<Block>,
    linear: Dense,
}

impl Resnet {
    pub(super) fn new(layout: &mut Layout, width: i64, channels: i64, classes: i64) -> Self {
        let stem = Conv::new(layout, "conv1", channels, width, 3, 1);
        let mut blocks = Vec::new();
        let mut from = width;
        for (stage, stride) in [(1, 1), (2, 2), (3, 2), (4, 2)] {
            let to = width << (stage - 1);
            for block in 0..2 {
                let stride = if block == 0 { stride } else { 1 };
                blocks.push(Block::new(layout, &format!("layer{stage}.{block}"), from, to, stride));
                from = to;
            }
        }
        Self { stem, blocks, linear: Dense::new(layout, "linear", from, classes) }
    }
}

impl Forward for Resnet {
    fn forward(&self, weights: &Weights, images: &Tensor, training: bool) -> Tensor {
        let mut x = self.stem.forward(weights, images);
        for block in &self.blocks {
            x = block.forward(weights, x, training);
        }
        let pooled = x.mean_dim(&[2i64, 3][..], false, None::<tch::Kind>);
        self.linear.forward(weights, &by_replica(weights, &pooled))
    }
}

#[cfg(test)]
mod tests {
    use crate::model::ModelSpec;

    #[test]
    fn parameters_are_the_published_ones() {
        for (width, parameters) in [(32, 2_796_202), (1, 2_947), (64, 11_171_146)] {
            let model = ModelSpec::Resnet { width }.build([3, 32, 32], 10).unwrap();
            assert_eq!(model.layout.parameters(), parameters);
        }
    }
}
