//! A pre-activation ResNet in vector lanes: its kernels and its memory.

use std::collections::HashMap;
use std::ops::Range;

use super::conv::{ConvGeometry, Convolution};
use super::norm::{BatchNorm, Running, SlabSums, Statistics};
use super::operands::{Kernels, Points};
use super::resnet::ResnetLayers;
use super::slab::SLAB;
use super::vector::{Numbers, Vector, zeros};
use crate::error::Result;
use crate::model::architecture::Architecture;
use crate::model::layers::{Conv, Norm};
use crate::model::{Channels, Layout, Size};

/// A residual block.
pub(super) struct Block {
    pub(super) bn1: BatchNorm,
    pub(super) conv1: Convolution,
    pub(super) bn2: BatchNorm,
    pub(super) conv2: Convolution,
    pub(super) shortcut: Option<Convolution>,
}

/// A network for images of one size.
pub(super) struct LaneNetwork {
    pub(super) stem: Convolution,
    pub(super) blocks: Vec<Block>,
    pub(super) linear: Convolution,
    /// Where the linear layer's biases are among all parameters.
    pub(super) biases: Range<usize>,
    /// Numbers of an image.
    pub(super) image: usize,
}

/// Numbers per image on both sides of a block.
#[derive(Clone, Copy)]
pub(super) struct BlockNumbers {
    pub(super) input: usize,
    pub(super) output: usize,
}

/// The most of something that a convolution of the network needs, and that a shortcut needs, which
/// has room of its own.
struct Most {
    conv: usize,
    shortcut: usize,
}

/// The parameters of the replicas of a network.
pub(super) struct Parameters<V: Vector> {
    /// In the layout's order, `replicas` numbers per parameter.
    pub(super) theta: Numbers<V>,
    /// Replicas in a vector: a power of two.
    pub(super) replicas: usize,
    /// Of each norm.
    pub(super) running: Vec<Running<V>>,
}

/// Everything that a forward and a backward pass leave behind.
pub(super) struct Buffers<V: Vector> {
    /// Normalised images, ordered by pack, channel, pixel, as all others are.
    pub(super) images: Vec<V>,
    /// By pack, class.
    pub(super) logits: Vec<V>,
    /// The loss's gradient with respect to the logits; zero for images that the last pack lacks.
    pub(super) d_logits: Vec<V>,
    /// The input of each block, and the last one's output.
    pub(super) inputs: Vec<Vec<V::Kept>>,
    /// What each block's first convolution gave.
    pub(super) middles: Vec<Vec<V::Kept>>,
    pub(super) norms: Vec<Statistics<V>>,
    /// Averages over the last block's pixels.
    pub(super) pooled: Vec<V>,
    /// Gradients of the whole batch: of a block's output, of its middle, of its input.
    pub(super) output: Vec<V::Kept>,
    pub(super) middle: Vec<V::Kept>,
    pub(super) input: Vec<V::Kept>,
    /// Of the convolution that is computed, and of a shortcut.
    pub(super) kernels: Kernels<V>,
    pub(super) projections: Kernels<V>,
    /// What each slab adds to the statistics of the norm that is computed.
    pub(super) added: Vec<SlabSums<V>>,
    /// One for each thread.
    pub(super) scratch: Vec<Scratch<V>>,
}

/// A thread's own memory.
pub(super) struct Scratch<V> {
    /// One slab's activations.
    pub(super) activated: Vec<V>,
    pub(super) points: Points<V>,
    /// Its slabs' gradient of a convolution, and of a shortcut.
    pub(super) gradient: Vec<V>,
    pub(super) projection: Vec<V>,
}

#[cfg(test)]
impl<V: Vector> Buffers<V> {
    /// Bytes of all buffers whose length grows with the batch or with the network.
    pub(super) fn bytes(&self) -> usize {
        let Self { images, logits, d_logits, pooled, output, middle, input, .. } = self;
        let kept = self.inputs.iter().chain(&self.middles).chain([output, middle, input]);
        let scratch = self.scratch.iter().flat_map(|scratch| {
            let Scratch { activated, points: Points { inputs, outputs }, gradient, projection } = scratch;
            [activated, inputs, outputs, gradient, projection]
        });
        let others = [images, logits, d_logits, pooled].into_iter().chain(scratch);
        let kernels = [&self.kernels, &self.projections];
        let kernels = kernels.map(|kernels| kernels.scalars().len().div_ceil(V::LANES));
        let vectors = others.map(Vec::len).sum::<usize>() + kernels.iter().sum::<usize>();
        vectors * size_of::<V>() + kept.map(Vec::len).sum::<usize>() * size_of::<V::Kept>()
    }
}

impl LaneNetwork {
    /// The network of an architecture.
    ///
    /// # Errors
    ///
    /// Lanes cannot run it; the error says why.
    pub(super) fn new(net: &Architecture) -> Result<Self> {
        let layers = ResnetLayers::of(net)?;
        let layout: &Layout = &net.layout;
        // Most convolutions of a stage have the same geometry.
        let mut known: HashMap<(usize, usize, Size), ConvGeometry> = HashMap::new();
        let mut geometry = |kernel: usize, stride: usize, size: Size| {
            let new = || ConvGeometry::new(kernel, stride, size);
            known.entry((kernel, stride, size)).or_insert_with(new).clone()
        };
        let mut conv = |layer: &Conv| {
            let geometry = geometry(layer.kernel, layer.stride, layer.size);
            Convolution::new(layer.channels, layout.range(layer.weight).start, &geometry)
        };
        let norm = |layer: &Norm| BatchNorm {
            channels: layer.channels,
            weights: layout.range(layer.weight),
            biases: layout.range(layer.bias),
            index: layer.statistics,
        };
        let stem = conv(layers.stem);
        let blocks = layers.blocks.iter().map(|block| Block {
            bn1: norm(block.bn1),
            conv1: conv(block.conv1),
            bn2: norm(block.bn2),
            conv2: conv(block.conv2),
            shortcut: block.shortcut.map(&mut conv),
        });
        let blocks = blocks.collect();
        let linear = Convolution::new(
            layers.linear.channels,
            layout.range(layers.linear.weight).start,
            &geometry(1, 1, Size::PIXEL),
        );
        let biases = layout.range(layers.linear.bias);
        Ok(Self { stem, blocks, linear, biases, image: net.input.numbers() })
    }

