//! The pre-activation ResNet18 (He et al. 2016, "Identity Mappings in Deep Residual Networks") of
//! width k, as in Nakkiran et al. 2021, "Deep Double Descent": a 3x3 stem without bias or norm;
//! four stages of k, 2k, 4k, 8k filters, two blocks each, strides 1, 2, 2, 2; no final norm; global
//! average pool; linear.

use serde::{Deserialize, Serialize};

use super::architecture::Builder;
use super::layers::Filters;
use super::shape::Activation;
use super::{Design, LAYER_SIZE, ModelEntry, ModelSpec};
use crate::error::Result;
use crate::options::{DefaultValue, Kind, Opt};

/// A ResNet's options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resnet {
    /// Filters of the first stage.
    width: i64,
}

pub(super) const ENTRY: ModelEntry = ModelEntry {
    name: "resnet",
    doc: "The pre-activation ResNet18 (the network of the paper's section 3.1 is of width 32), without a \
          final norm: `width` filters in the first stage; `channels` and `classes` are taken from the data \
          set (3 and 10 without one).",
    example: "resnet(#{ width: 32 })",
    origin: "He et al. 2016 (Identity Mappings in Deep Residual Networks); Nakkiran et al. 2021",
    options: &[
        Opt::new(
            "width",
            LAYER_SIZE,
            DefaultValue::Required,
            "filters of the first stage; the others have 2, 4 and 8 times as many",
        ),
        Opt::new(
            "channels",
            Kind::AT_LEAST_ONE,
            DefaultValue::Absent("the data set's, else 3"),
            "channels of the images",
        ),
        Opt::new("classes", Kind::AT_LEAST_ONE, DefaultValue::Absent("the data set's, else 10"), "classes"),
    ],
    // Those of CIFAR-10.
    usual_images: Some([3, 32, 32]),
    read: |given| Ok(ModelSpec::resnet(given.integer("width")?)),
};

impl ModelSpec {
    /// The pre-activation ResNet18 with this many filters in its first stage.
    pub fn resnet(width: i64) -> Self {
        Self::Resnet(Resnet { width })
    }
}

impl Design for Resnet {
    fn sizes(&self) -> &[i64] {
        std::slice::from_ref(&self.width)
    }

    fn describe(&self) -> String {
        format!("resnet of width {}", self.width)
    }

    fn add_layers(&self, net: &mut Builder, classes: usize) -> Result<()> {
        let width = self.width as usize;
        net.conv("conv1", Filters { count: width, kernel: 3, stride: 1 })?;
        for (stage, stride) in [(1, 1), (2, 2), (3, 2), (4, 2)] {
            for index in 0..2 {
                let stride = if index == 0 { stride } else { 1 };
                block(net, &format!("layer{stage}.{index}"), width << (stage - 1), stride)?;
            }
        }
        net.global_pool()?;
        net.flatten();
        net.dense("linear", classes)
    }
}

/// x ↦ conv2(relu(bn2(conv1(a)))) + s, with a = relu(bn1(x)) and s = x, or a projection of a where
/// the shape changes.
pub(crate) fn block(net: &mut Builder, name: &str, filters: usize, stride: usize) -> Result<()> {
    let keeps_shape =
        stride == 1 && matches!(net.output(), Activation::Image { channels, .. } if channels == filters);
    let named = |layer: &str| format!("{name}.{layer}");
    net.residual(
        name,
        |net| {
            net.norm(&named("bn1"))?;
            net.relu();
            Ok(())
        },
        |net| {
            net.conv(&named("conv1"), Filters { count: filters, kernel: 3, stride })?;
            net.norm(&named("bn2"))?;
            net.relu();
            net.conv(&named("conv2"), Filters { count: filters, kernel: 3, stride: 1 })
        },
        |net| match keeps_shape {
            true => Ok(()),
            false => net.conv(&named("shortcut.0"), Filters { count: filters, kernel: 1, stride }),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_the_published_ones() {
        for (width, parameters) in [(32, 2_796_202), (1, 2_947), (64, 11_171_146)] {
            let model = ModelSpec::resnet(width).build([3, 32, 32], 10).unwrap();
            assert_eq!(model.layout.parameters(), parameters);
        }
    }

    /// What a block keeps for its backward pass: its input, its first convolution, and what batch
    /// norm and ReLU make of both. A batch of one example has no variance where the last stage's
    /// images are a pixel.
    #[test]
    fn activations_and_the_smallest_batch_follow_from_the_layers() {
        let net = |width, shape| ModelSpec::resnet(width).build(shape, 10).unwrap().net;
        let stage = |filters: u64, pixels: u64| 4 * filters * pixels;
        let first = stage(4, 64) + stage(4, 64);
        let second = 2 * 4 * 64 + 2 * 8 * 16 + stage(8, 16);
        let third = 2 * 8 * 16 + 2 * 16 * 4 + stage(16, 4);
        let fourth = 2 * 16 * 4 + 2 * 32 + stage(32, 1);
        let all = 3 * 64 + first + second + third + fourth + 10;
        assert_eq!(net(4, [3, 8, 8]).activations(), all);
        assert_eq!(net(4, [3, 8, 8]).smallest_batch(), 2);
        assert_eq!(net(4, [3, 9, 8]).smallest_batch(), 1);
    }
}
