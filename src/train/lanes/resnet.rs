//! The parts of a pre-activation ResNet, found among an architecture's layers.
//!
//! Vector lanes run a convolution, residual blocks of one form, a global pool and a linear layer,
//! whatever their number and sizes. What an architecture has besides is refused with the reason,
//! never left out.

use crate::error::{Error, Result};
use crate::model::architecture::Architecture;
use crate::model::layers::{Conv, Dense, Layer, Norm, Residual};

/// The layers of a network, by what they are for.
pub(super) struct ResnetLayers<'a> {
    pub(super) stem: &'a Conv,
    pub(super) blocks: Vec<BlockLayers<'a>>,
    pub(super) linear: &'a Dense,
}

/// The layers of a residual block.
pub(super) struct BlockLayers<'a> {
    pub(super) bn1: &'a Norm,
    pub(super) conv1: &'a Conv,
    pub(super) bn2: &'a Norm,
    pub(super) conv2: &'a Conv,
    pub(super) shortcut: Option<&'a Conv>,
}

impl<'a> ResnetLayers<'a> {
    /// The layers of an architecture.
    ///
    /// # Errors
    ///
    /// Lanes cannot run it, in words; or a tensor of its layout belongs to none of the layers.
    pub(super) fn of(net: &'a Architecture) -> Result<Self> {
        let [Layer::Conv(stem), blocks @ .., Layer::GlobalPool(_), Layer::Flatten(_), Layer::Dense(linear)] =
            &net.layers[..]
        else {
            return Err(refused("conv, residual blocks, pool, flatten, dense", &net.layers));
        };
        let blocks = blocks
            .iter()
            .map(|layer| match layer {
                Layer::Residual(block) => BlockLayers::of(block),
                other => Err(refused("residual blocks", std::slice::from_ref(other))),
            })
            .collect::<Result<Vec<_>>>()?;
        if blocks.is_empty() {
            return Err(refused("at least one residual block", &net.layers));
        }
        let found = Self { stem, blocks, linear };
        found.check_complete(net)?;
        Ok(found)
    }

    /// Every tensor and every norm of the layout is that of a layer.
    fn check_complete(&self, net: &Architecture) -> Result<()> {
        let blocks = self.blocks.iter().flat_map(|block| {
            let norms = [block.bn1, block.bn2].into_iter().flat_map(|norm| [norm.weight, norm.bias]);
            let convs = [block.conv1, block.conv2].into_iter().chain(block.shortcut);
            norms.chain(convs.map(|conv| conv.weight))
        });
        let mut used: Vec<usize> =
            [self.stem.weight, self.linear.weight, self.linear.bias].into_iter().chain(blocks).collect();
        used.sort_unstable();
        let tensors = &net.layout.tensors;
        if let Some(index) = (0..tensors.len()).find(|index| used.binary_search(index).is_err()) {
            return Err(Error::invalid(format!(
                "vector lanes do not use the tensor `{}`",
                tensors[index].name
            )));
        }
        let norms = self.blocks.iter().flat_map(|block| [block.bn1.statistics, block.bn2.statistics]);
        if !norms.eq(0..net.layout.norms.len()) {
            return Err(Error::invalid("vector lanes do not use the statistics of every norm"));
        }
        Ok(())
    }
}

impl<'a> BlockLayers<'a> {
    fn of(block: &'a Residual) -> Result<Self> {
        let [Layer::Norm(bn1), Layer::Relu(_)] = &block.before[..] else {
            return Err(refused("norm, relu before a block's branch", &block.before));
        };
        let [Layer::Conv(conv1), Layer::Norm(bn2), Layer::Relu(_), Layer::Conv(conv2)] = &block.branch[..]
        else {
            return Err(refused("conv, norm, relu, conv in a block's branch", &block.branch));
        };
        let shortcut = match &block.shortcut[..] {
            [] => None,
            [Layer::Conv(shortcut)] => Some(shortcut),
            other => return Err(refused("at most a conv in a block's shortcut", other)),
        };
        if conv2.stride != 1 || conv2.channels.input != conv2.channels.output {
            return Err(Error::invalid(
                "vector lanes train blocks whose second convolution keeps the shape of the first one's output",
            ));
        }
        Ok(Self { bn1, conv1, bn2, conv2, shortcut })
    }
}

/// Layers are not those that lanes know.
fn refused(expected: &str, found: &[Layer]) -> Error {
    let names: Vec<&str> = found.iter().map(Layer::name).collect();
    Error::invalid(format!("vector lanes train {expected}; found {}", names.join(", ")))
}