    /// How many classes.
    pub(super) fn classes(&self) -> usize {
        self.linear.channels.output
    }

    /// The norms' numbers of channels, in the layout's order.
    pub(super) fn norms(&self) -> Vec<usize> {
        self.blocks.iter().flat_map(|block| [block.bn1.channels, block.bn2.channels]).collect()
    }

    /// Numbers per image of a block's input and of its output.
    pub(super) fn numbers(&self, block: usize) -> BlockNumbers {
        let before = match block.checked_sub(1) {
            Some(before) => &self.blocks[before].conv2,
            None => &self.stem,
        };
        BlockNumbers { input: before.output_numbers(), output: self.blocks[block].conv2.output_numbers() }
    }

    /// The same of all blocks.
    fn all_numbers(&self) -> Vec<BlockNumbers> {
        (0..self.blocks.len()).map(|block| self.numbers(block)).collect()
    }

    fn most(&self, of: impl Fn(&Convolution) -> usize) -> Most {
        let convs = self.blocks.iter().flat_map(|block| [&block.conv1, &block.conv2]);
        let convs = convs.chain([&self.stem, &self.linear]);
        let shortcuts = self.blocks.iter().filter_map(|block| block.shortcut.as_ref());
        Most {
            conv: convs.map(&of).max().unwrap_or_default(),
            shortcut: shortcuts.map(&of).max().unwrap_or_default(),
        }
    }

    /// Vectors on each side of [`Points`].
    fn point_vectors<V: Vector>(&self) -> usize {
        let points = self.most(Convolution::point_vectors::<V>);
        points.conv.max(points.shortcut)
    }

    /// Memory for batches of this many packs with `replicas` replicas, and for slabs of `threads`
    /// threads.
    ///
    /// # Errors
    ///
    /// The system has no memory for it.
    pub(super) fn buffers<V: Vector>(
        &self,
        batch: usize,
        replicas: usize,
        threads: usize,
    ) -> Result<Buffers<V>> {
        let batch = batch.max(SLAB);
        let numbers = self.all_numbers();
        let largest = numbers.iter().map(|block| block.input.max(block.output)).max().unwrap_or(0);
        let last = numbers.last().map_or(0, |block| block.output);
        let inputs = numbers.iter().map(|block| block.input).chain([last]);
        let kernels = self.most(|conv| conv.kernel_scalars::<V>(replicas));
        let gradients = self.most(|conv| conv.gradient_vectors::<V>(replicas));
        let points = self.point_vectors::<V>();
        let scratch = |_| {
            Ok(Scratch {
                activated: zeros(SLAB * largest)?,
                points: Points::new(points)?,
                gradient: zeros(gradients.conv)?,
                projection: zeros(gradients.shortcut)?,
            })
        };
        let Channels { input: features, output: classes } = self.linear.channels;
        Ok(Buffers {
            images: zeros(batch * self.image)?,
            logits: zeros(batch * classes)?,
            d_logits: zeros(batch * classes)?,
            inputs: inputs.map(|numbers| zeros(batch * numbers)).collect::<Result<_>>()?,
            middles: numbers.iter().map(|block| zeros(batch * block.output)).collect::<Result<_>>()?,
            norms: self.norms().into_iter().map(|channels| Statistics::new(channels, replicas)).collect(),
            pooled: zeros(batch * features)?,
            output: zeros(batch * largest)?,
            middle: zeros(batch * largest)?,
            input: zeros(batch * largest)?,
            kernels: Kernels::new(kernels.conv)?,
            projections: Kernels::new(kernels.shortcut)?,
            added: vec![SlabSums::new(self.norms().into_iter().max().unwrap_or(0)); batch],
            scratch: (0..threads).map(scratch).collect::<Result<_>>()?,
        })
    }

    /// Bytes that [`LaneNetwork::buffers`] takes, but for what the norms need.
    pub(super) fn bytes<V: Vector>(&self, batch: usize, replicas: usize, threads: usize) -> usize {
        let batch = batch.max(SLAB);
        let numbers = self.all_numbers();
        let largest = numbers.iter().map(|block| block.input.max(block.output)).max().unwrap_or(0);
        let last = numbers.last().map_or(0, |block| block.output);
        let kept = numbers.iter().map(|block| block.input + block.output).sum::<usize>() + last;
        let Channels { input: features, output: classes } = self.linear.channels;
        let ends = self.image + 2 * classes + features;
        let kernels = self.most(|conv| conv.kernel_scalars::<V>(replicas));
        let kernels = kernels.conv.div_ceil(V::LANES) + kernels.shortcut.div_ceil(V::LANES);
        let gradients = self.most(|conv| conv.gradient_vectors::<V>(replicas));
        let scratch = SLAB * largest + 2 * self.point_vectors::<V>() + gradients.conv + gradients.shortcut;
        let vectors = batch * ends + kernels + threads * scratch;
        vectors * size_of::<V>() + batch * (kept + 3 * largest) * size_of::<V::Kept>()
    }
}
